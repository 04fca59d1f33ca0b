//! From raw bytes to text: counts what is read, decompresses gzip, skips a byte order mark.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::spec::ImportError;

const BUFFER_BYTES: usize = 256 * 1024;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const UTF8_BOM: &[u8] = &[0xef, 0xbb, 0xbf];

/// An input, opened.
pub(crate) struct Input {
    /// The text, decompressed, without a byte order mark.
    pub(crate) text: Box<dyn BufRead + Send>,
    /// Whether the raw bytes are gzip.
    pub(crate) gzip: bool,
}

/// Why an input could not be opened.
pub(crate) enum OpenError {
    /// It is of a kind that is not read.
    Refused(ImportError),
    /// It could not be read; whether it is gzip tells how to say so.
    Io(io::Error, bool),
}

/// Opens an input. `consumed` counts the raw bytes read, compressed ones for gzip, so that it can be compared with
/// the size of a file.
///
/// More than `most` bytes of text are an error: a small file of gzip can be unpacked for days.
pub(crate) fn open(raw: Box<dyn Read + Send>, consumed: Arc<AtomicU64>, most: u64) -> Result<Input, OpenError> {
    let mut raw = Counting { inner: raw, consumed };
    let head = peek(&mut raw, 4).map_err(|e| OpenError::Io(e, false))?;
    let gzip = head.starts_with(GZIP_MAGIC);
    let raw = Cursor::new(head).chain(raw);
    let mut text: Box<dyn Read + Send> =
        if gzip { Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, raw))) } else { Box::new(raw) };
    let mut head = peek(&mut text, 4).map_err(|e| OpenError::Io(e, gzip))?;
    if let Some(kind) = foreign(&head) {
        return Err(OpenError::Refused(ImportError::NotText(kind)));
    }
    if head.starts_with(UTF8_BOM) {
        head.drain(..UTF8_BOM.len());
    }
    let text = Bounded { inner: Cursor::new(head).chain(text), left: most, most };
    Ok(Input { text: Box::new(BufReader::with_capacity(BUFFER_BYTES, text)), gzip })
}

/// What the input is, if it is a kind of file that people try and that is no text in UTF-8.
fn foreign(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        Some("the input is UTF-16; save it as UTF-8 (in a spreadsheet: 'CSV UTF-8') and try again")
    } else if head.starts_with(b"PK\x03\x04") {
        Some("the input is a ZIP archive or a spreadsheet file; export it as CSV, or unpack it, and try again")
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some("the input is compressed with zstd; unpack it, or use gzip, and try again")
    } else {
        None
    }
}

/// Reads up to `n` bytes, fewer only at the end.
fn peek(reader: &mut dyn Read, n: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(n).read_to_end(&mut head)?;
    Ok(head)
}

struct Counting {
    inner: Box<dyn Read + Send>,
    consumed: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.consumed.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Fails where the text goes on beyond its limit.
struct Bounded<R> {
    inner: R,
    left: u64,
    most: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => {
                self.left = left;
                Ok(n)
            }
            None => Err(io::Error::new(io::ErrorKind::FileTooLarge, self.most.to_string())),
        }
    }
}

/// Says what went wrong with reading, and how far everything is well.
pub(crate) fn describe(error: &io::Error, gzip: bool, last_line: u64) -> String {
    let what = match error.kind() {
        io::ErrorKind::FileTooLarge => format!(
            "the input is longer than {error} bytes once it is unpacked, which is the most that one import takes \
             (imports.max_unpacked); it was not read any further"
        ),
        io::ErrorKind::UnexpectedEof if gzip => "the gzip data is cut off".to_owned(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if gzip => {
            format!("the gzip data is damaged ({error})")
        }
        _ => format!("the input could not be read ({error})"),
    };
    match last_line {
        0 => format!("{what} before the first record"),
        n => format!("{what} after line {n}; the records up to there were read"),
    }
}
