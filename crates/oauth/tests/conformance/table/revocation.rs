//! Giving tokens up.

use serde_json::Value;

use super::{INVALID_CLIENT, INVALID_REQUEST, Row, UNAUTHORIZED_CLIENT, granted, inactive, refused};
use crate::request::{Endpoint, Request};
use crate::stage::{PARTNER, Stage};

pub async fn rows(stage: &Stage) -> Vec<Row> {
    let theirs = stage.issue(&stage.asked_by("other")).await;
    let mut rows = own(stage, &theirs).await;
    rows.extend(others(stage, &theirs));
    rows
}

fn by(stage: &Stage, client: &str, token: &str) -> Request {
    Request::revoke(token).basic(client, stage.secret(client))
}

fn look(stage: &Stage, client: &str, token: &str) -> Request {
    Request::introspect(token).basic(client, stage.secret(client))
}

/// What a client may give up: its tokens, and what is none.
async fn own(stage: &Stage, theirs: &str) -> Vec<Row> {
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(stage.issue(&stage.asked_by("basic")).await);
    }
    let partner = stage.issue(&stage.asked_by("basic").with("resource", PARTNER)).await;
    let brief = stage.issue(&stage.asked_by("brief")).await;
    stage.clock.advance(std::time::Duration::from_secs(60));
    let by = |client: &str, token: &str| by(stage, client, token);
    let look = |token: &str| look(stage, "basic", token);
    let (first, second, third) = (&*tokens[0], &*tokens[1], &*tokens[2]);
    let section = "RFC 7009 §2.1";
    let done = |name, section, request| granted(name, section, request).body(Value::Null);
    vec![
        granted("a token before it is revoked", "RFC 7662 §2.2", look(first)).member("active", true),
        done("a client's own token", "RFC 7009 §2.2", by("basic", first)),
        granted("the token after it was revoked", "RFC 7009 §2.1", look(first)).body(inactive()),
        done("the same token again", "RFC 7009 §2.2", by("basic", first)),
        granted("another token of the client stays", "RFC 7009 §2.1", look(second)).member("active", true),
        done("with the wrong hint", section, by("basic", second).with("token_type_hint", "refresh_token")),
        granted("the token that the hint was wrong for", section, look(second)).body(inactive()),
        done("with a hint that is none", section, by("basic", third).with("token_type_hint", "colour")),
        granted("the token that the hint was none for", section, look(third)).body(inactive()),
        done("a token for another resource is revoked", section, by("basic", &partner)),
        done("an unknown token", "RFC 7009 §2.2", by("basic", "unknown")),
        done(
            "a token that nobody issued",
            "RFC 7009 §2.2",
            by("basic", &crate::jwt::tampered(theirs, 1, "client_id", "basic")),
        ),
        done("an expired token is over", "RFC 7009 §2.2", by("brief", &brief)),
        done("a token that is a secret", "RFC 7009 §2.2", by("basic", stage.secret("other"))),
        done(
            "revoked by a client that sends its secret in the body",
            section,
            Request::revoke("x").post("post", stage.secret("post")),
        ),
    ]
}

/// What it may not: another client's.
fn others(stage: &Stage, theirs: &str) -> Vec<Row> {
    let by = |client: &str, token: &str| by(stage, client, token);
    let look = |client: &str, token: &str| look(stage, client, token);
    let section = "RFC 7009 §2.1";
    vec![
        refused("another client's token to revoke", section, by("basic", theirs), UNAUTHORIZED_CLIENT),
        refused("another client's token, by one without grants", section, by("checker", theirs), UNAUTHORIZED_CLIENT),
        granted("the other client's token stays", section, look("other", theirs)).member("active", true),
        refused("revoked by nobody", section, Request::revoke(theirs), INVALID_CLIENT),
        refused(
            "revoked with a wrong secret",
            section,
            Request::revoke(theirs).basic("other", "wrong"),
            INVALID_CLIENT,
        ),
        refused(
            "revoked by the token itself",
            section,
            Request::revoke(theirs).authorization(&format!("Bearer {theirs}")),
            INVALID_CLIENT,
        ),
        refused("revoked by a disabled client", section, by("off", theirs), INVALID_CLIENT),
        refused(
            "no token to revoke",
            section,
            Request::to(Endpoint::Revoke).basic("basic", stage.secret("basic")),
            INVALID_REQUEST,
        ),
        refused("revoked as JSON", section, by("other", theirs).of_type(Some("application/json")), INVALID_REQUEST),
        refused(
            "revoked in two ways",
            "RFC 6749 §2.3",
            by("other", theirs).post("other", stage.secret("other")),
            INVALID_REQUEST,
        ),
        granted("after all that the other client's token stays", section, look("other", theirs)).member("active", true),
    ]
}
