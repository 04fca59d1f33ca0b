//! Which fault is on: that of the script, or one that was ordered.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::script::{Moment, Script};
use crate::span;

/// The fault that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Current {
    /// It.
    pub fault: Fault,
    /// For how much longer, such as `12s`; absent when nothing ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// Whether the script says so, and not an order.
    pub scripted: bool,
}

/// A script that runs, and an order that has precedence while it lasts.
pub(crate) struct Plan {
    script: Script,
    begun: Instant,
    order: Option<Order>,
}

struct Order {
    fault: Fault,
    until: Option<Instant>,
}

impl Plan {
    /// The script begins now.
    pub fn new(script: Script) -> Self {
        Self { script, begun: Instant::now(), order: None }
    }

    /// Another script begins now, and what was ordered before does not count any more.
    pub fn begin(&mut self, script: Script) {
        *self = Self::new(script);
    }

    /// Has `fault` on from now on, for that long or until something else is said. Then the script has its say again, at the
    /// place where it would be without the order.
    pub fn order(&mut self, fault: Fault, lasts: Option<Duration>) {
        // A moment that the clock cannot tell any more never comes.
        let until = lasts.and_then(|lasts| Instant::now().checked_add(lasts));
        self.order = Some(Order { fault, until });
    }

    fn moment(&self) -> (Moment, bool) {
        let now = Instant::now();
        match &self.order {
            Some(Order { fault, until: None }) => (Moment { fault: *fault, left: None }, false),
            Some(Order { fault, until: Some(until) }) if now < *until => {
                (Moment { fault: *fault, left: Some(*until - now) }, false)
            }
            _ => (self.script.at(now.duration_since(self.begun)), true),
        }
    }

    /// What goes wrong now.
    pub fn fault(&self) -> Fault {
        self.moment().0.fault
    }

    /// What goes wrong now, as it is shown: what is left in whole seconds, rounded up.
    pub fn current(&self) -> Current {
        let (Moment { fault, left }, scripted) = self.moment();
        let left = left.map(|left| span::show(Duration::from_secs(left.as_millis().div_ceil(1_000) as u64)));
        Current { fault, left, scripted }
    }

    /// The script as text.
    pub fn script(&self) -> String {
        self.script.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;

    #[tokio::test(start_paused = true)]
    async fn an_order_has_precedence_while_it_lasts() {
        let mut plan = Plan::new("ok 20s, down".parse().unwrap());
        plan.order(Kind::Hang.into(), Some(Duration::from_secs(30)));
        assert_eq!(plan.current(), Current { fault: Kind::Hang.into(), left: Some("30s".into()), scripted: false });
        tokio::time::advance(Duration::from_millis(29_500)).await;
        assert_eq!(plan.current().left.as_deref(), Some("1s"));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(plan.current(), Current { fault: Kind::Down.into(), left: None, scripted: true });
        plan.order(Fault::NONE, None);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(plan.fault(), Fault::NONE);
    }
}
