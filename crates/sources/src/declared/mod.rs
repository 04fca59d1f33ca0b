//! What kinds of source are made of, and what most of a source can simply be declared with: where something is in an item
//! ([`mod@pointer`]), as what it is read ([`convert`], [`money`], [`field`]), which member of a product it becomes ([`mapping`]),
//! how a request is made ([`request`], [`auth`]) and its answer taken apart ([`body`]), how one page leads to the next ([`pagination`]), and how settings are read
//! so that a mistake names its key ([`settings`]).

pub mod attributes;
pub mod auth;
pub mod body;
pub mod convert;
pub mod field;
pub mod link;
pub mod mapping;
pub mod money;
pub mod pagination;
pub mod pointer;
pub mod progress;
pub mod request;
pub mod settings;
