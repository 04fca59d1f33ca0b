//! The breaker of a client, as sources show it and give it orders.

use std::sync::Arc;

use haat_catalog::Clock;
use haat_outbound::{Client, Order};
use haat_sources::breaker::{BreakerControl, BreakerStanding};
use haat_sources::ports::BreakerOrder;

/// The breaker in front of an upstream.
pub struct ClientBreaker {
    client: Arc<Client>,
    clock: Arc<dyn Clock>,
}

impl ClientBreaker {
    /// That of this client.
    pub fn new(client: Arc<Client>, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock }
    }
}

impl BreakerControl for ClientBreaker {
    fn report(&self) -> BreakerStanding {
        let breaker = self.client.breaker();
        BreakerStanding {
            state: breaker.state.name().to_owned(),
            since: self.clock.now().minus(breaker.since.elapsed()),
            failure_rate: breaker.failure_rate,
            slow_rate: breaker.slow_rate,
            calls: breaker.calls,
        }
    }

    fn order(&self, order: BreakerOrder) {
        self.client.force(match order {
            BreakerOrder::Auto => Order::Auto,
            BreakerOrder::ForceOpen => Order::Open,
            BreakerOrder::ForceClosed => Order::Closed,
        });
    }
}
