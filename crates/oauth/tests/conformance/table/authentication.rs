//! `client_secret_post`, several ways at once, and none.

use haat_oauth::server::JWT_BEARER;

use super::{INVALID_CLIENT, INVALID_REQUEST, Row, granted, refused};
use crate::jwt::Jwt;
use crate::request::Request;
use crate::stage::{ISSUER, Stage};

pub fn rows(stage: &Stage) -> Vec<Row> {
    let mut rows = post(stage);
    rows.extend(mixtures(stage));
    rows
}

fn post(stage: &Stage) -> Vec<Row> {
    let secret = stage.secret("post");
    let section = "RFC 6749 §2.3.1";
    let token = Request::token;
    vec![
        granted("post", section, token().post("post", secret)),
        granted(
            "post, the secret before the id",
            section,
            token().with("client_secret", secret).with("client_id", "post"),
        ),
        refused("post, a wrong secret", section, token().post("post", "haat_wrong"), INVALID_CLIENT),
        refused("post, an unknown client", section, token().post("nobody", secret), INVALID_CLIENT),
        refused("post, the secret and a space", section, token().post("post", &format!("{secret} ")), INVALID_CLIENT),
        refused("post, no secret", section, token().with("client_id", "post"), INVALID_CLIENT),
        refused("post, an empty secret is none", section, token().post("post", ""), INVALID_CLIENT),
        refused("post, no id", section, token().with("client_secret", secret), INVALID_REQUEST).says("client_id"),
        refused("post, an empty id is none", section, token().post("", secret), INVALID_REQUEST),
        refused(
            "post, by a client that sends its secret in the header",
            "RFC 7591 §2",
            token().post("basic", stage.secret("basic")),
            INVALID_CLIENT,
        ),
        refused("post, by a client that signs", "RFC 7591 §2", token().post("ed", secret), INVALID_CLIENT),
        refused("nothing at all", "RFC 6749 §3.2.1", token(), INVALID_CLIENT).says("no client authentication"),
    ]
}

fn mixtures(stage: &Stage) -> Vec<Row> {
    let statement = |client| Jwt::statement(client, ISSUER, stage.now()).by(stage.signer("ed"));
    let (basic, post) = (|| stage.asked_by("basic"), || Request::token().post("post", stage.secret("post")));
    let section = "RFC 6749 §2.3";
    let both = |name, request| refused(name, section, request, INVALID_REQUEST).says("more than one way");
    vec![
        both("header and body, the same client", basic().post("basic", stage.secret("basic"))),
        both("header and body, two clients", basic().post("post", stage.secret("post"))),
        both("header and a secret without an id", basic().with("client_secret", stage.secret("basic"))),
        both("header and statement", basic().assertion(&statement("ed"))),
        both("body and statement", post().assertion(&statement("ed"))),
        both("header, body and statement", post().basic("basic", stage.secret("basic")).assertion(&statement("ed"))),
        both("header and a statement without a type", basic().with("client_assertion", &statement("ed"))),
        both("header and the type of a statement", basic().with("client_assertion_type", JWT_BEARER)),
        both("a bearer token and a secret in the body", post().authorization("Bearer abc")),
        both("wrong credentials in both places", Request::token().basic("basic", "wrong").post("basic", "wrong")),
        granted("header and the same client_id", "RFC 6749 §3.2.1", basic().with("client_id", "basic")),
        refused("header and another client_id", "RFC 6749 §3.2.1", basic().with("client_id", "other"), INVALID_REQUEST),
        granted("header and an empty client_id", "RFC 6749 §3.2", basic().with("client_id", "")),
        granted("header and an empty secret", "RFC 6749 §3.2", basic().with("client_secret", "")),
        granted(
            "header and an empty statement",
            "RFC 6749 §3.2",
            basic().with("client_assertion", "").with("client_assertion_type", ""),
        ),
    ]
}
