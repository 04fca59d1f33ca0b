//! What the server has seen, for whoever wants to know how a client behaves.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::plan::Current;

/// Requests for one route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RouteStats {
    /// How many came.
    pub requests: u64,
    /// How many went without an answer: their connection was closed, by either side.
    pub unanswered: u64,
    /// How many were answered, by status.
    pub statuses: BTreeMap<u16, u64>,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arrival {
    /// Microseconds since the server, or its counting, began.
    pub at_us: u64,
    /// Its route, as in [`Stats::routes`].
    pub route: Arc<str>,
}

/// What the server has seen, without requests to `/control` and `/stats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// All requests that came.
    pub requests: u64,
    /// Those to the token endpoint among them.
    pub token_requests: u64,
    /// Tokens that were issued.
    pub tokens_issued: u64,
    /// Answers 401 outside of the token endpoint.
    pub unauthorized: u64,
    /// Answers 429.
    pub throttled: u64,
    /// Requests that are being dealt with.
    pub in_flight: u64,
    /// The most that were at once.
    pub max_in_flight: u64,
    /// By method and path, such as `GET /products/{id}`; what has no route is `other`.
    pub routes: BTreeMap<Arc<str>, RouteStats>,
    /// How many products there are.
    pub products: usize,
    /// What goes wrong at the moment.
    pub fault: Current,
}

#[derive(Default)]
struct Counts {
    tokens_issued: u64,
    in_flight: u64,
    max_in_flight: u64,
    routes: BTreeMap<Arc<str>, RouteStats>,
    arrivals: VecDeque<Arrival>,
}

/// The route of the token endpoint, as it is counted.
pub(crate) const TOKEN_ROUTE: &str = "POST /oauth/token";

/// Counts.
pub(crate) struct Counter {
    counts: Mutex<(Instant, Counts)>,
    remembered: usize,
}

impl Counter {
    /// One that remembers so many arrivals.
    pub fn new(remembered: usize) -> Self {
        Self { counts: Mutex::new((Instant::now(), Counts::default())), remembered }
    }

    fn lock(&self) -> MutexGuard<'_, (Instant, Counts)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request came. Routes must be few.
    pub fn arrive(self: &Arc<Self>, route: &str) -> Visit {
        let mut locked = self.lock();
        let (begun, counts) = &mut *locked;
        let route = counts.routes.get_key_value(route).map_or_else(|| Arc::from(route), |(known, _)| Arc::clone(known));
        counts.routes.entry(Arc::clone(&route)).or_default().requests += 1;
        counts.in_flight += 1;
        counts.max_in_flight = counts.max_in_flight.max(counts.in_flight);
        if self.remembered > 0 {
            if counts.arrivals.len() >= self.remembered {
                counts.arrivals.pop_front();
            }
            let at_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            counts.arrivals.push_back(Arrival { at_us, route: Arc::clone(&route) });
        }
        drop(locked);
        Visit { counter: Arc::clone(self), route, status: None }
    }

    /// Notes that a token was issued.
    pub fn issued(&self) {
        self.lock().1.tokens_issued += 1;
    }

    /// Begins to count anew. What is under way stays so.
    pub fn reset(&self) {
        let mut counts = self.lock();
        let in_flight = counts.1.in_flight;
        *counts = (Instant::now(), Counts { in_flight, max_in_flight: in_flight, ..Counts::default() });
    }

    /// The latest arrivals, the earliest first.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.lock().1.arrivals.iter().cloned().collect()
    }

    /// What was counted.
    pub fn stats(&self, products: usize, fault: Current) -> Stats {
        let counts = &self.lock().1;
        let of = |status: u16, is: fn(&str) -> bool| -> u64 {
            let routes = counts.routes.iter().filter(|(route, _)| is(route));
            routes.filter_map(|(_, route)| route.statuses.get(&status)).sum()
        };
        Stats {
            requests: counts.routes.values().map(|route| route.requests).sum(),
            token_requests: counts.routes.get(TOKEN_ROUTE).map_or(0, |route| route.requests),
            tokens_issued: counts.tokens_issued,
            unauthorized: of(401, |route| route != TOKEN_ROUTE),
            throttled: of(429, |_| true),
            in_flight: counts.in_flight,
            max_in_flight: counts.max_in_flight,
            routes: counts.routes.clone(),
            products,
            fault,
        }
    }
}

/// A request that is being dealt with. Dropped without [`Self::answered`] it went without an answer.
pub(crate) struct Visit {
    counter: Arc<Counter>,
    route: Arc<str>,
    status: Option<u16>,
}

impl Visit {
    /// Notes how it was answered.
    pub fn answered(mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let counts = &mut self.counter.lock().1;
        counts.in_flight = counts.in_flight.saturating_sub(1);
        let route = counts.routes.entry(Arc::clone(&self.route)).or_default();
        match self.status {
            Some(status) => *route.statuses.entry(status).or_default() += 1,
            None => route.unanswered += 1,
        }
    }
}

impl Arrival {
    /// Time since the server, or its counting, began.
    pub fn at(&self) -> Duration {
        Duration::from_micros(self.at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(counter: &Counter) -> Stats {
        counter.stats(0, Current { fault: crate::fault::Fault::NONE, left: None, scripted: true })
    }

    #[tokio::test]
    async fn who_goes_away_is_under_way_no_longer() {
        let counter = Arc::new(Counter::new(2));
        let (a, b) = (counter.arrive("GET /products"), counter.arrive("GET /products"));
        assert_eq!((now(&counter).in_flight, now(&counter).max_in_flight), (2, 2));
        drop(a);
        b.answered(200);
        let stats = now(&counter);
        assert_eq!((stats.in_flight, stats.max_in_flight, stats.requests), (0, 2, 2));
        let route = &stats.routes["GET /products"];
        assert_eq!((route.unanswered, route.statuses[&200]), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_arrivals_are_remembered() {
        let counter = Arc::new(Counter::new(2));
        for route in ["a", "b", "c"] {
            counter.arrive(route).answered(200);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let arrivals: Vec<_> = counter.arrivals().iter().map(|a| (a.at_us, a.route.to_string())).collect();
        assert_eq!(arrivals, [(1_000, "b".to_owned()), (2_000, "c".to_owned())]);
        counter.reset();
        assert_eq!((counter.arrivals().len(), now(&counter).requests), (0, 0));
    }
}
