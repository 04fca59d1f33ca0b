//! `private_key_jwt`: what a client's statement says.

use haat_oauth::server::JWT_BEARER;
use serde_json::{Value, json};

use super::{INVALID_CLIENT, INVALID_REQUEST, Row, granted, refused};
use crate::jwt::Jwt;
use crate::request::Request;
use crate::stage::{ISSUER, Stage};

pub fn rows(stage: &Stage) -> Vec<Row> {
    let mut rows = clients(stage);
    rows.extend(members(stage));
    rows.extend(audiences(stage));
    rows.extend(times(stage));
    rows.extend(replays(stage));
    rows.extend(parameters(stage));
    rows
}

fn by(stage: &Stage, client: &str) -> Jwt {
    Jwt::statement(client, ISSUER, stage.now())
}

/// A request with a statement of `ed` that says something else.
fn saying(stage: &Stage, name: &str, value: impl Into<Value>) -> Request {
    Request::token().assertion(&by(stage, "ed").claim(name, value).by(stage.signer("ed")))
}

fn clients(stage: &Stage) -> Vec<Row> {
    let ed = stage.signer("ed");
    let sent = |jwt: Jwt| Request::token().assertion(&jwt.by(ed));
    let section = "RFC 7523 §3";
    let no = |name, request| refused(name, section, request, INVALID_CLIENT);
    vec![
        granted("a statement", section, sent(by(stage, "ed"))).claim("client_id", "ed"),
        granted("a statement and the same client_id", "RFC 7521 §4.2", sent(by(stage, "ed")).with("client_id", "ed")),
        no("a statement and another client_id", sent(by(stage, "ed")).with("client_id", "ec")),
        granted("a statement and an empty client_id", "RFC 6749 §3.2", sent(by(stage, "ed")).with("client_id", "")),
        no("iss is not sub", sent(by(stage, "ed").claim("iss", "ec"))),
        no("sub is not iss", sent(by(stage, "ed").claim("sub", "ec"))),
        no("a statement of an unknown client", sent(by(stage, "nobody"))),
        no("a statement of a client with a secret", sent(by(stage, "basic"))),
        no(
            "a statement of a disabled client",
            Request::token().assertion(&by(stage, "ed-off").by(stage.signer("ed-off"))),
        ),
        no("a statement in another client's name", sent(by(stage, "ed-other"))),
        no("a statement with an empty sub", sent(by(stage, "").claim("iss", ""))),
    ]
}

fn members(stage: &Stage) -> Vec<Row> {
    let section = "RFC 7523 §3";
    let no = |name, member: &str, value: Value| refused(name, section, saying(stage, member, value), INVALID_CLIENT);
    let gone = Value::Null;
    vec![
        no("no iss", "iss", gone.clone()),
        no("no sub", "sub", gone.clone()),
        no("no aud", "aud", gone.clone()),
        no("no exp", "exp", gone.clone()),
        no("no jti", "jti", gone.clone()),
        granted("no iat", section, saying(stage, "iat", gone)),
        no("exp is a text", "exp", json!((stage.now() + 60).to_string())),
        no("jti is a number", "jti", json!(7)),
        no("jti is empty", "jti", json!("")),
        no("jti is too long", "jti", json!("j".repeat(256))),
        granted("jti is as long as may be", section, saying(stage, "jti", "j".repeat(255))),
        granted("a claim that nobody knows", "RFC 7519 §4", saying(stage, "colour", "green")),
        granted("exp with a fraction", "RFC 7519 §2", saying(stage, "exp", stage.now() as f64 + 30.5)),
    ]
}

fn audiences(stage: &Stage) -> Vec<Row> {
    // As draft-ietf-oauth-rfc7523bis tightens it: the issuer, alone. A statement for another server that names this one
    // too would be good at both.
    let section = "RFC 7523 §3";
    let no = |name, aud: Value| refused(name, section, saying(stage, "aud", aud), INVALID_CLIENT);
    vec![
        granted("aud is the issuer", section, saying(stage, "aud", ISSUER)),
        no("aud is a list of the issuer", json!([ISSUER])),
        no("aud is a list with the issuer", json!(["https://other.example", ISSUER])),
        no("aud is an empty list", json!([])),
        no("aud is the token endpoint", json!(format!("{ISSUER}/oauth/token"))),
        no("aud is the issuer with a slash", json!(format!("{ISSUER}/"))),
        no("aud is the issuer in capitals", json!(ISSUER.to_uppercase())),
        no("aud is another server", json!("https://other.example")),
        no("aud is empty", json!("")),
        no("aud is a number", json!(1)),
        no("aud is the client", json!("ed")),
    ]
}

