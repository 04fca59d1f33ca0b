//! Reading scripts. Whoever writes one by hand is told which step is wrong and what to write.

use std::time::Duration;

use super::{Script, ScriptError, Step};
use crate::fault::{Fault, Kind, Percent, Target};
use crate::span;

/// The most steps of a script.
const MAX_STEPS: usize = 100;
/// So much of a step is shown in an error, in characters.
const SHOWN: usize = 60;

/// Reads a script.
pub(super) fn script(text: &str) -> Result<Script, ScriptError> {
    let mut texts: Vec<&str> = text.split(',').map(str::trim).collect();
    let repeats = texts.len() > 1 && texts.last() == Some(&"loop");
    if repeats {
        texts.pop();
    }
    if texts.len() > MAX_STEPS {
        let what = format!("a script has at most {MAX_STEPS} steps");
        let rest = texts.get(MAX_STEPS).copied().unwrap_or_default();
        return Err(Wrong { what, hint: "end it with 'loop' to repeat it".into() }.at(MAX_STEPS + 1, rest));
    }
    let mut steps = Vec::with_capacity(texts.len());
    for (n, text) in texts.iter().enumerate() {
        let step = step(text).map_err(|wrong| wrong.at(n + 1, text))?;
        if step.lasts.is_none() && (repeats || n + 1 < texts.len()) {
            let what = if repeats { "it must end for the script to repeat" } else { "the next step would never come" };
            let hint = format!("say how long it lasts, such as '{} 20s'", step.fault);
            return Err(Wrong { what: what.into(), hint }.at(n + 1, text));
        }
        steps.push(step);
    }
    Ok(Script { steps, repeats })
}

/// Reads a step that says nothing of how long it lasts.
pub(crate) fn fault(text: &str) -> Result<Fault, ScriptError> {
    let read = step(text).and_then(|step| match step.lasts {
        None => Ok(step.fault),
        Some(lasts) => {
            let hint = format!("write '{}', and '{}' beside it", step.fault, span::show(lasts));
            Err(Wrong { what: "how long it lasts is said elsewhere".into(), hint })
        }
    });
    read.map_err(|wrong| wrong.at(1, text))
}

/// What is wrong with a step, and what to write.
struct Wrong {
    what: String,
    hint: String,
}

impl Wrong {
    fn at(self, step: usize, text: &str) -> ScriptError {
        ScriptError { step, text: text.chars().take(SHOWN).collect(), what: self.what, hint: self.hint }
    }
}

/// What to write for a kind of fault; `None` for what is none.
fn usage(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "ok" => "'ok 20s' (all is well for 20 s)",
        "slow" => "'slow 2s 10s' (answers come 2 s later, for 10 s)",
        "down" => "'down 20s' (503 for 20 s)",
        "refuse" => "'refuse 20s' (connections are closed without an answer for 20 s)",
        "hang" => "'hang 10s' (requests of 10 s are never answered)",
        "flaky" => "'flaky 30% 20s' (500 for 30 of a hundred requests, for 20 s)",
        "limit" => "'limit 20s' (429 for 20 s)",
        "cut" => "'cut 10s' (bodies end half way for 10 s)",
        "garbage" => "'garbage 10s' (bodies are no JSON for 10 s)",
        "poison" => "'poison 5% 20s' (5 of a hundred products cannot be understood, for 20 s)",
        _ => return None,
    })
}

/// The words of a step after its kind, by what they are.
#[derive(Default)]
struct Words {
    spans: Vec<Duration>,
    percent: Option<Percent>,
    target: Option<Target>,
}

impl Words {
    fn read<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut read = Self::default();
        for word in words {
            let target = match word {
                "token" => Some(Target::Token),
                "products" => Some(Target::Products),
                _ => None,
            };
            let twice = if let Some(target) = target {
                read.target.replace(target).is_some()
            } else if let Some(number) = word.strip_suffix('%') {
                let percent = number.parse().ok().and_then(Percent::new);
                let percent = percent.ok_or_else(|| format!("'{word}' is no share from 1% to 100%"))?;
                read.percent.replace(percent).is_some()
            } else {
                let span = span::parse(word).map_err(|e| e.to_string())?;
                if span.is_zero() {
                    return Err(format!("'{word}' is no time at all"));
                }
                read.spans.push(span);
                false
            };
            if twice {
                return Err(format!("'{word}' is one too many"));
            }
        }
        Ok(read)
    }
}

