//! `/v1/imports`: many products in one streamed body, carried out as a job.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use haat_catalog::Timestamp;
use haat_catalog::ports::{ImportCounts, ImportJob, JobState, RecordError};
use haat_transfer::{CsvMapping, Format, ImportSpec, MappingError, UploadError};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer;
use crate::extract::access::{Granted, Imports};
use crate::extract::body::too_large;
use crate::extract::content_type;
use crate::extract::parameters::Parameters;
use crate::extract::path::Segment;
use crate::openapi::parameters::ImportParameters;
use crate::openapi::schema;
use crate::problem::{Code, Problem};
use crate::state::SharedApp;

const ACCEPTED: &[&str] = &[
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "text/csv",
    "application/gzip",
    "application/octet-stream",
];
/// The most errors that an import may be allowed before it stops.
const MAX_ERRORS: u64 = 1_000_000;

/// An import.
#[derive(Serialize, ToSchema)]
pub(crate) struct Import {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Where it stands.
    #[schema(value_type = schema::ImportState)]
    state: JobState,
    /// What was asked for: format, mapping, dry run.
    #[schema(value_type = Object)]
    options: serde_json::Value,
    /// What was done so far.
    #[schema(value_type = schema::ImportCounts)]
    counts: ImportCounts,
    /// The first errors, by line.
    #[schema(value_type = Vec<schema::RecordError>)]
    errors: Vec<RecordError>,
    /// Why it failed, or why it waits.
    #[schema(required = true)]
    message: Option<String>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last moved.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// Import many products
///
/// The body is streamed to disk, then imported as a job in batches; gzip is recognised by itself. Products whose sku
/// exists are replaced, others created, equal ones left alone, so that sending the same file twice changes nothing.
/// Records that are refused are listed by line and the others kept. `Content-Type` names the format, or `format` does.
#[utoipa::path(
    post, path = "/v1/imports", operation_id = "createImport", tag = "imports",
    params(ImportParameters),
    request_body(content(
        (serde_json::Value = "application/x-ndjson", example = json!("{\"sku\":\"A1\",\"name\":\"Apple\",\"price\":{\"amount\":100,\"currency\":\"INR\"}}\n")),
        (serde_json::Value = "text/csv", example = json!("sku,name,price.amount,price.currency\nA1,Apple,100,INR\n")),
    ), description = "NDJSON (one product a line) or CSV, gzipped or not"),
    responses((status = 202, description = "The upload was taken in; the import follows.", body = Import, headers(
        ("Location" = String, description = "Where to watch the import"),
    ))),
    security(("oauth" = ["imports"]))
)]
pub(crate) async fn submit(
    State(app): State<SharedApp>,
    _access: Granted<Imports>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    let spec = spec(&parameters, request.headers())?;
    let limit = app.options.max_import_bytes;
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|n| n > limit) {
        return Err(too_large(limit));
    }
    let body = without_long_silences(request.into_body().into_data_stream(), app.options.request_timeout);
    let job = app.services.uploads.submit(Box::pin(body), spec).await.map_err(|e| refused(&e, limit))?;
    let location = format!("/v1/imports/{}", job.id);
    let mut response = answer::json(StatusCode::ACCEPTED, render(job));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Watch an import
#[utoipa::path(
    get, path = "/v1/imports/{id}", operation_id = "getImport", tag = "imports",
    params(("id" = String, Path, format = "uuid", description = "The import's id")),
    responses((status = 200, description = "The import as it stands.", body = Import)),
    security(("oauth" = ["imports"]))
)]
pub(crate) async fn get(
    State(app): State<SharedApp>,
    _access: Granted<Imports>,
    Segment(id): Segment,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let job = match Uuid::try_parse(&id) {
        Ok(id) => app.services.uploads.job(id).await?,
        Err(_) => None,
    };
    match job {
        Some(job) => Ok(answer::json(StatusCode::OK, render(job))),
        None => Err(Problem::new(Code::ImportNotFound, Code::ImportNotFound.about())),
    }
}

/// Cancel an import
///
/// One that waits for its turn is not begun. One that is under way stops: the batch that is being written may still be,
/// and counts; what is counted stays written. Cancelling again is no error.
#[utoipa::path(
    delete, path = "/v1/imports/{id}", operation_id = "cancelImport", tag = "imports",
    params(("id" = String, Path, format = "uuid", description = "The import's id")),
    responses((status = 204, description = "The import is cancelled.")),
    security(("oauth" = ["imports"]))
)]
pub(crate) async fn cancel(
    State(app): State<SharedApp>,
    _access: Granted<Imports>,
    Segment(id): Segment,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let state = match Uuid::try_parse(&id) {
        Ok(id) => app.services.uploads.cancel(id).await?,
        Err(_) => None,
    };
    match state {
        Some(JobState::Cancelled) => Ok(answer::no_content()),
        Some(_) => Err(Problem::new(Code::ImportFinished, Code::ImportFinished.about())),
        None => Err(Problem::new(Code::ImportNotFound, Code::ImportNotFound.about())),
    }
}

