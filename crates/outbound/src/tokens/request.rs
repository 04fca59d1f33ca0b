//! The token request (RFC 6749 §4.4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::{Serializer, byte_serialize};
use haat_catalog::Timestamp;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::Instant;

use super::credentials::{ClientAuth, Credentials};
use super::error::TokenError;
use crate::{Call, Repeat};

/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The request for a token. `now` and `jti` are for a statement, if these credentials need one.
pub(super) fn build(
    credentials: &Credentials,
    now: Timestamp,
    jti: u128,
    deadline: Instant,
) -> Result<Call, TokenError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !credentials.scopes.is_empty() {
        let scopes: Vec<_> = credentials.scopes.iter().map(String::as_str).collect();
        form.append_pair("scope", &scopes.join(" "));
    }
    if let Some(audience) = &credentials.audience {
        form.append_pair("audience", audience);
    }
    for resource in &credentials.resources {
        form.append_pair("resource", resource);
    }
    for (name, value) in &credentials.extra {
        form.append_pair(name, value.text());
    }
    let id = &*credentials.client_id;
    let mut repeat = Repeat::Harmless;
    match &credentials.auth {
        ClientAuth::SecretBasic(secret) => {
            headers.insert(AUTHORIZATION, basic(id, secret.text())?);
        }
        ClientAuth::SecretPost(secret) => {
            form.append_pair("client_id", id).append_pair("client_secret", secret.text());
        }
        ClientAuth::PrivateKeyJwt { key, audience } => {
            let statement = key.state(id, audience, now, jti).map_err(|_| TokenError::Unsigned)?;
            form.append_pair("client_id", id).append_pair("client_assertion_type", ASSERTION_TYPE);
            form.append_pair("client_assertion", &statement);
            // A statement is good once: where an attempt may have arrived, the same one would be refused.
            repeat = Repeat::Never;
        }
    }
    Ok(Call {
        method: Method::POST,
        url: credentials.token_url.clone(),
        headers,
        body: form.finish().into(),
        repeat,
        deadline: Some(deadline),
    })
}

/// Id and secret are form-encoded before they are put together (RFC 6749 §2.3.1): a colon or a letter beyond ASCII in one
/// of them would else be read as something else.
fn basic(id: &str, secret: &str) -> Result<HeaderValue, TokenError> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).map_err(|_| TokenError::Unsigned)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::assertion::tests::ed_key;
    use super::super::credentials::{CredentialsDraft, Secret};
    use super::*;

    fn built(auth: ClientAuth) -> (Call, Vec<(String, String)>) {
        let credentials = Credentials::new(CredentialsDraft {
            issuer: "https://as.example".into(),
            token_url: "https://as.example/token?tenant=1".parse().unwrap(),
            client_id: "s6:Bh d".into(),
            auth,
            scopes: vec!["write".into(), "read".into(), "read".into()],
            audience: Some("https://api.example".into()),
            resources: vec!["urn:b".into(), "urn:a".into()],
            extra: vec![("tenant".into(), Secret::new("ä&b"))],
        });
        let call = build(&credentials.unwrap(), Timestamp::from_millis(0), 1, Instant::now()).unwrap();
        let form = form_urlencoded::parse(&call.body).into_owned().collect();
        (call, form)
    }

    fn common() -> Vec<(String, String)> {
        let pairs = [
            ("grant_type", "client_credentials"),
            ("scope", "read write"),
            ("audience", "https://api.example"),
            ("resource", "urn:a"),
            ("resource", "urn:b"),
            ("tenant", "ä&b"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    #[test]
    fn basic_form_encodes_id_and_secret_before_base64() {
        let (call, form) = built(ClientAuth::SecretBasic(Secret::new("7F+j%fp0:ü")));
        let sent = call.headers[AUTHORIZATION].to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        assert_eq!(STANDARD.decode(sent).unwrap(), b"s6%3ABh+d:7F%2Bj%25fp0%3A%C3%BC");
        assert!(call.headers[AUTHORIZATION].is_sensitive());
        assert_eq!(form, common(), "nothing of the secret is in the body, the id neither: one method a request");
        assert_eq!((call.method, call.repeat), (Method::POST, Repeat::Harmless));
        assert_eq!(call.url.as_str(), "https://as.example/token?tenant=1");
        assert_eq!(call.headers[CONTENT_TYPE], "application/x-www-form-urlencoded");
    }

    #[test]
    fn post_has_id_and_secret_in_the_body_alone() {
        let (call, form) = built(ClientAuth::SecretPost(Secret::new("7F+j%fp0:ü")));
        assert!(!call.headers.contains_key(AUTHORIZATION));
        let more = [("client_id", "s6:Bh d"), ("client_secret", "7F+j%fp0:ü")];
        let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(form, [common(), more.to_vec()].concat());
    }

    #[test]
    fn a_statement_is_not_sent_twice() {
        let (call, form) =
            built(ClientAuth::PrivateKeyJwt { key: ed_key(None), audience: "https://as.example".into() });
        let form: BTreeMap<_, _> = form.into_iter().collect();
        assert_eq!(form["client_assertion_type"], ASSERTION_TYPE);
        assert_eq!(form["client_assertion"].split('.').count(), 3);
        assert!(!call.headers.contains_key(AUTHORIZATION) && !form.contains_key("client_secret"));
        assert!(!call.may_repeat());
    }
}
