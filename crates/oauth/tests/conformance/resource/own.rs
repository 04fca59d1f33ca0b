//! Tokens of this server.

use std::time::Duration;

use haat_oauth::admin::ClientPatch;
use haat_oauth::scope::{Scope, Scopes};
use serde_json::{Value, json};

use super::{Case, bad, check, good};
use crate::jwt::{self, Jwt, Signer, signed, tampered};
use crate::request::Request;
use crate::stage::{AUDIENCE, ISSUER, LIFETIME, PARTNER, Stage};

#[tokio::test]
async fn only_what_this_server_has_signed_for_itself_is_good() {
    let stage = Stage::new().await;
    let token = stage.issue(&stage.asked_by("basic")).await;
    let (header, claims) = jwt::read(&token);
    let like = Jwt { header, claims };
    let own = stage.own_signer().await;
    let mut cases = algorithms(&token, &like, &own, &stage);
    cases.extend(headers(&like, &own));
    cases.extend(claims_of(&like, &own, stage.now()));
    cases.extend(changed(&token, &like, &own));
    let elsewhere = stage.issue(&stage.asked_by("basic").with("resource", PARTNER)).await;
    let both = stage.issue(&stage.asked_by("basic").with("resource", PARTNER).with("resource", AUDIENCE)).await;
    cases.push(bad("a token for a partner", "RFC 9068 §4", elsewhere));
    cases.push(good("a token for a partner and this server", "RFC 9068 §4", both));
    cases.push(bad("a secret", "RFC 6750 §2.1", stage.secret("basic")));
    check(&stage.replica.verifier, cases).await;
}

fn algorithms(token: &str, like: &Jwt, own: &Signer, stage: &Stage) -> Vec<Case> {
    let section = "RFC 8725 §2.1";
    let with_secret = |bytes: &[u8]| like.clone().header("alg", "HS256").as_it_is(&Signer::secret("", bytes));
    let [text, raw, der, jwk] = own.public_forms().try_into().unwrap();
    let stranger = Signer::ed25519(&own.kid);
    let brought = like.clone().header("jwk", stranger.jwk()).header("jku", "https://evil.example/");
    vec![
        good("a token as it was issued", "RFC 9068 §4", token),
        bad("alg none", section, like.clone().header("alg", "none").unsigned()),
        bad("alg NONE", section, like.clone().header("alg", "NONE").unsigned()),
        bad("alg none over a signature", section, like.clone().header("alg", "none").as_it_is(own)),
        bad("no alg", "RFC 7515 §4.1.1", like.clone().header("alg", Value::Null).as_it_is(own)),
        bad("HS256 with the public key", section, with_secret(&raw)),
        bad("HS256 with the public key's text", section, with_secret(&text)),
        bad("HS256 with the public key's DER", section, with_secret(&der)),
        bad("HS256 with the public key's JWK", section, with_secret(&jwk)),
        bad("HS256 with the client's secret", section, with_secret(stage.secret("basic").as_bytes())),
        bad("the public key's signature said to be HS256", section, like.clone().header("alg", "HS256").as_it_is(own)),
        bad("another algorithm's name", "RFC 8725 §3.1", like.clone().header("alg", "ES256").as_it_is(own)),
        bad("a stranger's key under the same name", "RFC 9068 §4", like.as_it_is(&stranger)),
        bad("a key that comes in the header", "RFC 8725 §3.10", brought.as_it_is(&stranger)),
        bad("a client's key", "RFC 9068 §4", like.clone().header("kid", "key-1").as_it_is(stage.signer("ed"))),
    ]
}

fn headers(like: &Jwt, own: &Signer) -> Vec<Case> {
    let with = |name: &str, value: Value| like.clone().header(name, value).as_it_is(own);
    let typ = |typ: &str| with("typ", json!(typ));
    let section = "RFC 9068 §4";
    vec![
        good("typ with application/", section, typ("application/at+jwt")),
        good("typ in capitals", section, typ("AT+JWT")),
        bad("a plain JWT", section, typ("JWT")),
        bad("a proof's typ", section, typ("dpop+jwt")),
        bad("a logout token", section, typ("logout+jwt")),
        bad("no typ", section, with("typ", Value::Null)),
        bad("typ of another type tree", section, typ("text/at+jwt")),
        bad("an unknown kid", "RFC 7515 §4.1.4", with("kid", json!("unknown"))),
        bad("no kid", "RFC 7515 §4.1.4", with("kid", Value::Null)),
        bad("crit", "RFC 7515 §4.1.11", with("crit", json!(["exp"]))),
        good("a header that nobody knows", "RFC 7515 §4.2", with("colour", json!("green"))),
    ]
}

