//! Any input is safe, as a query and as a product's text.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod text_index;

use haat_search::text::analyze::{MAX_WORD_BYTES, words};
use haat_search::text::highlight;
use proptest::prelude::*;
use text_index::{Product, TextIndex, named};

/// Up to 1,000 bytes of anything, with a bias to what word rules are about.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[a-zA-Z0-9' ’_.-]{1,12}",
        prop::sample::select(vec![
            "'s",
            "é",
            "e\u{301}",
            "ß",
            "ﬁ",
            "½",
            "İ",
            "水",
            "क्ष",
            "\u{200d}",
            "\0",
            "\u{1f}",
            "𝒜"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..120).prop_map(|pieces| {
        let mut text = pieces.concat();
        while text.len() > 1_000 {
            text.pop();
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn words_are_well_formed(text in any_text()) {
        let (mut end, mut number) = (0, 0);
        for word in words(&text) {
            prop_assert!(!word.text.is_empty() && word.text.len() <= MAX_WORD_BYTES);
            let separators = word.text.contains(['\u{1f}', '\0', ' ']);
            prop_assert!(!separators);
            prop_assert!(word.offset_from >= end && word.offset_to > word.offset_from);
            prop_assert!(text.get(word.offset_from..word.offset_to).is_some());
            prop_assert_eq!(word.position, number);
            // A word is its own only word: what is in the dictionary can be asked for.
            let again: Vec<_> = words(&word.text).map(|w| w.text).collect();
            prop_assert_eq!(again, [word.text]);
            (end, number) = (word.offset_to, number + 1);
        }
    }

    #[test]
    fn highlights_change_nothing_but_marks_and_escapes(text in any_text(), query in any_text()) {
        let index = TextIndex::of_names(&[&text, "rice"]);
        let searcher = index.searcher();
        if let Some(html) = highlight(&index.query(&searcher, &query), &text) {
            let plain = html.replace("<em>", "").replace("</em>", "");
            let unescaped = plain.contains(['<', '>', '"', '\'']);
            prop_assert!(!unescaped);
            let plain = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
            prop_assert_eq!(plain.replace("&amp;", "&"), text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_product_is_found_by_its_own_name(name in any_text(), other in any_text()) {
        let product = Product { brand: other.clone(), description: other.clone(), ..named(&name) };
        let index = TextIndex::of(&[product, named(&other)]);
        let found = index.numbers(&name);
        prop_assert_eq!(words(&name).next().is_some(), found.contains(&0));
        index.numbers(&other);
        index.every(&other);
    }
}
