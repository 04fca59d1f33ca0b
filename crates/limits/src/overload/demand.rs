//! Whether there is too much for longer than a burst.

use std::time::Duration;

use tokio::time::Instant;

/// Over how long it is counted whether too much still lasts.
const SPAN: Duration = Duration::from_millis(100);
/// Too much ends when less than one in so many is refused without waiting: by Erlang's loss formula about as many as are
/// refused of what can just be carried, when nothing waits.
const ENDS_BELOW: u32 = 5;

/// What came of what was asked for lately.
pub(super) struct Demand {
    began: Instant,
    admitted: u32,
    refused: u32,
    /// When somebody got leave at once for the last time: nobody waited then.
    slack: Instant,
    /// Whether somebody was refused since then.
    beyond: bool,
    /// Whether there is too much for longer than a burst: waiting helps nobody then, for whoever waits takes the place of
    /// one who comes later, and both have lost time.
    pub lasting: bool,
}

impl Demand {
    pub fn new() -> Self {
        let now = Instant::now();
        Self { began: now, admitted: 0, refused: 0, slack: now, beyond: false, lasting: false }
    }

    /// Looks whether too much has begun or ended; says whether it has begun.
    pub fn look(&mut self, burst: Duration) -> bool {
        let now = Instant::now();
        if !self.lasting {
            self.lasting = self.beyond && now - self.slack > burst;
            if self.lasting {
                (self.began, self.admitted, self.refused) = (now, 0, 0);
            }
            return self.lasting;
        }
        let elapsed = now - self.began;
        if elapsed >= SPAN {
            let asked = self.admitted.saturating_add(self.refused);
            // A span without anybody in it says that it is over.
            self.lasting = elapsed < 2 * SPAN && self.refused.saturating_mul(ENDS_BELOW) >= asked;
            (self.began, self.admitted, self.refused) = (now, 0, 0);
            (self.slack, self.beyond) = (now, false);
        }
        false
    }

    pub fn admitted_at_once(&mut self) {
        self.count(true);
        (self.slack, self.beyond) = (Instant::now(), false);
    }

    pub fn count(&mut self, admitted: bool) {
        let counter = if admitted { &mut self.admitted } else { &mut self.refused };
        *counter = counter.saturating_add(1);
        self.beyond |= !admitted;
    }
}
