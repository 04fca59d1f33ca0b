//! `private_key_jwt`: how a client's statement is signed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{INVALID_CLIENT, Row, granted, refused};
use crate::clients::JWKS_URI;
use crate::jwt::{Jwt, Signer, signed, tampered};
use crate::request::Request;
use crate::stage::{ISSUER, Stage};

pub fn rows(stage: &Stage) -> Vec<Row> {
    let mut rows = keys(stage);
    rows.extend(algorithms(stage));
    rows.extend(headers(stage));
    rows.extend(changed(stage));
    rows
}

fn by(stage: &Stage, client: &str) -> Jwt {
    Jwt::statement(client, ISSUER, stage.now())
}

fn sent(jwt: &str) -> Request {
    Request::token().assertion(jwt)
}

fn no(name: &'static str, section: &'static str, jwt: &str) -> Row {
    refused(name, section, sent(jwt), INVALID_CLIENT)
}

fn keys(stage: &Stage) -> Vec<Row> {
    let section = "RFC 7515 §4.1.4";
    let signer = |client| stage.signer(client);
    let of = |client| by(stage, client).by(signer(client));
    let (ed, stranger) = (by(stage, "ed"), Signer::ed25519("key-1"));
    let with_own_key = by(stage, "ed").header("jwk", stranger.jwk()).header("jku", "https://evil.example/jwks");
    vec![
        granted("signed with Ed25519", "RFC 8037 §3.1", sent(&of("ed"))).claim("sub", "ed"),
        granted("signed with P-256", "RFC 7518 §3.4", sent(&of("ec"))).claim("sub", "ec"),
        granted("signed with RSA", "RFC 7518 §3.3", sent(&of("rsa"))).claim("sub", "rsa"),
        granted("signed with the second key", section, sent(&by(stage, "ed").by(signer("ed, second")))),
        granted("signed by one of two keys, without its name", section, sent(&ed.nameless_by(signer("ed, second")))),
        granted("signed with a key that is fetched", "RFC 7591 §2", sent(&of("remote"))),
        no("an unknown key", section, &by(stage, "ed").header("kid", "key-9").by(signer("ed"))),
        no(
            "an unknown key of a client whose keys are fetched",
            section,
            &by(stage, "remote").header("kid", "key-9").by(signer("remote")),
        ),
        no("the name of another of its keys", section, &by(stage, "ed").header("kid", "key-2").by(signer("ed"))),
        no("another client's key of the same name", section, &by(stage, "ed").by(signer("ed-other"))),
        no("a stranger's key of the same name", section, &by(stage, "ed").by(&stranger)),
        no("a stranger's key without a name", section, &by(stage, "ed").nameless_by(&stranger)),
        no("a key that comes in the header", "RFC 8725 §3.10", &with_own_key.by(&stranger)),
        no(
            "an address of keys in the header",
            "RFC 8725 §3.10",
            &by(stage, "ed").header("jku", JWKS_URI).header("kid", "key-9").by(signer("remote")),
        ),
        no("kid is a number", section, &by(stage, "ed").header("kid", 1).by(signer("ed"))),
        no("kid is empty", section, &by(stage, "ed").header("kid", "").by(signer("ed"))),
    ]
}

fn algorithms(stage: &Stage) -> Vec<Row> {
    let ed = stage.signer("ed");
    let named = |alg: &str| by(stage, "ed").header("alg", alg).by(ed);
    let [text, raw, der, jwk] = ed.public_forms().try_into().unwrap();
    let confused = |name, bytes: &[u8]| no(name, "RFC 8725 §2.1", &by(stage, "ed").by(&Signer::secret("key-1", bytes)));
    vec![
        granted("EdDSA by its newer name", "RFC 9864 §2.2", sent(&named("Ed25519"))),
        no(
            "the newer name over an RSA key",
            "RFC 9864 §2.2",
            &by(stage, "rsa").header("alg", "Ed25519").by(stage.signer("rsa")),
        ),
        no("alg none", "RFC 8725 §2.1", &by(stage, "ed").header("alg", "none").unsigned()),
        no("alg None", "RFC 8725 §2.1", &by(stage, "ed").header("alg", "None").unsigned()),
        no("alg none and a signature", "RFC 8725 §2.1", &named("none")),
        no("no signature", "RFC 7515 §5.2", &by(stage, "ed").header("alg", "EdDSA").header("kid", "key-1").unsigned()),
        confused("HS256 with the public key", &raw),
        confused("HS256 with the public key's text", &text),
        confused("HS256 with the public key's DER", &der),
        confused("HS256 with the public key's JWK", &jwk),
        confused("HS256 with an empty secret", b""),
        no(
            "HS256 of a client with a secret",
            "RFC 8725 §2.1",
            &by(stage, "basic").by(&Signer::secret("", stage.secret("basic").as_bytes())),
        ),
        no("no alg", "RFC 7515 §4.1.1", &by(stage, "ed").header("kid", "key-1").as_it_is(ed)),
        no("alg ES256 over an Ed25519 key", "RFC 8725 §3.1", &named("ES256")),
        no("alg RS256 over an Ed25519 key", "RFC 8725 §3.1", &named("RS256")),
        no("alg in other case", "RFC 7515 §4.1.1", &named("eddsa")),
        no(
            "an algorithm that is not announced",
            "RFC 8414 §2",
            &by(stage, "rsa").header("alg", "PS256").by(stage.signer("rsa")),
        ),
        no("RS512", "RFC 8414 §2", &by(stage, "rsa").header("alg", "RS512").by(stage.signer("rsa"))),
    ]
}

