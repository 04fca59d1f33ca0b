//! The reading half of an import: a thread that turns an input into batches of validated products.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haat_catalog::ports::RecordError;
use haat_catalog::{Draft, Ids, ProductId};
use tokio::sync::mpsc;

use crate::brief;
use crate::csv::{CsvRecords, Places};
use crate::format::Format;
use crate::input::{self, OpenError};
use crate::ndjson::NdjsonRecords;
use crate::seen::Seen;
use crate::spec::{ImportError, ImportSpec, KEPT_ERRORS};

/// Batches read ahead of the writer: enough that neither waits for the other's hiccups, few enough to stay small.
const READ_AHEAD: usize = 3;

/// A batch is closed at this many bytes of input even if it has fewer records than asked for.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// One record of an input.
pub(crate) struct Record {
    /// The line on which it begins.
    pub(crate) line: u64,
    /// Its length in the input.
    pub(crate) bytes: usize,
    /// The product, or everything wrong with it.
    pub(crate) draft: Result<Draft, Vec<RecordError>>,
}

/// The records of an input, in order.
pub(crate) trait Records {
    /// The next record; `None` at the end. After an error there is nothing more.
    fn next(&mut self) -> io::Result<Option<Record>>;
    /// The last line that was read as a whole; 0 before the first.
    fn last_line(&self) -> u64;
}

/// Consecutive records, to be written in one transaction.
#[derive(Default)]
pub(crate) struct Batch {
    /// The valid ones.
    pub(crate) drafts: Vec<Draft>,
    /// Where each of them begins.
    pub(crate) lines: Vec<u64>,
    /// An id for each, should it be new.
    pub(crate) new_ids: Vec<ProductId>,
    /// What is wrong with the others.
    pub(crate) errors: Vec<RecordError>,
    /// How many others there are.
    pub(crate) failed: u64,
    /// How many records in all.
    pub(crate) records: u64,
    /// Errors of records that an earlier run of the same import has already counted.
    pub(crate) repeated: Vec<RecordError>,
    /// Raw bytes of the input read so far.
    pub(crate) consumed: u64,
}

/// What the reading thread sends.
pub(crate) enum Message {
    /// The input is open; how to name a field of it.
    Opened(Option<Arc<Places>>),
    /// The input cannot be imported at all. Nothing else follows.
    Refused(ImportError),
    /// More records.
    Batch(Box<Batch>),
    /// The input cannot be read further; why, and how far it was. Nothing else follows.
    Broken(String),
    /// That was all.
    End,
}

/// Starts the reading thread. `skip` records were dealt with before: they are read, so that skus that repeat are
/// still found, and left out.
///
/// A thread and not a task: it blocks on an input that may never end (standard input), and a runtime waits for its
/// blocking tasks when it shuts down.
pub(crate) fn spawn(
    raw: Box<dyn Read + Send>,
    spec: &ImportSpec,
    ids: Arc<dyn Ids>,
    skip: u64,
) -> io::Result<mpsc::Receiver<Message>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let spec = spec.clone();
    std::thread::Builder::new().name("haat-import".to_owned()).spawn(move || {
        let last = match read(raw, &spec, ids.as_ref(), skip, &sender) {
            Ok(message) => message,
            Err(Abandoned) => return,
        };
        // Nobody is left to tell when this fails.
        let _ = sender.blocking_send(last);
    })?;
    Ok(receiver)
}

/// The writer has gone.
struct Abandoned;

fn send(sender: &mpsc::Sender<Message>, message: Message) -> Result<(), Abandoned> {
    sender.blocking_send(message).map_err(|_| Abandoned)
}

/// Reads everything; gives the last message.
fn read(
    raw: Box<dyn Read + Send>,
    spec: &ImportSpec,
    ids: &dyn Ids,
    skip: u64,
    sender: &mpsc::Sender<Message>,
) -> Result<Message, Abandoned> {
    let consumed = Arc::new(AtomicU64::new(0));
    let input = match input::open(raw, Arc::clone(&consumed), spec.limits.unpacked_bytes) {
        Ok(input) => input,
        Err(OpenError::Refused(why)) => return Ok(Message::Refused(why)),
        Err(OpenError::Io(e, gzip)) => return Ok(Message::Broken(input::describe(&e, gzip, 0))),
    };
    let (mut records, places): (Box<dyn Records>, _) = match spec.format {
        Format::Ndjson => (Box::new(NdjsonRecords::new(input.text)), None),
        Format::Csv => match CsvRecords::open(input.text, spec.mapping.as_ref()) {
            Ok(Ok(records)) => {
                let places = records.places();
                (Box::new(records), Some(places))
            }
            Ok(Err(why)) => return Ok(Message::Refused(why)),
            Err(e) => return Ok(Message::Broken(input::describe(&e, input.gzip, 0))),
        },
    };
    send(sender, Message::Opened(places.clone()))?;
    let mut gatherer = Gatherer::new(spec, ids, skip, places);
    let mut read = 0_u64;
    loop {
        let next = records.next();
        if matches!(next, Ok(Some(_))) && read == spec.limits.records {
            if !gatherer.is_empty() {
                send(sender, Message::Batch(gatherer.cut(consumed.load(Ordering::Relaxed))))?;
            }
            return Ok(Message::Broken(too_many(read)));
        }
        read += 1;
        match next {
            Ok(Some(record)) => {
                let more = gatherer.take(record);
                if !more || gatherer.is_full() {
                    send(sender, Message::Batch(gatherer.cut(consumed.load(Ordering::Relaxed))))?;
                }
                if !more {
                    // The writer sees by itself that this was one error too many.
                    return Ok(Message::End);
                }
            }
            end => {
                if !gatherer.is_empty() {
                    send(sender, Message::Batch(gatherer.cut(consumed.load(Ordering::Relaxed))))?;
                }
                return Ok(match end {
                    Err(e) => Message::Broken(input::describe(&e, input.gzip, records.last_line())),
                    Ok(_) => Message::End,
                });
            }
        }
    }
}

