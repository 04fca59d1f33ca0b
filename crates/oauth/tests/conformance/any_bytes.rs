//! Whatever is sent: no panic, and an answer of one of the documented forms.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use haat_oauth::dpop::DPOP;
use haat_oauth::server::JWT_BEARER;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::request::{Endpoint, Request};
use crate::stage::Stage;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static STAGE: LazyLock<Stage> = LazyLock::new(|| RUNTIME.block_on(Stage::new()));

/// Names of parameters, known and not.
const NAMES: [&str; 11] = [
    "grant_type",
    "scope",
    "resource",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "token",
    "token_type_hint",
    "colour",
    "",
];

/// Values that mean something somewhere.
const VALUES: [&str; 12] = [
    "client_credentials",
    "imports",
    "https://haat.example/catalogue",
    "basic",
    "post",
    "ed",
    "off",
    JWT_BEARER,
    "access_token",
    "",
    "%",
    "eyJhbGciOiJub25lIn0.e30.",
];

fn endpoint() -> impl Strategy<Value = Endpoint> {
    prop_oneof![Just(Endpoint::Token), Just(Endpoint::Introspect), Just(Endpoint::Revoke)]
}

/// JSON of any kind, such as a header or claims might be.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-zA-Z0-9+/ ]{0,12}".prop_map(Into::into),
        proptest::sample::select(
            &["Ed25519", "EdDSA", "ES256", "RS256", "none", "at+jwt", "dpop+jwt", "basic", "ed", "key-1"][..]
        )
        .prop_map(Into::into),
    ];
    let names =
        &["alg", "typ", "kid", "jwk", "crit", "iss", "sub", "aud", "exp", "iat", "jti", "htm", "htu", "kty", "x"][..];
    leaf.prop_recursive(3, 24, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            vec((proptest::sample::select(names), inner), 0..8)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// What looks like a JWT.
fn jwt() -> impl Strategy<Value = String> {
    let part = prop_oneof![json().prop_map(|json| json.to_string().into_bytes()), vec(any::<u8>(), 0..40)];
    vec(part, 0..5).prop_map(|parts| {
        let parts: Vec<String> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        parts.join(".")
    })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => proptest::sample::select(&VALUES[..]).prop_map(|value| value.as_bytes().to_vec()),
        2 => jwt().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
    ]
}

/// Bytes, or something like a form.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let form = vec((proptest::sample::select(&NAMES[..]), value()), 0..8).prop_map(|pairs| {
        let pairs: Vec<Vec<u8>> =
            pairs.into_iter().map(|(name, value)| [name.as_bytes(), b"=", &value].concat()).collect();
        pairs.join(&b'&')
    });
    prop_oneof![4 => form, 1 => vec(any::<u8>(), 0..400)]
}

fn field() -> impl Strategy<Value = (HeaderName, Vec<u8>)> {
    let basic = vec(any::<u8>(), 0..60).prop_map(|bytes| format!("Basic {}", STANDARD.encode(bytes)).into_bytes());
    let pair = "[a-z%]{0,5}:[a-z%+]{0,5}".prop_map(|pair| format!("Basic {}", STANDARD.encode(pair)).into_bytes());
    let known = Just(format!("Basic {}", STANDARD.encode(format!("basic:{}", STAGE.secret("basic")))).into_bytes());
    prop_oneof![
        (Just(AUTHORIZATION), prop_oneof![basic, pair, known, vec(any::<u8>(), 0..40)]),
        (Just(DPOP), prop_oneof![jwt().prop_map(String::into_bytes), vec(any::<u8>(), 0..40)]),
        (Just(CONTENT_TYPE), vec(any::<u8>(), 0..40)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_has_an_answer_of_a_documented_form(
        endpoint in endpoint(),
        is_form in proptest::bool::weighted(0.9),
        body in body(),
        fields in vec(field(), 0..3),
    ) {
        let mut headers = HeaderMap::new();
        if is_form {
            headers.append(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        for (name, value) in fields {
            // Whatever no server would let through is not sent.
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name, value);
            }
        }
        let request = Request { endpoint, headers, body };
        let answer = RUNTIME.block_on(STAGE.send(&request));
        let form = answer.check_form(endpoint);
        prop_assert!(form.is_ok(), "{form:?}: {} {}", answer.status, answer.text());
    }

    #[test]
    fn any_text_is_a_bad_token(token in prop_oneof![jwt(), any::<String>()]) {
        let stage = &STAGE;
        prop_assert!(RUNTIME.block_on(stage.replica.verifier.verify(&token)).is_err());
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&token) {
            headers.append(DPOP, value);
            let (proofs, now) = (&stage.replica.proofs, stage.clock_now());
            let proved = RUNTIME.block_on(proofs.prove(&headers, "GET", &["https://haat.example/"], None, now));
            prop_assert!(proved.is_err());
        }
    }
}