/// Clocks may differ by 15 s, both ways.
fn times(stage: &Stage) -> Vec<Row> {
    let (now, section) = (stage.now(), "RFC 7519 §4.1.4");
    let ok = |name, member: &str, value: i64| granted(name, section, saying(stage, member, value));
    let no = |name, member: &str, value: i64| refused(name, section, saying(stage, member, value), INVALID_CLIENT);
    vec![
        ok("ended 14 s ago", "exp", now - 14),
        no("ended 15 s ago", "exp", now - 15).says("expired"),
        no("ended long ago", "exp", now - 86_400),
        no("ended before the epoch", "exp", -1),
        ok("good for an hour", "exp", now + 3_600),
        no("good for longer than anybody remembers it", "exp", now + 3_600 + 16).says("ahead"),
        no("good for ever", "exp", i64::MAX),
        ok("begins in 15 s", "nbf", now + 15),
        no("begins in 16 s", "nbf", now + 16).says("nbf"),
        ok("made in 15 s", "iat", now + 15),
        no("made in 16 s", "iat", now + 16).says("iat"),
        ok("made long ago and still good", "iat", now - 3_000),
        ok("begun long ago", "nbf", now - 3_000),
    ]
}

fn replays(stage: &Stage) -> Vec<Row> {
    let section = "RFC 7523 §3";
    let once = by(stage, "ed").claim("jti", "once");
    let jwt = once.by(stage.signer("ed"));
    let sent = |jwt: &str| Request::token().assertion(jwt);
    let again = |name, request| refused(name, section, request, INVALID_CLIENT).says("jti was used");
    let refused_before = by(stage, "ed").claim("jti", "refused").claim("exp", stage.now() - 60);
    let elsewhere = by(stage, "ed").claim("jti", "elsewhere").by(stage.signer("ed"));
    vec![
        granted("a statement for the first time", section, sent(&jwt)),
        again("a statement for the second time", sent(&jwt)),
        again("the same jti in another statement", sent(&once.clone().claim("colour", "red").by(stage.signer("ed")))),
        again("the same jti with another key", sent(&once.by(stage.signer("ed, second")))),
        granted(
            "the same jti of another client",
            section,
            sent(&by(stage, "ed-other").claim("jti", "once").by(stage.signer("ed-other"))),
        ),
        refused("a statement that has ended", section, sent(&refused_before.by(stage.signer("ed"))), INVALID_CLIENT),
        granted(
            "a jti that was only in a refused statement",
            section,
            sent(&refused_before.claim("exp", stage.now() + 60).by(stage.signer("ed"))),
        ),
        granted("a statement at introspection", "RFC 7662 §2.1", Request::introspect("x").assertion(&elsewhere)),
        again("the same at the token endpoint", sent(&elsewhere)),
        again("the same at revocation", Request::revoke("x").assertion(&elsewhere)),
    ]
}

fn parameters(stage: &Stage) -> Vec<Row> {
    let section = "RFC 7521 §4.2";
    let jwt = || by(stage, "ed").by(stage.signer("ed"));
    let with_type = |kind: &str| Request::token().with("client_assertion", &jwt()).with("client_assertion_type", kind);
    let no = |name, request| refused(name, section, request, INVALID_REQUEST).says("client_assertion");
    vec![
        no("a statement without its type", Request::token().with("client_assertion", &jwt())),
        no("a type without a statement", Request::token().with("client_assertion_type", JWT_BEARER)),
        no("a SAML assertion", with_type("urn:ietf:params:oauth:client-assertion-type:saml2-bearer")),
        no("a type with other case", with_type("urn:ietf:params:oauth:client-assertion-type:JWT-bearer")),
        no("a type that is none", with_type("jwt")),
        no("an empty type is none", with_type("")),
    ]
}
