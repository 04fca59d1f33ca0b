//! The audit log: who was given what, who was refused, and who changed what, one line each under the target `haat::audit`.
//! No line has a secret or a token.

use std::net::IpAddr;

use uuid::Uuid;

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
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    who: &'a str,
    address: Option<IpAddr>,
}

impl<'a> By<'a> {
    /// A client, over HTTP.
    pub fn client(id: &'a str, address: IpAddr) -> Self {
        Self { who: id, address: Some(address) }
    }
}

impl<'a> From<&'a str> for By<'a> {
    /// Something on this machine: the command line, the schedule.
    fn from(who: &'a str) -> Self {
        Self { who, address: None }
    }
}

/// Writes a change to clients or keys into the log: what was done, to what, to which of its members (where not to all), and
/// by whom.
pub fn changed(what: &'static str, id: &str, members: Option<&str>, by: By<'_>) {
    let address = by.address.map(tracing::field::display);
    tracing::info!(target: "haat::audit", id, members, by = by.who, address, "{what}");
}
