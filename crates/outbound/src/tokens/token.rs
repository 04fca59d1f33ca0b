//! A token, and how long it is good.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

/// The longest margin.
const MARGIN: Duration = Duration::from_secs(60);
/// The margin of a short life is so small a part of it.
const MARGIN_PART: u32 = 5;
/// By up to so small a part of the margin processes begin at different moments to look for another token.
const SPREAD_PART: u32 = 4;
/// The longest token. Servers commonly take header fields of 8 to 16 KiB.
const LONGEST: usize = 16 * 1_024;
const SCHEME: &str = "Bearer ";

/// An access token. Its text is in no `Debug` output and cannot be read but as a header field.
pub struct Token {
    header: HeaderValue,
    pub(super) id: u128,
    pub(super) life: Duration,
    due: Instant,
    ends: Instant,
}

impl Token {
    /// A token that ends at `ends`, after a life of `life` in all. `id` is drawn by whoever fetches it: a provider may give
    /// the same text twice, and what was rejected is one of the two. `early`, from 0 to 1, decides how much before the
    /// margin another one is looked for.
    ///
    /// # Errors
    /// When the text is none that can be sent (RFC 6749 §A.12; a space would end it).
    pub(super) fn new(text: &str, id: u128, life: Duration, ends: Instant, early: f64) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > LONGEST {
            return Err("the token is empty or longer than 16 KiB");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token has characters that cannot be sent");
        }
        let mut header = HeaderValue::try_from(format!("{SCHEME}{text}")).map_err(|_| "the token cannot be sent")?;
        header.set_sensitive(true);
        let margin = margin(life);
        let ahead = margin + (margin / SPREAD_PART).mul_f64(early.clamp(0.0, 1.0));
        let due = ends.checked_sub(ahead).unwrap_or(ends);
        Ok(Self { header, id, life, due, ends })
    }

    /// The value of the header field `Authorization` (RFC 6750 §2.1), marked as one that must not be logged.
    pub fn authorization(&self) -> HeaderValue {
        self.header.clone()
    }

    /// When it ends.
    pub fn ends(&self) -> Instant {
        self.ends
    }

    /// Whether it was asked for after that moment.
    pub(super) fn issued_after(&self, moment: Instant) -> bool {
        self.ends.checked_sub(self.life).is_some_and(|issued| issued >= moment)
    }

    /// Its text.
    pub(super) fn text(&self) -> &[u8] {
        self.header.as_bytes().strip_prefix(SCHEME.as_bytes()).unwrap_or_default()
    }

    /// Whether it may be sent.
    pub(super) fn serves(&self, now: Instant) -> bool {
        now < self.ends
    }

    /// Whether it is time to look for another one.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }
}

impl fmt::Debug for Token {
    /// What is left of its life, and nothing of its text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.ends.saturating_duration_since(Instant::now());
        write!(f, "Token(…, {} of {} s left)", left.as_secs(), self.life.as_secs())
    }
}

/// How long before its end another token is looked for.
pub(super) fn margin(life: Duration) -> Duration {
    MARGIN.min(life / MARGIN_PART)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::long(3_600, 3_540)]
    #[case::at_the_bend(300, 240)]
    #[case::short(100, 80)]
    #[case::shortest(1, 0)]
    #[tokio::test(start_paused = true)]
    async fn a_token_is_used_without_a_look_for_another_until_the_margin(#[case] life: u64, #[case] ttl: u64) {
        let (now, life) = (Instant::now(), Duration::from_secs(life));
        let token = Token::new("t", 1, life, now + life, 0.0).unwrap();
        let ttl = if ttl == 0 { Duration::from_millis(800) } else { Duration::from_secs(ttl) };
        assert!(!token.is_due(now + ttl - Duration::from_nanos(1)) && token.is_due(now + ttl));
        assert!(token.serves(now + life - Duration::from_nanos(1)) && !token.serves(now + life));
        let early = Token::new("t", 1, life, now + life, 1.0).unwrap();
        assert!(early.is_due(now + ttl - margin(life) / 4) && !early.is_due(now + ttl - margin(life) / 3));
    }

    #[rstest]
    #[case::empty("")]
    #[case::space("a b")]
    #[case::line("a\r\nHost: b")]
    #[case::nul("a\0")]
    #[case::beyond_ascii("ä")]
    #[case::too_long(&"a".repeat(LONGEST + 1))]
    #[tokio::test]
    async fn what_cannot_be_sent_is_no_token(#[case] text: &str) {
        assert!(Token::new(text, 1, Duration::ZERO, Instant::now(), 0.0).is_err());
    }

    #[tokio::test]
    async fn its_text_is_in_no_debug_output() {
        let token = Token::new("wonderland", 1, Duration::from_secs(9), Instant::now(), 0.0).unwrap();
        assert_eq!((token.text(), token.authorization().as_bytes()), (&b"wonderland"[..], &b"Bearer wonderland"[..]));
        assert!(!format!("{token:?} {:?}", token.authorization()).contains("wonderland"));
    }
}
