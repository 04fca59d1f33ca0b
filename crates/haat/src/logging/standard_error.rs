//! Lines on standard error. Those about requests are many and of no hurry, and writing each by itself would cost as much
//! as finding the answer: they are written together, a twentieth of a second later, or before the next line of any other
//! kind. A process that is killed outright loses that much of them.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::MultiProgress;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// What lines about requests are written under.
const ACCESS: &str = "haat::access";
/// How long a line may wait.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes that may wait. Whoever has more to say waits until they are written.
const MOST: usize = 1 << 20;

/// Standard error, with progress bars out of the way while something is written.
pub(super) struct StandardError {
    bars: MultiProgress,
    /// None where somebody watches.
    waiting: Option<Arc<Waiting>>,
}

/// Lines that are not written yet.
#[derive(Default)]
pub(super) struct Waiting {
    lines: Mutex<Vec<u8>>,
    some: Condvar,
}

/// Writes what waits when it is dropped.
pub(super) struct Rest(Option<Arc<Waiting>>);

impl StandardError {
    /// The writer, and what has to be dropped when there will be no more lines.
    pub fn new(bars: MultiProgress) -> (Self, Rest) {
        let waiting = (!io::stderr().is_terminal()).then(Arc::<Waiting>::default).filter(|waiting| {
            let waiting = Arc::clone(waiting);
            // Without the thread every line is written at once.
            std::thread::Builder::new().name("log".to_owned()).spawn(move || waiting.write_on()).is_ok()
        });
        (Self { bars, waiting: waiting.clone() }, Rest(waiting))
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(waiting) = &self.0 {
            // Nobody is left to be told that standard error is gone.
            drop(waiting.write(&mut io::stderr().lock()));
        }
    }
}

impl Waiting {
    fn lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line; says whether there are too many.
    fn add(&self, line: &[u8]) -> bool {
        let mut lines = self.lines();
        if lines.is_empty() {
            self.some.notify_one();
        }
        lines.extend_from_slice(line);
        lines.len() > MOST
    }

    /// Writes what waits. `out` is held meanwhile, so that lines stay in their order; `lines` is not, so that nobody who
    /// adds one waits for a slow reader.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let lines = std::mem::take(&mut *self.lines());
        out.write_all(&lines)
    }

    #[expect(clippy::disallowed_methods, reason = "a thread of its own, with nothing to do meanwhile")]
    fn write_on(&self) {
        loop {
            let some = self.some.wait_while(self.lines(), |lines| lines.is_empty());
            drop(some);
            std::thread::sleep(PAUSE);
            // As with a line that is written at once, nobody can be told.
            drop(self.write(&mut io::stderr().lock()));
        }
    }
}

pub(super) enum Line<'a> {
    Now(&'a StandardError),
    Later(&'a Waiting),
}

impl<'a> MakeWriter<'a> for StandardError {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line::Now(self)
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line<'a> {
        match &self.waiting {
            Some(waiting) if about.target() == ACCESS && *about.level() >= Level::INFO => Line::Later(waiting),
            _ => Line::Now(self),
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Now(StandardError { bars, waiting }) => bars.suspend(|| {
                let mut out = io::stderr().lock();
                waiting.as_ref().map_or(Ok(()), |waiting| waiting.write(&mut out))?;
                out.write_all(line)
            })?,
            Self::Later(waiting) => {
                if waiting.add(line) {
                    waiting.write(&mut io::stderr().lock())?;
                }
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_in_their_order_and_are_written_once() {
        let waiting = Waiting::default();
        assert!(!waiting.add(b"one\n") && !waiting.add(b"two\n"));
        let mut out = Vec::new();
        waiting.write(&mut out).unwrap();
        waiting.write(&mut out).unwrap();
        assert_eq!(out, b"one\ntwo\n");
        assert!(waiting.add(&[b'x'; MOST + 1]), "whoever says so much has to wait");
    }
}
