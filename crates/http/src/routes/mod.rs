//! One file per resource: handlers with their parameters, answers and OpenAPI annotations.

pub(crate) mod changes;
pub(crate) mod clients;
pub(crate) mod docs;
pub(crate) mod export;
pub(crate) mod health;
pub(crate) mod imports;
pub(crate) mod item;
pub(crate) mod limits;
pub(crate) mod listing;
pub(crate) mod metrics;
pub(crate) mod oauth;
pub(crate) mod sources;
pub(crate) mod suggest;
pub(crate) mod write;
