//! Units that were taken in advance, by when they have to be spent.

use std::time::Duration;

use tokio::time::Instant;

/// Leased units, whose slices of the TAT follow each other without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// How many are left.
    pub units: u64,
    /// When the last slice ends.
    pub ends: Instant,
}

/// Units that were spent of leases, as they have to be given back: each to the run that it was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent([Run; 2]);

impl Spent {
    /// All of one run.
    pub fn of(run: Run) -> Self {
        Self([run, Run { units: 0, ..run }])
    }
}

impl Run {
    /// Lets go of units whose slices have come due.
    fn settle(&mut self, interval: Duration, now: Instant) {
        if self.units > 0 {
            let ahead = self.ends.saturating_duration_since(now).as_micros() / interval.as_micros().max(1);
            self.units = self.units.min(u64::try_from(ahead).unwrap_or(u64::MAX));
        }
    }
}

/// What is left of a lease, and the next one that came before it was spent: its slices are later ones.
#[derive(Clone, Copy)]
pub(crate) struct Leases {
    older: Run,
    newer: Run,
}

impl Leases {
    /// None yet.
    pub fn none(now: Instant) -> Self {
        let none = Run { units: 0, ends: now };
        Self { older: none, newer: none }
    }

    /// How many units are left.
    pub fn units(&self) -> u64 {
        self.older.units.saturating_add(self.newer.units)
    }

    /// Lets go of units whose slices have come due.
    pub fn settle(&mut self, interval: Duration, now: Instant) {
        self.older.settle(interval, now);
        self.newer.settle(interval, now);
    }

    /// Spends the oldest units, as many as there are.
    pub fn spend(&mut self, units: u64) -> Spent {
        let of = |run: &mut Run, units: u64| {
            let spent = units.min(run.units);
            run.units -= spent;
            Run { units: spent, ends: run.ends }
        };
        let older = of(&mut self.older, units);
        Spent([older, of(&mut self.newer, units - older.units)])
    }

    /// What belongs to a run that has gone meanwhile is lost.
    pub fn give_back(&mut self, Spent(runs): Spent) {
        for run in runs {
            if let Some(place) = [&mut self.older, &mut self.newer].into_iter().find(|place| place.ends == run.ends) {
                place.units += run.units;
            }
        }
    }

    /// Adds a run whose slices take `lasting` in all; gives when the run ends that its units belong to now.
    pub fn add(&mut self, run: Run, lasting: Duration) -> Instant {
        if self.older.units == 0 {
            self.older = std::mem::replace(&mut self.newer, Run { units: 0, ..run });
        }
        if self.older.units == 0 {
            self.older = run;
        } else if self.newer.units == 0 {
            self.newer = run;
        } else {
            // There is no third place: all count as if they followed those before without a gap.
            let ends = run.ends.min(self.newer.ends + lasting);
            self.newer = Run { units: self.newer.units + run.units, ends };
            return ends;
        }
        run.ends
    }
}
