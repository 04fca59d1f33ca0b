//! Random valid queries, as the pairs of a query string.

use haat_catalog::{FacetField, Product, Sku, SortField};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::vocabulary as words;
use super::{Generator, Pairs};

impl Generator {
    /// A listing without words: filters, order, page size, facets.
    pub fn listing(&mut self, products: &[Product]) -> Pairs {
        let mut pairs = self.filters(products);
        self.shape(&mut pairs, false);
        pairs
    }

    /// A search: words that products have, misspelt at times, with filters at times.
    pub fn search(&mut self, products: &[Product]) -> Pairs {
        let mut pairs = vec![("q".to_owned(), self.text(products))];
        if self.chance(0.3) {
            pairs.extend(self.filters(products));
        }
        self.shape(&mut pairs, true);
        pairs
    }

    fn filters(&mut self, products: &[Product]) -> Pairs {
        let mut pairs = Pairs::new();
        let n = *[0, 0, 1, 1, 1, 2, 2, 3, 5].choose(&mut self.rng).expect("not empty");
        for _ in 0..n {
            let model = products.choose(&mut self.rng).cloned().unwrap_or_else(|| self.product());
            self.filter(&model, &mut pairs);
        }
        pairs
    }

    /// Adds a filter that `model` meets, mostly.
    fn filter(&mut self, model: &Product, pairs: &mut Pairs) {
        let mut add = |name: &str, value: String| pairs.push((name.to_owned(), value));
        match self.rng.random_range(0..16) {
            0 | 1 => self.subtree(model, &mut add),
            2 => add("brand", model.brand.clone().unwrap_or_else(|| "nobody".into())),
            3 => {
                for _ in 0..2 {
                    add("brand", self.one(words::BRANDS).into());
                }
            }
            4 => add("seller", model.seller.clone().unwrap_or_else(|| "nobody".into())),
            5 => add("tag", model.tags.first().cloned().unwrap_or_else(|| self.one(words::TAGS).into())),
            6 => add("status", model.status.name().into()),
            7 | 8 => self.attribute_filter(model, &mut add),
            9 | 10 => self.price_filter(model, pairs),
            11 => add("currency", model.price.currency.to_string()),
            12 => self.once(pairs, "rating_min", model.rating.unwrap_or(2.5).to_string()),
            13 => {
                let value = self.chance(0.5).to_string();
                self.once(pairs, "in_stock", value);
            }
            14 => {
                let name = self.one(&["created_after", "updated_after"]);
                self.once(pairs, name, model.created_at.to_string());
            }
            _ => self.near_filter(model, pairs),
        }
    }

    fn once(&mut self, pairs: &mut Pairs, name: &str, value: String) {
        if !pairs.iter().any(|(n, _)| n == name) {
            pairs.push((name.to_owned(), value));
        }
    }

    fn subtree(&mut self, model: &Product, add: &mut impl FnMut(&str, String)) {
        let depth = self.rng.random_range(1..=model.category.len().max(1));
        let path: Vec<_> = model.category.iter().take(depth).map(String::as_str).collect();
        add("category", if path.is_empty() { "Food".into() } else { path.join(" > ") });
        if self.chance(0.2) {
            add("category", self.one(words::CATEGORIES).join(" > "));
        }
    }

    fn attribute_filter(&mut self, model: &Product, add: &mut impl FnMut(&str, String)) {
        let name = self.one(words::ATTRIBUTES);
        let texts = model.attributes.get(name).map(|v| v.texts()).unwrap_or_default();
        let value = texts.into_iter().find(|t| !t.is_empty()).unwrap_or_else(|| "true".into());
        add(&format!("attr.{name}"), value);
        if self.chance(0.3) {
            add(&format!("attr.{name}"), "1000".into());
        }
    }

