//! One row of CSV (RFC 4180) out of a slice of bytes.
//!
//! Stricter than readers that make something of everything: a row with text after a closing quote, or with a quote
//! that is never closed, is no row. Taking it anyway would swallow the lines after it without a word.

/// The cells of a row, in one allocation that is used again.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let cell = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            cell
        })
    }

    /// Whether there is nothing but white space in any of them.
    pub(crate) fn is_blank(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn close(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

/// What is at the start of a slice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// A row of that many bytes, its line end included.
    Row(usize),
    /// The beginning of a row.
    More,
    /// Something that is no row; the number of the cell where it goes wrong, and how.
    Bad(usize, &'static str),
}

const UNCLOSED: &str = "a double quote opens this cell and is never closed";
const AFTER_QUOTE: &str =
    "there is text after the cell's closing double quote; write a double quote inside a quoted cell twice";

/// Reads the row at the start of `bytes` into `cells`. `last` tells that nothing follows these bytes.
pub(crate) fn scan(bytes: &[u8], last: bool, delimiter: u8, cells: &mut Cells) -> Scan {
    cells.clear();
    let mut at = 0;
    loop {
        let step = if bytes.get(at) == Some(&b'"') {
            quoted(bytes, at + 1, last, delimiter, cells)
        } else {
            plain(bytes, at, last, delimiter, cells)
        };
        match step {
            Step::Cell(next) => at = next,
            Step::Row(used) => return Scan::Row(used),
            Step::More => return Scan::More,
            Step::Bad(why) => return Scan::Bad(cells.len(), why),
        }
    }
}

enum Step {
    /// A cell ended; the next begins there.
    Cell(usize),
    /// The row ended there.
    Row(usize),
    More,
    Bad(&'static str),
}

fn rest(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

fn plain(bytes: &[u8], at: usize, last: bool, delimiter: u8, cells: &mut Cells) -> Step {
    let rest = rest(bytes, at);
    let found = rest.iter().position(|&b| b == delimiter || b == b'\n');
    if found.is_none() && !last {
        return Step::More;
    }
    let (cell, after) = rest.split_at(found.unwrap_or(rest.len()));
    let row_ends = after.first() != Some(&delimiter);
    let cell = if row_ends { cell.strip_suffix(b"\r").unwrap_or(cell) } else { cell };
    cells.bytes.extend_from_slice(cell);
    cells.close();
    let next = bytes.len() - after.len() + usize::from(!after.is_empty());
    if row_ends { Step::Row(next) } else { Step::Cell(next) }
}

fn quoted(bytes: &[u8], mut at: usize, last: bool, delimiter: u8, cells: &mut Cells) -> Step {
    loop {
        let rest = rest(bytes, at);
        let Some(quote) = rest.iter().position(|&b| b == b'"') else {
            return if last { Step::Bad(UNCLOSED) } else { Step::More };
        };
        cells.bytes.extend_from_slice(rest.get(..quote).unwrap_or_default());
        at += quote + 1;
        match bytes.get(at) {
            Some(b'"') => {
                cells.bytes.push(b'"');
                at += 1;
            }
            None if !last => return Step::More,
            _ => break,
        }
    }
    while bytes.get(at).is_some_and(|&b| (b == b' ' || b == b'\t') && b != delimiter) {
        at += 1;
    }
    let step = match (bytes.get(at), bytes.get(at + 1)) {
        (Some(&b), _) if b == delimiter => Step::Cell(at + 1),
        (Some(b'\n'), _) => Step::Row(at + 1),
        (Some(b'\r'), Some(b'\n')) => Step::Row(at + 2),
        (None, _) | (Some(b'\r'), None) if !last => return Step::More,
        (None, _) => Step::Row(at),
        (Some(b'\r'), None) => Step::Row(at + 1),
        _ => return Step::Bad(AFTER_QUOTE),
    };
    cells.close();
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> (Scan, Vec<String>) {
        let mut cells = Cells::default();
        let scan = scan(text.as_bytes(), true, b',', &mut cells);
        (scan, cells.iter().map(|c| String::from_utf8(c.to_vec()).unwrap()).collect())
    }

    #[test]
    fn rows_are_read_as_rfc_4180_writes_them() {
        assert_eq!(cells("a,b\n"), (Scan::Row(4), vec!["a".into(), "b".into()]));
        assert_eq!(cells("a,b\r\nc"), (Scan::Row(5), vec!["a".into(), "b".into()]));
        assert_eq!(cells(r#""a ""x"", b",c"#), (Scan::Row(14), vec![r#"a "x", b"#.into(), "c".into()]));
        assert_eq!(cells("\"1\r\n2\",\r\nx").1, vec!["1\r\n2".to_owned(), String::new()]);
        assert_eq!(cells(",").1, vec![String::new(), String::new()]);
        assert_eq!(cells("5\" pipe,x").1, vec!["5\" pipe".to_owned(), "x".into()]);
        assert_eq!(cells("\"a\" ,b").1, vec!["a".to_owned(), "b".into()]);
        assert_eq!(cells("\"\"").1, vec![String::new()]);
    }

    #[test]
    fn what_is_no_row_is_not_made_into_one() {
        assert_eq!(cells("a,\"b").0, Scan::Bad(1, UNCLOSED));
        assert_eq!(cells("\"a\"b,c").0, Scan::Bad(0, AFTER_QUOTE));
        assert_eq!(cells("\"a\"\rb").0, Scan::Bad(0, AFTER_QUOTE));
    }

    #[test]
    fn wherever_the_bytes_are_cut_the_row_is_the_same() {
        let text = b"a,\"b \"\"q\"\"\r\n\", c ,\"\"\r\n".as_slice();
        let mut whole = Cells::default();
        assert_eq!(scan(text, false, b',', &mut whole), Scan::Row(text.len()));
        for cut in 0..text.len() {
            let mut cells = Cells::default();
            assert_eq!(scan(text.get(..cut).unwrap(), false, b',', &mut cells), Scan::More, "cut at {cut}");
        }
    }
}
