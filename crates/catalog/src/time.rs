//! Points in time, and the only place in Haat that reads the global clock or draws random ids.
//!
//! Everything else takes a [`Clock`] or [`Ids`] as a parameter, so that tests run on injected time
//! (`clippy.toml` bans the global ones elsewhere).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::product::ProductId;

/// Milliseconds since the Unix epoch, UTC. Written as RFC 3339 (`2026-01-02T03:04:05Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// The earliest and latest moments that RFC 3339 can write with a four-digit year.
const RANGE_MS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

impl Timestamp {
    /// From milliseconds since the epoch, clamped to the years 0000 to 9999.
    pub fn from_millis(ms: i64) -> Self {
        Self(ms.clamp(*RANGE_MS.start(), *RANGE_MS.end()))
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, rounded down: NumericDate (RFC 7519 §2).
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The moment so much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment so much earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long it is after another moment; nothing if it is before it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A text that is not an RFC 3339 date-time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an RFC 3339 date-time such as 2026-01-02T03:04:05Z")]
pub struct TimestampError(String);

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(s: &str) -> Result<Self, TimestampError> {
        let bad = || TimestampError(s.chars().take(40).collect());
        let ms = s.parse::<jiff::Timestamp>().map_err(|_| bad())?.as_millisecond();
        if RANGE_MS.contains(&ms) { Ok(Self(ms)) } else { Err(bad()) }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;
    fn try_from(s: String) -> Result<Self, TimestampError> {
        s.parse()
    }
}

impl From<Timestamp> for String {
    fn from(t: Timestamp) -> Self {
        t.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => t.fmt(f),
            Err(_) => f.write_str("0000-01-01T00:00:00Z"),
        }
    }
}

/// Tells the time. Production uses [`SystemClock`]; tests move their own.
pub trait Clock: Send + Sync {
    /// The current moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the global clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Draws new product ids: UUID version 7 (RFC 9562 §5.7), increasing within a process.
pub trait Ids: Send + Sync {
    /// A new id that no product has.
    fn next_id(&self) -> ProductId;
}

/// Ids from the machine's clock and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    #[allow(clippy::disallowed_methods, reason = "the one place that draws random ids")]
    fn next_id(&self) -> ProductId {
        ProductId::from(Uuid::now_v7())
    }
}

/// The clock and the ids that production uses.
pub fn system() -> (Arc<dyn Clock>, Arc<dyn Ids>) {
    (Arc::new(SystemClock), Arc::new(RandomIds))
}
