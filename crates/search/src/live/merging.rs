//! When segments are merged: few enough to be searched quickly, seldom enough not to get in the way of searches.

use tantivy::index::SegmentMeta;
use tantivy::indexer::{MergeCandidate, MergePolicy};

/// Merges segments of about the same size once there are several of them, and rewrites those of which much was
/// deleted. Every product is rewritten about once for each tenfold growth of its segment.
#[derive(Debug, Clone)]
pub struct Tiers {
    /// Segments up to this size are all alike.
    pub smallest: u32,
    /// How many segments of a tier are merged at a time.
    pub at_once: usize,
}

impl Default for Tiers {
    fn default() -> Self {
        Self { smallest: 10_000, at_once: 6 }
    }
}

/// A segment with a greater share of deleted documents is rewritten by itself.
const DELETED: f64 = 0.35;

impl Tiers {
    fn tier(&self, docs: u32) -> u32 {
        let mut bound = u64::from(self.smallest);
        let mut tier = 0;
        while u64::from(docs) > bound {
            bound *= 10;
            tier += 1;
        }
        tier
    }
}

impl MergePolicy for Tiers {
    fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
        let mut tiers: Vec<Vec<&SegmentMeta>> = Vec::new();
        for segment in segments {
            let tier = self.tier(segment.num_docs()) as usize;
            if tiers.len() <= tier {
                tiers.resize(tier + 1, Vec::new());
            }
            if let Some(same) = tiers.get_mut(tier) {
                same.push(segment);
            }
        }
        let mut candidates = Vec::new();
        for tier in tiers {
            if tier.len() >= self.at_once {
                candidates.push(MergeCandidate(tier.iter().map(|s| s.id()).collect()));
                continue;
            }
            let wasteful = |s: &&&SegmentMeta| f64::from(s.num_deleted_docs()) > f64::from(s.max_doc()) * DELETED;
            candidates.extend(tier.iter().filter(wasteful).map(|s| MergeCandidate(vec![s.id()])));
        }
        candidates
    }
}
