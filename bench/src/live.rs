//! What answers to `?live=true` say of their values, and how often.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::client::Answer;
use crate::drive::{Run, Seen};
use crate::load::{Latencies, latencies, record};

/// The values are the upstream's.
pub const FRESH: &str = "fresh";
/// Why they are the stored ones, as the server says it.
const REASONS: [&str; 8] = [
    "timeout",
    "breaker_open",
    "saturated",
    "upstream_error",
    "not_found",
    "unreadable",
    "not_declared",
    "store_unavailable",
];

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    live: Live<'a>,
}

#[derive(Deserialize)]
struct Live<'a> {
    fresh: bool,
    #[serde(borrow)]
    reason: Option<&'a str>,
}

/// [`FRESH`], or why not; nothing where the answer is no product with live values.
pub fn said(answer: &Answer) -> Option<&'static str> {
    // Whatever may be cached says so, and such an answer is never cached.
    if answer.status != 200 || answer.field("cache-status").is_some() {
        return None;
    }
    let Body { live } = serde_json::from_slice(&answer.body).ok()?;
    match (live.fresh, live.reason) {
        (true, _) => Some(FRESH),
        (false, reason) => REASONS.into_iter().find(|known| reason == Some(*known)).or(Some("another reason")),
    }
}

/// Answers to `?live=true`.
pub struct Tally {
    /// Of all of them.
    pub latency: Latencies,
    said: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// None yet.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { latency: latencies()?, said: BTreeMap::new() })
    }

    /// Adds the answers that `which` picks.
    pub fn add(&mut self, run: &Run, which: impl Fn(&Seen) -> bool) {
        for seen in run.seen.iter().filter(|seen| which(seen)) {
            record(&mut self.latency, seen.latency());
            let said = seen.live.unwrap_or(if seen.status == 200 { "as stored" } else { "refused" });
            *self.said.entry(said).or_default() += 1;
        }
    }

    /// How many there are that say so.
    pub fn count(&self, said: &str) -> u64 {
        self.said.get(said).copied().unwrap_or(0)
    }

    /// What they say, in percent, the most frequent first.
    pub fn shares(&self) -> String {
        let all = self.latency.len().max(1) as f64;
        let mut said: Vec<_> = self.said.iter().collect();
        said.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let share = |(said, count): (&&str, &u64)| format!("{said} {:.1} %", 100.0 * *count as f64 / all);
        said.into_iter().map(share).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &str, status: u16, body: &str) -> Option<&'static str> {
        said(&Answer { status, head: head.into(), body: body.into() })
    }

    #[test]
    fn answers_are_told_apart_by_what_they_say_of_their_values() {
        let (head, cached) = ("HTTP/1.1 200 OK\r\na: b", "HTTP/1.1 200 OK\r\ncache-status: haat; hit");
        assert_eq!(of(head, 200, r#"{"sku":"A","live":{"fresh":true,"reason":null}}"#), Some(FRESH));
        assert_eq!(of(head, 200, r#"{"sku":"A","live":{"fresh":false,"reason":"saturated"}}"#), Some("saturated"));
        assert_eq!(of(head, 200, r#"{"sku":"A","live":{"fresh":false,"reason":"moon"}}"#), Some("another reason"));
        assert_eq!(of(cached, 200, r#"{"sku":"A"}"#), None);
        assert_eq!(of(head, 503, r#"{"code":"overloaded"}"#), None);
    }
}