fn too_many(records: u64) -> String {
    format!(
        "the input has more than {records} records, which is the most that one import takes (imports.max_records); \
         those were read, send the others in another file"
    )
}

/// Gathers records into batches and finds skus that repeat.
struct Gatherer<'a> {
    batch: Batch,
    batch_bytes: usize,
    size: usize,
    ids: &'a dyn Ids,
    skip: u64,
    failed: u64,
    max_errors: u64,
    seen: Seen,
    places: Option<Arc<Places>>,
}

impl<'a> Gatherer<'a> {
    fn new(spec: &ImportSpec, ids: &'a dyn Ids, skip: u64, places: Option<Arc<Places>>) -> Self {
        Self {
            batch: Batch::default(),
            batch_bytes: 0,
            size: spec.batch.max(1),
            ids,
            skip,
            failed: 0,
            max_errors: spec.max_errors,
            seen: Seen::default(),
            places,
        }
    }

    /// Takes a record; `false` when it is one error too many.
    fn take(&mut self, record: Record) -> bool {
        let Record { line, bytes, draft } = record;
        let draft = draft.and_then(|draft| match self.seen.sku(draft.sku.as_str(), line) {
            None => Ok(draft),
            Some(first) => Err(vec![self.repeated_sku(draft.sku.as_str(), line, first)]),
        });
        let draft = draft.and_then(|draft| match draft.id.and_then(|id| self.seen.id(&id, line)) {
            None => Ok(draft),
            Some(first) => Err(vec![self.repeated_id(&draft, line, first)]),
        });
        let draft = draft.map_err(|errors| errors.into_iter().map(brief::error).collect::<Vec<_>>());
        let skipped = self.skip > 0;
        self.skip = self.skip.saturating_sub(1);
        if !skipped {
            self.batch.records += 1;
            self.batch_bytes += bytes;
        }
        match draft {
            Ok(draft) if !skipped => {
                self.batch.new_ids.push(self.ids.next_id());
                self.batch.lines.push(line);
                self.batch.drafts.push(draft);
                true
            }
            Ok(_) => true,
            Err(errors) if skipped => {
                self.failed += 1;
                if self.batch.repeated.len() < KEPT_ERRORS {
                    self.batch.repeated.extend(errors);
                }
                true
            }
            Err(errors) => {
                self.failed += 1;
                self.batch.failed += 1;
                self.batch.errors.extend(errors);
                self.failed <= self.max_errors
            }
        }
    }

    fn repeated_sku(&self, sku: &str, line: u64, first: u64) -> RecordError {
        let detail = format!("the sku '{sku}' is already on line {first} of this input");
        RecordError { line, pointer: self.place("/sku"), detail }
    }

    /// Told here and not left to the store, so that a dry run, which writes nothing, tells the same.
    fn repeated_id(&self, draft: &Draft, line: u64, first: u64) -> RecordError {
        let id = draft.id.map(|id| id.to_string()).unwrap_or_default();
        let detail = format!("the id {id} is already on line {first} of this input");
        RecordError { line, pointer: self.place("/id"), detail }
    }

    fn place(&self, pointer: &str) -> String {
        self.places.as_ref().map_or_else(|| pointer.to_owned(), |places| places.name(pointer))
    }

    fn is_full(&self) -> bool {
        self.batch.records as usize >= self.size || self.batch_bytes >= MAX_BATCH_BYTES
    }

    fn is_empty(&self) -> bool {
        self.batch.records == 0 && self.batch.repeated.is_empty()
    }

    fn cut(&mut self, consumed: u64) -> Box<Batch> {
        self.batch_bytes = 0;
        let mut batch = std::mem::take(&mut self.batch);
        batch.consumed = consumed;
        Box::new(batch)
    }
}
