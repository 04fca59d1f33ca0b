//! From the catalogue's errors to problems: the one place that decides which error is which code.

use haat_catalog::cursor::CursorError;
use haat_catalog::ports::{ChangeLogError, IndexError, StoreError};
use haat_catalog::query::parse::QueryError;
use haat_catalog::write::WriteError;
use haat_catalog::{Invalid, Violation};
use http::header;
use serde_json::Value;

use super::{Code, Problem};

impl Problem {
    /// Violations of a query's or a path's parameters.
    pub fn invalid_parameters(errors: Vec<Violation>) -> Self {
        let detail = summary(&errors, "parameter");
        Self::new(Code::InvalidParameter, detail).with_errors(errors)
    }

    /// Violations of a document.
    pub fn invalid_document(errors: Vec<Violation>) -> Self {
        let detail = summary(&errors, "place");
        Self::new(Code::ValidationFailed, detail).with_errors(errors)
    }
}

/// One violation is told in the detail itself; several are counted.
fn summary(errors: &[Violation], what: &str) -> String {
    match errors {
        [one] if one.pointer.is_empty() => format!("{}.", one.detail),
        [one] => format!("{}: {}.", one.pointer.trim_start_matches('/'), one.detail),
        many => format!("{} {what}s need correction; see errors.", many.len()),
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Invalid(Invalid(errors)) => Self::invalid_parameters(errors),
            QueryError::Cursor(CursorError::Invalid) => Self::new(Code::InvalidCursor, Code::InvalidCursor.about()),
            QueryError::Cursor(CursorError::Mismatch) => Self::new(Code::CursorMismatch, Code::CursorMismatch.about()),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Unavailable(_) | StoreError::Denied(_) | StoreError::Timeout(_) | StoreError::Contention(_) => {
                Code::DatabaseUnavailable
            }
            StoreError::Corrupt(_) | StoreError::Internal(_) => Code::InternalError,
        };
        Self::because(code, error.to_string())
    }
}

impl From<IndexError> for Problem {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Overloaded => Self::new(Code::Overloaded, "Too many searches at once; try again in a second."),
            IndexError::Behind { at } => {
                let detail = format!("The index has come to change {at}; try again in a second.");
                Self::new(Code::IndexBehind, detail).with("seq", at.0)
            }
            IndexError::Store(error) => error.into(),
            IndexError::Internal(_) => Self::because(Code::InternalError, error.to_string()),
        }
    }
}

impl From<ChangeLogError> for Problem {
    fn from(error: ChangeLogError) -> Self {
        match error {
            ChangeLogError::Ahead { head } => {
                Self::new(Code::ChangesAhead, Code::ChangesAhead.about()).with("head", head.0)
            }
            ChangeLogError::Compacted { floor } => {
                Self::new(Code::ChangesCompacted, Code::ChangesCompacted.about()).with("floor", floor.0)
            }
            ChangeLogError::Store(error) => error.into(),
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotFound => Self::new(Code::ProductNotFound, Code::ProductNotFound.about()),
            WriteError::SkuExists(_) => Self::new(Code::SkuExists, format!("{error}. Use PUT to change it."))
                .with_errors(vec![Violation::new("/sku", "belongs to an existing product")]),
            WriteError::IdTaken(_) => Self::new(Code::IdTaken, format!("{error}. Leave 'id' out.")),
            WriteError::PreconditionFailed { current } => precondition_failed(current),
            WriteError::Invalid(Invalid(errors)) => Self::invalid_document(errors),
            WriteError::KeyReused => Self::new(Code::IdempotencyKeyReused, Code::IdempotencyKeyReused.about()),
            WriteError::KeyInFlight => Self::new(Code::IdempotencyKeyInFlight, Code::IdempotencyKeyInFlight.about()),
            WriteError::Store(error) => error.into(),
        }
    }
}

fn precondition_failed(current: Option<String>) -> Problem {
    let detail = match &current {
        Some(_) => "The product exists and its entity tag is not one that the request allows; read it again.",
        None => "There is no such product, and the request asks for one.",
    };
    let problem = Problem::new(Code::PreconditionFailed, detail);
    let problem = match &current {
        Some(tag) => problem.with_header(header::ETAG, tag),
        None => problem,
    };
    problem.with("current_etag", current.map_or(Value::Null, Value::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use haat_catalog::Seq;

    #[test]
    fn a_database_that_comes_back_is_a_503_and_one_that_is_damaged_a_500() {
        assert_eq!(Problem::from(StoreError::Timeout("x".into())).code(), Code::DatabaseUnavailable);
        assert_eq!(Problem::from(StoreError::Corrupt("x".into())).code(), Code::InternalError);
    }

    #[test]
    fn a_single_violation_is_told_in_the_detail() {
        let problem = Problem::invalid_parameters(vec![Violation::new("/limit", "must be an integer from 1 to 100")]);
        let body = String::from_utf8(problem.render("/e", "r").to_vec()).unwrap();
        assert!(body.contains("limit: must be an integer from 1 to 100."), "{body}");
    }

    #[test]
    fn a_compacted_log_names_where_following_can_begin() {
        let problem = Problem::from(ChangeLogError::Compacted { floor: Seq(42) });
        let body: Value = serde_json::from_slice(&problem.render("/e", "r")).unwrap();
        assert_eq!((&body["floor"], &body["status"]), (&42.into(), &410.into()));
    }

    #[test]
    fn a_failed_precondition_tells_the_tag_of_now() {
        let problem = Problem::from(WriteError::PreconditionFailed { current: Some("\"a-1\"".into()) });
        let body: Value = serde_json::from_slice(&problem.render("/e", "r")).unwrap();
        assert_eq!(body["current_etag"], "\"a-1\"");
    }
}
