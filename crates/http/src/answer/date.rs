//! `Date` (RFC 9110 §6.6.1), written once a second and thread.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use haat_catalog::Timestamp;
use http::HeaderValue;
use httpdate::HttpDate;

/// The header's value at a time.
pub(crate) fn date(now: Timestamp) -> HeaderValue {
    thread_local!(static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(EPOCH))) });
    let second = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
    LAST.with_borrow_mut(|(of, value)| {
        if *of != second {
            let text = HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_secs(second)).to_string();
            // Letters, digits, commas, colons and spaces.
            (*of, *value) = (second, HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(EPOCH)));
        }
        value.clone()
    })
}

const EPOCH: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_has_its_text() {
        assert_eq!(date(Timestamp::from_millis(784_111_777_999)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(Timestamp::from_millis(784_111_778_000)), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(date(Timestamp::from_millis(999)), EPOCH);
    }
}
