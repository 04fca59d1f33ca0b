//! What may be registered as a client's keys (RFC 7591 §2, RFC 7517 §4).

use haat_oauth::admin::{AdminError, ClientPatch, KeysDraft};
use serde_json::{Value, json};

use crate::clients::signing;
use crate::jwt::Signer;
use crate::stage::Stage;

#[tokio::test]
async fn only_public_keys_that_can_verify_are_registered() {
    let stage = Stage::new().await;
    let with = |name: &str, value: Value| {
        let mut jwk = Signer::ed25519("key-1").jwk();
        jwk[name] = value;
        jwk
    };
    let short = json!({"kty": "RSA", "n": "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1Wl", "e": "AQAB"});
    let refused = [
        (
            "a private key",
            json!({"keys": [with("d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"))]}),
            "private part",
        ),
        ("a private RSA key", json!({"keys": [{"kty": "RSA", "n": "AA", "e": "AQAB", "d": "AA"}]}), "private part"),
        ("a secret", json!({"keys": [{"kty": "oct", "k": "AAAA"}]}), "private part"),
        ("no keys", json!({"keys": []}), "no public key"),
        ("a key instead of a set", Signer::ed25519("key-1").jwk(), "not a JSON Web Key Set"),
        ("a list", json!([]), "not a JSON Web Key Set"),
        ("a key for another algorithm", json!({"keys": [with("alg", json!("HS256"))]}), "no public key"),
        ("a curve that is not announced", json!({"keys": [with("crv", json!("Ed448"))]}), "no public key"),
        ("a key for encryption", json!({"keys": [with("use", json!("enc"))]}), "no public key"),
        ("a key that is too short to be one", json!({"keys": [with("x", json!("AAAA"))]}), "no public key"),
        ("a key that is no base64", json!({"keys": [with("x", json!("!!!!"))]}), "no public key"),
        ("an RSA key that is too short", json!({"keys": [short]}), "no public key"),
    ];
    for (name, jwks, why) in refused {
        let made = stage.admin.create(signing("new", KeysDraft::Jwks(jwks)), "test").await;
        let Err(AdminError::Invalid(faults)) = made else { panic!("{name}: registered") };
        assert!(faults.iter().any(|f| f.field == "jwks" && f.detail.contains(why)), "{name}: {faults:?}");
    }
    let mixed = json!({"keys": [Signer::p256("key-1").jwk(), {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"}]});
    assert!(stage.admin.create(signing("new", KeysDraft::Jwks(mixed)), "test").await.is_ok(), "one of them is of use");
}

/// The same rule as for fetching them: what is registered can be fetched.
#[tokio::test]
async fn keys_elsewhere_are_registered_by_an_address_from_which_they_are_fetched() {
    let stage = Stage::new().await;
    let made = |url: &str| stage.admin.create(signing("new", KeysDraft::JwksUri(url.into())), "test");
    for url in ["http://client.example/jwks", "https://u:p@client.example/", "https://client.example/#x", "jwks", ""] {
        let Err(AdminError::Invalid(faults)) = made(url).await else { panic!("{url}: registered") };
        assert_eq!(faults.iter().map(|fault| fault.field).collect::<Vec<_>>(), ["jwks_uri"], "{url}");
        let patch = ClientPatch { keys: Some(KeysDraft::JwksUri(url.into())), ..ClientPatch::default() };
        let changed = stage.admin.change("remote", patch, "test").await;
        assert!(matches!(changed, Err(AdminError::Invalid(_))), "{url}");
    }
    assert!(made("http://127.0.0.1:9000/jwks").await.is_ok());
}
