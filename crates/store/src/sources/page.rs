//! A page of a run, written as a whole or not at all: products, whose they are, what was seen, how the run stands.
//!
//! Locks are taken in one order by all: the source's row, then products that are there in order of sku, then products that
//! shall be the source's in order of sku, then new products; the place in the change log last. Everything is counted inside
//! the attempt, so that an attempt that the database refused counts for nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use haat_catalog::write::BatchOutcome;
use haat_catalog::{Draft, Product, ProductId, Sku};
use haat_sources::ports::{ItemOutcome, PageItem, RunError, WritePage};
use haat_sources::run::{ItemError, Run};

use super::lease;
use super::ownership::Ownership;
use super::sql::json;
use crate::budget::Budget;
use crate::fault::Fault;
use crate::lane::{Answer, Verdict};
use crate::plan::{Plan, first_violation, refused};
use crate::sql::{KnownRow, Sql, product_id};

/// How an attempt ends when the database did its part.
type Judged = Result<(Run, Vec<ItemOutcome>), RunError>;

pub(super) async fn in_transaction<C: Sql>(conn: &mut C, page: &Arc<WritePage>) -> Answer<Verdict<Judged>> {
    let source = &page.lease.source;
    if lease::held(conn, &page.lease, page.run.id).await?.is_none() {
        return Ok(lease::lost(&page.lease));
    }
    let ownership = Ownership::read(conn, page).await?;
    let Decisions { mut plan, outcomes, .. } = decide(conn, page, ownership.judge(page)).await?;
    let outcomes: Option<Vec<ItemOutcome>> = outcomes.into_iter().collect();
    let outcomes = outcomes.ok_or_else(|| Fault::internal("an item of a page was not decided about"))?;
    let claims = ownership.claims(page, &outcomes);
    claims.write(conn, source).await?;
    plan.write_products(conn).await?;
    if !page.seen.is_empty() {
        let last = conn.last_seen_page(source, page.run.id).await?.unwrap_or(0);
        conn.insert_seen(source, page.run.id, last.saturating_add(1), page.seen.as_flattened()).await?;
    }
    let run = counted(&page.run, &outcomes);
    let new = i64::try_from(claims.new.len()).map_err(|_| Fault::internal("a page of more than 2^63 items"))?;
    conn.move_run(source, page.now.plus(page.hold).as_millis(), new, &json(&run)?).await?;
    plan.write_log(conn).await?;
    Ok(Verdict::Commit(Ok((run, outcomes))))
}

/// The run with what the store found out.
fn counted(run: &Run, outcomes: &[ItemOutcome]) -> Run {
    let mut run = run.clone();
    for outcome in outcomes {
        match outcome {
            ItemOutcome::Created => run.counts.created += 1,
            ItemOutcome::Updated => run.counts.updated += 1,
            ItemOutcome::Unchanged => run.counts.unchanged += 1,
            ItemOutcome::Stale => run.counts.stale += 1,
            ItemOutcome::Refused(error) => run.refuse(error.clone()),
        }
    }
    run
}

/// What becomes of the items, and what will be written of them.
struct Decisions {
    page: Arc<WritePage>,
    plan: Plan,
    /// Of each item of the page, once it is decided.
    outcomes: Vec<Option<ItemOutcome>>,
}

/// An item that its product decides about.
struct Candidate {
    /// Its place on the page.
    at: usize,
    /// The product with its document, if there is one.
    existing: Option<(KnownRow, Vec<u8>)>,
}

/// Decides about the items that ownership did not. Their products are locked; no more of their documents are in memory at
/// once than a page of anything may have.
async fn decide<C: Sql>(conn: &mut C, page: &Arc<WritePage>, judged: Vec<Option<ItemOutcome>>) -> Answer<Decisions> {
    let open: Vec<usize> = (0..).zip(&judged).filter(|(_, outcome)| outcome.is_none()).map(|(at, _)| at).collect();
    let mut known = lock(conn, page, &open).await?;
    let taken = taken(conn, page, &open, &known).await?;
    let plan = Plan::new(taken, HashMap::new());
    let mut decisions = Decisions { page: Arc::clone(page), plan, outcomes: judged };
    let (mut budget, mut rest) = (Budget::new(), open.as_slice());
    while !rest.is_empty() {
        let (next, after) = rest.split_at(budget.at_once().min(rest.len()));
        rest = after;
        let candidates = candidates(conn, page, next, &mut known).await?;
        let documents = candidates.iter().filter_map(|candidate| candidate.existing.as_ref());
        let (count, bytes) = documents.fold((0, 0), |(count, bytes), (_, json)| (count + 1, bytes + json.len()));
        budget.spend(count, bytes);
        // Reading and hashing a thousand products is too long for a thread that others wait for.
        let work = tokio::task::spawn_blocking(move || decisions.about(candidates));
        decisions = work.await.map_err(|e| Fault::internal(format!("deciding about a page: {e}")))??;
    }
    Ok(decisions)
}

