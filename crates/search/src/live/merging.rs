//! When segments are merged: few enough to be searched quickly, seldom enough not to get in the way of searches.

use tantivy::index::SegmentMeta;
use tantivy::indexer::{MergeCandidate, MergePolicy};

/// Merges segments of about the same size once there are several of them, and rewrites those of which much was
/// deleted. Every product is rewritten about once for each tenfold growth of its segment, and some times while that is
/// among the smallest.
#[derive(Debug, Clone)]
pub struct Tiers {
    /// Segments up to this size are all alike, and each merge rewrites all of them: were it large, what a second of writes
    /// brings would be rewritten a hundred times.
    pub smallest: u32,
    /// How many segments of a tier are merged at a time.
    pub at_once: usize,
}

impl Default for Tiers {
    fn default() -> Self {
        Self { smallest: 250, at_once: 6 }
    }
}

/// A segment with a greater share of deleted documents is rewritten by itself.
const DELETED: f64 = 0.35;

/// How many documents a segment has.
#[derive(Debug, Clone, Copy)]
struct Size {
    live: u32,
    deleted: u32,
}

impl Size {
    fn is_wasteful(self) -> bool {
        f64::from(self.deleted) > (f64::from(self.live) + f64::from(self.deleted)) * DELETED
    }
}

impl Tiers {
    fn tier(&self, docs: u32) -> usize {
        let mut bound = u64::from(self.smallest);
        let mut tier = 0;
        while u64::from(docs) > bound {
            bound *= 10;
            tier += 1;
        }
        tier
    }

    /// Which segments are to be merged with each other, by their places.
    fn choose(&self, sizes: &[Size]) -> Vec<Vec<usize>> {
        let mut tiers: Vec<Vec<usize>> = Vec::new();
        for (place, size) in sizes.iter().enumerate() {
            let tier = self.tier(size.live);
            if tiers.len() <= tier {
                tiers.resize(tier + 1, Vec::new());
            }
            if let Some(same) = tiers.get_mut(tier) {
                same.push(place);
            }
        }
        let is_wasteful = |place: &usize| sizes.get(*place).is_some_and(|size| size.is_wasteful());
        let mut chosen = Vec::new();
        for tier in tiers {
            if tier.len() >= self.at_once {
                chosen.push(tier);
            } else {
                chosen.extend(tier.into_iter().filter(is_wasteful).map(|place| vec![place]));
            }
        }
        chosen
    }
}

impl MergePolicy for Tiers {
    fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
        let size = |segment: &SegmentMeta| Size { live: segment.num_docs(), deleted: segment.num_deleted_docs() };
        let sizes: Vec<Size> = segments.iter().map(size).collect();
        let id = |place: usize| segments.get(place).map(SegmentMeta::id);
        let candidate = |places: Vec<usize>| MergeCandidate(places.into_iter().filter_map(id).collect());
        self.choose(&sizes).into_iter().map(candidate).collect()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Commits of so many documents until there are so many; gives how often each was rewritten, and the most segments.
    fn grow(commit: u32, until: u32) -> (f64, usize) {
        let (tiers, mut segments) = (Tiers::default(), Vec::new());
        let (mut rewritten, mut most) = (0_u64, 0);
        for _ in 0..until / commit {
            segments.push(Size { live: commit, deleted: 0 });
            loop {
                most = most.max(segments.len());
                let Some(places) = tiers.choose(&segments).into_iter().next() else { break };
                let live = places.iter().map(|place| segments[*place].live).sum();
                let mut place = 0;
                segments.retain(|_| {
                    place += 1;
                    !places.contains(&(place - 1))
                });
                segments.push(Size { live, deleted: 0 });
                rewritten += u64::from(live);
            }
        }
        (rewritten as f64 / f64::from(until), most)
    }

    /// Writes at a hundred a second come in commits of ten or so.
    #[rstest]
    #[case(1, 20_000)]
    #[case(10, 1_000_000)]
    #[case(200, 1_000_000)]
    #[case(3_000, 3_000_000)]
    fn what_is_written_is_rewritten_seldom_and_never_in_many_pieces(#[case] commit: u32, #[case] until: u32) {
        let (times, segments) = grow(commit, until);
        assert!(times < 40.0 / f64::from(commit.min(10)) + 8.0, "rewritten {times:.1} times");
        assert!(segments <= 31, "{segments} segments");
    }

    #[test]
    fn a_segment_of_which_much_was_deleted_is_rewritten_by_itself() {
        let tiers = Tiers::default();
        let kept = Size { live: 660, deleted: 340 };
        let wasteful = Size { live: 640, deleted: 360 };
        assert_eq!(tiers.choose(&[kept, wasteful, kept]), [vec![1]]);
        assert_eq!(tiers.choose(&[wasteful; 6]), [(0..6).collect::<Vec<_>>()], "together, where there are several");
    }
}
