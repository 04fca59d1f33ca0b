//! Import and export of products: NDJSON and CSV, gzip or not, streamed. The command line and HTTP share it.
//!
//! An import is two halves that overlap. A thread of its own reads, decompresses, parses and validates
//! ([`haat_catalog::Draft::from_json`]) and gathers what it finds into batches; a bounded channel takes them to an
//! async writer, which hands each to [`haat_catalog::ports::ProductWriter::write_batch`]. Neither half ever holds
//! more than a few batches. What grows with the input is what is remembered of its skus and ids, so that ones that repeat are found:
//! at most 60 bytes a record, and the records of an import are bounded ([`InputLimits`]: by default 300 MB for five million).
//!
//! | module | what |
//! |---|---|
//! | [`spec`] | what is asked for ([`ImportSpec`]) and what comes back ([`ImportReport`]) |
//! | [`format`](mod@format) | [`Format`]: NDJSON or CSV, from a name, a path or a media type |
//! | [`mapping`] | [`CsvMapping`]: from the columns of any CSV to a product's fields |
//! | `input` | gzip, byte order marks, counting what was read |
//! | `ndjson`, `csv` | records of each format, with their line numbers |
//! | `reader` | the reading half: records into batches |
//! | `seen` | skus and ids that repeat |
//! | [`import`](fn@import) | the writing half: batches, retries, counts, when to stop |
//! | [`export`](fn@export) | the catalogue as a file |
//! | [`uploads`] | imports over HTTP: spooled to disk, kept as jobs, resumed after a restart |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod brief;
mod csv;
pub mod export;
pub mod format;
pub mod import;
mod input;
pub mod mapping;
mod ndjson;
mod reader;
mod seen;
pub mod spec;
pub mod uploads;

pub use export::{ExportError, export};
pub use format::Format;
pub use import::import;
pub use mapping::{CsvMapping, MappingError};
pub use spec::{ImportError, ImportReport, ImportSpec, InputLimits, StopCause};
pub use uploads::{UploadError, UploadOptions, Uploads};
