//! What searches see, and what is known of how it came about.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use haat_catalog::Seq;
use tokio::sync::watch;

use super::backstage;
use super::history::History;
use crate::engine::view::View;

/// What searches see.
///
/// Its lineage is a part of it: a search that was begun and ended in one lineage has seen a state of that one. Kept apart,
/// whichever was changed first, there would be a moment in which a search sees the old state and the new lineage, or the
/// other way round, and its answer would be kept as one of the other database.
pub(super) struct State {
    pub view: Arc<View>,
    /// Every change up to this one is in.
    pub seq: Seq,
    /// Whether the whole catalogue is in.
    pub whole: bool,
    /// Counts states.
    pub generation: u64,
    lineage: Lineage,
}

/// See [`haat_catalog::ports::ListingIndex::lineage`].
#[derive(Debug, Clone, Copy)]
struct Lineage {
    origin: u128,
    /// Changed by chance whenever the past no longer counts.
    breaks: u128,
}

/// The state that is shown now.
pub(super) struct Shown {
    state: RwLock<Arc<State>>,
    history: Mutex<History>,
    reached: watch::Sender<Seq>,
}

impl Shown {
    /// The first state, of the database of that origin.
    pub fn new(view: Arc<View>, seq: Seq, whole: bool, origin: u128) -> Self {
        let lineage = Lineage { origin, breaks: 0 };
        Self {
            state: RwLock::new(Arc::new(State { view, seq, whole, generation: 1, lineage })),
            history: Mutex::new(History::beginning_at(seq)),
            reached: watch::Sender::new(seq),
        }
    }

    pub fn now(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows a state of the same lineage.
    pub fn publish(&self, view: Arc<View>, seq: Seq, whole: bool) {
        self.show(view, seq, whole, |lineage| lineage);
    }

    /// Shows the whole catalogue of the database of that origin.
    pub fn publish_of(&self, origin: u128, view: Arc<View>, seq: Seq) {
        self.show(view, seq, true, |lineage| Lineage { origin, ..lineage });
    }

    /// Shows nothing: what was published so far says nothing of what comes.
    pub fn publish_nothing(&self, empty: View) {
        let chance = uuid::Uuid::new_v4().as_u128();
        self.show(Arc::new(empty), Seq(0), false, |lineage| Lineage { breaks: lineage.breaks ^ chance, ..lineage });
    }

    fn show(&self, view: Arc<View>, seq: Seq, whole: bool, next: impl FnOnce(Lineage) -> Lineage) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let (generation, lineage) = (state.generation + 1, next(state.lineage));
        let before = std::mem::replace(&mut *state, Arc::new(State { view, seq, whole, generation, lineage }));
        self.history().moved_to(seq);
        drop(state);
        self.reached.send_replace(seq);
        let_go(before);
    }

    pub fn lineage(&self) -> u128 {
        let lineage = self.state.read().unwrap_or_else(PoisonError::into_inner).lineage;
        lineage.origin ^ lineage.breaks
    }

    /// How long ago the state of `seq` was left behind; `None` if it was not.
    pub fn superseded(&self, seq: Seq) -> Option<Duration> {
        self.history().superseded(seq)
    }

    /// The places that were come to.
    pub fn reached(&self) -> watch::Receiver<Seq> {
        self.reached.subscribe()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of a state that is shown no more. Whoever has it last closes the files of the segments that are not in the next
/// one; they were deleted meanwhile, so that their blocks are freed now, and the disk is waited for. A thread that answers
/// must not do that, and nobody who reads what is shown may wait for it.
fn let_go(before: Arc<State>) {
    if let Some(before) = Arc::into_inner(before)
        && Arc::strong_count(&before.view) == 1
    {
        drop(backstage::spawn(move || drop(before)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::live::generation::empty_view;

    #[test]
    fn what_is_seen_while_the_lineage_stays_the_same_is_of_that_lineage() {
        let view = Arc::new(empty_view().unwrap());
        let shown = Arc::new(Shown::new(Arc::clone(&view), Seq(0), true, 0));
        let stop = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (shown, stop) = (Arc::clone(&shown), Arc::clone(&stop));
            move || {
                let mut compared = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let lineage = shown.lineage();
                    let seq = shown.now().seq;
                    if shown.lineage() == lineage {
                        assert_eq!(u128::from(seq.0), lineage, "another database's state");
                        compared += 1;
                    }
                }
                compared
            }
        });
        for n in 1..200_000 {
            // The place tells the database.
            shown.publish_of(n.into(), Arc::clone(&view), Seq(n));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    }

    #[test]
    fn what_was_shown_before_nothing_is_of_another_lineage() {
        let shown = Shown::new(Arc::new(empty_view().unwrap()), Seq(9), true, 7);
        let before = shown.lineage();
        shown.publish(Arc::new(empty_view().unwrap()), Seq(10), true);
        assert_eq!((shown.lineage(), shown.now().generation), (before, 2));
        shown.publish_nothing(empty_view().unwrap());
        assert_ne!(shown.lineage(), before);
        shown.publish_of(7, Arc::new(empty_view().unwrap()), Seq(9));
        assert_ne!(shown.lineage(), before, "the same database, put back to an earlier state");
    }
}
