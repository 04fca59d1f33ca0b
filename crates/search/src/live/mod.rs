//! The living index: kept in its [`folder`], written by one [`follow`]er of the change log, built anew when it has to
//! be ([`build`]), read by any number of searches ([`index`]) that a few at a time are let in ([`admission`]), all on threads
//! behind the others (`backstage`).

pub mod admission;
pub mod agreement;
mod backstage;
pub mod build;
pub mod folder;
pub mod follow;
pub mod generation;
mod history;
pub mod index;
pub mod merging;
pub mod rebuild;
mod shown;
mod urgent;
pub mod verify;
pub mod writer;
