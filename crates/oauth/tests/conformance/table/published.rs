//! What the server says of itself.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{Row, granted};
use crate::request::{Endpoint, Request};
use crate::stage::{ISSUER, Stage};

pub fn rows(_: &Stage) -> Vec<Row> {
    let mut rows = metadata();
    rows.extend(key_set());
    rows
}

fn metadata() -> Vec<Row> {
    let section = "RFC 8414 §2";
    let says =
        |name, member, value: Value| granted(name, section, Request::to(Endpoint::Metadata)).member(member, value);
    let at = |path: &str| json!(format!("{ISSUER}{path}"));
    let methods = json!(["client_secret_basic", "client_secret_post", "private_key_jwt"]);
    let algorithms = json!(["Ed25519", "EdDSA", "ES256", "RS256"]);
    let scopes = json!([
        "products:read",
        "products:write",
        "imports",
        "changes:read",
        "sources:manage",
        "webhooks:manage",
        "clients:manage",
        "operate",
    ]);
    vec![
        says("issuer", "issuer", json!(ISSUER)),
        says("token_endpoint", "token_endpoint", at("/oauth/token")),
        says("introspection_endpoint", "introspection_endpoint", at("/oauth/introspect")),
        says("revocation_endpoint", "revocation_endpoint", at("/oauth/revoke")),
        says("jwks_uri", "jwks_uri", at("/oauth/jwks")),
        says("no response types", "response_types_supported", json!([])),
        says("one grant", "grant_types_supported", json!(["client_credentials"])),
        says("methods at the token endpoint", "token_endpoint_auth_methods_supported", methods.clone()),
        says("methods at introspection", "introspection_endpoint_auth_methods_supported", methods.clone()),
        says("methods at revocation", "revocation_endpoint_auth_methods_supported", methods),
        says("algorithms of statements", "token_endpoint_auth_signing_alg_values_supported", algorithms.clone()),
        says(
            "algorithms of statements at introspection",
            "introspection_endpoint_auth_signing_alg_values_supported",
            algorithms.clone(),
        ),
        says(
            "algorithms of statements at revocation",
            "revocation_endpoint_auth_signing_alg_values_supported",
            algorithms.clone(),
        ),
        says("algorithms of proofs", "dpop_signing_alg_values_supported", algorithms),
        says("scopes", "scopes_supported", scopes),
        says("no authorization endpoint", "authorization_endpoint", Value::Null),
        says("no registration", "registration_endpoint", Value::Null),
        granted("metadata is JSON", "RFC 8414 §3.2", Request::to(Endpoint::Metadata))
            .field(CONTENT_TYPE, "application/json"),
        granted("metadata may be kept", "RFC 9111 §5.2.2", Request::to(Endpoint::Metadata))
            .field(CACHE_CONTROL, "public, max-age=300"),
    ]
}

fn key_set() -> Vec<Row> {
    let ask = || Request::to(Endpoint::Jwks);
    vec![
        granted("a key set has keys and nothing else", "RFC 7517 §5", ask()).members(&["keys"]),
        granted("a key set may be kept until a new key signs", "RFC 9111 §5.2.2", ask())
            .field(CACHE_CONTROL, "public, max-age=300"),
        granted("a key set is JSON", "RFC 7517 §8.5", ask()).field(CONTENT_TYPE, "application/json"),
        granted("a key set has no private part", "RFC 7517 §9.2", ask()).hides("\"d\""),
        granted("a key set says what its keys are for", "RFC 7517 §4.2", ask()).says_of_key("use", "sig"),
        granted("a key set says their algorithm", "RFC 7517 §4.4", ask()).says_of_key("alg", "EdDSA"),
        granted("a key set says their curve", "RFC 8037 §2", ask()).says_of_key("crv", "Ed25519"),
        granted("a key set says their kind", "RFC 8037 §2", ask()).says_of_key("kty", "OKP"),
    ]
}

/// Whoever knows nothing but the published key set can check a token.
#[tokio::test]
async fn a_token_is_signed_by_a_published_key_named_by_its_thumbprint() {
    let stage = Stage::new().await;
    let jwks = stage.send(&Request::to(Endpoint::Jwks)).await.json;
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(jwks).unwrap();
    let token = stage.issue(&stage.asked_by("basic")).await;
    let key = set.find(crate::jwt::read(&token).0["kid"].as_str().unwrap()).unwrap();
    let thumbprint = key.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
    assert_eq!(key.common.key_id.as_deref(), Some(&*thumbprint));
    let (message, signature) = token.rsplit_once('.').unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    let good = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, jsonwebtoken::Algorithm::EdDSA);
    assert!(good.unwrap());
}
