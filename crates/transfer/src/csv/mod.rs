//! Records of CSV: rows found by `scan` and `rows`, made into products by a [`crate::mapping`] that knows the header.

pub(crate) mod rows;
pub(crate) mod scan;

use std::io::{self, BufRead};
use std::sync::Arc;

use haat_catalog::Draft;
use haat_catalog::ports::RecordError;

use crate::csv::rows::{Found, Rows};
use crate::mapping::CsvMapping;
use crate::mapping::plan::Plan;
use crate::reader::{Record, Records};
use crate::spec::{ImportError, KEPT_ERRORS_OF_RECORD};

/// How the fields of a product are called in error messages about a CSV: by the column they come from.
pub(crate) struct Places(Arc<Plan>);

impl Places {
    /// The column behind a JSON Pointer, or the pointer itself where it comes from no column.
    pub(crate) fn name(&self, pointer: &str) -> String {
        self.0.place(pointer)
    }
}

/// Reads the rows of an input as products.
pub(crate) struct CsvRecords {
    rows: Rows,
    plan: Arc<Plan>,
}

impl CsvRecords {
    /// Reads the header line and matches it with the mapping.
    pub(crate) fn open(
        input: Box<dyn BufRead + Send>,
        mapping: Option<&CsvMapping>,
    ) -> io::Result<Result<Self, ImportError>> {
        let mut rows = Rows::new(input);
        let header = match rows.next()? {
            Some(Found::Row { cells, .. }) => cells,
            Some(Found::Bad { line, detail, .. }) => {
                return Ok(Err(ImportError::Header(format!("line {line}: {detail}"))));
            }
            None => {
                let detail = "the input is empty; its first line must name the columns".to_owned();
                return Ok(Err(ImportError::Header(detail)));
            }
        };
        let names: Result<Vec<&str>, _> = header.iter().map(std::str::from_utf8).collect();
        let Ok(names) = names else {
            return Ok(Err(ImportError::Header("it is not UTF-8; save the file in UTF-8".to_owned())));
        };
        let plan = Plan::new(&names, mapping);
        Ok(plan.map(|plan| Self { rows, plan: Arc::new(plan) }))
    }

    pub(crate) fn places(&self) -> Arc<Places> {
        Arc::new(Places(Arc::clone(&self.plan)))
    }
}

impl Records for CsvRecords {
    fn next(&mut self) -> io::Result<Option<Record>> {
        let Some(found) = self.rows.next()? else { return Ok(None) };
        let (line, bytes, draft) = match found {
            Found::Row { line, bytes, cells } => (line, bytes, product(&self.plan, line, cells)),
            Found::Bad { line, bytes, cell, detail } => {
                let pointer = cell.and_then(|i| self.plan.column(i)).unwrap_or_default();
                (line, bytes, Err(vec![RecordError { line, pointer, detail }]))
            }
        };
        let draft = draft.map_err(|mut errors| {
            errors.truncate(KEPT_ERRORS_OF_RECORD);
            errors
        });
        Ok(Some(Record { line, bytes, draft }))
    }

    fn last_line(&self) -> u64 {
        self.rows.last_line()
    }
}

fn product(plan: &Plan, line: u64, cells: &scan::Cells) -> Result<Draft, Vec<RecordError>> {
    let error = |pointer: String, detail: String| RecordError { line, pointer, detail };
    if cells.len() != plan.columns() {
        let detail = format!(
            "the row has {} cells, the header has {} columns; a cell with the separator in it needs double quotes",
            cells.len(),
            plan.columns()
        );
        return Err(vec![error(String::new(), detail)]);
    }
    let mut texts = Vec::with_capacity(cells.len());
    for (i, cell) in cells.iter().enumerate() {
        match std::str::from_utf8(cell) {
            Ok(text) => texts.push(text),
            Err(e) => {
                let detail = format!("byte {} of the cell is not UTF-8; save the file in UTF-8", e.valid_up_to() + 1);
                return Err(vec![error(plan.column(i).unwrap_or_default(), detail)]);
            }
        }
    }
    plan.product(&texts).map_err(|found| found.into_iter().map(|v| error(v.pointer, v.detail)).collect())
}
