//! One generation of the index: a tantivy index with what its last commit says of itself.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use haat_catalog::{Origin, ProductId, Seq};
use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::index::{SegmentComponent, SegmentMeta};
use tantivy::schema::Schema;
use tantivy::store::Compressor;
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{Index, IndexReader, IndexSettings, ReloadPolicy};

use crate::engine::view::View;
use crate::schema::{Fields, SCHEMA_VERSION, TOKENIZER, Tokens, schema};

/// What a commit says of the index as it is with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The schema's version.
    pub schema: u32,
    /// Every change up to this one is in.
    pub seq: Seq,
    /// Whether the whole catalogue is in; false while it is built.
    pub complete: bool,
    /// Which database's log `seq` is a place of.
    #[serde(default)]
    pub origin: Origin,
    /// The product that the change at `seq` was about: if the log says otherwise, its database was put back to an
    /// earlier state and has moved on from there.
    pub last: Option<ProductId>,
}

impl Payload {
    /// Of an index with the present schema.
    pub fn new(seq: Seq, complete: bool, origin: Origin, last: Option<ProductId>) -> Self {
        Self { schema: SCHEMA_VERSION, seq, complete, origin, last }
    }
}

/// Why a generation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It was written with other fields.
    #[error("it was written by another version of Haat")]
    Foreign,
    /// It never held the whole catalogue.
    #[error("it was not finished")]
    Unfinished,
    /// Files are missing or are not what they should be.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl From<tantivy::TantivyError> for Unusable {
    fn from(e: tantivy::TantivyError) -> Self {
        Self::Damaged(e.to_string())
    }
}

/// A generation.
pub struct Generation {
    /// Its folder.
    pub path: PathBuf,
    /// Tantivy's side of it.
    pub index: Index,
    /// The schema's fields.
    pub fields: Fields,
    reader: IndexReader,
}

/// How often the files are looked at anew because some of them have gone meanwhile.
const ATTEMPTS: usize = 10;

/// How many decompressed blocks of documents each segment keeps at hand: a page of neighbours shares them.
const CACHED_BLOCKS: usize = 8;

impl Generation {
    /// An empty one in an empty folder.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(path: &Path) -> tantivy::Result<Self> {
        let (schema, fields) = schema();
        let settings = IndexSettings {
            docstore_compression: Compressor::Lz4,
            // Compressing on the indexing thread: with as many threads as cores one more only gets in the way.
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let index = Index::create(MmapDirectory::open(path)?, schema, settings)?;
        Self::with(path, index, fields)
    }

    /// The one in `path`, and what its last commit says.
    ///
    /// # Errors
    /// When it cannot be used. Reading damaged files may well panic inside tantivy; that is reported as damage.
    pub fn open(path: &Path) -> Result<(Self, Payload), Unusable> {
        let opened = catch_unwind(AssertUnwindSafe(|| Self::try_open(path)));
        opened.unwrap_or_else(|_| Err(Unusable::Damaged("its files contradict each other".to_owned())))
    }

    fn try_open(path: &Path) -> Result<(Self, Payload), Unusable> {
        let (expected, fields): (Schema, Fields) = schema();
        let directory = MmapDirectory::open(path).map_err(|e| Unusable::Damaged(e.to_string()))?;
        let index = Index::open(directory)?;
        let payload = index.load_metas()?.payload.ok_or(Unusable::Unfinished)?;
        let payload: Payload = serde_json::from_str(&payload).map_err(|e| Unusable::Damaged(e.to_string()))?;
        if payload.schema != SCHEMA_VERSION || index.schema() != expected {
            return Err(Unusable::Foreign);
        }
        if !payload.complete {
            return Err(Unusable::Unfinished);
        }
        let generation = Self::with(path, index, fields)?;
        // Opens every file and every column.
        generation.view(None)?;
        Ok((generation, payload))
    }

    fn with(path: &Path, index: Index, fields: Fields) -> tantivy::Result<Self> {
        register(&index);
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(CACHED_BLOCKS)
            .try_into()?;
        Ok(Self { path: path.to_owned(), index, fields, reader })
    }

    /// What the last commit says.
    pub fn payload(&self) -> Option<Payload> {
        serde_json::from_str(&self.index.load_metas().ok()?.payload?).ok()
    }

    /// The state as of the last commit.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn view(&self, previous: Option<&View>) -> tantivy::Result<View> {
        self.reader.reload()?;
        View::open(self.reader.searcher(), self.fields, previous)
    }

    /// The first of its files whose contents are not what was written.
    pub fn damaged_file(&self) -> Option<PathBuf> {
        damaged_file(&self.path, &self.index)
    }
}

/// The same of the generation in `path`, which may be too damaged to be opened.
pub fn find_damage(path: &Path) -> Option<PathBuf> {
    damaged_file(path, &Index::open_in_dir(path).ok()?)
}

fn damaged_file(path: &Path, index: &Index) -> Option<PathBuf> {
    first_damaged(|| files(path, index), is_sound)
}

/// The first of the files that `list` names which is not `sound`. Beside a server files go while they are looked at: with
/// a segment that is merged away, with the next commit of a deletion, with a generation that is replaced. Those that the
/// list no longer names have lost their contents rightly, and what has come in their place is looked at as well.
fn first_damaged(list: impl Fn() -> Option<Vec<PathBuf>>, sound: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let mut seen = HashSet::new();
    for _ in 0..ATTEMPTS {
        // A file is never written again.
        let file = list()?.into_iter().find(|file| seen.insert(file.clone()) && !sound(file))?;
        if list()?.contains(&file) {
            return Some(file);
        }
    }
    None
}

