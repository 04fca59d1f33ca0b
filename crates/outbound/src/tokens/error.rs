//! Why there is no token.

use std::fmt;
use std::time::Duration;

use crate::CallError;

/// Why there is no token. Nothing that a provider has written as free text is in it: texts may be shown to anyone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token endpoint says no (RFC 6749 §5.2). Asking again does not help until somebody changes something.
    #[error("the token endpoint refused: {0}")]
    Refused(Refusal),
    /// The token endpoint answered with a status that says nothing of the credentials.
    #[error("the token endpoint answered with status {0}")]
    Status(u16),
    /// It answered with success, but not with a token that can be used.
    #[error("the token endpoint's answer cannot be used: {0}")]
    Unusable(&'static str),
    /// There was no answer.
    #[error("the token endpoint gave no answer: {0}")]
    NoAnswer(CallError),
    /// It is not to be asked yet: it has refused before, or has asked for patience. Nothing was sent.
    #[error("the token endpoint is asked again in {} s at the earliest; before, {last}", .retry_in.as_secs_f64().ceil())]
    NotYet {
        /// When it may be asked again.
        retry_in: Duration,
        /// What came of asking the last time.
        last: Box<TokenError>,
    },
    /// The statement that proves who asks could not be signed.
    #[error("the client assertion cannot be signed")]
    Unsigned,
    /// The search ended without a result: a fault in Haat, or it is shutting down.
    #[error("the search for a token was interrupted")]
    Interrupted,
}

impl TokenError {
    /// Whether asking again soon would end the same way: what was sent is wrong, not the moment.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// The word for it in metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Status(_) => "status",
            Self::Unusable(_) => "unusable",
            Self::NoAnswer(_) => "no_answer",
            Self::NotYet { .. } => "not_yet",
            Self::Unsigned => "unsigned",
            Self::Interrupted => "interrupted",
        }
    }
}

/// How a token endpoint refuses: the codes of RFC 6749 §5.2, and `invalid_target` of RFC 8707 §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request lacks something or has something twice.
    InvalidRequest,
    /// The client is unknown, or did not prove who it is.
    InvalidClient,
    /// The grant is not good.
    InvalidGrant,
    /// The client may not use client credentials.
    UnauthorizedClient,
    /// Client credentials are not supported.
    UnsupportedGrantType,
    /// A scope is unknown, or not for this client.
    InvalidScope,
    /// The resource or audience is unknown, or not for this client.
    InvalidTarget,
    /// Something else, that no standard names.
    Other,
}

impl Refusal {
    /// The refusal of a code.
    pub(super) fn of_code(code: &str) -> Self {
        match code {
            "invalid_request" => Self::InvalidRequest,
            "invalid_client" => Self::InvalidClient,
            "invalid_grant" => Self::InvalidGrant,
            "unauthorized_client" => Self::UnauthorizedClient,
            "unsupported_grant_type" => Self::UnsupportedGrantType,
            "invalid_scope" => Self::InvalidScope,
            "invalid_target" => Self::InvalidTarget,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Refusal {
    /// The code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::Other => "for a reason that no standard names",
        })
    }
}
