//! Whether there is too much for longer than a burst.

use std::time::Duration;

use tokio::time::Instant;

/// Over how long it is counted whether too much still lasts.
const SPAN: Duration = Duration::from_millis(100);
/// Too much ends when less than one in so many is refused. That may be too early, which costs little: the line is short then
/// and grows only while nobody is refused.
const ENDS_BELOW: u32 = 2;

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
    /// How many may wait at once.
    pub line: usize,
}

impl Demand {
    /// Nobody has come yet; so many may wait.
    pub fn new(line: usize) -> Self {
        let now = Instant::now();
        Self { began: now, admitted: 0, refused: 0, slack: now, beyond: false, lasting: false, line }
    }

    /// Looks whether too much has begun or ended; says whether it has begun. While there is too much, and when it has just
    /// ended, so few of `lines` may wait as its first says; later so many as its last.
    pub fn look(&mut self, burst: Duration, lines: [usize; 3]) -> bool {
        let [few, handful, most] = lines;
        let now = Instant::now();
        let elapsed = now - self.began;
        if !self.lasting {
            self.lasting = self.beyond && now - self.slack > burst;
            if self.lasting {
                self.line = few;
                (self.began, self.admitted, self.refused) = (now, 0, 0);
            } else if elapsed >= SPAN {
                if self.refused == 0 {
                    self.line = (self.line * 2).min(most);
                }
                (self.began, self.admitted, self.refused) = (now, 0, 0);
            }
            return self.lasting;
        }
        if elapsed >= SPAN {
            let asked = self.admitted.saturating_add(self.refused);
            // A span without anybody in it says that it is over.
            self.lasting = elapsed < 2 * SPAN && self.refused.saturating_mul(ENDS_BELOW) >= asked;
            (self.began, self.admitted, self.refused) = (now, 0, 0);
            (self.slack, self.beyond) = (now, false);
            if !self.lasting {
                self.line = handful;
            }
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
