//! `haat index verify`: looks at the checksums of the index's files, then holds the index against SQL, product by product:
//! the stored documents byte by byte, the columns value by value.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haat_catalog::ports::{ChangeLog, ChangeLogError, IndexError, ProductReader, StoredProduct};
use haat_catalog::{Product, ProductId, Seq};
use tantivy::{DocAddress, TantivyDocument};

use super::agreement::Agreement;
use super::backstage::blocking;
use super::build::Progress;
use super::folder::Folder;
use super::generation::{Generation, find_damage};
use super::index::internal;
use super::writer::locate;
use crate::document::json_of;
use crate::engine::bits::Bits;
use crate::engine::docset::damaged;
use crate::engine::view::View;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Every change up to this one should be in the index.
    pub seq: Seq,
    /// Products in the index.
    pub documents: u64,
    /// Products in SQL.
    pub products: u64,
    /// Products that the index lacks.
    pub missing: Vec<ProductId>,
    /// Products that only the index has.
    pub surplus: Vec<ProductId>,
    /// Products that are another in the index.
    pub different: Vec<ProductId>,
    /// A file whose contents are not what was written. Nothing was compared then, and the other members say nothing.
    pub damaged: Option<PathBuf>,
    /// Products that differ because they changed after `seq`: no fault.
    pub pending: u64,
}

impl VerifyReport {
    /// Whether the index is right.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_none() && self.missing.is_empty() && self.surplus.is_empty() && self.different.is_empty()
    }
}

/// Products read at once.
const BATCH: u32 = 2_000;