/// The products of items, locked in order of sku.
async fn lock<C: Sql>(conn: &mut C, page: &WritePage, open: &[usize]) -> Answer<HashMap<String, KnownRow>> {
    let mut skus: Vec<&Sku> = open.iter().filter_map(|at| page.items.get(*at)).map(|of| &of.item.sku).collect();
    skus.sort_unstable();
    Ok(conn.known(&skus, true).await?.into_iter().map(|row| (row.sku.clone(), row)).collect())
}

/// Those of the ids drawn for new products that, should it ever be, belong to others.
async fn taken<C: Sql>(
    conn: &mut C,
    page: &WritePage,
    open: &[usize],
    known: &HashMap<String, KnownRow>,
) -> Answer<HashSet<ProductId>> {
    let open = open.iter().filter_map(|at| page.items.get(*at));
    let new = open.filter(|of| !known.contains_key(of.item.sku.as_str()));
    let mut ids: Vec<ProductId> = new.map(|of| of.new_id).collect();
    ids.sort_unstable();
    conn.taken_ids(&ids).await?.iter().map(|id| product_id(id)).collect()
}

/// Takes the products of items out of `known` and reads their documents.
async fn candidates<C: Sql>(
    conn: &mut C,
    page: &WritePage,
    places: &[usize],
    known: &mut HashMap<String, KnownRow>,
) -> Answer<Vec<Candidate>> {
    let mut found = Vec::with_capacity(places.len());
    for at in places {
        let row = page.items.get(*at).and_then(|of| known.remove(of.item.sku.as_str()));
        found.push((*at, row));
    }
    let ids: Answer<Vec<ProductId>> = found.iter().filter_map(|(_, row)| Some(product_id(&row.as_ref()?.id))).collect();
    let documents = conn.documents(&ids?).await?;
    let mut documents: HashMap<Vec<u8>, Vec<u8>> = documents.into_iter().map(|row| (row.id, row.document)).collect();
    let with_document = |(at, row): (usize, Option<KnownRow>)| -> Answer<Candidate> {
        let existing = row.map(|row| {
            let document = documents.remove(&row.id);
            document.map(|document| (row, document)).ok_or_else(|| Fault::internal("a locked product is gone"))
        });
        Ok(Candidate { at, existing: existing.transpose()? })
    };
    found.into_iter().map(with_document).collect()
}

impl Decisions {
    /// The same with those about `candidates`.
    fn about(mut self, candidates: Vec<Candidate>) -> Answer<Self> {
        for candidate in candidates {
            let outcome = self.outcome(&candidate)?;
            if let Some(place) = self.outcomes.get_mut(candidate.at) {
                *place = Some(outcome);
            }
        }
        Ok(self)
    }

    fn outcome(&mut self, candidate: &Candidate) -> Answer<ItemOutcome> {
        let page = Arc::clone(&self.page);
        let of = page.items.get(candidate.at).ok_or_else(|| Fault::internal("an item that is not on its page"))?;
        let outcome = match laid_over(of, candidate) {
            Ok(draft) => {
                let known = candidate.existing.as_ref().map(|(row, _)| row);
                self.plan.decide(&draft, of.new_id, draft.content_hash(), known, page.now)?
            }
            Err(refused) => refused,
        };
        Ok(match outcome {
            BatchOutcome::Created => ItemOutcome::Created,
            BatchOutcome::Updated => ItemOutcome::Updated,
            BatchOutcome::Unchanged => ItemOutcome::Unchanged,
            BatchOutcome::Refused(violation) => ItemOutcome::Refused(ItemError {
                key: of.item.key.clone(),
                pointer: violation.pointer,
                detail: violation.detail,
            }),
        })
    }
}

/// What the item's product becomes; refused where that is no valid product.
fn laid_over(of: &PageItem, candidate: &Candidate) -> Result<Draft, BatchOutcome> {
    let existing = candidate.existing.as_ref().map(|(_, document)| Product::from_json(document)).transpose();
    let existing = existing.map_err(|error| {
        tracing::error!(sku = %of.item.sku, %error, "a product cannot be read and is left as it is");
        refused("", "the product that is there cannot be read")
    })?;
    of.overlay.over(existing.as_ref()).map_err(first_violation)
}

/// The hashes of pages. One that is cut must not be passed over: what it has lost would be taken for vanished.
pub(super) fn hashes(pages: &[Vec<u8>]) -> Answer<Vec<[u8; 16]>> {
    let mut hashes = Vec::with_capacity(pages.iter().map(|page| page.len() / 16).sum());
    for page in pages {
        let (whole, []) = page.as_chunks::<16>() else {
            return Err(Fault::corrupt("a page of what a run has seen is cut"));
        };
        hashes.extend_from_slice(whole);
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_hashes_that_is_cut_is_told_and_not_passed_over() {
        assert_eq!(hashes(&[vec![1; 32], vec![], vec![2; 16]]).unwrap(), [[1; 16], [1; 16], [2; 16]]);
        assert!(hashes(&[vec![1; 32], vec![2; 17]]).is_err());
    }
}
