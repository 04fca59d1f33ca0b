//! Records of NDJSON: one JSON object a line, in the product format.

use std::io::{self, BufRead, Read};

use haat_catalog::ports::RecordError;
use haat_catalog::{Draft, Invalid};
use serde_json::Value;

use crate::reader::{Record, Records};
use crate::spec::{KEPT_ERRORS_OF_RECORD, MAX_RECORD_BYTES};

/// Reads the lines of an input as products.
pub(crate) struct NdjsonRecords {
    input: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
}

impl NdjsonRecords {
    pub(crate) fn new(input: Box<dyn BufRead + Send>) -> Self {
        Self { input, line: Vec::new(), number: 0 }
    }

    /// Reads the next line into `self.line`; `None` at the end, `false` when it is too long (and was skipped).
    fn next_line(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        let limit = MAX_RECORD_BYTES as u64 + 1;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        let whole = self.line.last() == Some(&b'\n');
        if !whole && read as u64 == limit {
            self.input.skip_until(b'\n')?;
            self.number += 1;
            return Ok(Some(false));
        }
        self.number += 1;
        Ok(Some(true))
    }
}

impl Records for NdjsonRecords {
    fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(fits) = self.next_line()? else { return Ok(None) };
            let line = self.number;
            let text = self.line.trim_ascii();
            if fits && text.is_empty() {
                continue;
            }
            let outcome = if fits { product(text) } else { Err(vec![too_long()]) };
            let draft = outcome.map_err(|found| {
                found.into_iter().take(KEPT_ERRORS_OF_RECORD).map(|e| RecordError { line, ..e }).collect()
            });
            return Ok(Some(Record { line, bytes: self.line.len(), draft }));
        }
    }

    fn last_line(&self) -> u64 {
        self.number
    }
}

fn whole_record(detail: impl Into<String>) -> RecordError {
    RecordError { line: 0, pointer: String::new(), detail: detail.into() }
}

fn too_long() -> RecordError {
    whole_record(format!("the line is longer than {MAX_RECORD_BYTES} bytes"))
}

/// One line's product; the errors do not know their line yet.
fn product(text: &[u8]) -> Result<Draft, Vec<RecordError>> {
    // Checked for the whole line at once, and first: a broken character is then not mistaken for broken JSON.
    if let Err(e) = std::str::from_utf8(text) {
        return Err(vec![whole_record(format!(
            "byte {} of the line is not UTF-8; save the file in UTF-8",
            e.valid_up_to() + 1
        ))]);
    }
    let value: Value = serde_json::from_slice(text).map_err(|e| vec![not_json(text, &e)])?;
    Draft::from_json(&value).map_err(|Invalid(found)| {
        found.into_iter().map(|v| RecordError { line: 0, pointer: v.pointer, detail: v.detail }).collect()
    })
}

fn not_json(text: &[u8], error: &serde_json::Error) -> RecordError {
    if text == b"[" {
        return whole_record("a JSON array is not NDJSON; write each product on a line of its own, without brackets");
    }
    // serde_json counts lines within the text it was given, which is always line 1 here.
    let full = error.to_string();
    let what = full.split(" at line ").next().unwrap_or(&full);
    whole_record(format!("not JSON at column {}: {what}; a product is one JSON object on one line", error.column()))
}
