//! A naive evaluation of a listing query over products in memory: what a listing must answer, in the fewest words.
//!
//! It shares no code with the index: every product is looked at, everything is sorted, a page is a slice.

mod facets;
mod filters;
mod order;
mod text;
mod words;

pub use text::{Search, Words};

use haat_catalog::{FacetResult, Product, Query};

/// What a listing must answer, all pages of it.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Every product that matches, in the query's order.
    pub products: Vec<&'a Product>,
    /// The facets asked for.
    pub facets: Vec<FacetResult>,
}

impl<'a> Answer<'a> {
    /// The pages that a walk forward from the first page sees; a listing without matches has one empty page.
    pub fn pages(&self, query: &Query) -> Vec<Vec<&'a Product>> {
        let pages: Vec<_> = self.products.chunks(query.limit.get()).map(<[_]>::to_vec).collect();
        if pages.is_empty() { vec![Vec::new()] } else { pages }
    }
}

/// Evaluates a query without words; its cursor, `count` and `fields` say nothing about what matches and are left
/// aside.
pub fn listing<'a>(products: &'a [Product], query: &Query) -> Answer<'a> {
    evaluate(products, query, |_| Some(0))
}

/// Evaluates a query that may have words, over a catalogue of which `words` are the words.
pub fn search<'a>(products: &'a [Product], words: &Words, query: &Query) -> Answer<'a> {
    match &query.text {
        None => listing(products, query),
        Some(text) => {
            let search = words.search(text);
            evaluate(products, query, |product| words.score(&search, product))
        }
    }
}

/// Evaluates a query of which `score` says how well a product matches its words (`None`: not at all).
pub fn evaluate<'a>(products: &'a [Product], query: &Query, score: impl Fn(&Product) -> Option<i64>) -> Answer<'a> {
    let candidates: Vec<(&Product, i64)> = products.iter().filter_map(|p| score(p).map(|s| (p, s))).collect();
    let matching = candidates.iter().copied().filter(|(p, _)| filters::all(p, &query.filters)).collect();
    let facets = query.facets.iter().map(|field| facets::count(&candidates, query, field)).collect();
    Answer { products: order::sorted(query, matching), facets }
}

#[cfg(test)]
mod tests {
    use haat_catalog::{FacetValue, Timestamp};

    use super::*;
    use crate::generate::Generator;

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query::parse(pairs.iter().copied()).unwrap()
    }

    fn catalogue() -> Vec<Product> {
        let mut products = Generator::new(1).products(4);
        for (i, p) in products.iter_mut().enumerate() {
            p.price.amount = [300, 100, 300, 200][i];
            p.rating = [Some(4.0), None, Some(1.0), Some(4.0)][i];
            p.brand = [Some("A"), Some("B"), Some("B"), None][i].map(str::to_owned);
            p.category = [vec!["X", "Y"], vec!["X"], vec!["XY"], vec![]][i].iter().map(|s| (*s).to_owned()).collect();
            p.created_at = Timestamp::from_millis(1_000 * i as i64);
        }
        products
    }

    fn places(products: &[Product], query: &Query) -> Vec<usize> {
        let answer = listing(products, query);
        answer.products.iter().map(|p| products.iter().position(|q| q.id == p.id).unwrap()).collect()
    }

    #[test]
    fn words_are_found_exactly_before_cut_off_before_joined_before_misspelt() {
        let mut products = Generator::new(2).products(6);
        let names = ["Water bottles", "Waterbottle", "Wader bottle", "Bottle of water", "Water bot", "Soap"];
        for (p, name) in products.iter_mut().zip(names) {
            p.name = name.to_owned();
            (p.brand, p.description, p.category) = (None, None, Vec::new());
        }
        let words = Words::of(&products);
        let names = |text: &str| -> Vec<String> {
            let answer = search(&products, &words, &query(&[("q", text)]));
            answer.products.iter().map(|p| p.name.clone()).collect()
        };
        assert_eq!(names("water bottle")[..3], ["Water bottles", "Bottle of water", "Waterbottle"]);
        assert_eq!(names("waterbottle")[..2], ["Waterbottle", "Water bottles"]);
        assert_eq!(names("water bo")[0], "Water bot");
        assert_eq!(names("soapp"), ["Soap"]);
        assert!(names("…").is_empty());
    }

    #[test]
    fn missing_values_come_last_in_both_directions() {
        let products = catalogue();
        assert_eq!(places(&products, &query(&[("sort", "rating,price")])), [2, 3, 0, 1]);
        assert_eq!(places(&products, &query(&[("sort", "-rating,price")])), [3, 0, 2, 1]);
    }

    #[test]
    fn the_newest_come_first_when_nothing_else_is_asked_for() {
        assert_eq!(places(&catalogue(), &Query::default()), [3, 2, 1, 0]);
    }

    #[test]
    fn a_category_matches_its_subtree_by_levels_not_by_letters() {
        assert_eq!(places(&catalogue(), &query(&[("category", "X")])), [1, 0]);
    }

    #[test]
    fn a_fields_own_filter_does_not_narrow_its_counts() {
        let products = catalogue();
        let answer = listing(&products, &query(&[("brand", "A"), ("facets", "brand,category")]));
        let counts = |i: usize| -> Vec<(String, u64)> {
            let text = |v: &FacetValue| if let FacetValue::Text(t) = v { t.clone() } else { String::new() };
            answer.facets[i].counts.iter().map(|c| (text(&c.value), c.count)).collect()
        };
        assert_eq!(counts(0), [("B".to_owned(), 2), ("A".to_owned(), 1)]);
        assert_eq!(counts(1), [("X".to_owned(), 1), ("X > Y".to_owned(), 1)]);
    }
}
