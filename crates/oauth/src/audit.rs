//! The audit log: who was given what, who was refused, and who changed what, one line each under the target `haat::audit`.
//! No line has a secret or a token.

use std::net::IpAddr;

use haat_catalog::ports::StoreError;
use tracing::Instrument as _;
use tracing::instrument::WithSubscriber as _;
use uuid::Uuid;

/// Who is no client.
pub const UNKNOWN: &str = "unknown";

/// Something that somebody may have to answer for.
#[derive(Debug, Clone, Copy)]
pub enum Act<'a> {
    /// A token was issued.
    Issued {
        /// To whom.
        client: &'a str,
        /// Its name.
        jti: Uuid,
        /// For what.
        scope: &'a str,
    },
    /// A request for a token, or about one, was refused.
    Refused {
        /// Who it said to be from, if there is such a client.
        client: &'a str,
        /// Why.
        why: &'a str,
    },
    /// A token was revoked.
    Revoked {
        /// By whom.
        client: &'a str,
        /// Its name.
        jti: Uuid,
    },
}

/// Writes an act of a request from `address` into the log.
pub fn note(act: Act<'_>, address: IpAddr) {
    match act {
        Act::Issued { client, jti, scope } => {
            tracing::info!(target: "haat::audit", client, %jti, scope, %address, "token issued");
        }
        Act::Refused { client, why } => {
            tracing::warn!(target: "haat::audit", client, why, %address, "client refused");
        }
        Act::Revoked { client, jti } => {
            tracing::info!(target: "haat::audit", client, %jti, %address, "token revoked");
        }
    }
}

/// Who changes clients or keys.
#[derive(Debug, Clone)]
pub struct By {
    who: String,
    address: Option<IpAddr>,
}

impl By {
    /// A client, over HTTP.
    pub fn client(id: &str, address: IpAddr) -> Self {
        Self { who: id.to_owned(), address: Some(address) }
    }
}

impl From<&str> for By {
    /// Something on this machine: the command line, the schedule.
    fn from(who: &str) -> Self {
        Self { who: who.to_owned(), address: None }
    }
}

/// Writes a change to clients or keys into the log: what was done, to what, to which of its members (where not to all), and
/// by whom.
pub fn changed(what: &'static str, id: &str, members: Option<&str>, by: &By) {
    let address = by.address.map(tracing::field::display);
    tracing::info!(target: "haat::audit", id, members, by = by.who, address, "{what}");
}

/// Carries a change out and writes its line, to the end of both though nobody waits any more: a store finishes the commit
/// of somebody who hung up, and a change without a line would be one that nobody answers for.
///
/// # Errors
/// Those of the change, which has no line then: not even where the store cannot say whether it was made.
pub async fn on_record<T, E>(
    change: impl Future<Output = Result<T, E>> + Send + 'static,
    line: impl FnOnce(&T) + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let recorded = async move {
        let done = change.await?;
        line(&done);
        Ok(done)
    };
    let ended = tokio::spawn(recorded.in_current_span().with_current_subscriber()).await;
    ended.unwrap_or_else(|error| Err(StoreError::Internal(format!("a change ended early: {error}")).into()))
}
