//! Faults in the order in which they come: `ok 20s, slow 2s 10s, down 20s, flaky 30% 20s, ok`.
//!
//! A step is a kind of fault with what belongs to it, and how long it lasts. The last step lasts for ever if it says
//! nothing; after a last step that ends, everything is well again. With `loop` as the last step it all begins anew.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub(crate) mod parse;

use crate::fault::Fault;
use crate::span;

/// A script, or a step of it, that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {step} of the script, '{text}': {what}; {hint}")]
pub struct ScriptError {
    /// Which step; the first is 1.
    pub step: usize,
    /// The step as it was written, cut after some words.
    pub text: String,
    /// What is wrong with it.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

/// A fault and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What goes wrong meanwhile.
    pub fault: Fault,
    /// For how long; `None` is for ever.
    pub lasts: Option<Duration>,
}

/// What a script says about a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What goes wrong.
    pub fault: Fault,
    /// For how much longer; `None` is for ever.
    pub left: Option<Duration>,
}

/// Faults in the order in which they come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    steps: Vec<Step>,
    repeats: bool,
}

impl Script {
    /// What goes wrong so long after the beginning.
    pub fn at(&self, elapsed: Duration) -> Moment {
        let mut into = elapsed;
        if self.repeats {
            let round: u128 = self.steps.iter().filter_map(|step| step.lasts).map(|lasts| lasts.as_millis()).sum();
            let ms = elapsed.as_millis().checked_rem(round).unwrap_or(0);
            // What is less than a millisecond is kept: without it a step would seem to last longer by that much.
            let rest = Duration::from_nanos(u64::from(elapsed.subsec_nanos() % 1_000_000));
            into = Duration::from_millis(u64::try_from(ms).unwrap_or(0)).saturating_add(rest);
        }
        for step in &self.steps {
            match step.lasts {
                None => return Moment { fault: step.fault, left: None },
                Some(lasts) if into < lasts => return Moment { fault: step.fault, left: Some(lasts - into) },
                Some(lasts) => into -= lasts,
            }
        }
        Moment { fault: Fault::NONE, left: None }
    }

    /// Its steps, without `loop`.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it begins anew after its last step.
    pub fn repeats(&self) -> bool {
        self.repeats
    }
}

impl FromStr for Script {
    type Err = ScriptError;
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        parse::script(text)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.steps.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{}", step.fault)?;
            if let Some(lasts) = step.lasts {
                write!(f, " {}", span::show(lasts))?;
            }
        }
        if self.repeats { f.write_str(", loop") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_step_lasts_as_long_as_it_says() {
        let script: Script = "ok 20s, slow 2s 10s, down".parse().unwrap();
        let at = |s| script.at(secs(s));
        assert_eq!(at(0), Moment { fault: Fault::NONE, left: Some(secs(20)) });
        assert_eq!(at(19).left, Some(secs(1)));
        assert_eq!(at(20), Moment { fault: Kind::Slow(secs(2)).into(), left: Some(secs(10)) });
        assert_eq!(at(30), Moment { fault: Kind::Down.into(), left: None });
        assert_eq!(at(1_000_000).fault.kind, Kind::Down);
    }

    #[test]
    fn after_the_last_step_all_is_well_unless_it_begins_anew() {
        let once: Script = "down 20s, hang 10s".parse().unwrap();
        assert_eq!(once.at(secs(30)), Moment { fault: Fault::NONE, left: None });
        let round: Script = "down 20s, hang 10s, loop".parse().unwrap();
        assert_eq!(round.at(secs(30)), Moment { fault: Kind::Down.into(), left: Some(secs(20)) });
        assert_eq!(round.at(secs(3_000_025)).fault.kind, Kind::Hang);
    }

    #[test]
    fn without_steps_all_is_well() {
        assert_eq!(Script::default().at(secs(5)), Moment { fault: Fault::NONE, left: None });
    }
}
