//! What an import is asked to do, and what it reports.

use std::time::Duration;

use haat_catalog::ports::{ImportCounts, RecordError};
use haat_catalog::product::limits;
use serde::{Deserialize, Serialize};

use crate::brief::{NAME_BYTES, brief};
use crate::format::Format;
use crate::mapping::CsvMapping;

/// The longest record (a line of NDJSON, a row of CSV) in bytes. A longer one is an error of that record and is
/// skipped without ever being held. Every product that may be stored fits: CSV writes its JSON with each double quote
/// twice.
pub const MAX_RECORD_BYTES: usize = 2 * limits::DOCUMENT_BYTES + 64 * 1024;

/// How many errors a report keeps; the rest are only counted.
pub const KEPT_ERRORS: usize = 1000;

/// How many bytes the texts of the errors that a report keeps may have together; far below what a row of a database
/// takes, even when JSON escapes make them six times as long.
pub const KEPT_ERROR_BYTES: usize = 512 * 1024;

/// How many errors a report keeps of a single record.
pub const KEPT_ERRORS_OF_RECORD: usize = 20;

/// What an import is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportSpec {
    /// How the input is written.
    pub format: Format,
    /// Which column is which field; `None` reads a CSV whose header names the fields themselves. CSV only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<CsvMapping>,
    /// Find out what would happen, write nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// How many records may be refused before the import stops; 0 stops at the first, [`u64::MAX`] never.
    #[serde(default = "default_max_errors")]
    pub max_errors: u64,
    /// How many records are written in one transaction.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// How large the input may be. The operator's choice, so it is no part of what a client asks for.
    #[serde(skip)]
    pub limits: InputLimits,
    /// How long a batch is tried again while the store cannot be reached.
    #[serde(default = "default_retry_for", skip_serializing_if = "is_default_retry_for")]
    pub retry_for: Duration,
}

/// How large an input may be, whatever it is packed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputLimits {
    /// Records. Skus and ids of all of them are remembered, so that ones that repeat are found: at most 60 bytes for each
    /// record, 30 where records bring no ids.
    pub records: u64,
    /// Bytes of text, unpacked.
    pub unpacked_bytes: u64,
}

impl Default for InputLimits {
    /// Five million records (at most 300 MB of memory), of any length.
    fn default() -> Self {
        Self { records: 5_000_000, unpacked_bytes: u64::MAX }
    }
}

fn default_max_errors() -> u64 {
    1000
}

fn default_batch() -> usize {
    1000
}

fn default_retry_for() -> Duration {
    Duration::from_secs(30)
}

fn is_default_retry_for(given: &Duration) -> bool {
    *given == default_retry_for()
}

impl ImportSpec {
    /// A spec of that format with everything else as by default.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            mapping: None,
            dry_run: false,
            max_errors: default_max_errors(),
            batch: default_batch(),
            limits: InputLimits::default(),
            retry_for: default_retry_for(),
        }
    }

    /// Checks what can be checked before any input is there.
    ///
    /// # Errors
    /// [`ImportError::MappingWithoutCsv`].
    pub fn check(&self) -> Result<(), ImportError> {
        if self.format == Format::Ndjson && self.mapping.is_some() {
            return Err(ImportError::MappingWithoutCsv);
        }
        Ok(())
    }
}

/// Why an import ended before its input did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopCause {
    /// It was told to.
    Cancelled,
    /// More records were refused than allowed.
    TooManyErrors,
    /// The input could not be read any further (a truncated gzip file, a disk error).
    Input,
    /// Its job was ended by somebody else, or is gone.
    Ended,
    /// The store could not be reached for too long; worth trying again.
    StoreUnavailable,
    /// The store failed in a way that trying again does not mend.
    StoreFailed,
}

/// What an import did. Whatever `counts` says was created or updated is committed.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportReport {
    /// How many records were dealt with.
    pub counts: ImportCounts,
    /// The first [`KEPT_ERRORS`] errors (fewer when their texts exceed [`KEPT_ERROR_BYTES`]), by line.
    pub errors: Vec<RecordError>,
    /// Why it stopped before the end of the input; `None` when it read everything.
    pub stopped: Option<String>,
    /// The kind of that reason.
    pub cause: Option<StopCause>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Why an import did not begin. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// A mapping for NDJSON.
    #[error("a mapping is for CSV; NDJSON is read in the product format as it is, so leave the mapping out")]
    MappingWithoutCsv,
    /// The input is of a kind that is not read at all.
    #[error("{0}")]
    NotText(&'static str),
    /// The CSV has no usable header line.
    #[error("the CSV's header line cannot be used: {0}")]
    Header(String),
    /// The header lacks columns that the mapping names.
    #[error("{}", missing_columns(.missing, .header))]
    MissingColumns {
        /// The columns that are not there.
        missing: Vec<MissingColumn>,
        /// The columns that are.
        header: Vec<String>,
    },
    /// A fault in Haat.
    #[error("the import failed: {0}")]
    Internal(String),
}

/// A column that a mapping names and the header lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingColumn {
    /// The column.
    pub column: String,
    /// The field that is read from it.
    pub field: String,
    /// The column that is there and was probably meant.
    pub nearest: Option<String>,
}

fn missing_columns(missing: &[MissingColumn], header: &[String]) -> String {
    let each: Vec<String> = missing
        .iter()
        .map(|m| {
            let hint = m.nearest.as_ref().map(|n| format!(" (did you mean '{n}'?)")).unwrap_or_default();
            format!("'{}' for {}{hint}", m.column, m.field)
        })
        .collect();
    format!(
        "the mapping names columns that the header does not have: {}. The header has: {}",
        each.join(", "),
        shown(header)
    )
}

/// The names of a header for a message, not all of a very long one.
pub(crate) fn shown(header: &[String]) -> String {
    const MOST: usize = 50;
    let names: Vec<String> = header.iter().take(MOST).map(|name| brief(name.clone(), NAME_BYTES)).collect();
    format!("{}{}", names.join(", "), if header.len() > MOST { ", …" } else { "" })
}
