//! The catalogue as a file: NDJSON or CSV, gzip or not, streamed in order of id.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use haat_catalog::Product;
use haat_catalog::ports::{ProductReader, StoreError, StoredProduct};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::format::Format;
use crate::mapping::cell::Read;
use crate::mapping::field::flat_columns;

/// Products read at once.
const PAGE: u32 = 1000;

/// Pages read ahead of the output.
const READ_AHEAD: usize = 2;

const BUFFER_BYTES: usize = 256 * 1024;

/// Why an export stopped. What was written until then is not a whole export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output could not be written.
    #[error("the output could not be written: {0}")]
    Output(#[from] io::Error),
    /// A product is stored that is none.
    #[error("the product {0} is stored damaged: {1}")]
    Damaged(String, String),
}

/// Writes every product to `out`, in order of id; gives their number. NDJSON has the documents as they are stored,
/// CSV the flat form that an import reads without a mapping. `observe` hears the number of products so far.
///
/// Products that are written meanwhile may or may not be in it; every other one is there once.
///
/// # Errors
/// When the store or the output fails; the output is then incomplete.
pub async fn export(
    reader: Arc<dyn ProductReader>,
    format: Format,
    gzip: bool,
    out: Box<dyn Write + Send>,
    observe: &(dyn Fn(u64) + Send + Sync),
) -> Result<u64, ExportError> {
    let (sender, pages) = mpsc::channel(READ_AHEAD);
    let (outcome, written) = oneshot::channel();
    // Writing may block on a pipe for as long as it likes, which a runtime's own threads must not.
    std::thread::Builder::new().name("haat-export".to_owned()).spawn(move || {
        // Nobody listens any more when the export was dropped.
        let _ = outcome.send(write_all(pages, format, gzip, out));
    })?;
    let mut count = 0;
    let mut after = None;
    loop {
        let page = reader.scan(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        let products = page.len() as u64;
        if sender.send(Some(page)).await.is_err() {
            break;
        }
        count += products;
        observe(count);
    }
    // Without this the thread takes the output for abandoned.
    let _ = sender.send(None).await;
    written.await.map_err(|_| io::Error::other("the writing thread ended unexpectedly"))??;
    Ok(count)
}

fn write_all(
    mut pages: mpsc::Receiver<Option<Vec<StoredProduct>>>,
    format: Format,
    gzip: bool,
    out: Box<dyn Write + Send>,
) -> Result<(), ExportError> {
    let out = Out::new(BufWriter::with_capacity(BUFFER_BYTES, out), gzip);
    let mut sheet = match format {
        Format::Ndjson => Sheet::Ndjson(out),
        Format::Csv => Sheet::csv(out)?,
    };
    match fill(&mut sheet, &mut pages) {
        Ok(true) => Ok(sheet.finish()?),
        // The export was dropped, or failed: an output without its end shows that it is not whole.
        Ok(false) => {
            sheet.abandon();
            Ok(())
        }
        Err(e) => {
            sheet.abandon();
            Err(e)
        }
    }
}

/// Writes the pages; tells whether the last one came.
fn fill(sheet: &mut Sheet, pages: &mut mpsc::Receiver<Option<Vec<StoredProduct>>>) -> Result<bool, ExportError> {
    while let Some(page) = pages.blocking_recv() {
        let Some(page) = page else { return Ok(true) };
        for product in page {
            sheet.write(&product)?;
        }
    }
    Ok(false)
}

type Output = BufWriter<Box<dyn Write + Send>>;

enum Out {
    Plain(Output),
    Gzip(GzEncoder<Severed>),
}

/// An output that can be taken away from an encoder, which would otherwise write its end when it is dropped.
struct Severed(Option<Output>);

impl Write for Severed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(buf.len()), |out| out.write(buf))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Output::flush)
    }
}

impl Out {
    fn new(out: Output, gzip: bool) -> Self {
        if gzip { Self::Gzip(GzEncoder::new(Severed(Some(out)), Compression::default())) } else { Self::Plain(out) }
    }

    fn abandon(self) {
        if let Self::Gzip(mut encoder) = self {
            encoder.get_mut().0 = None;
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut out) => out.flush(),
            Self::Gzip(encoder) => encoder.finish()?.flush(),
        }
    }
}

