//! `GET /v1/export`: the whole catalogue as one file, streamed as it is read.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use haat_catalog::ports::ProductReader;
use haat_transfer::Format;
use http::{HeaderMap, HeaderValue, header};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tracing::Instrument;

use crate::answer::NO_STORE;
use crate::extract::access::{Granted, ProductsRead};
use crate::extract::parameters::Parameters;
use crate::openapi::parameters::ExportParameters;
use crate::problem::{Code, Problem};
use crate::state::SharedApp;

/// Pieces (of up to 256 KiB) that wait for the client.
const QUEUE: usize = 4;

/// Export all products
///
/// Every product once, in order of id, in the format that an import takes: NDJSON has the documents as they are stored,
/// CSV the flat form. Products that are written meanwhile may or may not be in it. The connection breaks off when the
/// export cannot be finished, so that half a catalogue is never taken for a whole one.
#[utoipa::path(
    get, path = "/v1/export", operation_id = "exportProducts", tag = "imports",
    params(ExportParameters),
    responses((status = 200, description = "The products.", content(
        (String = "application/x-ndjson"),
        (String = "text/csv"),
        (String = "application/gzip"),
    ), headers(
        ("Content-Disposition" = String, description = "The name of a file to save it in"),
        ("Content-Encoding" = String, description = "`gzip`, if `Accept-Encoding` allows it and `gzip=true` was not asked for"),
        ("Vary" = String, description = "`Accept-Encoding`"),
    ))),
    security(("oauth" = ["products:read"]))
)]
pub(crate) async fn export(
    State(app): State<SharedApp>,
    _access: Granted<ProductsRead>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut reader = parameters.read(&["format", "gzip"]);
    let format = reader.choice("format", &Format::ALL.map(|f| (f.name(), f))).unwrap_or(Format::Ndjson);
    let file = reader.boolean("gzip").unwrap_or(false);
    reader.finish()?;
    let place = place(&app.exports)?;
    // A database that is away is told as such, while there is still a status to tell it by.
    app.services.reader.count().await?;
    let coded = !file && accepts_gzip(&headers);
    let source = Arc::clone(&app.services.reader);
    let mut response = Response::new(body(source, format, file || coded, place, app.options.request_timeout));
    describe(response.headers_mut(), format, file, coded);
    Ok(response)
}

fn describe(headers: &mut HeaderMap, format: Format, file: bool, coded: bool) {
    let (kind, name) = match (format, file) {
        (Format::Ndjson, false) => ("application/x-ndjson", "attachment; filename=\"products.ndjson\""),
        (Format::Csv, false) => ("text/csv; charset=utf-8", "attachment; filename=\"products.csv\""),
        (Format::Ndjson, true) => ("application/gzip", "attachment; filename=\"products.ndjson.gz\""),
        (Format::Csv, true) => ("application/gzip", "attachment; filename=\"products.csv.gz\""),
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if coded {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

/// One of the places for exports under way: each holds some pages of products in memory.
fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| Problem::new(Code::Overloaded, "Too many exports at once; try again later."))
}

/// Whether the client takes gzip (RFC 9110 §12.5.3): named with a weight above zero, or by `*` where it is not named.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    let mut any = false;
    for coding in values.flat_map(|v| v.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
        let wanted = weight.is_none_or(|q| q.trim().parse::<f32>().is_ok_and(|q| q > 0.0));
        match name.as_str() {
            "gzip" | "x-gzip" => return wanted,
            "*" => any = wanted,
            _ => {}
        }
    }
    any
}

/// What goes from an export to its body.
enum Piece {
    Bytes(Bytes),
    /// That was all. Without it the body ends with an error, whatever became of the export.
    End,
}

