//! Proofs that go with a token (RFC 9449 §7).

use std::time::Duration;

use haat_oauth::dpop::{DPOP, ProofError};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::jwt::{Jwt, Signer, fresh_name};
use crate::stage::Stage;

const URLS: [&str; 2] = ["https://haat.example/api/products", "https://haat.internal:8443/api/products"];
/// A token, and its `ath`: SHA-256 in base64url.
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";

#[tokio::test]
async fn a_proof_is_good_for_one_request_with_one_token() {
    use ProofError::{Malformed, OtherRequest, OtherToken, Replayed, Time};
    let stage = Stage::new().await;
    let key = Signer::ed25519("");
    let now = stage.now();
    let proof = || Jwt::proof("GET", URLS[0], now).claim("ath", ATH);
    let with = |name: &str, value: Value| proof().claim(name, value).proved_by(&key);
    let once = fresh_name();
    let cases: Vec<(&str, String, Result<(), ProofError>)> = vec![
        ("good", proof().proved_by(&key), Ok(())),
        ("the other address", with("htu", json!(URLS[1])), Ok(())),
        ("with a query", with("htu", json!(format!("{}?limit=5", URLS[0]))), Ok(())),
        ("first use", with("jti", json!(once)), Ok(())),
        ("second use", with("jti", json!(once)), Err(Replayed)),
        ("another method", with("htm", json!("PUT")), Err(OtherRequest)),
        ("another address", with("htu", json!("https://haat.example/api/imports")), Err(OtherRequest)),
        ("another port", with("htu", json!("https://haat.example:444/api/products")), Err(OtherRequest)),
        ("no address", with("htu", json!("")), Err(OtherRequest)),
        ("no ath", with("ath", Value::Null), Err(OtherToken)),
        ("an empty ath", with("ath", json!("")), Err(OtherToken)),
        ("another token's ath", with("ath", json!(ATH.replace('f', "g"))), Err(OtherToken)),
        ("the token itself as ath", with("ath", json!(TOKEN)), Err(OtherToken)),
        ("too old", with("iat", json!(now - 61)), Err(Time)),
        ("not yet", with("iat", json!(now + 61)), Err(Time)),
        ("iat beyond all numbers", with("iat", json!(1e300)), Err(Time)),
        ("another type", proof().header("typ", "JWT").proved_by(&key), Err(Malformed)),
        ("alg none", proof().header("alg", "none").header("jwk", key.jwk()).unsigned(), Err(Malformed)),
    ];
    for (name, jwt, expected) in cases {
        let proved = stage.replica.proofs.prove(&headers(&[&jwt]), "GET", &URLS, Some(TOKEN), stage.clock_now()).await;
        assert_eq!(proved, expected.map(|()| Some(key.thumbprint())), "{name}");
    }
}

/// A proof may be made up to a minute ahead, and used until a minute after: all that time it is remembered.
#[tokio::test]
async fn a_proof_is_remembered_for_as_long_as_it_can_be_used() {
    let stage = Stage::new().await;
    let key = Signer::ed25519("");
    let jwt = Jwt::proof("GET", URLS[0], stage.now() + 60).claim("ath", ATH).proved_by(&key);
    let prove =
        async || stage.replica.proofs.prove(&headers(&[&jwt]), "GET", &URLS, Some(TOKEN), stage.clock_now()).await;
    assert_eq!(prove().await, Ok(Some(key.thumbprint())));
    stage.clock.advance(Duration::from_secs(119));
    assert_eq!(prove().await, Err(ProofError::Replayed));
    stage.clock.advance(Duration::from_secs(2));
    assert_eq!(prove().await, Err(ProofError::Time));
}

#[tokio::test]
async fn no_proof_is_none_and_two_are_not_one() {
    let stage = Stage::new().await;
    let key = Signer::ed25519("");
    let jwt = || Jwt::proof("GET", URLS[0], stage.now()).claim("ath", ATH).proved_by(&key);
    let prove = async |headers: &HeaderMap| {
        stage.replica.proofs.prove(headers, "GET", &URLS, Some(TOKEN), stage.clock_now()).await
    };
    assert_eq!(prove(&HeaderMap::new()).await, Ok(None));
    assert_eq!(prove(&headers(&[&jwt(), &jwt()])).await, Err(ProofError::Malformed));
    assert_eq!(prove(&headers(&[&jwt()])).await, Ok(Some(key.thumbprint())));
}

fn headers(proofs: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for proof in proofs {
        headers.append(DPOP, HeaderValue::from_str(proof).unwrap());
    }
    headers
}