fn render(job: ImportJob) -> Vec<u8> {
    let ImportJob { id, owner: _, state, options, counts, errors, message, created_at, updated_at } = job;
    let view = Import { id, state, options, counts, errors, message, created_at, updated_at };
    // Nothing in a job can fail to serialise.
    serde_json::to_vec(&view).unwrap_or_default()
}

fn spec(parameters: &Parameters, headers: &HeaderMap) -> Result<ImportSpec, Problem> {
    let media_type = content_type::require(headers, ACCEPTED)?;
    let mut reader = parameters.read(&["format", "dry_run", "max_errors", "map"]);
    let named = reader.choice("format", &Format::ALL.map(|f| (f.name(), f)));
    let format = named.or_else(|| Format::from_media_type(media_type));
    if format.is_none() && !reader.has("format") {
        reader.refuse("format", format!("is required with {media_type}, which does not tell: ndjson or csv"));
    }
    let dry_run = reader.boolean("dry_run").unwrap_or(false);
    let max_errors = reader.integer("max_errors", 0, MAX_ERRORS);
    let rules: Vec<&str> = reader.all("map").filter(|rule| !rule.is_empty()).collect();
    let mapping = match (rules.is_empty(), format) {
        (true, _) => None,
        (false, Some(Format::Ndjson)) => {
            reader.refuse("map", "is for CSV; NDJSON has the product format as it is");
            None
        }
        (false, _) => CsvMapping::parse(rules).map_err(|e| reader.refuse("map", refused_rule(&e))).ok(),
    };
    reader.finish()?;
    // Without a format the reader has refused above.
    let mut spec = ImportSpec { mapping, dry_run, ..ImportSpec::new(format.unwrap_or(Format::Ndjson)) };
    if let Some(max_errors) = max_errors {
        spec.max_errors = max_errors;
    }
    Ok(spec)
}

/// The body's pieces; a client that is silent for longer than `silence` is given up.
fn without_long_silences(
    body: BodyDataStream,
    silence: Duration,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        match tokio::time::timeout(silence, body.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(body))),
            Ok(Some(Err(error))) => Some((Err(std::io::Error::other(error)), None)),
            Err(_) => Some((Err(std::io::Error::from(std::io::ErrorKind::TimedOut)), None)),
        }
    })
}

fn refused(error: &UploadError, limit: u64) -> Problem {
    match error {
        UploadError::TooLarge { .. } => too_large(limit),
        UploadError::Busy => Problem::new(Code::Overloaded, "Too many imports are waiting; try again later."),
        UploadError::Interrupted(_) => Problem::because(Code::IncompleteBody, error.to_string()),
        UploadError::Spec(error) => {
            Problem::invalid_parameters(vec![haat_catalog::Violation::new("", error.to_string())])
        }
        UploadError::Store(error) => error.clone().into(),
        UploadError::Io(_) => Problem::because(Code::InternalError, error.to_string()),
    }
}

/// What is wrong with a mapping, in the words of a query parameter rather than of the command line.
fn refused_rule(error: &MappingError) -> String {
    match error.rule.as_str() {
        "" => error.detail.clone(),
        rule => format!("'{rule}': {}", error.detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, media_type: &str) -> Result<ImportSpec, Problem> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media_type.parse().unwrap())]);
        spec(&Parameters::decode(query).unwrap(), &headers)
    }

    #[test]
    fn the_format_comes_from_the_media_type_or_the_parameter() {
        assert_eq!(read("", "text/csv; charset=utf-8").unwrap().format, Format::Csv);
        assert_eq!(read("", "application/x-ndjson").unwrap().format, Format::Ndjson);
        assert_eq!(read("format=csv", "application/gzip").unwrap().format, Format::Csv);
        assert_eq!(read("", "application/gzip").unwrap_err().code(), Code::InvalidParameter);
        assert_eq!(read("format=xml", "application/gzip").unwrap_err().code(), Code::InvalidParameter);
        assert_eq!(read("", "text/plain").unwrap_err().code(), Code::UnsupportedMediaType);
    }

    #[test]
    fn options_are_read_and_contradictions_named() {
        let spec = read("dry_run=true&max_errors=5", "text/csv").unwrap();
        assert!(spec.dry_run && spec.max_errors == 5 && spec.mapping.is_none());
        assert!(read("map=name%3DTitle", "application/x-ndjson").is_err());
        assert!(read("dry_run=yes", "text/csv").is_err());
        assert!(read("batch=5", "text/csv").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_given_up() {
        let silent = axum::body::Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let pieces: Vec<_> = without_long_silences(silent.into_data_stream(), Duration::from_secs(30)).collect().await;
        assert_eq!(pieces.len(), 1);
        assert!(pieces.into_iter().next().is_some_and(|piece| piece.is_err()));
    }
}