fn claims_of(like: &Jwt, own: &Signer, now: i64) -> Vec<Case> {
    let with = |name: &str, value: Value| like.clone().claim(name, value).as_it_is(own);
    let section = "RFC 9068 §4";
    vec![
        bad("ended now", section, with("exp", json!(now))),
        good("ends in a second", section, with("exp", json!(now + 1))),
        bad("ended long ago", section, with("exp", json!(0))),
        bad("ended before the epoch", section, with("exp", json!(-1))),
        bad("no exp", section, with("exp", Value::Null)),
        bad("exp is a text", section, with("exp", json!((now + 60).to_string()))),
        good("issued a minute from now, by another clock", "RFC 7519 §4.1.6", with("iat", json!(now + 60))),
        bad("issued in the far future", "RFC 7519 §4.1.6", with("iat", json!(now + 61))),
        bad("issued in a hundred years", "RFC 7519 §4.1.6", with("iat", json!(now + 3_155_760_000))),
        bad("for another resource", section, with("aud", json!("https://other.example"))),
        bad("for the issuer", section, with("aud", json!(ISSUER))),
        bad("for nobody", section, with("aud", json!([]))),
        bad("no aud", section, with("aud", Value::Null)),
        good("for several", section, with("aud", json!([PARTNER, AUDIENCE]))),
        bad("of another issuer", section, with("iss", json!("https://other.example"))),
        bad("of the issuer with a slash", section, with("iss", json!(format!("{ISSUER}/")))),
        bad("no iss", section, with("iss", Value::Null)),
        bad("of an unknown client", section, with("client_id", json!("nobody"))),
        bad("of a disabled client", section, with("client_id", json!("off"))),
        bad("no jti", section, with("jti", Value::Null)),
    ]
}

fn changed(token: &str, like: &Jwt, own: &Signer) -> Vec<Case> {
    let section = "RFC 7515 §5.2";
    let (message, signature) = token.rsplit_once('.').unwrap();
    let other = like.clone().claim("sub", "another").as_it_is(own);
    let swapped = other.rsplit_once('.').unwrap().1;
    let header = like.header.to_string();
    let list = json!([like.claims["iss"], like.claims["exp"], AUDIENCE, "basic", "basic", 0, like.claims["jti"], ""]);
    vec![
        bad("a changed scope", section, tampered(token, 1, "scope", "operate clients:manage")),
        bad("a changed client", section, tampered(token, 1, "client_id", "other")),
        bad("a changed end", section, tampered(token, 1, "exp", i64::MAX)),
        bad("a changed header", section, tampered(token, 0, "colour", "green")),
        bad("a changed type", section, tampered(token, 0, "typ", "application/at+jwt")),
        bad("another token's signature", section, format!("{message}.{swapped}")),
        bad("half of the signature", section, format!("{message}.{}", &signature[..43])),
        bad("no signature", section, format!("{message}.")),
        bad("no signature and no dot", section, message),
        bad("two signatures", section, format!("{token}.{signature}")),
        bad("padded base64", "RFC 7515 §2", format!("{token}==")),
        bad("a space after it", "RFC 6750 §2.1", format!("{token} ")),
        bad("claims that are a list", "RFC 7519 §7.2", signed(header.as_bytes(), list.to_string().as_bytes(), own)),
        bad("claims that are no JSON", "RFC 7519 §7.2", signed(header.as_bytes(), b"\xff", own)),
        bad("nothing", "RFC 6750 §2.1", ""),
        bad("empty parts", section, ".."),
        bad("text beyond ASCII", "RFC 6750 §2.1", "tökén.tökén.tökén"),
        bad("a very long token", section, like.clone().claim("x", "y".repeat(9_000)).as_it_is(own)),
    ]
}

#[tokio::test]
async fn a_token_says_whose_it_is_and_what_it_may_be_used_for() {
    let stage = Stage::new().await;
    let key = Signer::ed25519("");
    let proof = Jwt::proof("POST", &format!("{ISSUER}/oauth/token"), stage.now()).proved_by(&key);
    let token = stage.issue(&stage.asked_by("basic").with("scope", "imports").proof(&proof)).await;
    let verified = stage.replica.verifier.verify(&token).await.unwrap();
    assert_eq!(&*verified.client, "basic");
    assert_eq!(verified.scopes, Scopes::from_iter([Scope::Imports]));
    assert_eq!(verified.bound_to.as_deref(), Some(&*key.thumbprint()));
    assert_eq!(verified.expires_at.as_seconds(), stage.now() + 3_600);
    assert_eq!(verified.policy, None);
}