fn headers(stage: &Stage) -> Vec<Row> {
    let ed = stage.signer("ed");
    let section = "RFC 8725 §3.11";
    let with = |name: &str, value: Value| by(stage, "ed").header(name, value).by(ed);
    let typ = |typ: &str| with("typ", json!(typ));
    vec![
        granted("no typ", section, sent(&with("typ", Value::Null))),
        granted("typ jwt in lower case", "RFC 7515 §4.1.9", sent(&typ("jwt"))),
        granted("typ with application/", "RFC 7515 §4.1.9", sent(&typ("application/jwt"))),
        granted("typ client-authentication+jwt", section, sent(&typ("client-authentication+jwt"))),
        no("typ of an access token", section, &typ("at+jwt")),
        no("typ of a proof", section, &typ("dpop+jwt")),
        no("typ of a logout token", section, &typ("logout+jwt")),
        no("an empty typ", section, &typ("")),
        no("crit", "RFC 7515 §4.1.11", &with("crit", json!(["exp"]))),
        no("an empty crit", "RFC 7515 §4.1.11", &with("crit", json!([]))),
        no(
            "an unencoded payload",
            "RFC 7797 §3",
            &by(stage, "ed").header("crit", json!(["b64"])).header("b64", false).by(ed),
        ),
        granted("a header that nobody knows", "RFC 7515 §4.2", sent(&with("colour", json!("green")))),
    ]
}

fn changed(stage: &Stage) -> Vec<Row> {
    let ed = stage.signer("ed");
    let jwt = by(stage, "ed").by(ed);
    let header = r#"{"alg":"EdDSA","kid":"key-1"}"#.as_bytes();
    let claims = by(stage, "ed").claims.to_string();
    let list = json!(["ed", "ed", ISSUER, stage.now() + 60, "in-a-list"]).to_string();
    let twice = claims.replacen('{', r#"{"sub":"ec","#, 1);
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let section = "RFC 7515 §5.2";
    vec![
        no("a changed claim", section, &tampered(&jwt, 1, "sub", "ec")),
        no("a changed lifetime", section, &tampered(&jwt, 1, "exp", stage.now() + 3_000)),
        no("a changed header", section, &tampered(&jwt, 0, "typ", Value::Null)),
        no("another statement's signature", section, &swapped(message, &by(stage, "ed").by(ed))),
        no("a header that is a list", "RFC 7515 §4", &signed(br#"["EdDSA","JWT","key-1"]"#, claims.as_bytes(), ed)),
        no("claims that are a list", "RFC 7519 §7.2", &signed(header, list.as_bytes(), ed)),
        no("a claim twice", "RFC 7519 §4", &signed(header, twice.as_bytes(), ed)),
        no("claims that are no JSON", "RFC 7519 §7.2", &signed(header, b"sub=ed", ed)),
        no("claims that are no UTF-8", "RFC 7519 §7.2", &signed(header, b"{\"sub\":\"\xff\"}", ed)),
        no("a statement that is too long", section, &by(stage, "ed").claim("colour", "c".repeat(9_000)).by(ed)),
        no("a signature in other base64", "RFC 7515 §2", &format!("{message}.{signature}=")),
        no(
            "an encrypted statement",
            "RFC 7516 §7.1",
            &format!("{}.a.b.c.d", URL_SAFE_NO_PAD.encode(r#"{"alg":"dir"}"#)),
        ),
        no("a statement that is one word", section, "garbage"),
        no("a statement of two parts", section, "a.b"),
        no("a statement of three empty parts", section, ".."),
        no("a statement that is not encoded", section, "{}.{}.{}"),
    ]
}

/// The message under another one's signature.
fn swapped(message: &str, other: &str) -> String {
    format!("{message}.{}", other.rsplit_once('.').unwrap().1)
}
