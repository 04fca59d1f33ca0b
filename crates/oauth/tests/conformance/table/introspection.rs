//! What is told about tokens, and to whom.

use std::time::Duration;

use haat_catalog::Clock as _;
use haat_oauth::admin::ClientPatch;
use haat_oauth::scope::{Scope, Scopes};
use serde_json::json;

use super::{INVALID_CLIENT, INVALID_REQUEST, Row, granted, inactive, refused};
use crate::jwt::{self, Jwt, Signer};
use crate::request::{Endpoint, Request};
use crate::stage::{AUDIENCE, ISSUER, PARTNER, Stage};

pub async fn rows(stage: &Stage) -> Vec<Row> {
    let mut rows = good(stage).await;
    rows.extend(bad(stage).await);
    rows.extend(forged(stage).await);
    rows.extend(callers(stage).await);
    rows
}

fn ask(stage: &Stage, token: &str) -> Request {
    Request::introspect(token).basic("basic", stage.secret("basic"))
}

async fn good(stage: &Stage) -> Vec<Row> {
    let now = stage.now();
    let token = stage.issue(&stage.asked_by("basic").with("scope", "imports")).await;
    let key = Signer::ed25519("");
    let proof = Jwt::proof("POST", &format!("{ISSUER}/oauth/token"), now).proved_by(&key);
    let bound = stage.issue(&stage.asked_by("basic").proof(&proof)).await;
    let of_partner = stage.issue(&stage.asked_by("basic").with("resource", PARTNER)).await;
    let of_both = stage.issue(&stage.asked_by("basic").with("resource", PARTNER).with("resource", AUDIENCE)).await;
    let by_checker = |token: &str| Request::introspect(token).basic("checker", stage.secret("checker"));
    let jti = jwt::read(&token).1["jti"].clone();
    let section = "RFC 7662 §2.2";
    vec![
        granted("its own token", section, ask(stage, &token)).body(json!({
            "active": true, "scope": "imports", "client_id": "basic", "token_type": "Bearer", "exp": now + 3_600,
            "iat": now, "sub": "basic", "aud": AUDIENCE, "iss": ISSUER, "jti": jti,
        })),
        granted("the hint is right", "RFC 7662 §2.1", ask(stage, &token).with("token_type_hint", "access_token"))
            .member("active", true),
        granted("the hint is wrong", "RFC 7662 §2.1", ask(stage, &token).with("token_type_hint", "refresh_token"))
            .member("active", true),
        granted("the hint is none", "RFC 7662 §2.1", ask(stage, &token).with("token_type_hint", "colour"))
            .member("active", true),
        granted("a token that is bound to a key", "RFC 9449 §6.2", ask(stage, &bound))
            .member("token_type", "DPoP")
            .member("cnf", json!({"jkt": key.thumbprint()})),
        granted("a token for another resource", section, ask(stage, &of_partner)).member("aud", PARTNER),
        granted("a resource asks about a token for it", "RFC 7662 §4", by_checker(&of_partner))
            .member("client_id", "basic"),
        granted("a resource asks about a token for it among others", "RFC 7662 §4", by_checker(&of_both))
            .member("active", true),
        granted("a resource asks about a token for another one", "RFC 7662 §4", by_checker(&token)).body(inactive()),
    ]
}

/// Tokens that were good once.
async fn bad(stage: &Stage) -> Vec<Row> {
    let brief = stage.issue(&stage.asked_by("brief")).await;
    let revoked = stage.issue(&stage.asked_by("basic")).await;
    let answer = stage.send(&Request::revoke(&revoked).basic("basic", stage.secret("basic"))).await;
    assert_eq!(answer.status, 200);
    let narrowed = stage.issue(&stage.asked_by("padded")).await;
    let only = Scopes::from_iter([Scope::Imports]);
    let narrower = ClientPatch { scopes: Some(only), ..ClientPatch::default() };
    stage.admin.change("padded", narrower, "test").await.unwrap();
    // Asked about by a resource, as a client that is disabled or gone cannot ask itself.
    let mut gone = Vec::new();
    for id in ["two", "ended"] {
        gone.push(stage.issue(&stage.asked_by(id).with("resource", PARTNER)).await);
    }
    let disabled = ClientPatch { enabled: Some(false), ..ClientPatch::default() };
    stage.admin.change("two", disabled, "test").await.unwrap();
    stage.admin.revoke("ended", "test").await.unwrap();
    stage.replica.directory.refresh().await.unwrap();
    stage.clock.advance(Duration::from_secs(60));
    let by = |client, token: &str| Request::introspect(token).basic(client, stage.secret(client));
    let section = "RFC 7662 §2.2";
    vec![
        granted("an expired token", section, by("brief", &brief)).body(inactive()),
        granted("a revoked token", section, ask(stage, &revoked)).body(inactive()),
        granted("the token of a disabled client", section, by("checker", &gone[0])).body(inactive()),
        granted("the token of a client that is gone", section, by("checker", &gone[1])).body(inactive()),
        granted("a token of which its client may do less by now", section, by("padded", &narrowed))
            .member("scope", "imports"),
    ]
}

