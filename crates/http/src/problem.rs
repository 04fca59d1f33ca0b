//! Every answer that is not a success: problem details (RFC 9457) with a stable code from one [table](Code).
//!
//! Which error type goes where: handlers and extractors return [`Problem`]; `problem/convert.rs` makes problems of the
//! catalogue's errors. What a client must not see (SQL, paths, upstream texts) is kept in [`Problem::because`] and
//! reaches only the log. The body is rendered by the outermost middleware, which alone knows the request's id.

mod convert;
mod reference;
mod table;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use haat_catalog::Violation;
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use serde_json::{Map, Value, json};

pub use reference::{errors_html, errors_markdown};
pub use table::Code;

/// The media type of problems.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The type of a refusal by a rate limit (draft-ietf-httpapi-ratelimit-headers-10 §7.1).
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// The most violations that one problem lists: enough to correct a request, too few to make a small request cause a
/// large answer.
const MAX_ERRORS: usize = 100;

/// A problem, before it is given the request's id and put into bytes.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    detail: String,
    errors: Vec<Violation>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

/// The JSON of a problem, in the order in which people read it.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Violation],
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl Problem {
    /// A problem of that code; `detail` tells the client what is wrong and what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let inner = Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
            cause: None,
        };
        Self(Box::new(inner))
    }

    /// A problem whose text for the client is fixed, with what happened for the log.
    pub fn because(code: Code, cause: impl Into<String>) -> Self {
        let mut problem = Self::new(code, code.about());
        problem.0.cause = Some(cause.into());
        problem
    }

    /// Adds violations; only the first hundred are listed.
    #[must_use]
    pub fn with_errors(mut self, mut errors: Vec<Violation>) -> Self {
        if errors.len() > MAX_ERRORS {
            let left = errors.len() - MAX_ERRORS;
            errors.truncate(MAX_ERRORS);
            self.0.detail.push_str(&format!(" ({left} more are not listed.)"));
        }
        self.0.errors = errors;
        self
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header to the answer; one whose value is no valid header text is left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What the log should know and the client must not.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The body as OAuth clients read it (RFC 6749 §5.2).
    pub fn render_for_oauth(&self) -> Bytes {
        let status = self.0.code.status();
        let error = match status.as_u16() {
            429 | 503 => "temporarily_unavailable",
            500.. => "server_error",
            _ => "invalid_request",
        };
        json!({"error": error, "error_description": self.0.detail}).to_string().into()
    }

    /// The body.
    pub fn render(&self, errors_url: &str, request_id: &str) -> Bytes {
        let inner = &*self.0;
        let body = Body {
            r#type: match inner.code {
                // Registered, so that clients know it from any server.
                Code::QuotaExceeded => QUOTA_EXCEEDED.to_owned(),
                code => format!("{errors_url}#{}", code.name()),
            },
            title: inner.code.title(),
            status: inner.code.status().as_u16(),
            detail: &inner.detail,
            code: inner.code.name(),
            request_id,
            errors: &inner.errors,
            members: &inner.members,
        };
        // Strings, numbers and maps with text keys always serialise.
        serde_json::to_vec(&body).unwrap_or_default().into()
    }
}

impl IntoResponse for Problem {
    /// Status and headers, without a body yet: the outermost middleware finds the problem in the answer's extensions
    /// and renders it.
    fn into_response(self) -> Response {
        let mut response = self.0.code.status().into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.0.code.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in &self.0.headers {
            headers.insert(name.clone(), value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.render("https://haat.example/errors", "r-1")).unwrap()
    }

    #[test]
    fn a_problem_has_every_member_that_clients_rely_on() {
        let body = json(&Problem::new(Code::IndexBehind, "Wait.").with("seq", 7));
        assert_eq!(
            body,
            serde_json::json!({
                "type": "https://haat.example/errors#index_behind", "title": "The index has not come that far yet",
                "status": 503, "detail": "Wait.", "code": "index_behind", "request_id": "r-1", "seq": 7
            })
        );
    }

    #[test]
    fn what_the_log_knows_never_reaches_the_client() {
        let problem = Problem::because(Code::InternalError, "SELECT secret FROM t");
        assert!(!json(&problem).to_string().contains("SELECT"));
        assert_eq!(problem.cause(), Some("SELECT secret FROM t"));
    }

    #[test]
    fn a_flood_of_violations_is_cut_and_says_so() {
        let errors = (0..5_000).map(|i| Violation::new(format!("/{i}"), "no")).collect();
        let body = json(&Problem::new(Code::ValidationFailed, "Bad.").with_errors(errors));
        assert_eq!(body["errors"].as_array().unwrap().len(), MAX_ERRORS);
        assert!(body["detail"].as_str().unwrap().contains("4900 more"));
    }

    #[test]
    fn codes_are_unique_snake_case_and_never_successes() {
        let mut names: Vec<_> = Code::ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code:?}");
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
            assert_eq!(code.status() == 503, code.retry_after().is_some() && code.status() != 409, "{code:?}");
        }
    }

    #[test]
    fn answers_that_ask_to_come_again_say_when() {
        let response = Problem::new(Code::Overloaded, "Busy.").into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
}
