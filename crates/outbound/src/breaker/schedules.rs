//! The breaker and its permits under random schedules: calls that ask, end, are dropped, are lost in a panic or come late, orders
//! of an operator, and time that passes, in any order. What the machine decides is in `traces.rs`; here is what callers hold.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PROBES: u32 = 3;

/// Opens at the fourth call at the earliest, for 4 s at most. The window is so long that it holds all since the last change.
fn options() -> BreakerOptions {
    BreakerOptions {
        window: SECOND * 3_600,
        minimum_calls: 4,
        probes: PROBES,
        open: SECOND,
        max_open: SECOND * 4,
        ..BreakerOptions::default()
    }
}

/// A panic that says nothing, not even on the screen.
fn quiet_panic() {
    resume_unwind(Box::new(()))
}

struct Stage {
    breaker: Arc<Breaker>,
    under_way: Vec<Permit>,
    random: StdRng,
    panics: u32,
    seen: [u32; 5],
}

impl Stage {
    fn new(seed: u64) -> Self {
        // Whoever draws may panic as well.
        let drawing = Mutex::new(StdRng::seed_from_u64(!seed));
        let draw = move || {
            let drawn = drawing.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>();
            if drawn < 0.02 {
                quiet_panic();
            }
            drawn
        };
        let breaker = Breaker::new("upstream", options(), Random::new(draw));
        Self { breaker, under_way: vec![], random: StdRng::seed_from_u64(seed), panics: 0, seen: [0; 5] }
    }

    async fn step(&mut self) {
        match self.random.random_range(0..40) {
            0..16 => self.acquire(),
            16..20 => self.end(true, |permit| permit.succeeded(Duration::ZERO)),
            20..26 => self.end(true, |permit| permit.failed(Duration::ZERO)),
            26..28 => self.end(true, |permit| permit.succeeded(SECOND * 2)),
            28..31 => self.end(false, drop),
            31..34 => self.end(false, |_permit| quiet_panic()),
            34..38 => advance(SECOND.mul_f64(self.random.random())).await,
            38 => advance(SECOND * self.random.random_range(0..8_u32)).await,
            _ => {
                let orders = [Order::Auto, Order::Auto, Order::Open, Order::Closed];
                self.breaker.force(orders[self.random.random_range(0..orders.len())]);
            }
        }
        let state = self.breaker.snapshot().state;
        self.seen[usize::from(state.number())] += 1;
        assert!(state != State::HalfOpen || self.probing() <= PROBES as usize, "too many probes at once");
    }

    /// How many permits of the state that there is now are out.
    fn probing(&self) -> usize {
        self.under_way.iter().filter(|permit| permit.is_current()).count()
    }

    /// A call asks, and is let through exactly when it should be.
    fn acquire(&mut self) {
        let before = self.breaker.snapshot();
        let lets = match before.state {
            State::Closed | State::ForcedClosed => true,
            State::ForcedOpen => false,
            State::Open => before.retry_in == Some(Duration::ZERO),
            // Those that were judged since it is half open have succeeded.
            State::HalfOpen => self.probing() as u64 + before.calls < u64::from(PROBES),
        };
        let permit = self.breaker.acquire();
        assert_eq!(permit.is_ok(), lets, "{before:?} with {} under way", self.probing());
        self.under_way.extend(permit);
    }

    /// One of those under way ends so. It is judged once, if it says something, and not if it is of an earlier state.
    fn end(&mut self, says: bool, how: impl FnOnce(Permit)) {
        if self.under_way.is_empty() {
            return;
        }
        let permit = self.under_way.swap_remove(self.random.random_range(0..self.under_way.len()));
        let (says, before) = (says && permit.is_current(), self.breaker.snapshot());
        let panicked = catch_unwind(AssertUnwindSafe(|| how(permit))).is_err();
        self.panics += u32::from(panicked);
        let after = self.breaker.snapshot();
        if !says || panicked {
            assert_eq!(after, before, "it said something");
        } else if after.state == before.state {
            assert_eq!(after.calls, before.calls + 1, "it was not judged");
        }
    }

    /// The upstream is well again and the callers of before are gone: everything is sent again, after two open times at most, for
    /// what failed before may open it once more.
    async fn recovers(&mut self) -> bool {
        self.under_way.clear();
        if matches!(self.breaker.snapshot().state, State::ForcedOpen | State::ForcedClosed) {
            self.breaker.force(Order::Auto);
        }
        let began = Instant::now();
        let mut passed = 0;
        while passed < 20 && began.elapsed() <= SECOND * 8 {
            match self.breaker.acquire() {
                Ok(permit) => {
                    let settled = catch_unwind(AssertUnwindSafe(|| permit.succeeded(Duration::ZERO)));
                    passed += u32::from(settled.is_ok());
                }
                Err(CallError::BreakerOpen { retry_in }) => {
                    passed = 0;
                    advance(retry_in).await;
                }
                Err(_) => return false,
            }
        }
        passed == 20 && self.breaker.snapshot().state == State::Closed
    }
}

#[tokio::test(start_paused = true)]
async fn permits_that_end_in_any_way_in_any_order_leave_a_breaker_that_recovers() {
    let (mut seen, mut panics) = ([0; 5], 0);
    for seed in 0..1_000 {
        let mut stage = Stage::new(seed);
        for _ in 0..200 {
            stage.step().await;
        }
        assert!(stage.recovers().await, "schedule {seed} ends stuck: {:?}", stage.breaker.snapshot());
        seen.iter_mut().zip(stage.seen).for_each(|(all, times)| *all += times);
        panics += stage.panics;
    }
    assert!(seen.iter().all(|times| *times > 10_000), "some states were hardly seen: {seen:?}");
    assert!(panics > 1_000, "{panics} panics");
}