impl Write for Out {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(buf),
            Self::Gzip(out) => out.write(buf),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(out) => out.flush(),
        }
    }
}

enum Sheet {
    Ndjson(Out),
    Csv(Box<csv::Writer<Out>>),
}

impl Sheet {
    fn csv(out: Out) -> Result<Self, ExportError> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(flat_columns()).map_err(output)?;
        Ok(Self::Csv(Box::new(writer)))
    }

    fn write(&mut self, stored: &StoredProduct) -> Result<(), ExportError> {
        match self {
            Self::Ndjson(out) => {
                out.write_all(&stored.document)?;
                out.write_all(b"\n")?;
            }
            Self::Csv(writer) => {
                let damaged = |e: serde_json::Error| ExportError::Damaged(stored.sku.to_string(), e.to_string());
                let product = Product::from_json(&stored.document).map_err(damaged)?;
                let cells: Result<Vec<String>, _> = flat_columns().map(|column| cell(&product, column)).collect();
                writer.write_record(cells.map_err(damaged)?).map_err(output)?;
            }
        }
        Ok(())
    }

    fn abandon(self) {
        match self {
            Self::Ndjson(out) => out.abandon(),
            // What it has not passed on yet is of no use without the rest.
            Self::Csv(writer) => {
                if let Ok(out) = writer.into_inner() {
                    out.abandon();
                }
            }
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Ndjson(out) => out.finish(),
            Self::Csv(writer) => writer.into_inner().map_err(csv::IntoInnerError::into_error)?.finish(),
        }
    }
}

fn output(error: csv::Error) -> ExportError {
    ExportError::Output(match error.into_kind() {
        csv::ErrorKind::Io(e) => e,
        other => io::Error::other(format!("{other:?}")),
    })
}

/// A product's cell in a column of the flat form; empty when there is nothing.
fn cell(p: &Product, column: &str) -> Result<String, serde_json::Error> {
    fn shown<T: ToString>(value: Option<T>) -> String {
        value.map(|v| v.to_string()).unwrap_or_default()
    }
    Ok(match column {
        "id" => p.id.to_string(),
        "sku" => p.sku.to_string(),
        "name" => p.name.clone(),
        "description" => shown(p.description.as_ref()),
        "brand" => shown(p.brand.as_ref()),
        "category" => list(&p.category, &Read::FLAT_PATH)?,
        "tags" => list(&p.tags, &Read::FLAT_LIST)?,
        "price.amount" => p.price.amount.to_string(),
        "price.currency" => p.price.currency.to_string(),
        "list_price.amount" => shown(p.list_price.map(|m| m.amount)),
        "list_price.currency" => shown(p.list_price.map(|m| m.currency)),
        "stock" => shown(p.stock),
        "unit" => shown(p.unit.as_ref()),
        "rating" => shown(p.rating),
        "seller" => shown(p.seller.as_ref()),
        "location.lat" => shown(p.location.map(|l| l.lat)),
        "location.lon" => shown(p.location.map(|l| l.lon)),
        "attributes" => json(&p.attributes, p.attributes.is_empty())?,
        "images" => list(&p.images, &Read::FLAT_LIST)?,
        "variants" => json(&p.variants, p.variants.is_empty())?,
        "status" => p.status.name().to_owned(),
        "created_at" => p.created_at.to_string(),
        "updated_at" => p.updated_at.to_string(),
        "version" => p.version.to_string(),
        _ => String::new(),
    })
}

fn json<T: Serialize>(value: &T, empty: bool) -> Result<String, serde_json::Error> {
    if empty { Ok(String::new()) } else { serde_json::to_string(value) }
}

/// The items with the separator between them, or as a JSON array where that would not be read back as the same.
fn list(items: &[String], read: &Read) -> Result<String, serde_json::Error> {
    let Read::SplitOrJson(separator) = read else { return serde_json::to_string(items) };
    let joined = items.join(separator);
    let wanted = (!items.is_empty()).then(|| serde_json::json!(items));
    if read.value(&joined) == Ok(wanted) { Ok(joined) } else { serde_json::to_string(items) }
}
