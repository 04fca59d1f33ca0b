//! Parameters that are there twice, that are empty, and that nobody knows.

use super::{INVALID_CLIENT, INVALID_REQUEST, Row, granted, inactive, refused};
use crate::clients::SCOPES;
use crate::jwt::Jwt;
use crate::request::Request;
use crate::stage::{AUDIENCE, ISSUER, Stage};

pub fn rows(stage: &Stage) -> Vec<Row> {
    let mut rows = repeated(stage);
    rows.extend(empty(stage));
    rows.extend(unknown(stage));
    rows
}

fn repeated(stage: &Stage) -> Vec<Row> {
    let basic = || stage.asked_by("basic");
    let post = || Request::token().post("post", stage.secret("post"));
    let jwt = Jwt::statement("ed", ISSUER, stage.now()).by(stage.signer("ed"));
    let signed = || Request::token().assertion(&jwt);
    let of = |request: fn(&str) -> Request| request("abc").basic("basic", stage.secret("basic"));
    let section = "RFC 6749 §3.2";
    let no = |name, request| refused(name, section, request, INVALID_REQUEST).says("more than once");
    vec![
        no("grant_type twice", basic().with("grant_type", "client_credentials")),
        no("grant_type and an empty one", basic().with("grant_type", "")),
        no("grant_type twice, once with an encoded name", basic().raw(b"grant%5ftype=client_credentials")),
        no("two scope parameters", basic().with("scope", "imports").with("scope", "changes:read")),
        no("a scope twice", basic().with("scope", "imports").with("scope", "imports")),
        no("an empty scope twice", basic().with("scope", "").with("scope", "")),
        no("client_id twice", post().with("client_id", "post")),
        no("client_id twice beside the header", basic().with("client_id", "basic").with("client_id", "basic")),
        no("client_secret twice", post().with("client_secret", stage.secret("post"))),
        no("client_assertion twice", signed().with("client_assertion", &jwt)),
        no("client_assertion_type twice", signed().with("client_assertion_type", haat_oauth::server::JWT_BEARER)),
        no("token twice at introspection", of(Request::introspect).with("token", "abc")),
        no(
            "token_type_hint twice at introspection",
            of(Request::introspect).with("token_type_hint", "a").with("token_type_hint", "a"),
        ),
        no("token twice at revocation", of(Request::revoke).with("token", "abc")),
        no(
            "token_type_hint twice at revocation",
            of(Request::revoke).with("token_type_hint", "a").with("token_type_hint", "a"),
        ),
        refused(
            "twice, and nobody authenticated",
            section,
            Request::token().with("grant_type", "client_credentials"),
            INVALID_REQUEST,
        ),
    ]
}

fn empty(stage: &Stage) -> Vec<Row> {
    let basic = || stage.asked_by("basic");
    let of = |request: fn(&str) -> Request| request("").basic("basic", stage.secret("basic"));
    let section = "RFC 6749 §3.2";
    vec![
        granted("an empty scope is none", section, basic().with("scope", "")).scope(SCOPES),
        granted("an empty resource is none", section, basic().with("resource", "")).claim("aud", AUDIENCE),
        granted("empty resources are none", section, basic().with("resource", "").with("resource", ""))
            .claim("aud", AUDIENCE),
        granted("an empty resource beside one", section, basic().with("resource", "").with("resource", AUDIENCE))
            .claim("aud", AUDIENCE),
        refused("an empty token at introspection", section, of(Request::introspect), INVALID_REQUEST).says("token"),
        refused("an empty token at revocation", section, of(Request::revoke), INVALID_REQUEST).says("token"),
        refused("only empty credentials", section, Request::token().post("", ""), INVALID_CLIENT),
        granted(
            "an empty hint is none",
            section,
            Request::introspect("abc").with("token_type_hint", "").basic("basic", stage.secret("basic")),
        )
        .body(inactive()),
    ]
}

fn unknown(stage: &Stage) -> Vec<Row> {
    let basic = || stage.asked_by("basic");
    let section = "RFC 6749 §3.2";
    vec![
        granted("a parameter that nobody knows", section, basic().with("colour", "green")),
        granted("a parameter that nobody knows, twice", section, basic().with("colour", "green").with("colour", "red")),
        granted("a parameter without a name", section, basic().raw(b"=green")),
        granted("an audience is not a resource", "RFC 8707 §2", basic().with("audience", "https://x.example"))
            .claim("aud", AUDIENCE),
        granted("a lifetime cannot be asked for", section, basic().with("expires_in", "999999"))
            .member("expires_in", 3_600),
        granted("a subject cannot be asked for", section, basic().with("sub", "administrator")).claim("sub", "basic"),
        granted("a hint at the token endpoint", section, basic().with("token_type_hint", "refresh_token")),
    ]
}