/// The export as a body. Reading the products stops as soon as the body is dropped, or nobody took a piece for `silence`.
fn body(
    source: Arc<dyn ProductReader>,
    format: Format,
    gzip: bool,
    place: OwnedSemaphorePermit,
    silence: Duration,
) -> Body {
    let (sender, pieces) = mpsc::channel(QUEUE);
    let pipe = Pipe { sender: sender.clone(), runtime: Handle::current(), silence };
    let work = async move {
        let _place = place;
        match haat_transfer::export(source, format, gzip, Box::new(pipe), &|_| {}).await {
            // Should nobody take this either, the body ends with an error.
            Ok(_) => drop(timeout(silence, sender.send(Piece::End)).await),
            Err(error) => tracing::warn!(%error, "an export broke off"),
        }
    };
    tokio::spawn(work.in_current_span());
    Body::from_stream(stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(pieces))),
            Some(Piece::End) => None,
            None => Some((Err(io::Error::other("the export broke off")), None)),
        }
    }))
}

/// Takes what an export writes, in its own thread, to the body.
struct Pipe {
    sender: mpsc::Sender<Piece>,
    runtime: Handle,
    silence: Duration,
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let piece = Piece::Bytes(Bytes::copy_from_slice(buf));
        match self.runtime.block_on(async { timeout(self.silence, self.sender.send(piece)).await }) {
            Ok(Ok(())) => Ok(buf.len()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use haat_catalog::ports::{StoreError, StoredProduct};
    use haat_catalog::product::ProductKey;
    use haat_catalog::{ProductId, Sku};
    use http_body_util::BodyExt;

    /// A catalogue of so many products; the database goes away behind them.
    struct Breaking(u64);

    #[async_trait]
    impl ProductReader for Breaking {
        async fn product(&self, _: &ProductKey) -> Result<Option<StoredProduct>, StoreError> {
            Ok(None)
        }
        async fn scan(&self, after: Option<ProductId>, limit: u32) -> Result<Vec<StoredProduct>, StoreError> {
            let from = after.map_or(0, |id| id.as_u128() as u64);
            if from >= self.0 {
                return Err(StoreError::Unavailable("gone".into()));
            }
            let product = |n: u64| StoredProduct {
                id: ProductId::from_bytes(u128::from(n).to_be_bytes()),
                sku: Sku::new(format!("S{n}")).unwrap(),
                version: 1,
                document: vec![b'x'; 2_000].into(),
            };
            Ok((from + 1..=self.0).take(limit as usize).map(product).collect())
        }
        async fn count(&self) -> Result<u64, StoreError> {
            Ok(self.0)
        }
    }

    fn exported(products: u64, places: &Arc<Semaphore>, silence: Duration) -> Body {
        body(Arc::new(Breaking(products)), Format::Ndjson, false, place(places).unwrap(), silence)
    }

    async fn all_free(places: &Arc<Semaphore>) {
        let free = timeout(Duration::from_secs(20), Arc::clone(places).acquire_many_owned(2)).await;
        drop(free.expect("the place is given back").unwrap());
    }

    #[tokio::test]
    async fn an_export_that_breaks_off_ends_in_an_error_and_not_in_an_end() {
        let places = Arc::new(Semaphore::new(2));
        assert!(exported(3_000, &places, Duration::from_secs(30)).collect().await.is_err());
        all_free(&places).await;
    }

    #[tokio::test]
    async fn a_client_that_goes_away_or_falls_silent_stops_the_export() {
        let places = Arc::new(Semaphore::new(2));
        let (gone, silent) = (
            exported(1_000_000, &places, Duration::from_secs(600)),
            exported(1_000_000, &places, Duration::from_millis(50)),
        );
        assert!(place(&places).is_err(), "no more than there are places");
        drop(gone);
        all_free(&places).await;
        // What it has not taken does not look like the whole either.
        assert!(silent.collect().await.is_err());
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        let accepts = |values: &[&str]| {
            accepts_gzip(&values.iter().map(|v| (header::ACCEPT_ENCODING, v.parse().unwrap())).collect())
        };
        assert!(
            accepts(&["gzip"]) && accepts(&["br, GZIP;q=0.5"]) && accepts(&["deflate", "x-gzip"]) && accepts(&["*"])
        );
        assert!(!accepts(&[]) && !accepts(&["br"]) && !accepts(&["gzip;q=0"]) && !accepts(&["gzip; q=0.0, *"]));
        assert!(!accepts(&["*;q=0"]) && !accepts(&["identity"]));
    }
}
