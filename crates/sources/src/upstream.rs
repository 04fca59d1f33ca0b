//! A source's upstream: what its connector asks for, sent by its caller.

use std::sync::Arc;
use std::time::Duration;

use haat_catalog::{Clock, Sku, Timestamp};
use haat_outbound::{CallError, Caller};
use serde_json::Value;
use tokio::time::Instant;

use crate::connector::{Connector, ItemPage, ReadError};

/// An upstream.
#[derive(Clone)]
pub struct Upstream {
    /// What to ask for, and what answers mean.
    pub connector: Arc<dyn Connector>,
    /// Sends it.
    pub caller: Arc<dyn Caller>,
}

/// Why an upstream gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// There was no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer is not what was asked for.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why there is no page, and when to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Why.
    pub error: UpstreamError,
    /// For how long the upstream asks not to be asked again.
    pub retry_after: Option<Duration>,
}

/// What became of a request for one item.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// The source has no such request.
    Unasked,
    /// There is no such item.
    Gone,
    /// The item.
    There(Value),
}

impl Upstream {
    /// Reads a page: of everything, or of what changed since; the first, or the one at `position`.
    ///
    /// # Errors
    /// When there is no answer, or it is no page.
    pub async fn page(
        &self,
        since: Option<Timestamp>,
        position: Option<&Value>,
        clock: &dyn Clock,
    ) -> Result<ItemPage, Unread> {
        let called = self.caller.call(self.connector.list(since, position)).await;
        let answer = called.map_err(|error| Unread { error: error.into(), retry_after: None })?;
        let read = self.connector.read_page(since, position, &answer);
        read.map_err(|error| Unread { error: error.into(), retry_after: answer.retry_after(clock.now()) })
    }

    /// Asks for one item, until `deadline` if there is one.
    ///
    /// # Errors
    /// When there is no answer, or it does not say.
    pub async fn item(&self, key: &str, sku: &Sku, deadline: Option<Instant>) -> Result<Asked, UpstreamError> {
        let Some(mut call) = self.connector.item(key, sku) else { return Ok(Asked::Unasked) };
        call.deadline = deadline.or(call.deadline);
        let answer = self.caller.call(call).await?;
        Ok(self.connector.read_item(&answer)?.map_or(Asked::Gone, Asked::There))
    }
}
