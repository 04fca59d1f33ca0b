//! What the documentation promises of search, one test for each promise.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod text_index;

use haat_search::text::{MAX_VARIANTS, highlight};
use text_index::{Product, TextIndex, named};

#[test]
fn forms_of_a_word_are_found_by_each_other() {
    let index = TextIndex::of_names(&["Washing Powder", "Apples", "Dairy"]);
    assert_eq!(index.numbers("wash"), [0]);
    assert_eq!(index.numbers("washed powders"), [0]);
    assert_eq!(index.numbers("apple"), [1]);
    assert_eq!(index.numbers("dairies"), [2]);
}

#[test]
fn accents_and_letter_case_make_no_difference() {
    let index = TextIndex::of_names(&["Crème Brûlée", "Straße Smørrebrød", "jalapeno"]);
    assert_eq!(index.numbers("creme brulee"), [0]);
    assert_eq!(index.numbers("CRE\u{300}ME"), [0]);
    assert_eq!(index.numbers("strasse"), [1]);
    assert_eq!(index.numbers("smorrebrod"), [1]);
    assert_eq!(index.numbers("jalapeño"), [2]);
}

#[test]
fn a_sign_that_stands_for_an_ideograph_is_found_by_it() {
    let index = TextIndex::of_names(&["a㈠", "b㊋ ｶ", "㌔"]);
    assert_eq!(index.numbers("一 x"), [0]);
    assert_eq!(index.numbers("火 カ"), [1]);
    assert_eq!(index.numbers("a x"), [0], "it ends the word before");
}

#[test]
fn one_typo_is_forgiven_from_four_letters() {
    let index = TextIndex::of_names(&["Rice", "Tea"]);
    for typo in ["rce", "ric"] {
        assert!(!index.numbers(&format!("{typo} x")).contains(&0), "{typo} has three letters");
    }
    for typo in ["ricee", "rive", "riec", "irce"] {
        assert_eq!(index.numbers(&format!("{typo} x")), [0], "{typo}");
    }
    for typo in ["rixx", "xixe", "ircex"] {
        assert_eq!(index.numbers(&format!("{typo} x")), [] as [u64; 0], "{typo} is two away");
    }
    assert_eq!(index.numbers("tae x"), [] as [u64; 0]);
}

#[test]
fn two_typos_are_forgiven_from_eight_letters() {
    let index = TextIndex::of_names(&["Chocolate", "Noodles"]);
    assert_eq!(index.numbers("chocolste x"), [0]);
    assert_eq!(index.numbers("chxcolste x"), [0]);
    assert_eq!(index.numbers("hcocoltae x"), [0], "two transpositions");
    assert_eq!(index.numbers("chxcxlste x"), [] as [u64; 0], "three");
    assert_eq!(index.numbers("nodels x"), [] as [u64; 0], "two, in six letters");
    assert_eq!(index.numbers("noodels x"), [1]);
}

#[test]
fn a_transposition_is_one_typo() {
    let index = TextIndex::of_names(&["Salt"]);
    assert_eq!(index.numbers("slat x"), [0]);
}

#[test]
fn words_with_digits_are_taken_literally() {
    let index = TextIndex::of_names(&["Vitamin b1234", "Oil 5000"]);
    assert_eq!(index.numbers("b1235 x"), [] as [u64; 0]);
    assert_eq!(index.numbers("5001 x"), [] as [u64; 0]);
}

#[test]
fn a_typo_is_not_looked_for_while_the_word_is_there() {
    let index = TextIndex::of_names(&["Dice", "Rice"]);
    assert_eq!(index.numbers("rice"), [1]);
}

#[test]
fn a_misspelt_product_does_not_hide_the_others_from_those_who_misspell_them() {
    let mut names = vec!["Chocolate"; 60];
    names.push("Choclate");
    let index = TextIndex::of_names(&names);
    for text in ["choclate", "choclate x"] {
        let found = index.numbers(text);
        assert_eq!((found.len(), found[0]), (61, 60), "{text}: all of them, the one as it is written first");
    }
    // A word in its own right is no misspelling of one that is not so much more frequent.
    let mut names = vec!["Rice"; 49];
    names.push("Dice");
    assert_eq!(TextIndex::of_names(&names).numbers("dice"), [49]);
}

