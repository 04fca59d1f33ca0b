//! Who owes units to the shared cache, which was gone when they were spent.
//!
//! The next request of a key tells what the key owes. A key may have no next request here: its client is served by another
//! server from now on, or is forgotten. So the accounts that owe are kept, and one task tells their debts as soon as the
//! cache is back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haat_cache::Cache;
use tokio::task::JoinSet;

use crate::entry::Entry;

/// The most accounts that are kept. The debts of others are told by their next requests.
const MOST: usize = 50_000;
/// How often it is looked whether the cache is back.
const LOOK: Duration = Duration::from_millis(20);
/// How long to wait when it is there and takes no debts.
const PAUSE: Duration = Duration::from_secs(1);
/// Debts that are told at once.
const AT_ONCE: usize = 32;

/// The accounts that owe.
#[derive(Default)]
pub(crate) struct Debts(Mutex<List>);

#[derive(Default)]
struct List {
    waiting: VecDeque<Entry>,
    /// Whether a task is there to tell them.
    watched: bool,
}

impl Debts {
    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an account that has just begun to owe.
    pub fn add(self: &Arc<Self>, entry: Entry, cache: &Arc<dyn Cache>) {
        let mut list = self.list();
        if list.waiting.len() >= MOST {
            entry.account.state().unlist();
            return;
        }
        list.waiting.push_back(entry);
        if std::mem::replace(&mut list.watched, true) {
            return;
        }
        let (debts, cache) = (Arc::downgrade(self), Arc::clone(cache));
        tokio::spawn(async move {
            let mut pause = LOOK;
            loop {
                tokio::time::sleep(pause).await;
                // With the limiter its debts are gone.
                let Some(debts) = debts.upgrade() else { return };
                pause = if debts.tell(&cache).await { LOOK } else { PAUSE };
                let mut list = debts.list();
                if list.waiting.is_empty() {
                    list.watched = false;
                    return;
                }
            }
        });
    }

    /// Tells the debts there are while the cache takes them; false when it is there and does not.
    async fn tell(&self, cache: &Arc<dyn Cache>) -> bool {
        while cache.is_up() {
            let some: Vec<_> = {
                let mut list = self.list();
                let n = list.waiting.len().min(AT_ONCE);
                list.waiting.drain(..n).collect()
            };
            if some.is_empty() {
                return true;
            }
            let telling: JoinSet<_> = some.into_iter().map(|entry| tell(entry, Arc::clone(cache))).collect();
            let left: Vec<_> = telling.join_all().await.into_iter().flatten().collect();
            if !left.is_empty() {
                self.list().waiting.extend(left);
                return !cache.is_up();
            }
        }
        true
    }
}

/// Tells one debt; gives it back if it is still one.
async fn tell(entry: Entry, cache: Arc<dyn Cache>) -> Option<Entry> {
    // A request of the key may have told it.
    if entry.account.state().still_owes()
        && let Err(error) = entry.look(&*cache, 0).await
    {
        tracing::debug!(%error, entry.key, "what was spent without the cache is not known to others yet");
    }
    let owes = entry.account.state().still_owes();
    owes.then_some(entry)
}
