//! What can go wrong on purpose.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::script::{ScriptError, parse};
use crate::span;

/// A share of requests or items: 1 to 100 in a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Percent(u8);

impl Percent {
    /// `None` unless it is 1 to 100.
    pub fn new(percent: u8) -> Option<Self> {
        (1..=100).contains(&percent).then_some(Self(percent))
    }

    /// 1 to 100.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// None: everything is answered as it should be.
    Ok,
    /// Answers come so much later.
    Slow(Duration),
    /// 503.
    Down,
    /// The connection is closed without an answer.
    Refuse,
    /// The request is taken and never answered: until its sender hangs up, or the server stops.
    Hang,
    /// 500 for that share of requests, drawn for each.
    Flaky(Percent),
    /// 429 with `Retry-After: 1`.
    Limit,
    /// The answer's body ends half way, although its length was announced.
    Cut,
    /// A 200 whose body is no JSON.
    Garbage,
    /// That share of products cannot be understood: a name that is missing, a price in words, a currency that does not
    /// exist. Always the same ones, and always with their `id`.
    Poison(Percent),
}

impl Kind {
    /// The word for it in a script.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Slow(_) => "slow",
            Self::Down => "down",
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::Flaky(_) => "flaky",
            Self::Limit => "limit",
            Self::Cut => "cut",
            Self::Garbage => "garbage",
            Self::Poison(_) => "poison",
        }
    }
}

/// Which requests a fault is for. Those to `/control` and `/stats` never meet one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// All.
    #[default]
    Everything,
    /// Those to the token endpoint.
    Token,
    /// Those to everything but the token endpoint.
    Products,
}

impl Target {
    /// Whether requests to `place`, which is the token endpoint or everything else, are meant.
    pub(crate) fn covers(self, place: Self) -> bool {
        self == Self::Everything || self == place
    }
}

/// A fault and the requests that it is for. Written as a step of a script without its length: `down`, `slow 2s`,
/// `flaky 30% token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// For which requests.
    pub target: Target,
}

impl Fault {
    /// None.
    pub const NONE: Self = Self { kind: Kind::Ok, target: Target::Everything };

    /// The same for requests to the token endpoint alone.
    #[must_use]
    pub fn of_token(self) -> Self {
        Self { target: Target::Token, ..self }
    }

    /// The same for all requests but those to the token endpoint.
    #[must_use]
    pub fn of_products(self) -> Self {
        Self { target: Target::Products, ..self }
    }
}

impl From<Kind> for Fault {
    fn from(kind: Kind) -> Self {
        Self { kind, target: Target::Everything }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match self.kind {
            Kind::Slow(delay) => write!(f, " {}", span::show(delay))?,
            Kind::Flaky(share) | Kind::Poison(share) => write!(f, " {}%", share.get())?,
            _ => {}
        }
        match self.target {
            Target::Everything => Ok(()),
            Target::Token => f.write_str(" token"),
            Target::Products => f.write_str(" products"),
        }
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl FromStr for Fault {
    type Err = ScriptError;
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        parse::fault(text)
    }
}
