//! The parameters of a request (RFC 6749 §3.2): a form, each parameter at most once, an empty one as good as none.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, header};

use super::error::Refusal;

/// Parameters that mean something to any of the endpoints. Others are ignored, as they must be.
const KNOWN: [&str; 9] = [
    "grant_type",
    "scope",
    "resource",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "token",
    "token_type_hint",
];

/// The most bytes of a request's body: a token, a statement and some parameters. Whoever reads bodies from the network
/// stops there.
pub const MAX_FORM: usize = 64 * 1024;

/// The parameters of one request.
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl fmt::Debug for Form<'_> {
    /// The names of its parameters, without their values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl<'a> Form<'a> {
    /// Reads a request's body.
    ///
    /// # Errors
    /// When it is no form, too large for one, or has a parameter twice that may be there once.
    pub fn read(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, Refusal> {
        if body.len() > MAX_FORM {
            return Err(Refusal::invalid_request(format!("the body is larger than {MAX_FORM} bytes")));
        }
        if !is_form(headers) {
            let what = "the body must be a form: Content-Type: application/x-www-form-urlencoded";
            return Err(Refusal::invalid_request(what));
        }
        if std::str::from_utf8(body).is_err() {
            return Err(Refusal::invalid_request("the body is not UTF-8"));
        }
        let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if !KNOWN.contains(&&*name) {
                continue;
            }
            if name != "resource" && pairs.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::invalid_request(format!("the parameter '{name}' is there more than once")));
            }
            // What was percent-encoded may still be no text.
            if value.contains(['\u{fffd}', '\0']) {
                return Err(Refusal::invalid_request(format!("the parameter '{name}' is not UTF-8 text")));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// A parameter, if it is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// A parameter that may be there several times.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, value)| known == name && !value.is_empty()).map(|(_, value)| &**value)
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::invalid_request(format!("the parameter '{name}' is missing")))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let Ok(text) = one.to_str() else { return false };
    text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
