//! Counts over the last so many seconds, in buckets: what is older than the window drops out a bucket at a time.

use std::time::Duration;

use tokio::time::Instant;

/// How many buckets a window has.
const BUCKETS: u64 = 30;

/// `K` counts over a sliding window. Between 29 and 30 buckets' time is covered.
#[derive(Debug, Clone)]
pub(crate) struct Window<const K: usize> {
    began: Instant,
    /// How long a bucket is.
    width: Duration,
    /// The bucket that is being counted in, since `began`.
    tick: u64,
    buckets: [[u64; K]; BUCKETS as usize],
    /// Kept along, so that no judgement adds up all buckets.
    totals: [u64; K],
}

impl<const K: usize> Window<K> {
    pub fn new(length: Duration, now: Instant) -> Self {
        // A bucket of no length would have no number.
        let width = (length / BUCKETS as u32).max(Duration::from_nanos(1));
        Self { began: now, width, tick: 0, buckets: [[0; K]; BUCKETS as usize], totals: [0; K] }
    }

    /// Counts in the current bucket.
    pub fn add(&mut self, now: Instant, counts: [u64; K]) {
        self.advance(now);
        if let Some(bucket) = self.buckets.get_mut((self.tick % BUCKETS) as usize) {
            for ((bucket, total), count) in bucket.iter_mut().zip(&mut self.totals).zip(counts) {
                *bucket += count;
                *total += count;
            }
        }
    }

    /// The counts of the window that ends now.
    pub fn totals(&mut self, now: Instant) -> [u64; K] {
        self.advance(now);
        self.totals
    }

    /// Forgets everything.
    pub fn clear(&mut self, now: Instant) {
        *self = Self { began: now, tick: 0, buckets: [[0; K]; BUCKETS as usize], totals: [0; K], width: self.width };
    }

    fn advance(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.began).as_nanos();
        let tick = u64::try_from(since / self.width.as_nanos()).unwrap_or(u64::MAX);
        // Time never goes back here: who read the clock earlier but came later counts in the bucket of the others.
        let passed = tick.saturating_sub(self.tick);
        if passed == 0 {
            return;
        }
        for n in 1..=passed.min(BUCKETS) {
            if let Some(bucket) = self.buckets.get_mut(((self.tick + n) % BUCKETS) as usize) {
                for (total, gone) in self.totals.iter_mut().zip(bucket.iter_mut()) {
                    *total -= *gone;
                    *gone = 0;
                }
            }
        }
        self.tick = tick;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_the_window_drops_out_and_nothing_else() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut window = Window::<2>::new(Duration::from_secs(30), began);
        window.add(at(0), [1, 1]);
        window.add(at(999), [1, 0]);
        window.add(at(1_000), [1, 0]);
        assert_eq!(window.totals(at(29_999)), [3, 1]);
        assert_eq!(window.totals(at(30_000)), [1, 0]);
        assert_eq!(window.totals(at(31_000)), [0, 0]);
        window.add(at(31_000), [5, 0]);
        window.add(at(30_500), [1, 0]);
        assert_eq!(window.totals(at(60_999)), [6, 0], "a clock that was read earlier takes nothing away");
        assert_eq!(window.totals(at(10_000_000)), [0, 0]);
        window.add(at(10_000_000), [7, 7]);
        window.clear(at(10_000_001));
        assert_eq!(window.totals(at(10_000_001)), [0, 0]);
    }
}
