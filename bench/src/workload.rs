//! The questions: seven kinds of listing, drawn from the catalogue's own words and prices, no two of a kind alike.

use std::collections::HashSet;

use clap::ValueEnum;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::RngExt;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::catalogue::Sample;

/// Everything but what RFC 3986 §2.3 leaves unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Percent-encodes a value of a query string.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// What kind of listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The newest 20 above a random price.
    Newest,
    /// Category, brand and price range, by price.
    Narrow,
    /// A price range, by name.
    ByName,
    /// Two words of one name.
    TwoWords,
    /// Two words of one name, one of them misspelt.
    OneTypo,
    /// Three facets over a price range.
    Facets,
    /// A walk by price: page 10,000 beside page 1.
    DeepPage,
}

impl Kind {
    /// How the tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Newest => "newest 20 above a random price",
            Self::Narrow => "category + brand + price range, by price",
            Self::ByName => "price range, by name",
            Self::TwoWords => "two-word search",
            Self::OneTypo => "one-typo search",
            Self::Facets => "three facets over a price range",
            Self::DeepPage => "page 10,000 of a walk by price",
        }
    }

    /// The p50 to reach with `count=none`, in milliseconds; the deep page is held against page 1 instead.
    pub fn aim_ms(self) -> Option<f64> {
        match self {
            Self::Newest => Some(2.0),
            Self::Narrow => Some(1.5),
            Self::ByName | Self::OneTypo => Some(3.0),
            Self::TwoWords => Some(4.0),
            Self::Facets => Some(15.0),
            Self::DeepPage => None,
        }
    }

    /// What Meilisearch 1.50 took on the same data on such a machine (p50, ms), as the project's brief gives it.
    pub fn meilisearch_ms(self) -> f64 {
        match self {
            Self::Newest => 5.0,
            Self::Narrow => 2.4,
            Self::ByName => 5.4,
            Self::TwoWords => 4.7,
            Self::OneTypo => 3.8,
            Self::Facets => 42.0,
            Self::DeepPage => 10_297.0,
        }
    }
}

/// The three facets that are counted: a text, a tree and a number.
pub const FACETS: &str = "brand,category,rating";

/// One question, for HTTP and for SQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ask {
    /// See [`Kind::Newest`].
    Newest {
        /// The least price.
        price_min: i64,
    },
    /// See [`Kind::Narrow`].
    Narrow {
        /// The outermost category.
        category: String,
        /// The maker.
        brand: String,
        /// The price range.
        prices: (i64, i64),
    },
    /// See [`Kind::ByName`].
    ByName {
        /// The price range.
        prices: (i64, i64),
    },
    /// See [`Kind::TwoWords`] and [`Kind::OneTypo`].
    Search {
        /// What is typed.
        words: [String; 2],
    },
    /// See [`Kind::Facets`].
    Facets {
        /// The price range.
        prices: (i64, i64),
    },
}

impl Ask {
    /// Path and query; `count` is `none` or `exact`.
    pub fn target(&self, count: &str) -> String {
        let range = |(min, max): &(i64, i64)| format!("price_min={min}&price_max={max}");
        let query = match self {
            Self::Newest { price_min } => format!("price_min={price_min}"),
            Self::Narrow { category, brand, prices } => {
                format!("category={}&brand={}&{}&sort=price", encode(category), encode(brand), range(prices))
            }
            Self::ByName { prices } => format!("{}&sort=name", range(prices)),
            Self::Search { words } => format!("q={}", encode(&words.join(" "))),
            Self::Facets { prices } => format!("{}&facets={FACETS}", range(prices)),
        };
        format!("/v1/products?{query}&count={count}")
    }
}

/// Draws questions.
pub struct Questions<'a> {
    samples: &'a [Sample],
    random: ChaCha8Rng,
}

impl<'a> Questions<'a> {
    /// The same seed asks the same questions.
    pub fn new(samples: &'a [Sample], seed: u64) -> Self {
        Self { samples, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// `n` questions, no two alike; none of [`Kind::DeepPage`], which is one walk.
    pub fn draw(&mut self, kind: Kind, n: usize) -> Vec<Ask> {
        let mut seen = HashSet::new();
        let mut asks = Vec::with_capacity(n);
        // Bounded, should a catalogue be too small to ask so many different questions of.
        for _ in 0..n * 1_000 {
            if asks.len() == n || kind == Kind::DeepPage {
                break;
            }
            if let Some(ask) = self.one(kind)
                && seen.insert(ask.clone())
            {
                asks.push(ask);
            }
        }
        asks
    }

    fn one(&mut self, kind: Kind) -> Option<Ask> {
        match kind {
            Kind::Newest => Some(Ask::Newest { price_min: self.price()? }),
            Kind::ByName => Some(Ask::ByName { prices: self.prices()? }),
            Kind::Facets => Some(Ask::Facets { prices: self.prices()? }),
            Kind::Narrow => {
                let sample = self.samples.choose(&mut self.random)?;
                let (category, brand) = (sample.category.first()?.clone(), sample.brand.clone()?);
                // Around the price of a real product, so that there is something to find.
                let price = sample.price.amount;
                let prices = (
                    price * self.random.random_range(30..=100) / 100,
                    price * self.random.random_range(100..=300) / 100,
                );
                Some(Ask::Narrow { category, brand, prices })
            }
            Kind::TwoWords => Some(Ask::Search { words: self.words()? }),
            Kind::OneTypo => {
                let mut words = self.words()?;
                let which = self.random.random_range(0..2);
                let word = words.get_mut(which)?;
                *word = typo(word, &mut self.random)?;
                Some(Ask::Search { words })
            }
            Kind::DeepPage => None,
        }
    }

    /// A price as likely as it is in the catalogue.
    fn price(&mut self) -> Option<i64> {
        let price = self.samples.choose(&mut self.random)?.price.amount;
        Some(price + self.random.random_range(0..=50))
    }

    fn prices(&mut self) -> Option<(i64, i64)> {
        let (a, b) = (self.price()?, self.price()?);
        (a != b).then_some((a.min(b), a.max(b)))
    }

    /// Two different words of one name.
    fn words(&mut self) -> Option<[String; 2]> {
        let name = &self.samples.choose(&mut self.random)?.name;
        let words: Vec<String> = words_of(name).into_iter().filter(|w| w.len() >= 4).collect();
        let (a, b) = (words.choose(&mut self.random)?, words.choose(&mut self.random)?);
        (a != b).then(|| [a.clone(), b.clone()])
    }
}

/// The words of a name, lower case, ASCII letters only ("Kg5" and "Crème" are left out).
pub fn words_of(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty() && w.chars().all(|c| c.is_ascii_alphabetic()))
        .map(str::to_ascii_lowercase)
        .collect()
}

/// A word of five letters or more with one letter wrong; never the first, which people rarely mistake.
fn typo(word: &str, random: &mut ChaCha8Rng) -> Option<String> {
    if word.len() < 5 {
        return None;
    }
    let mut letters: Vec<char> = word.chars().collect();
    let at = random.random_range(1..letters.len());
    let letter = letters.get_mut(at)?;
    let wrong = char::from(random.random_range(b'a'..=b'z'));
    if *letter == wrong {
        return None;
    }
    *letter = wrong;
    Some(letters.into_iter().collect())
}
