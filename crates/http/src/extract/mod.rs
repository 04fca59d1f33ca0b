//! What handlers take from a request, checked: a handler's signature shows what it needs.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod content_type;
pub(crate) mod idempotency;
pub(crate) mod json;
pub(crate) mod parameters;
pub(crate) mod path;
pub(crate) mod precondition;
