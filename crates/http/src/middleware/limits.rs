//! What a request's head may be. The server loop reads heads somewhat beyond these limits, so that it is this check
//! that refuses, with a problem, and not the protocol library with an empty body.

use crate::options::HttpOptions;
use crate::problem::{Code, Problem};
use crate::state::Hostless;

/// Refuses a head that is too large, or that says not exactly once whom it is for.
pub(crate) fn check<B>(request: &http::Request<B>, options: &HttpOptions) -> Result<(), Problem> {
    if request.extensions().get::<Hostless>().is_some() {
        return Err(Problem::new(Code::InvalidRequest, "The request must have exactly one Host header field."));
    }
    let limit = options.max_query_bytes;
    if request.uri().query().is_some_and(|q| q.len() > limit) || request.uri().path().len() > limit {
        let detail = format!("The query string is longer than {limit} bytes.");
        return Err(Problem::new(Code::UriTooLong, detail).with("limit_bytes", limit));
    }
    if request.headers().len() > options.max_headers {
        let detail = format!("The request has more than {} header fields.", options.max_headers);
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::extract::Request;

    fn refused(uri: String, headers: usize) -> Option<Code> {
        let mut request = Request::builder().uri(uri);
        for i in 0..headers {
            request = request.header(format!("x-{i}"), "1");
        }
        let options = HttpOptions { max_query_bytes: 100, max_headers: 5, ..HttpOptions::default() };
        check(&request.body(Body::empty()).unwrap(), &options).err().map(|p| p.code())
    }

    #[test]
    fn heads_within_the_limits_pass_and_larger_ones_do_not() {
        assert_eq!(refused(format!("/a?{}", "x".repeat(100)), 5), None);
        assert_eq!(refused(format!("/a?{}", "x".repeat(101)), 0), Some(Code::UriTooLong));
        assert_eq!(refused(format!("/{}", "x".repeat(101)), 0), Some(Code::UriTooLong));
        assert_eq!(refused("/a".to_owned(), 6), Some(Code::HeadersTooLarge));
    }
}
