//! What the token endpoint answers (RFC 6749 §5).

use std::time::{Duration, UNIX_EPOCH};

use haat_catalog::Timestamp;
use http::StatusCode;
use http::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::error::{Refusal, TokenError};
use crate::Answer;

/// How long a token lives whose provider does not say.
const UNSAID: Duration = Duration::from_secs(300);
/// The longest that a provider's `Retry-After` is taken at its word.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// A token as it was issued.
#[derive(Deserialize)]
pub(super) struct Issued {
    /// Its text.
    #[serde(rename = "access_token")]
    pub text: String,
    token_type: String,
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl Issued {
    /// How long it lives from the request on. Some providers write the number as a text.
    pub fn life(&self) -> Duration {
        let seconds = match &self.expires_in {
            serde_json::Value::Number(number) => number.as_f64(),
            serde_json::Value::String(text) => text.trim().parse().ok().filter(|seconds: &f64| seconds.is_finite()),
            _ => None,
        };
        match seconds {
            Some(seconds) if seconds <= 0.0 => Duration::ZERO,
            Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
            None => UNSAID,
        }
    }
}

/// The token in an answer.
///
/// # Errors
/// When it is a refusal, or there is none in it.
pub(super) fn read(answer: &Answer) -> Result<Issued, TokenError> {
    if !answer.status.is_success() {
        return Err(refusal(answer));
    }
    let issued: Issued =
        serde_json::from_slice(&answer.body).map_err(|_| TokenError::Unusable("it is not the JSON of a token"))?;
    if !issued.token_type.eq_ignore_ascii_case("Bearer") {
        return Err(TokenError::Unusable("the token is not of the type Bearer"));
    }
    Ok(issued)
}

/// Only the code is taken: a description may hold anything, and is the provider's word to its operators.
fn refusal(answer: &Answer) -> TokenError {
    #[derive(Deserialize)]
    struct Refused {
        error: String,
    }
    let says_why = matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    match serde_json::from_slice::<Refused>(&answer.body) {
        Ok(refused) if says_why => TokenError::Refused(Refusal::of_code(&refused.error)),
        _ if answer.status == StatusCode::UNAUTHORIZED => TokenError::Refused(Refusal::InvalidClient),
        _ => TokenError::Status(answer.status.as_u16()),
    }
}

/// For how long an answer asks not to be asked again (RFC 9110 §10.2.3). A date counts from the answer's own, so that the
/// provider's clock may be any.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => moment(text)?.since(date(headers).unwrap_or(now)),
    };
    Some(wait.min(LONGEST_WAIT))
}

/// When an answer was made, by the clock of whoever made it.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    moment(headers.get(DATE)?.to_str().ok()?)
}

fn moment(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: HeaderMap::new(), body: body.into(), attempts: 1 }
    }

    #[rstest]
    #[case::number(r#""expires_in":3600"#, 3_600.0)]
    #[case::text(r#""expires_in":" 3600""#, 3_600.0)]
    #[case::part(r#""expires_in":1.5"#, 1.5)]
    #[case::missing(r#""scope":"a""#, 300.0)]
    #[case::null(r#""expires_in":null"#, 300.0)]
    #[case::words(r#""expires_in":"soon""#, 300.0)]
    #[case::nothing(r#""expires_in":0"#, 0.0)]
    #[case::negative(r#""expires_in":-5"#, 0.0)]
    #[case::endless(r#""expires_in":1e300"#, Duration::MAX.as_secs_f64())]
    fn a_token_lives_as_long_as_its_provider_says_and_five_minutes_if_it_does_not(#[case] life: &str, #[case] s: f64) {
        let body = format!(r#"{{"access_token":"t","token_type":"bEARER",{life}}}"#);
        let issued = read(&Answer { body: body.into(), ..answer(200, "") }).unwrap();
        assert_eq!((&*issued.text, issued.life().as_secs_f64()), ("t", s));
    }

    #[rstest]
    #[case::no_json("<html>")]
    #[case::no_token(r#"{"token_type":"Bearer"}"#)]
    #[case::no_type(r#"{"access_token":"t"}"#)]
    #[case::another_type(r#"{"access_token":"t","token_type":"DPoP"}"#)]
    #[case::two(r#"{"access_token":"t","access_token":"u","token_type":"Bearer"}"#)]
    #[case::number(r#"{"access_token":5,"token_type":"Bearer"}"#)]
    #[case::error(r#"{"error":"invalid_client"}"#)]
    fn what_is_no_token_is_not_taken_for_one(#[case] body: &'static str) {
        assert!(matches!(read(&answer(200, body)).err(), Some(TokenError::Unusable(_))));
    }

    #[rstest]
    #[case(
        400,
        r#"{"error":"invalid_scope","error_description":"wonderland"}"#,
        TokenError::Refused(Refusal::InvalidScope)
    )]
    #[case(401, r#"{"error":"invalid_client"}"#, TokenError::Refused(Refusal::InvalidClient))]
    #[case(401, "<html>wonderland", TokenError::Refused(Refusal::InvalidClient))]
    #[case(400, r#"{"error":"invalid_target"}"#, TokenError::Refused(Refusal::InvalidTarget))]
    #[case(400, r#"{"error":"wonderland"}"#, TokenError::Refused(Refusal::Other))]
    #[case(404, "wonderland", TokenError::Status(404))]
    #[case(503, r#"{"error":"invalid_client"}"#, TokenError::Status(503))]
    #[case(302, "", TokenError::Status(302))]
    fn refusals_are_known_by_their_code_and_say_nothing_else(
        #[case] status: u16,
        #[case] body: &'static str,
        #[case] error: TokenError,
    ) {
        let read = read(&answer(status, body)).err();
        assert!(!format!("{read:?} {}", read.as_ref().unwrap()).contains("wonderland"));
        assert_eq!(read, Some(error));
    }

    #[rstest]
    #[case("120", Some(120))]
    #[case("999999", Some(3_600))]
    #[case("Mon, 30 Nov 2026 12:02:00 GMT", Some(120))]
    #[case("Mon, 30 Nov 2026 11:00:00 GMT", Some(0))]
    #[case("soon", None)]
    #[case("-1", None)]
    fn retry_after_counts_from_the_providers_own_date(#[case] text: &'static str, #[case] seconds: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_static("Mon, 30 Nov 2026 12:00:00 GMT"));
        headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
        let now = Timestamp::from_millis(0);
        assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs));
    }
}
