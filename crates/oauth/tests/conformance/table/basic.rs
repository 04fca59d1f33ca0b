//! `client_secret_basic`: the secret in the `Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

use super::{INVALID_CLIENT, INVALID_REQUEST, Row, granted, refused};
use crate::request::Request;
use crate::stage::Stage;

pub fn rows(stage: &Stage) -> Vec<Row> {
    let mut rows = forms(stage);
    rows.extend(encodings(stage));
    rows.extend(malformed(stage));
    rows.extend(wrong(stage));
    rows
}

/// How the header may be written.
fn forms(stage: &Stage) -> Vec<Row> {
    let pair = format!("padded:{}", stage.secret("padded"));
    let (padded, unpadded) = (STANDARD.encode(&pair), STANDARD_NO_PAD.encode(&pair));
    assert_ne!(padded, unpadded, "the client's credentials need padding");
    let sent = |value: String| Request::token().authorization(&value);
    vec![
        granted("basic", "RFC 6749 §2.3.1", stage.asked_by("basic")),
        granted("the scheme in lower case", "RFC 9110 §11.1", sent(format!("basic {padded}"))),
        granted("the scheme in capitals", "RFC 9110 §11.1", sent(format!("BASIC {padded}"))),
        granted("base64 with padding", "RFC 7617 §2", sent(format!("Basic {padded}"))),
        granted("base64 without padding", "RFC 7617 §2", sent(format!("Basic {unpadded}"))),
        granted("two spaces after the scheme", "RFC 9110 §11.4", sent(format!("Basic  {padded}"))),
        granted("the newer of two secrets", "wire.md secrets", stage.asked_by("two")),
        granted(
            "the older of two secrets",
            "wire.md secrets",
            Request::token().basic("two", stage.secret("two, older")),
        ),
        refused(
            "a secret that has ended",
            "wire.md secrets",
            Request::token().basic("ended", stage.secret("ended, older")),
            INVALID_CLIENT,
        ),
        granted("the secret after one that has ended", "wire.md secrets", stage.asked_by("ended")),
    ]
}

/// Id and secret are form-encoded before they are put together.
fn encodings(stage: &Stage) -> Vec<Row> {
    let secret = stage.secret("basic");
    let hex: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let sent = |pair: String| Request::token().basic_of(pair);
    vec![
        granted("a percent-encoded id", "RFC 6749 §2.3.1", sent(format!("%62asic:{secret}"))),
        granted("a percent-encoded secret", "RFC 6749 §2.3.1", sent(format!("basic:{hex}"))),
        granted("percent-encoding in lower case", "RFC 6749 §2.3.1", sent(format!("basic:{}", hex.to_lowercase()))),
        refused("a plus is a space", "RFC 6749 §2.3.1", sent(format!("basic:{secret}+")), INVALID_CLIENT),
        refused("encoded twice", "RFC 6749 §2.3.1", sent(format!("basic:{}", hex.replace('%', "%25"))), INVALID_CLIENT),
        refused("an escape that is none", "RFC 6749 §2.3.1", sent(format!("basic:{secret}%")), INVALID_CLIENT),
        refused("an escape that is no UTF-8", "RFC 6749 §2.3.1", sent(format!("basic:{secret}%ff")), INVALID_CLIENT),
        refused(
            "an encoded colon divides nothing",
            "RFC 6749 §2.3.1",
            sent(format!("basic%3A{secret}")),
            INVALID_CLIENT,
        ),
    ]
}

/// What is no such header at all.
fn malformed(stage: &Stage) -> Vec<Row> {
    let pair = format!("basic:{}", stage.secret("basic"));
    let good = STANDARD.encode(&pair);
    let sent = |value: &str| Request::token().authorization(value);
    let pair_of = |pair: &[u8]| Request::token().basic_of(pair);
    let no = |name, section, request| refused(name, section, request, INVALID_CLIENT);
    vec![
        no("no colon", "RFC 7617 §2", pair_of(b"basic")),
        no("an empty id", "RFC 7617 §2", pair_of(b":secret")),
        no("only a colon", "RFC 7617 §2", pair_of(b":")),
        no("no credentials", "RFC 7617 §2", pair_of(b"")),
        no("credentials that are no UTF-8", "RFC 7617 §2", pair_of(b"basic:\xff\xfe")),
        no("a scheme and nothing else", "RFC 9110 §11.4", sent("Basic")),
        no("an empty field", "RFC 9110 §11.4", sent("")),
        no("no base64", "RFC 7617 §2", sent("Basic !!!!")),
        no("credentials in the clear", "RFC 7617 §2", sent(&format!("Basic {pair}"))),
        no("the URL-safe alphabet", "RFC 7617 §2", sent(&format!("Basic {}", URL_SAFE.encode(b"\xfb\xff:\xfb\xff")))),
        no("base64 with a space in it", "RFC 7617 §2", sent(&format!("Basic {} {}", &good[..8], &good[8..]))),
        no("two pairs in one field", "RFC 9110 §11.4", sent(&format!("Basic {good}, Basic {good}"))),
        no("bytes beyond ASCII in the field", "RFC 9110 §5.5", sent("Basic bäsic")),
        no("a bearer token instead", "RFC 6749 §2.3.1", sent("Bearer abc")).says("Basic"),
        no("DPoP instead", "RFC 9449 §7.1", sent("DPoP abc")),
        no("digest instead", "RFC 7616 §3.4", sent("Digest username=\"basic\"")),
        refused(
            "the field twice, the same",
            "RFC 9110 §5.3",
            stage.asked_by("basic").authorization(&format!("Basic {good}")),
            INVALID_REQUEST,
        ),
        refused(
            "the field twice, of two clients",
            "RFC 9110 §5.3",
            stage.asked_by("basic").basic("other", stage.secret("other")),
            INVALID_REQUEST,
        ),
        refused(
            "the field twice, of two schemes",
            "RFC 9110 §5.3",
            stage.asked_by("basic").authorization("Bearer abc"),
            INVALID_REQUEST,
        ),
    ]
}

/// Credentials that are not right.
fn wrong(stage: &Stage) -> Vec<Row> {
    let secret = stage.secret("basic");
    let no = |name, id: &str, secret: &str| {
        refused(name, "RFC 6749 §5.2", Request::token().basic(id, secret), INVALID_CLIENT)
    };
    vec![
        no("a wrong secret", "basic", "haat_wrong"),
        no("an empty secret", "basic", ""),
        no("another client's secret", "basic", stage.secret("other")),
        no("half of the secret", "basic", &secret[..secret.len() / 2]),
        no("the secret and a line end", "basic", &format!("{secret}\n")),
        no("the secret and a NUL", "basic", &format!("{secret}\0")),
        no("the secret without its prefix", "basic", secret.trim_start_matches("haat_")),
        no("the secret in capitals", "basic", &secret.to_uppercase()),
        no("an unknown client", "nobody", secret),
        no("a client's id with other case", "Basic", secret),
        no("a client's id with a space", "basic ", secret),
        no("id and secret the wrong way round", secret, "basic"),
        no("a disabled client with its secret", "off", stage.secret("off")),
        no("a client that sends its secret in the body", "post", stage.secret("post")),
        no("a client that signs", "ed", secret),
    ]
}
