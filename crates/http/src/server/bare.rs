//! Answers that the protocol library makes by itself, to requests it cannot read: status and no body. They are
//! recognised on their way out and given the problem that every other answer of their kind has.

use haat_catalog::Ids;
use haat_catalog::time::RandomIds;

use crate::problem::{Code, Problem};

/// Every answer of ours has this header, none of the library's.
const OURS: &[u8] = b"x-request-id:";

/// Makes problems of bare answers.
pub(super) struct BareAnswers {
    errors_url: String,
}

impl BareAnswers {
    pub fn new(errors_url: String) -> Self {
        Self { errors_url }
    }

    /// What to write instead of `answer`, should it be one of the library's own.
    /// `line_read` is whether the request's first line had come to its end.
    pub fn replacement(&self, answer: &[u8], line_read: bool) -> Option<Vec<u8>> {
        let status = answer.strip_prefix(b"HTTP/1.1 4")?;
        if contains(answer, OURS) || !answer.ends_with(b"\r\n\r\n") {
            return None;
        }
        let (line, problem) = match status.get(..2)? {
            b"00" => ("400 Bad Request", Problem::new(Code::InvalidRequest, Code::InvalidRequest.about())),
            // The library counts the address among the header fields.
            b"31" if !line_read => ("414 URI Too Long", Problem::new(Code::UriTooLong, Code::UriTooLong.about())),
            b"14" => ("414 URI Too Long", Problem::new(Code::UriTooLong, Code::UriTooLong.about())),
            b"31" => (
                "431 Request Header Fields Too Large",
                Problem::new(Code::HeadersTooLarge, Code::HeadersTooLarge.about()),
            ),
            _ => return None,
        };
        let id = RandomIds.next_id().to_string();
        let body = problem.render(&self.errors_url, &id);
        let head = format!(
            "HTTP/1.1 {line}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
             x-content-type-options: nosniff\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        tracing::info!(target: "haat::access", status = problem.code().status().as_u16(), request_id = id, "unreadable request refused");
        Some([head.as_bytes(), &body].concat())
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_answers_get_a_problem_and_ours_stay_as_they_are() {
        let bare = BareAnswers::new("/e".into());
        let large = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        let replaced = bare.replacement(large, true);
        let text = String::from_utf8(replaced.unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 ") && head.contains(&format!("content-length: {}", body.len())));
        assert!(body.contains("headers_too_large"));
        assert!(bare.replacement(b"HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\n\r\n", true).is_none());
        assert!(bare.replacement(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true).is_none());
        assert!(bare.replacement(b"any other bytes of a body", true).is_none());
        // An address without an end.
        let text = String::from_utf8(bare.replacement(large, false).unwrap()).unwrap();
        assert!(text.starts_with("HTTP/1.1 414 ") && text.contains("uri_too_long"), "{text}");
    }
}