/// Compares the index in `dir` with SQL. It only reads, and works beside a running server.
///
/// # Errors
/// When there is no index, it is damaged, or the store fails.
pub async fn verify(
    dir: &Path,
    reader: Arc<dyn ProductReader>,
    log: Arc<dyn ChangeLog>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<VerifyReport, IndexError> {
    let folder = Folder::open(dir).map_err(internal)?;
    let opened = blocking(move || Ok(open(&folder, find_damage))).await.map_err(internal)?;
    let (view, seq) = match opened? {
        Opened::Sound(view, seq) => (view, seq),
        Opened::Damaged(file) => return Ok(VerifyReport { damaged: Some(file), ..VerifyReport::default() }),
    };
    let mut report = VerifyReport { seq, documents: view.num_docs(), ..VerifyReport::default() };
    let agreement = Arc::new(Agreement::new(view.fields));
    let total = reader.count().await?;
    let mut seen: Vec<Bits> = view.segments.iter().map(|s| Bits::empty(s.max_doc())).collect();
    let mut after = None;
    loop {
        let products = reader.scan(after, BATCH).await?;
        let Some(last) = products.last().map(|p| p.id) else { break };
        after = Some(last);
        report.products += products.len() as u64;
        let (view, agreement) = (Arc::clone(&view), Arc::clone(&agreement));
        let compared = blocking(move || compare(&view, &agreement, &products, &mut seen).map(|found| (found, seen)));
        let found;
        (found, seen) = compared.await.map_err(internal)?;
        report.missing.extend(found.missing);
        report.different.extend(found.different);
        progress(Progress { done: report.products, total: total.max(report.products), catching_up: false });
    }
    let view_again = Arc::clone(&view);
    report.surplus = blocking(move || unseen(&view_again, &seen)).await.map_err(internal)?;
    let changed = changed_since(log.as_ref(), seq).await?;
    for found in [&mut report.missing, &mut report.surplus, &mut report.different] {
        let before = found.len();
        found.retain(|id| !changed.contains(id));
        report.pending += (before - found.len()) as u64;
    }
    Ok(report)
}

/// An index as it was found.
enum Opened {
    /// Its state, and how far it has come.
    Sound(Arc<View>, Seq),
    Damaged(PathBuf),
}

/// The index, if its files are what was written. A server may replace the generation or commit in between.
fn open(folder: &Folder, find_damage: impl Fn(&Path) -> Option<PathBuf>) -> Result<Opened, IndexError> {
    const ATTEMPTS: usize = 5;
    let mut failure = "there is no index".to_owned();
    let mut sound = None;
    for _ in 0..ATTEMPTS {
        let Some(path) = folder.current() else { continue };
        // Before anything is read: what damaged files say may be anything, and they may be too damaged to be opened.
        if sound.as_ref() != Some(&path) {
            match find_damage(&path) {
                Some(file) if folder.current().as_ref() == Some(&path) => return Ok(Opened::Damaged(file)),
                Some(_) => {
                    failure = "it is replaced all the time".to_owned();
                    continue;
                }
                None => sound = Some(path.clone()),
            }
        }
        match open_at(&path) {
            Ok((view, seq)) => return Ok(Opened::Sound(Arc::new(view), seq)),
            Err(e) => failure = e,
        }
    }
    Err(IndexError::Internal(failure))
}

fn open_at(path: &Path) -> Result<(View, Seq), String> {
    let (generation, payload) = Generation::open(path).map_err(|e| e.to_string())?;
    let view = generation.view(None).map_err(|e| e.to_string())?;
    let same = generation.payload() == Some(payload);
    same.then_some((view, payload.seq)).ok_or_else(|| "it is written all the time".to_owned())
}

#[derive(Default)]
struct Compared {
    missing: Vec<ProductId>,
    different: Vec<ProductId>,
}

fn compare(
    view: &View,
    agreement: &Agreement,
    products: &[StoredProduct],
    seen: &mut [Bits],
) -> tantivy::Result<Compared> {
    let mut found = Compared::default();
    for product in products {
        let Some((segment, doc)) = locate(view, product.id)? else {
            found.missing.push(product.id);
            continue;
        };
        if let Some(seen) = seen.get_mut(segment) {
            seen.insert(doc);
        }
        if document(view, segment, doc)? != product.document || !agrees(view, agreement, segment, doc, product)? {
            found.different.push(product.id);
        }
    }
    Ok(found)
}

/// Whether the columns are those of the product. One that cannot be read is in no index, and told as missing.
fn agrees(
    view: &View,
    agreement: &Agreement,
    segment: usize,
    doc: u32,
    product: &StoredProduct,
) -> tantivy::Result<bool> {
    let segment = view.segments.get(segment).ok_or_else(|| damaged("a segment is missing"))?;
    match Product::from_json(&product.document) {
        Ok(product) => agreement.holds(&segment.columns, doc, &product),
        Err(_) => Ok(false),
    }
}

fn document(view: &View, segment: usize, doc: u32) -> tantivy::Result<bytes::Bytes> {
    let segment = view.segments.get(segment).ok_or_else(|| damaged("a segment is missing"))?;
    let stored: TantivyDocument = view.searcher.doc(DocAddress::new(segment.number, doc))?;
    json_of(&view.fields, &stored).ok_or_else(|| damaged("a document is missing"))
}

/// The products of the index that SQL did not have.
fn unseen(view: &View, seen: &[Bits]) -> tantivy::Result<Vec<ProductId>> {
    let mut found = Vec::new();
    for (i, (segment, seen)) in view.segments.iter().zip(seen).enumerate() {
        for doc in (0..segment.max_doc()).filter(|&doc| segment.is_alive(doc) && !seen.contains(doc)) {
            let id = ProductId::from_bytes(segment.columns.id(doc).to_be_bytes());
            // A second document of a product whose first one was seen is surplus as well.
            let stored = document(view, i, doc)?;
            found.push(Product::from_json(&stored).map_or(id, |p| p.id));
        }
    }
    Ok(found)
}

/// The products that changed after `seq`.
async fn changed_since(log: &dyn ChangeLog, mut seq: Seq) -> Result<HashSet<ProductId>, IndexError> {
    let mut changed = HashSet::new();
    loop {
        let page = match log.read(seq.into(), BATCH).await {
            Ok(page) => page,
            Err(e @ (ChangeLogError::Compacted { .. } | ChangeLogError::Ahead { .. })) => return Err(internal(e)),
            Err(ChangeLogError::Store(e)) => return Err(e.into()),
        };
        let Some(last) = page.changes.last() else { return Ok(changed) };
        seq = last.seq;
        changed.extend(page.changes.iter().map(|c| c.id));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use haat_catalog::Origin;
    use tantivy::{IndexWriter, TantivyDocument};

    use super::*;
    use crate::live::generation::Payload;

    /// A generation that knows of everything up to `seq`.
    fn generation(folder: &Folder, seq: Seq) -> PathBuf {
        let path = folder.add().unwrap();
        let index = Generation::create(&path).unwrap().index;
        let mut writer: IndexWriter<TantivyDocument> = index.writer_with_num_threads(1, 20_000_000).unwrap();
        let mut commit = writer.prepare_commit().unwrap();
        let payload = Payload::new(seq, true, Origin::default(), None);
        commit.set_payload(&serde_json::to_string(&payload).unwrap());
        commit.commit().unwrap();
        path
    }

    #[test]
    fn a_generation_that_takes_the_place_of_another_is_looked_at_before_it_is_compared() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let (first, second) = (generation(&folder, Seq(1)), generation(&folder, Seq(2)));
        folder.switch(&first).unwrap();
        let looked = RefCell::new(Vec::new());
        let switching = |broken: bool| {
            looked.borrow_mut().clear();
            let (folder, looked, second) = (&folder, &looked, &second);
            move |path: &Path| {
                looked.borrow_mut().push(path.to_owned());
                folder.switch(second).unwrap();
                folder.clean(Some(second)).unwrap();
                // What is gone looks damaged.
                (broken || !path.exists()).then(|| path.join("file"))
            }
        };
        let Opened::Sound(_, seq) = open(&folder, switching(false)).unwrap() else { panic!("it is sound") };
        assert_eq!((seq, looked.borrow().as_slice()), (Seq(2), [first, second.clone()].as_slice()));
        let Opened::Damaged(file) = open(&folder, switching(true)).unwrap() else { panic!("it is damaged") };
        assert_eq!(file, second.join("file"));
    }

    #[test]
    fn a_generation_that_goes_after_it_was_looked_at_is_not_exchanged_for_one_that_was_not() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let (first, second) = (generation(&folder, Seq(1)), generation(&folder, Seq(2)));
        folder.switch(&first).unwrap();
        let opened = open(&folder, |path| {
            folder.switch(&second).unwrap();
            folder.clean(Some(&second)).unwrap();
            (path == second).then(|| path.join("file"))
        });
        assert!(matches!(opened, Ok(Opened::Damaged(file)) if file == second.join("file")));
    }
}
