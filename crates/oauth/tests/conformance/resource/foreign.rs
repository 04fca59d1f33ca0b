//! Tokens of issuers that the configuration trusts.

use std::time::Duration;

use haat_oauth::resource::ForeignIssuer;
use haat_oauth::scope::{Scope, Scopes};
use serde_json::{Value, json};

use super::{Case, bad, check, good};
use crate::jwt::{Jwt, Signer};
use crate::stage::{AUDIENCE, ISSUER, Replica, Stage};

const THEM: &str = "https://login.example/realm";
const JWKS: &str = "https://login.example/jwks";
const OTHERS: &str = "https://id.example";
const OTHERS_JWKS: &str = "https://id.example/jwks";

struct Foreign {
    stage: Stage,
    replica: Replica,
    key: Signer,
    others_key: Signer,
}

impl Foreign {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let (key, others_key) = (Signer::p256("key-1"), Signer::rsa("key-1"));
        stage.sources.serve(JWKS, &key.jwks());
        stage.sources.serve(OTHERS_JWKS, &others_key.jwks());
        let issuer = |issuer: &str, audience: &str, jwks: &str, scope_claim: &str| ForeignIssuer {
            issuer: issuer.into(),
            audience: audience.into(),
            jwks_url: jwks.parse().unwrap(),
            scope_claim: scope_claim.into(),
        };
        let issuers = vec![
            issuer(THEM, AUDIENCE, JWKS, "scope"),
            issuer(OTHERS, "haat", OTHERS_JWKS, "permissions"),
            issuer(OTHERS, "haat-too", OTHERS_JWKS, "roles"),
        ];
        let replica = stage.another(issuers).await;
        Self { stage, replica, key, others_key }
    }

    /// A token of theirs.
    fn token(&self) -> Jwt {
        let claims = json!({
            "iss": THEM, "aud": AUDIENCE, "sub": "robot", "client_id": "robot", "scope": "imports openid",
            "iat": self.stage.now(), "exp": self.stage.now() + 300,
        });
        Jwt { header: json!({"typ": "at+jwt"}), claims }
    }

    /// A token of the others, for one of the audiences.
    fn token_of_others(&self, aud: &str) -> Jwt {
        let list = json!(["imports", "changes:read products:write", "x", 7]);
        self.token().claim("iss", OTHERS).claim("aud", aud).claim("permissions", list).claim("roles", "operate")
    }

    async fn scopes(&self, token: &str) -> Scopes {
        self.replica.verifier.verify(token).await.unwrap().scopes
    }
}

#[tokio::test]
async fn tokens_of_trusted_issuers_are_good() {
    let stage = Foreign::new().await;
    let mut cases = claims(&stage);
    cases.extend(signatures(&stage));
    check(&stage.replica.verifier, cases).await;
}

fn claims(stage: &Foreign) -> Vec<Case> {
    let with = |name: &str, value: Value| stage.token().claim(name, value).by(&stage.key);
    let (now, section, gone) = (stage.stage.now(), "RFC 9068 §4", Value::Null);
    vec![
        good("a token of a trusted issuer", section, stage.token().by(&stage.key)),
        good("for several", section, with("aud", json!(["x", AUDIENCE]))),
        bad("for another server", section, with("aud", json!("https://other.example"))),
        bad("for another trusted issuer's audience", section, with("aud", json!("haat"))),
        bad("for nobody", section, with("aud", gone.clone())),
        bad("of an issuer that nobody trusts", section, with("iss", json!("https://evil.example"))),
        bad("of this server, with a key of theirs", section, with("iss", json!(ISSUER))),
        bad("of nobody", section, with("iss", gone.clone())),
        good("ended 14 s ago", "RFC 7519 §4.1.4", with("exp", json!(now - 14))),
        bad("ended 15 s ago", "RFC 7519 §4.1.4", with("exp", json!(now - 15))),
        bad("never ends", "RFC 7519 §4.1.4", with("exp", gone.clone())),
        good("begins in 15 s", "RFC 7519 §4.1.5", with("nbf", json!(now + 15))),
        bad("begins in 16 s", "RFC 7519 §4.1.5", with("nbf", json!(now + 16))),
        bad("issued in 16 s", "RFC 7519 §4.1.6", with("iat", json!(now + 16))),
        good("without iat", "RFC 7519 §4.1.6", with("iat", gone.clone())),
        good("without client_id", section, with("client_id", gone.clone())),
        bad(
            "of nobody at all",
            section,
            stage.token().claim("client_id", gone.clone()).claim("sub", gone).by(&stage.key),
        ),
        good("of a client with a long name", section, with("client_id", json!("c".repeat(227)))),
        bad("of a client with a name too long to be kept", section, with("client_id", json!("c".repeat(228)))),
        good("bound to a key", "RFC 9449 §6.1", with("cnf", json!({"jkt": "abc"}))),
        bad(
            "bound to a certificate, which cannot be checked here",
            "RFC 8705 §3",
            with("cnf", json!({"x5t#S256": "abc"})),
        ),
        bad("bound to something that is none", "RFC 7800 §3.1", with("cnf", json!("abc"))),
    ]
}

