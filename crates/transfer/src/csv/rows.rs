//! The rows of a CSV input, one after the other, each with the line on which it begins.
//!
//! The bytes of the row being read stay in a window, so that after something that is no row reading goes on with
//! the very next line: one stray quote costs one row, not all up to the next quote.

use std::io::{self, BufRead};

use crate::csv::scan::{Cells, Scan, scan};
use crate::spec::MAX_RECORD_BYTES;

/// Where a row can be told to be a row of that separator.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// What was found.
pub(crate) enum Found<'a> {
    /// A row.
    Row { line: u64, bytes: usize, cells: &'a Cells },
    /// A line that begins no row; the cell where it goes wrong, where that is known.
    Bad { line: u64, bytes: usize, cell: Option<usize>, detail: String },
}

/// Reads rows.
pub(crate) struct Rows {
    input: Box<dyn BufRead + Send>,
    window: Vec<u8>,
    start: usize,
    ended: bool,
    /// Lines that lie before `window[start]`.
    lines: u64,
    delimiter: Option<u8>,
    cells: Cells,
}

impl Rows {
    pub(crate) fn new(input: Box<dyn BufRead + Send>) -> Self {
        Self { input, window: Vec::new(), start: 0, ended: false, lines: 0, delimiter: None, cells: Cells::default() }
    }

    /// The last line that was read as a whole.
    pub(crate) fn last_line(&self) -> u64 {
        self.lines
    }

    /// The next row that is not blank.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        let line = loop {
            let delimiter = self.delimiter()?;
            let rest = self.window.get(self.start..).unwrap_or_default();
            if rest.is_empty() && self.ended {
                return Ok(None);
            }
            // Never looks further than a row may be long, so that what is too long does not depend on how much of
            // the input happens to be in the window.
            let reach = rest.get(..=MAX_RECORD_BYTES).unwrap_or(rest);
            match scan(reach, self.ended && reach.len() == rest.len(), delimiter, &mut self.cells) {
                Scan::Row(used) if used <= MAX_RECORD_BYTES => {
                    let line = self.lines + 1;
                    self.advance(used);
                    if !self.cells.is_blank() {
                        break (line, used);
                    }
                }
                Scan::More if reach.len() <= MAX_RECORD_BYTES => self.fill()?,
                Scan::Bad(cell, detail) => return self.bad(Some(cell), detail.to_owned()).map(Some),
                _ => {
                    let detail = format!(
                        "the row is longer than {MAX_RECORD_BYTES} bytes; if it should not be, a double quote is not closed"
                    );
                    return self.bad(None, detail).map(Some);
                }
            }
        };
        Ok(Some(Found::Row { line: line.0, bytes: line.1, cells: &self.cells }))
    }

    fn bad(&mut self, cell: Option<usize>, detail: String) -> io::Result<Found<'_>> {
        let line = self.lines + 1;
        let bytes = self.skip_line()?;
        Ok(Found::Bad { line, bytes, cell, detail })
    }

    /// The separator: the one that occurs most often in the first line outside quotes.
    fn delimiter(&mut self) -> io::Result<u8> {
        if let Some(known) = self.delimiter {
            return Ok(known);
        }
        while !self.ended && self.window.len() <= MAX_RECORD_BYTES && !self.window.trim_ascii_start().contains(&b'\n') {
            self.fill()?;
        }
        let mut counts = [0_usize; DELIMITERS.len()];
        let mut in_quotes = false;
        for &byte in self.window.trim_ascii_start().iter().take_while(|&&b| b != b'\n') {
            in_quotes ^= byte == b'"';
            if let Some(i) = DELIMITERS.iter().position(|&d| d == byte)
                && !in_quotes
            {
                counts.iter_mut().skip(i).take(1).for_each(|n| *n += 1);
            }
        }
        // Of equally frequent ones the first, so that a single column is a comma's.
        let best = DELIMITERS.iter().zip(counts).rev().max_by_key(|(_, n)| *n).map_or(b',', |(d, _)| *d);
        self.delimiter = Some(best);
        Ok(best)
    }

    /// Leaves out everything up to the next line; gives its length.
    fn skip_line(&mut self) -> io::Result<usize> {
        let mut skipped = 0;
        loop {
            let rest = self.window.get(self.start..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|&b| b == b'\n') {
                self.advance(end + 1);
                return Ok(skipped + end + 1);
            }
            skipped += rest.len();
            self.start = self.window.len();
            if self.ended {
                self.lines += 1;
                return Ok(skipped);
            }
            self.fill()?;
        }
    }

    fn advance(&mut self, used: usize) {
        let end = self.start + used;
        let passed = self.window.get(self.start..end).unwrap_or_default();
        self.lines += passed.iter().filter(|&&b| b == b'\n').count() as u64;
        // A last line without a line end is a line.
        self.lines += u64::from(passed.last() != Some(&b'\n'));
        self.start = end;
    }

    /// Takes more of the input into the window.
    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.window.drain(..self.start);
            self.start = 0;
        }
        let more = loop {
            match self.input.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.ended = more.is_empty();
        self.window.extend_from_slice(more);
        let taken = more.len();
        self.input.consume(taken);
        Ok(())
    }
}
