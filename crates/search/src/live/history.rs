//! When the index came to which place, as far as somebody may want to know it: to tell how long an answer that was made
//! before has been out of date.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use haat_catalog::Seq;

/// How many steps are remembered. An index is shown a few times a second, and what is older than a second is too old.
const STEPS: usize = 256;

/// The steps of an index, the oldest first.
pub(super) struct History {
    steps: VecDeque<(Seq, Instant)>,
    /// Up to this place everything was left behind at a time that nobody remembers.
    long_ago: Seq,
}

impl History {
    /// Nothing is known of what was before.
    pub fn beginning_at(seq: Seq) -> Self {
        Self { steps: VecDeque::new(), long_ago: seq }
    }

    /// Notes that readers see the state of a place from now on.
    pub fn moved_to(&mut self, seq: Seq) {
        if seq <= self.newest() {
            // The same, or another database: then nothing from before is right.
            if seq < self.newest() {
                *self = Self::beginning_at(seq);
            }
            return;
        }
        if self.steps.len() == STEPS
            && let Some((oldest, _)) = self.steps.pop_front()
        {
            self.long_ago = oldest;
        }
        self.steps.push_back((seq, Instant::now()));
    }

    fn newest(&self) -> Seq {
        self.steps.back().map_or(self.long_ago, |(seq, _)| *seq)
    }

    /// How long ago the state of `seq` was left behind; `None` if it was not.
    pub fn superseded(&self, seq: Seq) -> Option<Duration> {
        if seq >= self.newest() {
            return None;
        }
        if seq < self.long_ago {
            return Some(Duration::MAX);
        }
        let next = self.steps.partition_point(|(step, _)| *step <= seq);
        self.steps.get(next).map(|(_, at)| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_out_of_date_since_the_next_one_came() {
        let mut history = History::beginning_at(Seq(10));
        assert_eq!(history.superseded(Seq(10)), None);
        assert_eq!(history.superseded(Seq(9)), Some(Duration::MAX), "from before the start");
        assert_eq!(history.superseded(Seq(11)), None, "another replica is further");
        history.moved_to(Seq(12));
        let first = history.superseded(Seq(10)).unwrap();
        assert!(first < Duration::from_secs(5) && history.superseded(Seq(12)).is_none());
        assert!(history.superseded(Seq(11)).is_some());
        history.moved_to(Seq(20));
        assert!(history.superseded(Seq(10)).unwrap() >= history.superseded(Seq(12)).unwrap());
        history.moved_to(Seq(3));
        assert_eq!(history.superseded(Seq(2)), Some(Duration::MAX), "another database");
    }

    #[test]
    fn of_many_steps_the_oldest_are_forgotten() {
        let mut history = History::beginning_at(Seq(0));
        (1..=1_000).for_each(|n| history.moved_to(Seq(n)));
        assert_eq!(history.superseded(Seq(5)), Some(Duration::MAX));
        assert!(history.superseded(Seq(999)).unwrap() < Duration::MAX);
    }
}