fn signatures(stage: &Foreign) -> Vec<Case> {
    let with = |name: &str, value: Value| stage.token().header(name, value).by(&stage.key);
    let others = |aud: &str| stage.token_of_others(aud).by(&stage.others_key);
    let stranger = Signer::p256("key-1");
    let secret = Signer::secret("key-1", stage.key.jwk().to_string().as_bytes());
    vec![
        good("typ JWT", "RFC 8725 §3.11", with("typ", json!("JWT"))),
        good("no typ", "RFC 8725 §3.11", with("typ", Value::Null)),
        bad("typ of a proof", "RFC 8725 §3.11", with("typ", json!("dpop+jwt"))),
        bad("typ of a logout token", "RFC 8725 §3.11", with("typ", json!("logout+jwt"))),
        bad("crit", "RFC 7515 §4.1.11", with("crit", json!(["exp"]))),
        good("no kid", "RFC 7515 §4.1.4", stage.token().nameless_by(&stage.key)),
        bad("an unknown kid", "RFC 7515 §4.1.4", with("kid", json!("key-2"))),
        bad("a stranger's key", "RFC 9068 §4", stage.token().by(&stranger)),
        bad("another trusted issuer's key", "RFC 9068 §4", stage.token().by(&stage.others_key)),
        bad("alg none", "RFC 8725 §2.1", stage.token().header("alg", "none").unsigned()),
        bad("HS256 with the public key", "RFC 8725 §2.1", stage.token().by(&secret)),
        good("of an issuer with two audiences, the first", "RFC 9068 §4", others("haat")),
        good("of an issuer with two audiences, the second", "RFC 9068 §4", others("haat-too")),
        bad("of an issuer with two audiences, neither", "RFC 9068 §4", others("haat-not")),
        bad("this server's key in their name", "RFC 9068 §4", stage.token().by(&Signer::ed25519("key-1"))),
    ]
}

#[tokio::test]
async fn scopes_stand_in_the_claim_that_is_configured_as_text_or_as_list() {
    let stage = Foreign::new().await;
    let text = stage.token().by(&stage.key);
    assert_eq!(stage.scopes(&text).await, Scopes::from_iter([Scope::Imports]));
    assert_eq!(&*stage.replica.verifier.verify(&text).await.unwrap().client, "https://login.example/realm#robot");
    let list = stage.token_of_others("haat").by(&stage.others_key);
    let expected = Scopes::from_iter([Scope::Imports, Scope::ChangesRead, Scope::ProductsWrite]);
    assert_eq!(stage.scopes(&list).await, expected);
    let by_audience = stage.token_of_others("haat-too").by(&stage.others_key);
    assert_eq!(stage.scopes(&by_audience).await, Scopes::from_iter([Scope::Operate]));
    let none = stage.token().claim("scope", Value::Null).by(&stage.key);
    assert!(stage.scopes(&none).await.is_empty());
}

#[tokio::test]
async fn unknown_keys_are_looked_for_once_in_a_while_and_only_for_tokens_that_are_right_otherwise() {
    let stage = Foreign::new().await;
    let verifier = &stage.replica.verifier;
    let fetched = || stage.stage.sources.fetched(JWKS);
    for wrong in [
        stage.token().claim("iss", "https://evil.example"),
        stage.token().claim("aud", "other"),
        stage.token().claim("exp", 0),
        stage.token().header("alg", "HS256"),
        stage.token().header("typ", "dpop+jwt"),
    ] {
        assert!(verifier.verify(&wrong.by(&stage.key)).await.is_err());
    }
    assert_eq!(fetched(), 0, "nothing is fetched for what is wrong anyway");
    assert!(verifier.verify(&stage.token().by(&stage.key)).await.is_ok());
    assert_eq!(fetched(), 1);
    for n in 0..100 {
        let unknown = stage.token().header("kid", format!("key-{n}-unknown")).by(&stage.key);
        assert!(verifier.verify(&unknown).await.is_err());
    }
    assert_eq!(fetched(), 1, "the fetch before is too recent for another");
    assert!(verifier.verify(&stage.token().claim("jti", "x").by(&stage.key)).await.is_ok());
    let next = Signer::ed25519("key-2");
    stage.stage.sources.serve(JWKS, &json!({"keys": [stage.key.jwk(), next.jwk()]}));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(verifier.verify(&stage.token().by(&next)).await.is_ok(), "a key that is new there is found");
    for n in 0..100 {
        let unknown = stage.token().header("kid", format!("key-{n}-unknown")).by(&stage.key);
        assert!(verifier.verify(&unknown).await.is_err());
    }
    assert_eq!(fetched(), 2);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_harms_only_its_own_tokens() {
    let stage = Stage::new().await;
    let issuer = ForeignIssuer {
        issuer: THEM.into(),
        audience: AUDIENCE.into(),
        jwks_url: "https://down.example/".parse().unwrap(),
        scope_claim: "scope".into(),
    };
    let replica = stage.another(vec![issuer]).await;
    let own = stage.issue(&stage.asked_by("basic")).await;
    let theirs = Jwt {
        header: json!({"typ": "JWT"}),
        claims: json!({"iss": THEM, "aud": AUDIENCE, "exp": i64::MAX, "sub": "x"}),
    };
    assert!(replica.verifier.verify(&theirs.by(&Signer::p256("key-1"))).await.is_err());
    assert!(replica.verifier.verify(&own).await.is_ok());
}
