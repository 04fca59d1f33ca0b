//! The form of answers.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{INVALID_CLIENT, INVALID_REQUEST, Row, granted, refused};
use crate::request::Request;
use crate::stage::{AUDIENCE, ISSUER, LIFETIME, Stage};

const CLAIMS: [&str; 9] = ["aud", "client_id", "client_since", "exp", "iat", "iss", "jti", "scope", "sub"];

pub async fn rows(stage: &Stage) -> Vec<Row> {
    let mut rows = members(stage);
    rows.extend(tokens(stage).await);
    rows.extend(errors(stage));
    rows
}

fn members(stage: &Stage) -> Vec<Row> {
    let ok = |name, section| granted(name, section, stage.asked_by("basic"));
    let lasts = |name, client, seconds: u64| {
        granted(name, "RFC 6749 §5.1", stage.asked_by(client)).member("expires_in", seconds)
    };
    vec![
        ok("the members of a success", "RFC 6749 §5.1").members(&["access_token", "expires_in", "scope", "token_type"]),
        ok("never a refresh token", "RFC 6749 §4.4.3").member("refresh_token", Value::Null),
        ok("never an id token", "RFC 6749 §4.4.3").member("id_token", Value::Null),
        ok("the type of a token", "RFC 6749 §7.1").member("token_type", "Bearer"),
        ok("a success is JSON", "RFC 6749 §5.1").field(CONTENT_TYPE, "application/json"),
        ok("a success is not stored", "RFC 6749 §5.1").field(CACHE_CONTROL, "no-store"),
        ok("a success is not stored by old caches", "RFC 6749 §5.1").field(PRAGMA, "no-cache"),
        lasts("the usual lifetime", "basic", LIFETIME.as_secs()),
        lasts("a client's own lifetime", "brief", 60),
        lasts("the longest lifetime", "lasting", 7_200),
    ]
}

/// RFC 9068 §2.
async fn tokens(stage: &Stage) -> Vec<Row> {
    let now = stage.now();
    let kid = stage.own_signer().await.kid;
    let ok = |name, section| granted(name, section, stage.asked_by("basic"));
    vec![
        ok("the header of a token", "RFC 9068 §2.1").token_header(json!({"alg": "EdDSA", "kid": kid, "typ": "at+jwt"})),
        ok("the issuer of a token", "RFC 9068 §2.2").claim("iss", ISSUER),
        ok("the subject of a token", "RFC 9068 §2.2").claim("sub", "basic"),
        ok("the client of a token", "RFC 9068 §2.2").claim("client_id", "basic"),
        ok("the audience of a token", "RFC 9068 §2.2").claim("aud", AUDIENCE),
        ok("when a token was issued", "RFC 9068 §2.2").claim("iat", now),
        ok("when a token ends", "RFC 9068 §2.2").claim("exp", now + 3_600),
        ok("the scopes of a token", "RFC 9068 §2.2.3").claim("scope", "products:write imports changes:read"),
        ok("no claim about anybody's login", "RFC 9068 §2.2.1")
            .claim("auth_time", Value::Null)
            .claim("acr", Value::Null),
        ok("no nbf", "RFC 9068 §2.2").claim("nbf", Value::Null),
    ]
}

fn errors(stage: &Stage) -> Vec<Row> {
    let bad_client = || Request::token().basic("basic", "wrong");
    let bad_request = || stage.asked_by("basic").with("grant_type", "again");
    let section = "RFC 6749 §5.2";
    vec![
        refused("the members of an error", section, bad_request(), INVALID_REQUEST)
            .members(&["error", "error_description"]),
        refused("an error is JSON", section, bad_request(), INVALID_REQUEST).field(CONTENT_TYPE, "application/json"),
        refused("an error is not stored", section, bad_request(), INVALID_REQUEST).field(CACHE_CONTROL, "no-store"),
        refused("an error is not stored by old caches", section, bad_request(), INVALID_REQUEST)
            .field(PRAGMA, "no-cache"),
        refused("the challenge to a bad client", section, bad_client(), INVALID_CLIENT)
            .field(WWW_AUTHENTICATE, "Basic realm=\"haat\""),
        refused(
            "the challenge to a client that sent its secret in the body",
            section,
            Request::token().post("post", "wrong"),
            INVALID_CLIENT,
        )
        .field(WWW_AUTHENTICATE, "Basic realm=\"haat\""),
        refused("a bad client is told nothing else", section, bad_client(), INVALID_CLIENT)
            .members(&["error", "error_description"]),
        refused(
            "an error does not repeat what was sent",
            section,
            Request::token().basic("<b>odd</b>", "wrong"),
            INVALID_CLIENT,
        )
        .hides("odd"),
    ]
}

/// Every claim there is, and no other.
#[tokio::test]
async fn a_token_has_the_claims_of_rfc_9068_and_a_name_of_its_own() {
    let stage = Stage::new().await;
    let mut names = std::collections::HashSet::new();
    for _ in 0..50 {
        let token = stage.issue(&stage.asked_by("basic")).await;
        let (_, claims) = crate::jwt::read(&token);
        let members: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, CLAIMS);
        assert!(names.insert(claims["jti"].as_str().unwrap().to_owned()), "a jti twice");
    }
}