/// The files of the last commit.
fn files(path: &Path, index: &Index) -> Option<Vec<PathBuf>> {
    let segments = index.load_metas().ok()?.segments;
    let files = |s: &SegmentMeta| components(s).map(|c| path.join(s.relative_path(c))).collect::<Vec<_>>();
    Some(segments.iter().flat_map(files).collect())
}

fn components(segment: &SegmentMeta) -> impl Iterator<Item = SegmentComponent> {
    use SegmentComponent::{Delete, FastFields, FieldNorms, Positions, Postings, Store, Terms};
    let delete = segment.has_deletes().then_some(Delete);
    [Postings, Positions, Terms, Store, FastFields, FieldNorms].into_iter().chain(delete)
}

/// Gives the index the tokenizer that its fields name.
pub fn register(index: &Index) {
    index.tokenizers().register(TOKENIZER, TextAnalyzer::from(Tokens::default()));
}

/// An index without a file and without a product.
///
/// # Errors
/// Never in practice: nothing is read.
pub fn empty_view() -> tantivy::Result<View> {
    let (schema, fields) = schema();
    let index = Index::create_in_ram(schema);
    register(&index);
    View::open(index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?.searcher(), fields, None)
}

/// Whether a file's contents have the checksum in its footer. Read with plain reads: mapped into memory, the whole
/// index would count as the process's memory from then on.
fn is_sound(path: &Path) -> bool {
    checksums(path).is_ok_and(|(stored, computed)| stored == computed)
}

/// The footer's checksum and that of the contents. A tantivy file ends in a JSON object, its length and a number.
fn checksums(path: &Path) -> io::Result<(u64, u64)> {
    const TAIL: u64 = 8;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "no footer");
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut tail = [0; TAIL as usize];
    file.seek(SeekFrom::Start(len.checked_sub(TAIL).ok_or_else(bad)?))?;
    file.read_exact(&mut tail)?;
    let [a, b, c, d, ..] = tail;
    let footer_len = u64::from(u32::from_le_bytes([a, b, c, d]));
    let body = len.checked_sub(TAIL + footer_len).filter(|_| footer_len < 50_000).ok_or_else(bad)?;
    let mut footer = vec![0; footer_len as usize];
    file.seek(SeekFrom::Start(body))?;
    file.read_exact(&mut footer)?;
    let footer: serde_json::Value = serde_json::from_slice(&footer)?;
    let stored = footer.get("crc").and_then(serde_json::Value::as_u64).ok_or_else(bad)?;
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = crc32fast::Hasher::new();
    let mut rest = file.take(body);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n = rest.read(&mut buffer)?;
        if n == 0 {
            return Ok((stored, u64::from(hasher.finalize())));
        }
        hasher.update(buffer.get(..n).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::fs;

    use tantivy::merge_policy::NoMergePolicy;
    use tantivy::{IndexWriter, TantivyDocument, Term, doc};

    use super::*;

    /// Three segments of three products each.
    fn index(dir: &Path) -> (Generation, IndexWriter) {
        let generation = Generation::create(dir).unwrap();
        let mut writer: IndexWriter<TantivyDocument> = generation.index.writer_with_num_threads(1, 20_000_000).unwrap();
        writer.set_merge_policy(Box::new(NoMergePolicy));
        for segment in 0..3 {
            for product in 0..3 {
                writer.add_document(doc!(generation.fields.id => vec![segment, product])).unwrap();
            }
            writer.commit().unwrap();
        }
        (generation, writer)
    }

    fn delete(generation: &Generation, writer: &mut IndexWriter, product: [u8; 2]) {
        writer.delete_term(Term::from_field_bytes(generation.fields.id, &product));
        writer.commit().unwrap();
    }

    #[test]
    fn a_file_that_the_next_deletion_has_replaced_is_not_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let (generation, mut writer) = index(dir.path());
        delete(&generation, &mut writer, [1, 0]);
        let (writer, gone) = (RefCell::new(writer), Cell::new(false));
        let sound = |file: &Path| {
            if !gone.get() && file.extension().is_some_and(|e| e == "del") {
                delete(&generation, &mut writer.borrow_mut(), [1, 1]);
                gone.set(!file.exists());
            }
            is_sound(file)
        };
        assert_eq!(first_damaged(|| files(dir.path(), &generation.index), sound), None);
        assert!(gone.get());
    }

    #[test]
    fn a_segment_that_is_merged_away_does_not_end_the_search() {
        let dir = tempfile::tempdir().unwrap();
        let (generation, writer) = index(dir.path());
        let segments = generation.index.searchable_segment_ids().unwrap();
        let damaged = files(dir.path(), &generation.index).unwrap().pop().unwrap();
        let mut bytes = fs::read(&damaged).unwrap();
        bytes[0] ^= 1;
        fs::write(&damaged, bytes).unwrap();
        let writer = RefCell::new(writer);
        let sound = |file: &Path| {
            if generation.index.searchable_segment_ids().unwrap().len() == 3 {
                writer.borrow_mut().merge(&segments[..2]).wait().unwrap();
                assert!(!file.exists());
            }
            is_sound(file)
        };
        assert_eq!(first_damaged(|| files(dir.path(), &generation.index), sound), Some(damaged));
    }
}
