//! Tokens that are bound to a key.

use serde_json::{Value, json};

use super::{INVALID_CLIENT, INVALID_PROOF, INVALID_REQUEST, Row, granted, refused};
use crate::jwt::{Jwt, Signer, signed, tampered};
use crate::request::Request;
use crate::stage::{INTERNAL, ISSUER, Stage};

pub fn rows(stage: &Stage) -> Vec<Row> {
    let mut rows = good(stage);
    rows.extend(claims(stage));
    rows.extend(keys(stage));
    rows.extend(fields(stage));
    rows
}

fn proof(stage: &Stage) -> Jwt {
    Jwt::proof("POST", &format!("{ISSUER}/oauth/token"), stage.now())
}

fn good(stage: &Stage) -> Vec<Row> {
    let section = "RFC 9449 §5";
    let sent = |client: &str, jwt: &str| stage.asked_by(client).proof(jwt);
    let bound_to = |name, signer: &Signer| {
        granted(name, section, sent("basic", &proof(stage).proved_by(signer)))
            .member("token_type", "DPoP")
            .claim("cnf", json!({"jkt": signer.thumbprint()}))
    };
    let ed = Signer::ed25519("");
    let statement = Jwt::statement("ed", ISSUER, stage.now()).by(stage.signer("ed"));
    let with_ath = proof(stage).claim("ath", "x").claim("nonce", "y");
    vec![
        bound_to("a proof with Ed25519", &ed),
        bound_to("a proof with P-256", &Signer::p256("")),
        bound_to("a proof with RSA", &Signer::rsa("")),
        granted("no proof, no bond", section, stage.asked_by("basic"))
            .member("token_type", "Bearer")
            .claim("cnf", Value::Null),
        granted("a client that must", "RFC 9449 §5.2", sent("bound", &proof(stage).proved_by(&ed)))
            .member("token_type", "DPoP"),
        refused("a client that must and does not", "RFC 9449 §5.2", stage.asked_by("bound"), INVALID_PROOF)
            .says("send a DPoP proof"),
        granted(
            "a proof beside a statement",
            section,
            Request::token().assertion(&statement).proof(&proof(stage).proved_by(&ed)),
        )
        .member("token_type", "DPoP"),
        granted("claims of other requests", "RFC 9449 §4.2", sent("basic", &with_ath.proved_by(&ed))),
        refused(
            "a good proof of a bad client",
            section,
            Request::token().basic("basic", "wrong").proof(&proof(stage).proved_by(&ed)),
            INVALID_CLIENT,
        ),
    ]
}

fn claims(stage: &Stage) -> Vec<Row> {
    let key = Signer::p256("");
    let section = "RFC 9449 §4.3";
    let sent = |jwt: Jwt| stage.asked_by("basic").proof(&jwt.proved_by(&key));
    let with = |name: &str, value: Value| sent(proof(stage).claim(name, value));
    let ok =
        |name, member: &str, value: Value| granted(name, section, with(member, value)).member("token_type", "DPoP");
    let no = |name, member: &str, value: Value| refused(name, section, with(member, value), INVALID_PROOF);
    let (now, gone) = (stage.now(), Value::Null);
    vec![
        no("htm of another method", "htm", json!("GET")).says("htm"),
        no("htm in lower case", "htm", json!("post")),
        no("no htm", "htm", gone.clone()),
        no("htu of another endpoint", "htu", json!(format!("{ISSUER}/oauth/revoke"))).says("htu"),
        no("htu of another server", "htu", json!("https://evil.example/oauth/token")),
        no("htu without TLS", "htu", json!("http://haat.example/oauth/token")),
        no("htu that is only a path", "htu", json!("/oauth/token")),
        no("no htu", "htu", gone.clone()),
        ok("htu with a query", "htu", json!(format!("{ISSUER}/oauth/token?a=b#c"))),
        ok("htu in another form", "htu", json!("HTTPS://Haat.Example:443/oauth/token")),
        ok("htu with escapes that need not be", "htu", json!(format!("{ISSUER}/%6fauth/tok%65n"))),
        ok("htu of another address of the server", "htu", json!(format!("{INTERNAL}/oauth/token"))),
        no("htu of another port", "htu", json!(format!("{INTERNAL}0/oauth/token"))),
        no("iat a minute and a second ago", "iat", json!(now - 61)).says("iat"),
        no("iat in a minute and a second", "iat", json!(now + 61)),
        ok("iat a minute ago", "iat", json!(now - 60)),
        ok("iat in a minute", "iat", json!(now + 60)),
        no("no iat in a proof", "iat", gone.clone()),
        no("iat is a text", "iat", json!(now.to_string())),
        no("no jti of a proof", "jti", gone),
        no("an empty jti of a proof", "jti", json!("")),
        no("a long jti of a proof", "jti", json!("j".repeat(256))),
        ok("a proof for the first time", "jti", json!("once")),
        no("a proof for the second time", "jti", json!("once")).says("jti was used"),
        granted(
            "the same jti of another key",
            section,
            stage.asked_by("basic").proof(&proof(stage).claim("jti", "once").proved_by(&Signer::ed25519(""))),
        ),
    ]
}