#[test]
fn of_more_completions_than_a_prefix_stands_for_the_most_frequent_count_and_ties_go_by_text() {
    let names: Vec<String> = (0..300).map(|n| format!("z{:03}", 299 - n)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = TextIndex::of_names(&names).top("z", 300);
    assert_eq!(found.len(), MAX_VARIANTS);
    assert_eq!(found.iter().map(|(number, _)| *number).min(), Some(300 - MAX_VARIANTS as u64));
}

#[test]
fn the_last_word_and_only_it_may_be_a_beginning() {
    let index = TextIndex::of_names(&["Chocolate Milk", "Milk Cake"]);
    assert_eq!(index.numbers("milk choc"), [0, 1], "both words, then one");
    assert_eq!(index.top("milk choc", 10)[0].0, 0);
    assert_eq!(index.numbers("choc"), [0]);
    assert_eq!(index.numbers("c"), [0, 1]);
    assert_eq!(index.numbers("choc zzzz"), [] as [u64; 0]);
}

#[test]
fn a_word_may_be_misspelt_while_it_is_being_typed() {
    let index = TextIndex::of_names(&["Chocolate Milk", "Basmati Rice"]);
    for beginning in ["chac", "choxol", "hcoc", "milk chaco"] {
        assert_eq!(index.numbers(beginning)[0], 0, "{beginning}");
    }
    assert_eq!(index.numbers("basnat"), [1]);
    assert_eq!(index.numbers("basnat "), [] as [u64; 0], "white space says that the word is finished");
    assert_eq!(index.numbers("choc "), [] as [u64; 0]);
    assert_eq!(index.numbers("basnati "), [1]);
    assert_eq!(index.numbers("bax"), [] as [u64; 0], "three letters");
}

#[test]
fn joined_words_find_split_ones() {
    let index = TextIndex::of_names(&["Water Bottle", "Water", "Bottle of Water", "Sugar 500 g"]);
    assert_eq!(index.numbers("waterbottle"), [0]);
    assert_eq!(index.numbers("waterbottles blue"), [0]);
    assert_eq!(index.numbers("500g"), [3]);
}

#[test]
fn split_words_find_joined_ones() {
    let index = TextIndex::of_names(&["Waterbottle", "Sunflower Oil", "Sugar 500g"]);
    assert_eq!(index.numbers("water bottle"), [0]);
    assert_eq!(index.numbers("sun flower oil"), [1]);
    assert_eq!(index.numbers("500 g"), [2]);
}

#[test]
fn words_are_split_in_every_text_but_not_across_levels() {
    let category = |levels: &[&str]| Product {
        name: "x".into(),
        category: levels.iter().map(|l| (*l).to_owned()).collect(),
        ..Product::default()
    };
    let index = TextIndex::of(&[category(&["Beauty", "Hair Care"]), category(&["Hair", "Care"])]);
    assert_eq!(index.numbers("haircare"), [0]);
}

#[test]
fn name_before_brand_before_category_before_description() {
    let index = TextIndex::of(&[
        Product { name: "a".into(), description: "fresh mango".into(), ..Product::default() },
        Product { name: "a".into(), category: vec!["Fruit".into(), "Mango".into()], ..Product::default() },
        Product { name: "a".into(), brand: "Mango".into(), ..Product::default() },
        named("Mango in a long name of many more words"),
    ]);
    assert_eq!(index.numbers("mango"), [3, 2, 1, 0]);
}

#[test]
fn an_exact_match_comes_before_a_prefix_and_a_typo_comes_last() {
    let index =
        TextIndex::of_names(&["Oily Fish of the Deep Sea", "Oil of Something with Many Words", "Sunfloer", "Sunflowr"]);
    assert_eq!(index.numbers("oil"), [1, 0]);
    assert_eq!(index.numbers("sunflower"), [2, 3]);
}

#[test]
fn a_typo_in_the_name_does_not_beat_the_word_elsewhere() {
    let index = TextIndex::of(&[
        named("Buter Biscuit"),
        Product { name: "Biscuit Tin".into(), description: "butter".into(), ..Product::default() },
    ]);
    assert_eq!(index.numbers("butter biscuit")[0], 1);
}

#[test]
fn all_words_before_some() {
    let index = TextIndex::of(&[
        named("Olive Olive"),
        Product { name: "x y z".into(), description: "oil of olives".into(), ..Product::default() },
        named("Oil"),
    ]);
    assert_eq!(index.numbers("olive oil")[0], 1);
    assert_eq!(index.numbers("olive oil").len(), 3);
}

#[test]
fn at_least_half_of_the_words_must_match() {
    let index = TextIndex::of_names(&["a1", "a1 b2", "a1 b2 c3"]);
    assert_eq!(index.numbers("a1 b2 c3"), [2, 1], "two of three");
    assert_eq!(index.numbers("a1 b2 c3 d4"), [2, 1], "two of four");
    assert_eq!(index.numbers("a1 d4"), [0, 1, 2], "one of two, shorter names first");
}

#[test]
fn close_words_come_before_words_apart() {
    let names = ["Green Fresh Tea Leaf", "Tea Fresh Leaf Green", "Fresh Leaf Green Tea", "Tea Green Leaf Fresh"];
    let index = TextIndex::of_names(&names);
    assert_eq!(index.numbers("green tea"), [2, 0, 3, 1]);
    let described = |text: &str| Product { name: "x".into(), description: text.into(), ..Product::default() };
    let index = TextIndex::of(&[described("green leaves of tea"), described("leaves of green tea")]);
    assert_eq!(index.numbers("green tea"), [1, 0]);
}

#[test]
fn shorter_names_come_first_among_equals() {
    let index = TextIndex::of_names(&["Basmati Rice Extra Long", "Basmati Rice", "Basmati Rice Long"]);
    assert_eq!(index.numbers("basmati rice"), [1, 2, 0]);
}

#[test]
fn a_text_without_words_finds_nothing() {
    let index = TextIndex::of_names(&["Rice"]);
    for text in ["", " ", "-", "!?…", "\u{0}", "'"] {
        assert_eq!(index.numbers(text), [] as [u64; 0], "{text:?}");
        assert!(index.every(text).iter().all(|(_, matches, score)| !matches && score.is_none()), "{text:?}");
    }
}

#[test]
fn what_only_deleted_products_have_is_as_if_it_never_was() {
    let mut index = TextIndex::of_names(&["Rice", "Dice", "Ricotta", "Butter Milk", "Buttermilk"]);
    index.delete(&[0, 4]);
    assert_eq!(index.numbers("rice x"), [1], "a typo, since no product has the word any more");
    assert_eq!(index.numbers("buttermilk"), [3]);
    let before: Vec<_> = ["rice", "rice x", "buttermilk", "ric"].map(|text| index.top(text, 10)).into();
    index.merge();
    let after: Vec<_> = ["rice", "rice x", "buttermilk", "ric"].map(|text| index.top(text, 10)).into();
    assert_eq!(before, after);
}

#[test]
fn highlights_mark_what_was_found_and_escape_everything() {
    let index = TextIndex::of_names(&["Crème <b>Brûlée</b> & Co", "Water Bottle", "Baker's Yeast"]);
    let searcher = index.searcher();
    let marked = |query: &str, text: &str| highlight(&index.query(&searcher, query), text);
    let text = "Crème <b>Brûlée</b> & Co";
    assert_eq!(marked("creme", text).unwrap(), "<em>Crème</em> &lt;b&gt;Brûlée&lt;/b&gt; &amp; Co");
    assert_eq!(marked("brul", text).unwrap(), "Crème &lt;b&gt;<em>Brûlée</em>&lt;/b&gt; &amp; Co");
    assert_eq!(marked("yeast", text), None);
    assert_eq!(marked("waterbottle", "Water Bottle, water").unwrap(), "<em>Water</em> <em>Bottle</em>, water");
    assert_eq!(marked("watre zz", "still Waters").unwrap(), "still <em>Waters</em>");
    assert_eq!(marked("bakers", "Baker's Yeast").unwrap(), "<em>Baker&#39;s</em> Yeast");
}