/// Each of these befalls a token that was found good and is remembered, and one that nobody has looked at.
#[tokio::test]
async fn a_remembered_token_ends_and_is_taken_back_like_any_other() {
    let stage = Stage::new().await;
    let verifier = &stage.replica.verifier;
    let mut tokens = Vec::new();
    for id in ["two", "ended", "brief", "basic"] {
        let (seen, unseen) = (stage.issue(&stage.asked_by(id)).await, stage.issue(&stage.asked_by(id)).await);
        verifier.verify(&seen).await.unwrap();
        tokens.push([seen, unseen]);
    }
    let disabled = ClientPatch { enabled: Some(false), ..ClientPatch::default() };
    stage.admin.change("two", disabled, "test").await.unwrap();
    stage.admin.revoke("ended", "test").await.unwrap();
    stage.replica.directory.refresh().await.unwrap();
    stage.clock.advance(Duration::from_secs(60));
    for token in &tokens[3] {
        let revoke = Request::revoke(token).basic("basic", stage.secret("basic"));
        assert_eq!(stage.send(&revoke).await.status, 200);
    }
    for (tokens, what) in tokens.iter().zip(["disabled client", "removed client", "expired", "revoked"]) {
        for token in tokens {
            assert!(verifier.verify(token).await.is_err(), "{what}");
            assert!(verifier.at_hand(token).is_none(), "{what}");
        }
    }
    let enabled = ClientPatch { enabled: Some(true), ..ClientPatch::default() };
    stage.admin.change("two", enabled, "test").await.unwrap();
    stage.replica.directory.refresh().await.unwrap();
    assert!(verifier.verify(&tokens[0][0]).await.is_ok(), "a client that is enabled again has its tokens again");
}

#[tokio::test]
async fn a_client_that_takes_the_id_of_one_that_is_gone_does_not_take_its_tokens() {
    let stage = Stage::new().await;
    let [seen, unseen] = [stage.issue(&stage.asked_by("basic")).await, stage.issue(&stage.asked_by("basic")).await];
    stage.replica.verifier.verify(&seen).await.unwrap();
    stage.admin.revoke("basic", "test").await.unwrap();
    let made = stage.admin.create(crate::clients::draft("basic"), "test").await.unwrap();
    stage.replica.directory.refresh().await.unwrap();
    for token in [seen, unseen] {
        assert!(stage.replica.verifier.verify(&token).await.is_err());
    }
    let token = stage.issue(&Request::token().basic("basic", &made.secret.unwrap())).await;
    assert!(stage.replica.verifier.verify(&token).await.is_ok());
}

#[tokio::test]
async fn scopes_and_policy_are_the_clients_of_now() {
    let stage = Stage::new().await;
    let verifier = &stage.replica.verifier;
    let all = stage.issue(&stage.asked_by("basic")).await;
    let some = stage.issue(&stage.asked_by("basic").with("scope", "imports")).await;
    verifier.verify(&all).await.unwrap();
    let changed = ClientPatch {
        scopes: Some(Scopes::from_iter([Scope::ChangesRead, Scope::Operate])),
        policy: Some(Some("bulk".into())),
        ..ClientPatch::default()
    };
    stage.admin.change("basic", changed, "test").await.unwrap();
    stage.replica.directory.refresh().await.unwrap();
    for _ in 0..2 {
        let verified = verifier.verify(&all).await.unwrap();
        assert_eq!(verified.scopes, Scopes::from_iter([Scope::ChangesRead]), "none that the token does not name");
        assert_eq!(verified.policy.as_deref(), Some("bulk"));
        assert!(verifier.verify(&some).await.unwrap().scopes.is_empty());
    }
}

#[tokio::test]
async fn a_token_is_good_until_the_second_in_which_it_ends() {
    let stage = Stage::new().await;
    let token = stage.issue(&stage.asked_by("basic")).await;
    stage.clock.advance(LIFETIME - Duration::from_millis(1));
    assert!(stage.replica.verifier.verify(&token).await.is_ok());
    stage.clock.advance(Duration::from_millis(1));
    assert!(stage.replica.verifier.verify(&token).await.is_err());
}