fn keys(stage: &Stage) -> Vec<Row> {
    let (key, other) = (Signer::ed25519(""), Signer::ed25519(""));
    let section = "RFC 9449 §4.3";
    let no = |name, jwt: &str| refused(name, section, stage.asked_by("basic").proof(jwt), INVALID_PROOF);
    let sent = |jwt: String| stage.asked_by("basic").proof(&jwt);
    let of = |jwk: Value| proof(stage).header("jwk", jwk);
    let mut newer = key.jwk();
    newer["alg"] = json!("Ed25519");
    let mut private = key.jwk();
    private["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
    let secret = Signer::secret("", b"0123456789abcdef0123456789abcdef");
    let header = |name: &str, value: Value| proof(stage).header(name, value).proved_by(&key);
    let jwt = proof(stage).proved_by(&key);
    let list = json!(["x", "POST", format!("{ISSUER}/oauth/token"), stage.now()]).to_string();
    let head = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": key.jwk()}).to_string();
    vec![
        granted("a proof by the newer name of EdDSA", "RFC 9864 §2.2", sent(header("alg", json!("Ed25519")))),
        granted("a key that names it so", "RFC 9864 §2.2", sent(of(newer).proved_by(&key)))
            .claim("cnf", json!({"jkt": key.thumbprint()})),
        no("a proof with alg none", &of(key.jwk()).header("alg", "none").unsigned()),
        no("a proof with a symmetric key", &proof(stage).proved_by(&secret)),
        no("HS256 over the public key of a proof", &of(key.jwk()).as_hs256(&key)),
        no("a private key in the header", &of(private).proved_by(&key)),
        no("another key in the header", &of(other.jwk()).proved_by(&key)).says("signature"),
        no("no key in the header", &proof(stage).header("alg", "EdDSA").as_it_is(&key)),
        no("a key that is a text", &of(json!("key")).proved_by(&key)),
        no(
            "a key of a curve that is not announced",
            &of(json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"})).proved_by(&key),
        ),
        no("a key for another algorithm", &proof(stage).header("alg", "ES256").proved_by(&key)),
        no("a proof without typ", &header("typ", Value::Null)),
        no("a proof that says to be a JWT", &header("typ", json!("JWT"))),
        no("a proof with crit", &header("crit", json!(["exp"]))),
        no("a changed proof", &tampered(&jwt, 1, "jti", "another")),
        no("a proof whose claims are a list", &signed(head.as_bytes(), list.as_bytes(), &key)),
    ]
}

fn fields(stage: &Stage) -> Vec<Row> {
    let key = Signer::ed25519("");
    let section = "RFC 9449 §4.3";
    let no = |name, request| refused(name, section, request, INVALID_PROOF);
    let jwt = || proof(stage).proved_by(&key);
    let basic = || stage.asked_by("basic");
    vec![
        no("two proofs", basic().proof(&jwt()).proof(&jwt())),
        no("an empty proof", basic().proof("")),
        no("garbage for a proof", basic().proof("garbage")),
        no("two proofs in one field", basic().proof(&format!("{}, {}", jwt(), jwt()))),
        no("a proof that is too long", basic().proof(&proof(stage).claim("x", "y".repeat(9_000)).proved_by(&key))),
        no("a proof beyond ASCII", basic().proof("prööf")),
        refused("a proof does not authenticate", "RFC 9449 §5", Request::token().proof(&jwt()), INVALID_CLIENT),
        refused("a proof does not replace the grant", section, no_grant(stage).proof(&jwt()), INVALID_REQUEST),
    ]
}

fn no_grant(stage: &Stage) -> Request {
    Request::to(crate::request::Endpoint::Token).basic("basic", stage.secret("basic"))
}

impl Jwt {
    /// Signed with a key's public half as if it were a shared secret.
    fn as_hs256(&self, key: &Signer) -> String {
        self.by(&Signer::secret("", &key.public_forms()[1]))
    }
}
