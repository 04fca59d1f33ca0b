//! One search for a token at a time, however many wait for it.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::TokenError;
use super::token::Token;

/// So many rejected tokens are remembered: as many as may still be under way in other processes.
const REMEMBERED: usize = 16;

/// What a search comes to.
pub(super) type Found = Result<Arc<Token>, TokenError>;
/// A search that is under way; whoever has one can wait for what it finds.
pub(super) type Flight = Shared<BoxFuture<'static, Found>>;
/// Who has this must search, and tell what was found. Dropped, the search counts as interrupted.
pub(super) type Duty = oneshot::Sender<Found>;

/// The token of this process and the search for another one. They change together, so that nobody searches for what has
/// just been found, and nothing that was rejected meanwhile is taken for found.
#[derive(Default)]
pub(super) struct Flights {
    token: ArcSwapOption<Token>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    flight: Option<(Flight, Kind)>,
    rejected: VecDeque<u128>,
}

/// Whether somebody was without a token when a search began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Yes.
    Awaited,
    /// No: another one served, and was near its end.
    Ahead,
}

/// A search that was joined.
pub(super) struct Joined {
    /// To wait for.
    pub flight: Flight,
    /// For what it was begun.
    pub kind: Kind,
    /// There when it is new, and whoever joined is to search.
    pub duty: Option<Duty>,
}

impl State {
    /// A flight, for which the caller is to search.
    fn open(&mut self, kind: Kind) -> (Flight, Duty) {
        let (duty, found) = oneshot::channel::<Found>();
        let flight = found.map(|found| found.unwrap_or(Err(TokenError::Interrupted))).boxed().shared();
        self.flight = Some((flight.clone(), kind));
        (flight, duty)
    }
}

impl Flights {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token that may be sent now.
    pub fn token(&self) -> Option<Arc<Token>> {
        self.token.load_full().filter(|token| token.serves(Instant::now()))
    }

    /// Joins the search that is under way, or begins one.
    pub fn join(&self) -> Joined {
        let mut state = self.state();
        // One may have landed since the caller looked.
        if let Some(token) = self.token() {
            return Joined { flight: ready(Ok(token)).boxed().shared(), kind: Kind::Awaited, duty: None };
        }
        if let Some((flight, kind)) = &state.flight {
            return Joined { flight: flight.clone(), kind: *kind, duty: None };
        }
        let (flight, duty) = state.open(Kind::Awaited);
        Joined { flight, kind: Kind::Awaited, duty: Some(duty) }
    }

    /// A search for a token in place of one that is due, unless one is under way or has just landed.
    pub fn refresh(&self) -> Option<Duty> {
        let mut state = self.state();
        let due = self.token().is_none_or(|token| token.is_due(Instant::now()));
        (due && state.flight.is_none()).then(|| state.open(Kind::Ahead).1)
    }

    /// The search is over. Gives what it found, unless that was rejected meanwhile: then it goes on.
    pub fn land(&self, found: Result<Token, TokenError>) -> Option<Found> {
        let mut state = self.state();
        let found = match found {
            Ok(token) if state.rejected.contains(&token.id) => return None,
            found => found.map(Arc::new),
        };
        if let Ok(token) = &found {
            self.token.store(Some(Arc::clone(token)));
        }
        state.flight = None;
        Some(found)
    }

    /// The search has ended without landing.
    pub fn crash(&self) {
        self.state().flight = None;
    }

    /// A token was rejected. It is dropped if it is still the one in use, and never taken up again.
    pub fn reject(&self, id: u128) {
        let mut state = self.state();
        if !state.rejected.contains(&id) {
            state.rejected.push_back(id);
            if state.rejected.len() > REMEMBERED {
                state.rejected.pop_front();
            }
        }
        if self.is_current(id) {
            self.token.store(None);
        }
    }

    /// Whether a token was rejected.
    pub fn is_rejected(&self, id: u128) -> bool {
        self.state().rejected.contains(&id)
    }

    /// Whether a token is the one in use.
    pub fn is_current(&self, id: u128) -> bool {
        self.token.load().as_ref().is_some_and(|token| token.id == id)
    }
}