/// Tokens that nobody issued.
async fn forged(stage: &Stage) -> Vec<Row> {
    let token = stage.issue(&stage.asked_by("basic")).await;
    let (header, claims) = jwt::read(&token);
    let jwt = Jwt { header, claims };
    let own = stage.own_signer().await;
    let public = own.public_forms().swap_remove(1);
    let no = |name, section, token: &str| granted(name, section, ask(stage, token)).body(inactive());
    let section = "RFC 7662 §2.2";
    let (message, signature) = token.rsplit_once('.').unwrap();
    vec![
        no("garbage", section, "garbage"),
        no("a token of empty parts", section, ".."),
        no("a token beyond ASCII", section, "tökén"),
        no("a long token", section, &"x".repeat(20_000)),
        no("a token with alg none", "RFC 8725 §2.1", &jwt.clone().header("alg", "none").unsigned()),
        no(
            "a token with HS256",
            "RFC 8725 §2.1",
            &jwt.clone().header("alg", "HS256").as_it_is(&Signer::secret("", &public)),
        ),
        no("a token with a stranger's key", "RFC 9068 §4", &jwt.as_it_is(&Signer::ed25519(""))),
        no("a token with a changed scope", "RFC 9068 §4", &jwt::tampered(&token, 1, "scope", "operate")),
        no("a token with an unknown kid", "RFC 9068 §4", &jwt.clone().header("kid", "other").as_it_is(&own)),
        no("a token without kid", "RFC 9068 §4", &jwt.clone().header("kid", ()).as_it_is(&own)),
        no("a token of another type", "RFC 9068 §4", &jwt.clone().header("typ", "JWT").as_it_is(&own)),
        no(
            "a token of another issuer",
            "RFC 9068 §4",
            &jwt.clone().claim("iss", "https://other.example").as_it_is(&own),
        ),
        no("a token without its signature", section, &format!("{message}.")),
        no("a token with a space after it", section, &format!("{message}.{signature} ")),
        granted("the same token as it was", section, ask(stage, &token)).member("active", true),
    ]
}

async fn callers(stage: &Stage) -> Vec<Row> {
    let token = stage.issue(&stage.asked_by("basic")).await;
    let by = |client| Request::introspect(&token).basic(client, stage.secret(client));
    let statement = Jwt::statement("ed", ISSUER, stage.clock.now().as_seconds()).by(stage.signer("ed"));
    let section = "RFC 7662 §2.1";
    vec![
        granted("another client's token", "RFC 7662 §2.2", by("other")).body(inactive()),
        granted("by a client that signs", section, Request::introspect(&token).assertion(&statement)).body(inactive()),
        granted(
            "by a client that sends its secret in the body",
            section,
            Request::introspect(&token).post("post", stage.secret("post")),
        )
        .body(inactive()),
        refused("by nobody", section, Request::introspect(&token), INVALID_CLIENT),
        refused(
            "by a client with a wrong secret",
            section,
            Request::introspect(&token).basic("basic", "wrong"),
            INVALID_CLIENT,
        ),
        refused(
            "by the token itself",
            section,
            Request::introspect(&token).authorization(&format!("Bearer {token}")),
            INVALID_CLIENT,
        ),
        refused("by a disabled client", section, by("off"), INVALID_CLIENT),
        refused(
            "by a client in two ways",
            "RFC 6749 §2.3",
            by("basic").post("post", stage.secret("post")),
            INVALID_REQUEST,
        ),
        refused(
            "about nothing",
            section,
            Request::to(Endpoint::Introspect).basic("basic", stage.secret("basic")),
            INVALID_REQUEST,
        ),
        refused("about nothing, by nobody", section, Request::to(Endpoint::Introspect), INVALID_CLIENT),
        refused("as JSON", section, by("basic").of_type(Some("application/json")), INVALID_REQUEST),
    ]
}
