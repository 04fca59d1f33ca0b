//! That a list moves on. An upstream that gives the same page for ever, or goes round in a circle, would be read for ever,
//! and the products behind it would count as vanished.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::connector::ReadError;

/// The most pages of one list.
pub const MAX_PAGES: u64 = 1_000_000;
/// The longest position, in bytes: it is kept with every page.
const MAX_POSITION: usize = 16 << 10;

/// What is remembered of the pages before.
///
/// Circles are found as in R. P. Brent, "An improved Monte Carlo factorization algorithm", BIT 20 (1980): the position after
/// 1, 2, 4, 8, … pages is kept and compared with those that follow, so that a circle is noticed after at most three times
/// as many pages as lie before and in it, and nothing more is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// How many pages were read.
    #[serde(default)]
    pub pages: u64,
    /// A hash of the items of the last page that had any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<u64>,
    /// A hash of the position that is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<u64>,
}

/// A refusal of the answer.
pub fn malformed(text: impl Into<String>) -> ReadError {
    ReadError::Malformed(text.into())
}

fn hash(value: &impl Serialize) -> u64 {
    // Serialising JSON to memory does not fail.
    xxh3_64(&serde_json::to_vec(value).unwrap_or_default())
}

impl Progress {
    /// What is remembered after a page of these items, which leads to the place `next`.
    ///
    /// # Errors
    /// When the list does not move on, or is longer than any.
    pub fn after(&self, items: &[Value], next: &Value) -> Result<Self, ReadError> {
        let pages = self.pages.saturating_add(1);
        if pages >= MAX_PAGES {
            return Err(malformed(format!("there are more than {MAX_PAGES} pages; ask for larger ones")));
        }
        let page = if items.is_empty() { self.page } else { Some(hash(&items)) };
        if !items.is_empty() && self.page == page {
            return Err(malformed(
                "it answers the same page twice; check the parameters of `pagination`, which it seems not to heed",
            ));
        }
        let text = serde_json::to_vec(next).unwrap_or_default();
        if text.len() > MAX_POSITION {
            return Err(malformed(format!("the place of the next page is longer than {MAX_POSITION} bytes")));
        }
        let place = xxh3_64(&text);
        if self.mark == Some(place) {
            return Err(malformed("its pages go round in a circle: a next page is one that was read already"));
        }
        let mark = if pages.is_power_of_two() { Some(place) } else { self.mark };
        Ok(Self { pages, page, mark })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn every_circle_is_noticed_and_nothing_else(before in 0_u64..60, around in 1_u64..60) {
            let mut progress = Progress::default();
            let (mut steps, mut place) = (0, 0);
            let noticed = loop {
                place = if place + 1 == before + around { before } else { place + 1 };
                steps += 1;
                match progress.after(&[json!(steps)], &json!(place)) {
                    Ok(next) => progress = next,
                    Err(_) => break steps,
                }
            };
            prop_assert!(noticed > before.saturating_sub(1) && noticed <= 3 * (before + around) + 3, "{}", noticed);
        }
    }

    #[test]
    fn a_long_list_without_a_circle_is_read_to_its_end() {
        let mut progress = Progress::default();
        for page in 0..5_000 {
            progress = progress.after(&[json!(page)], &json!(page + 1)).unwrap();
        }
        assert_eq!(progress.pages, 5_000);
    }

    #[test]
    fn the_same_page_twice_is_noticed_though_empty_ones_may_repeat() {
        let one = Progress::default().after(&[json!(1)], &json!("a")).unwrap();
        assert!(one.after(&[json!(1)], &json!("b")).unwrap_err().to_string().contains("twice"));
        let empty = one.after(&[], &json!("b")).unwrap().after(&[], &json!("c")).unwrap();
        assert!(empty.after(&[json!(1)], &json!("d")).is_err());
    }

    #[test]
    fn there_is_a_bound_on_pages_and_on_the_length_of_a_position() {
        let nearly = Progress { pages: MAX_PAGES - 1, ..Progress::default() };
        assert!(nearly.after(&[], &json!(1)).is_err());
        assert!(Progress::default().after(&[], &json!("x".repeat(MAX_POSITION))).is_err());
    }
}