fn step(text: &str) -> Result<Step, Wrong> {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or_default();
    let Some(usage) = usage(name) else {
        let what = match name {
            "" => "nothing is written there".to_owned(),
            "loop" => "'loop' stands last, after other steps".to_owned(),
            name => format!("'{name}' is no kind of fault"),
        };
        let hint = "write one of ok, slow, down, refuse, hang, flaky, limit, cut, garbage, poison".to_owned();
        return Err(Wrong { what, hint });
    };
    let wrong = |what: String| Wrong { what, hint: format!("write it like {usage}") };
    let Words { spans, percent, target } = Words::read(words).map_err(wrong)?;
    let mut spans = spans.into_iter();
    let kind = kind(name, percent, &mut spans).map_err(|what| wrong(what.to_owned()))?;
    let (lasts, more) = (spans.next(), spans.next());
    if more.is_some() {
        return Err(wrong("there is one length of time too many".into()));
    }
    Ok(Step { fault: Fault { kind, target: target.unwrap_or_default() }, lasts })
}

/// The kind of fault of that name, with the share and the first of the lengths of time if these belong to it.
fn kind(
    name: &str,
    percent: Option<Percent>,
    spans: &mut impl Iterator<Item = Duration>,
) -> Result<Kind, &'static str> {
    let kind = match (name, percent) {
        ("flaky", Some(share)) => return Ok(Kind::Flaky(share)),
        ("poison", Some(share)) => return Ok(Kind::Poison(share)),
        ("flaky" | "poison", None) => return Err("it does not say which share"),
        ("slow", None) => Kind::Slow(spans.next().ok_or("it does not say by how much")?),
        ("down", None) => Kind::Down,
        ("refuse", None) => Kind::Refuse,
        ("hang", None) => Kind::Hang,
        ("limit", None) => Kind::Limit,
        ("cut", None) => Kind::Cut,
        ("garbage", None) => Kind::Garbage,
        (_, None) => Kind::Ok,
        (_, Some(_)) => return Err("a share does not belong to it"),
    };
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        text.parse::<Script>().unwrap_err().to_string()
    }

    #[test]
    fn what_is_read_is_written_the_same() {
        for text in [
            "ok 20s, slow 2s 10s, down 20s, hang 10s, flaky 30% 20s, limit 20s, cut 10s, garbage 10s, ok",
            "refuse 1500ms, poison 5%",
            "down token 20s, flaky 1% products 1m, slow 1ms token 1h, loop",
        ] {
            assert_eq!(text.parse::<Script>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn words_may_stand_in_any_order_and_with_any_spaces() {
        let script: Script = " flaky   20s 30%  token,down  ".parse().unwrap();
        assert_eq!(script.to_string(), "flaky 30% token 20s, down");
    }

    #[test]
    fn an_error_names_the_step_and_says_what_to_write() {
        assert_eq!(
            wrong("ok 20s, dwon 20s"),
            "step 2 of the script, 'dwon 20s': 'dwon' is no kind of fault; write one of ok, slow, down, refuse, hang, \
             flaky, limit, cut, garbage, poison"
        );
        assert_eq!(
            wrong("ok 20s, ok 20s, slow"),
            "step 3 of the script, 'slow': it does not say by how much; write it like 'slow 2s 10s' (answers come 2 s \
             later, for 10 s)"
        );
        for (text, what) in [
            ("flaky 20s", "which share"),
            ("flaky 0% 20s", "no share from 1% to 100%"),
            ("flaky 300% 20s", "no share from 1% to 100%"),
            ("down 30%", "does not belong"),
            ("down 20s 20s", "one length of time too many"),
            ("slow 1s 2s 3s", "one length of time too many"),
            ("down 20", "is no length of time"),
            ("down 0s", "no time at all"),
            ("down token products", "one too many"),
            ("down, ok", "the next step would never come"),
            ("down, loop", "must end"),
            ("loop", "stands last"),
            ("ok 1s, loop, ok", "stands last"),
            ("ok 1s,, ok", "nothing is written"),
            ("", "nothing is written"),
        ] {
            assert!(wrong(text).contains(what), "{text}: {}", wrong(text));
        }
        assert!(wrong(&vec!["ok 1s"; 101].join(",")).starts_with("step 101 "));
    }

    #[test]
    fn a_fault_by_itself_does_not_say_how_long() {
        assert_eq!(
            "slow 2s token".parse::<Fault>().unwrap(),
            Fault::from(Kind::Slow(Duration::from_secs(2))).of_token()
        );
        let error = "down 20s".parse::<Fault>().unwrap_err();
        assert_eq!(error.hint, "write 'down', and '20s' beside it");
    }
}
