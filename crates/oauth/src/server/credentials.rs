//! What a request brings along to prove who its client is (RFC 6749 §2.3), before any of it is believed.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use super::assertion;
use super::error::Refusal;
use super::form::Form;
use crate::client::AuthMethod;

/// The value of `client_assertion_type` (RFC 7523 §2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// With or without padding: clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A client's proof.
#[derive(PartialEq, Eq)]
pub enum Credentials {
    /// A secret, and where it was.
    Secret {
        /// The client that it says to be.
        id: String,
        /// Its secret.
        secret: String,
        /// In the header or in the body.
        method: AuthMethod,
    },
    /// A signed statement, and the client that the request names beside it.
    Assertion {
        /// `client_id`, if it is there.
        id: Option<String>,
        /// The JWT.
        jwt: String,
    },
}

impl fmt::Debug for Credentials {
    /// The kind alone: an id may be a secret in the wrong place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { method, .. } => write!(f, "Secret({method})"),
            Self::Assertion { .. } => f.write_str("Assertion"),
        }
    }
}

impl Credentials {
    /// The credentials of a request.
    ///
    /// # Errors
    /// When there are none, two kinds of them, or they cannot be read.
    pub fn of(headers: &HeaderMap, form: &Form<'_>) -> Result<Self, Refusal> {
        let id = form.get("client_id");
        let secret = form.get("client_secret");
        let assertion = (form.get("client_assertion"), form.get("client_assertion_type"));
        let in_header = headers.contains_key(header::AUTHORIZATION);
        let methods = [in_header, secret.is_some(), assertion != (None, None)];
        if methods.iter().filter(|there| **there).count() > 1 {
            return Err(Refusal::invalid_request("the request uses more than one way of client authentication"));
        }
        if in_header {
            let (basic, secret) = basic(headers)?;
            if id.is_some_and(|id| id != basic) {
                return Err(Refusal::invalid_request("'client_id' is not the client of the Authorization header"));
            }
            return Ok(Self::Secret { id: basic, secret, method: AuthMethod::ClientSecretBasic });
        }
        match (id, secret, assertion) {
            (Some(id), Some(secret), _) => {
                let method = AuthMethod::ClientSecretPost;
                Ok(Self::Secret { id: id.to_owned(), secret: secret.to_owned(), method })
            }
            (None, Some(_), _) => Err(Refusal::invalid_request("the parameter 'client_id' is missing")),
            (id, None, (Some(jwt), Some(JWT_BEARER))) => {
                Ok(Self::Assertion { id: id.map(str::to_owned), jwt: jwt.to_owned() })
            }
            (_, None, (Some(_), None)) => {
                Err(Refusal::invalid_request("the parameter 'client_assertion_type' is missing"))
            }
            (_, None, (None, Some(_))) => Err(Refusal::invalid_request("the parameter 'client_assertion' is missing")),
            (_, None, (Some(_), Some(_))) => {
                Err(Refusal::invalid_request(format!("'client_assertion_type' must be {JWT_BEARER}")))
            }
            (_, None, (None, None)) => Err(Refusal::no_client("the request has no client authentication")),
        }
    }

    /// The client that they say to be of; nobody has checked that.
    pub fn claimed(&self) -> Cow<'_, str> {
        match self {
            Self::Secret { id, .. } | Self::Assertion { id: Some(id), .. } => Cow::Borrowed(id),
            Self::Assertion { id: None, jwt } => Cow::Owned(assertion::subject(jwt).unwrap_or_default()),
        }
    }
}

/// Id and secret of the `Authorization` header. Both were form-encoded before they were put together (RFC 6749 §2.3.1).
fn basic(headers: &HeaderMap) -> Result<(String, String), Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::invalid_request("there is more than one Authorization header"));
    };
    let malformed = || Refusal::no_client("the Authorization header is not 'Basic' with base64 of id:secret");
    let (scheme, encoded) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Err(Refusal::no_client("clients authenticate by 'Basic' in the Authorization header"));
    }
    let decoded = BASE64.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(malformed)?;
    let (id, secret) = decoded.split_once(':').ok_or_else(malformed)?;
    let id = form_decoded(id).filter(|id| !id.is_empty()).ok_or_else(malformed)?;
    Ok((id, form_decoded(secret).ok_or_else(malformed)?))
}

/// Escapes that make no sense stay as they are: no client has such an id or secret.
fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    Some(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;
    use crate::server::Asked;

    #[test]
    fn no_secret_is_in_what_debugging_shows() {
        let (secret, in_header) = ("haat_in-the-body", HeaderValue::from_static("Basic aGFhdF9pbi10aGUtaGVhZGVy"));
        let body = format!("client_id=a&client_secret={secret}&client_assertion={secret}&token={secret}");
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind), (header::AUTHORIZATION, in_header.clone())]);
        let form = Form::read(&headers, body.as_bytes()).unwrap();
        let asked = Asked { headers: &headers, body: body.as_bytes(), address: [192, 0, 2, 1].into() };
        let method = AuthMethod::ClientSecretPost;
        let by_secret = Credentials::Secret { id: secret.into(), secret: secret.into(), method };
        let by_statement = Credentials::Assertion { id: Some(secret.into()), jwt: secret.into() };
        let shown = format!("{form:?} {asked:?} {by_secret:?} {by_statement:?}");
        assert!(!shown.contains("haat_") && !shown.contains("aGFh"), "{shown}");
        assert!(shown.contains("client_secret") && shown.contains("192.0.2.1"), "{shown}");
    }

    #[rstest]
    #[case("plain", Some("plain"))]
    #[case("a+b%20c%3A%2B", Some("a b c:+"))]
    #[case("%C3%A9", Some("é"))]
    #[case("%", Some("%"))]
    #[case("%zz", Some("%zz"))]
    #[case("%ff", None)]
    fn ids_and_secrets_are_form_decoded(#[case] text: &str, #[case] decoded: Option<&str>) {
        assert_eq!(form_decoded(text).as_deref(), decoded);
    }
}