    fn price_filter(&mut self, model: &Product, pairs: &mut Pairs) {
        let span = self.one(&[0, 1, 5_000, 50_000]);
        if self.chance(0.7) {
            self.once(pairs, "price_min", (model.price.amount - span).max(0).to_string());
        }
        let least = pairs.iter().find(|(n, _)| n == "price_min").map_or(0, |(_, v)| v.parse().unwrap_or(0));
        if self.chance(0.7) {
            let most = (model.price.amount + span).clamp(least, 9_007_199_254_740_991);
            self.once(pairs, "price_max", most.to_string());
        }
        // A lower bound that came after an upper one may lie above it.
        let bound = |name: &str| pairs.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.parse::<i64>().ok());
        if bound("price_min") > bound("price_max") && bound("price_max").is_some() {
            pairs.retain(|(n, _)| n != "price_max");
        }
    }

    fn near_filter(&mut self, model: &Product, pairs: &mut Pairs) {
        if pairs.iter().any(|(n, _)| n == "near") {
            return;
        }
        let town = self.one(words::PLACES);
        let (lat, lon) = model.location.map_or(town, |l| (l.lat, l.lon));
        pairs.push(("near".into(), format!("{lat},{lon}")));
        if self.chance(0.6) {
            let radius = self.one(&["0", "0.001", "1", "10.5", "25", "60", "9000", "20100"]);
            pairs.push(("radius_km".into(), radius.into()));
        }
    }

    /// Order, page size, facets and count.
    fn shape(&mut self, pairs: &mut Pairs, search: bool) {
        self.order(pairs, search);
        if self.chance(0.8) {
            let limit = if self.chance(0.8) { self.rng.random_range(1..=20) } else { self.rng.random_range(20..=100) };
            pairs.push(("limit".into(), limit.to_string()));
        }
        if self.chance(0.5) {
            self.facets(pairs);
        }
        if self.chance(0.2) {
            pairs.push(("count".into(), self.one(&["exact", "none"]).into()));
        }
    }

    fn order(&mut self, pairs: &mut Pairs, search: bool) {
        if self.chance(if search { 0.7 } else { 0.15 }) {
            return;
        }
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..self.one(&[1, 1, 1, 2, 2, 3]) {
            let field = self.one(&SortField::ALL);
            if (field == SortField::Relevance && !search) || keys.iter().any(|k| k.trim_matches('-') == field.name()) {
                continue;
            }
            if field == SortField::Distance && !pairs.iter().any(|(n, _)| n == "near") {
                let (lat, lon) = self.one(words::PLACES);
                pairs.push(("near".into(), format!("{lat},{lon}")));
            }
            keys.push(format!("{}{}", if self.chance(0.5) { "-" } else { "" }, field.name()));
        }
        if !keys.is_empty() {
            pairs.push(("sort".into(), keys.join(",")));
        }
    }

    fn facets(&mut self, pairs: &mut Pairs) {
        let mut names: Vec<String> = Vec::new();
        for _ in 0..self.rng.random_range(1..=4) {
            let name = if self.chance(0.25) {
                format!("attr.{}", self.one(words::ATTRIBUTES))
            } else {
                let (name, _) = FacetField::NAMED.choose(&mut self.rng).expect("not empty");
                (*name).to_owned()
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        pairs.push(("facets".into(), names.join(",")));
        if self.chance(0.4) {
            pairs.push(("facet_limit".into(), self.one(&["1", "2", "3", "5", "1000"]).into()));
        }
    }

    fn text(&mut self, products: &[Product]) -> String {
        let model = products.choose(&mut self.rng).cloned().unwrap_or_else(|| self.product());
        let mut found: Vec<String> = match self.rng.random_range(0..12) {
            10 => model.tags.iter().flat_map(|t| t.split(' ')).map(str::to_owned).collect(),
            11 => {
                let skus: Vec<&Sku> =
                    std::iter::once(&model.sku).chain(model.variants.iter().map(|variant| &variant.sku)).collect();
                let sku = skus.choose(&mut self.rng).map_or("", |sku| sku.as_str());
                return if self.chance(0.5) { sku.to_lowercase() } else { sku.to_owned() };
            }
            0 => model.brand.iter().flat_map(|b| b.split(' ')).map(str::to_owned).collect(),
            1 => model.category.iter().flat_map(|l| l.split(' ')).map(str::to_owned).collect(),
            2 => model.description.iter().flat_map(|d| d.split(' ')).take(3).map(str::to_owned).collect(),
            3 => vec![self.one(words::WORDS).to_owned()],
            _ => model.name.split(' ').map(str::to_owned).collect(),
        };
        found.truncate(self.rng.random_range(1..=6));
        if self.chance(0.3)
            && let Some(i) = (!found.is_empty()).then(|| self.rng.random_range(0..found.len()))
        {
            found[i] = self.misspelt(&found[i]);
        }
        match self.rng.random_range(0..10) {
            0 => found.reverse(),
            1 => found = vec![found.concat()],
            2 => {
                if let Some(last) = found.last_mut() {
                    let keep = self.rng.random_range(1..=last.chars().count().max(1));
                    *last = last.chars().take(keep).collect();
                }
            }
            _ => {}
        }
        let text: String = found.join(" ").chars().take(200).collect();
        if text.trim().is_empty() { "rice".into() } else { text }
    }

    /// One letter dropped, doubled, swapped with the next, or another.
    fn misspelt(&mut self, word: &str) -> String {
        let mut letters: Vec<char> = word.chars().collect();
        if letters.len() < 2 {
            return word.to_owned();
        }
        let i = self.rng.random_range(0..letters.len() - 1);
        match self.rng.random_range(0..4) {
            0 => {
                letters.remove(i);
            }
            1 => letters.insert(i, letters[i]),
            2 => letters.swap(i, i + 1),
            _ => letters[i] = 'x',
        }
        letters.into_iter().collect()
    }
}
