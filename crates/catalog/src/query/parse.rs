//! From a query string's pairs to a [`Query`]; every violation is named.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::parameters::default_order;
use super::{
    CountMode, DEFAULT_FACET_LIMIT, FacetField, Filters, Limit, MAX_FACET_LIMIT, Near, Query, SortField, SortKey,
};
use crate::change::Seq;
use crate::cursor::{Cursor, CursorError};
use crate::invalid::{Invalid, Violation, nearest};
use crate::money::MAX_AMOUNT;
use crate::product::{CATEGORY_SEPARATOR, MEMBERS, Status, decode::is_attribute_name};

/// The parameters of a listing, as they are documented; `attr.NAME` stands for any attribute.
pub const PARAMETERS: &[&str] = &[
    "q",
    "category",
    "brand",
    "seller",
    "tag",
    "status",
    "attr.NAME",
    "price_min",
    "price_max",
    "currency",
    "rating_min",
    "in_stock",
    "created_after",
    "updated_after",
    "near",
    "radius_km",
    "sort",
    "limit",
    "cursor",
    "facets",
    "facet_limit",
    "count",
    "fields",
    "highlight",
    "min_seq",
];

/// The longest `q`, in bytes.
pub const MAX_TEXT_BYTES: usize = 1_000;
/// The most values of one repeated filter.
pub const MAX_VALUES: usize = 100;
/// The most facets of one request.
pub const MAX_FACETS: usize = 20;

/// Why a listing's parameters were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryError {
    /// Something about the parameters.
    Invalid(Invalid),
    /// Something about the cursor.
    Cursor(CursorError),
}

impl From<Invalid> for QueryError {
    fn from(e: Invalid) -> Self {
        Self::Invalid(e)
    }
}

impl Query {
    /// Reads decoded name-value pairs in the order they were sent.
    ///
    /// # Errors
    /// Every unknown, repeated or invalid parameter, or what is wrong with the cursor.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, QueryError> {
        let mut p = Parameters::collect(pairs);
        let query = p.query();
        let cursor = p.single("cursor").map(str::to_owned);
        if !p.violations.is_empty() {
            return Err(Invalid(p.violations).into());
        }
        let mut query = query;
        if let Some(text) = cursor {
            query.cursor = Some(Cursor::decode_for(&text, &query).map_err(QueryError::Cursor)?);
        }
        Ok(query)
    }
}

struct Parameters<'a> {
    values: BTreeMap<&'a str, Vec<&'a str>>,
    violations: Vec<Violation>,
}

impl<'a> Parameters<'a> {
    fn collect(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut p = Self { values: BTreeMap::new(), violations: Vec::new() };
        for (name, value) in pairs {
            let known = PARAMETERS.contains(&name) && name != "attr.NAME";
            let attribute = name.strip_prefix("attr.").is_some_and(is_attribute_name);
            if known || attribute {
                p.values.entry(name).or_default().push(value);
            } else {
                p.unknown(name);
            }
        }
        p
    }

    fn unknown(&mut self, name: &str) {
        let shown: String = name.chars().take(64).collect();
        let hint = match nearest(&shown, PARAMETERS.iter().copied()) {
            Some(near) => format!("; did you mean '{near}'?"),
            None => String::new(),
        };
        let v = Violation::new(format!("/{shown}"), format!("unknown parameter{hint}"))
            .allowing(PARAMETERS.iter().copied());
        if !self.violations.contains(&v) {
            self.violations.push(v);
        }
    }

    fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.violations.push(Violation::new(format!("/{name}"), detail));
    }

    /// The value of a parameter that may stand once; an empty one counts as absent.
    fn single(&mut self, name: &str) -> Option<&'a str> {
        let values = self.values.get(name)?;
        let first = values.first().copied();
        if values.len() > 1 {
            self.refuse(name, "is given more than once");
        }
        first.filter(|v| !v.is_empty())
    }

    /// The values of a repeatable parameter, sorted, without repeats and empty ones.
    fn repeated(&mut self, name: &str) -> Vec<String> {
        let mut values: Vec<String> =
            self.values.get(name).into_iter().flatten().filter(|v| !v.is_empty()).map(|v| (*v).to_owned()).collect();
        values.sort();
        values.dedup();
        if values.len() > MAX_VALUES {
            self.refuse(name, format!("has more than {MAX_VALUES} values"));
            values.truncate(MAX_VALUES);
        }
        values
    }

    /// The comma-separated items of a parameter that may also be repeated, in order, without repeats.
    fn list(&mut self, name: &str) -> Vec<&'a str> {
        let mut items: Vec<&str> = Vec::new();
        for item in self.values.get(name).into_iter().flatten().flat_map(|v| v.split(',')).map(str::trim) {
            if !item.is_empty() && !items.contains(&item) {
                items.push(item);
            }
        }
        items
    }

    fn parsed<T: FromStr>(&mut self, name: &str, must: &str) -> Option<T> {
        let text = self.single(name)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.refuse(name, must);
        }
        value
    }

    fn number(&mut self, name: &str, min: f64, max: f64) -> Option<f64> {
        let must = format!("must be a number from {min} to {max}");
        let value: f64 = self.parsed(name, &must)?;
        if (min..=max).contains(&value) {
            // −0 and 0 are the same wish; without this they would be two cache keys.
            Some(value + 0.0)
        } else {
            self.refuse(name, must);
            None
        }
    }

    fn integer(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        let must = format!("must be an integer from {min} to {max}");
        let value: i64 = self.parsed(name, &must)?;
        if (min..=max).contains(&value) {
            Some(value)
        } else {
            self.refuse(name, must);
            None
        }
    }

    fn boolean(&mut self, name: &str) -> Option<bool> {
        self.choice(name, &[("true", true), ("false", false)])
    }

    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.single(name)?;
        let found = choices.iter().find(|(n, _)| *n == text).map(|(_, v)| *v);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(n, _)| *n).collect();
            let v = Violation::new(format!("/{name}"), format!("must be one of {}", names.join(", "))).allowing(names);
            self.violations.push(v);
        }
        found
    }

    fn query(&mut self) -> Query {
        let text = self.text();
        let filters = self.filters();
        let sort = self.sort(text.is_some(), filters.near.is_some());
        Query {
            text,
            filters,
            sort,
            limit: self
                .integer("limit", 1, i64::from(Limit::MAX))
                .and_then(|n| u16::try_from(n).ok())
                .and_then(Limit::new)
                .unwrap_or_default(),
            cursor: None,
            facets: self.facets(),
            facet_limit: self
                .integer("facet_limit", 1, MAX_FACET_LIMIT as i64)
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(DEFAULT_FACET_LIMIT),
            count: self.choice("count", &[("exact", CountMode::Exact), ("none", CountMode::None)]).unwrap_or_default(),
            fields: self.fields(),
            highlight: self.boolean("highlight").unwrap_or(false),
            min_seq: self.integer("min_seq", 0, MAX_AMOUNT).and_then(|n| u64::try_from(n).ok()).map(Seq),
        }
    }

    fn text(&mut self) -> Option<String> {
        let text = self.single("q")?;
        if text.len() > MAX_TEXT_BYTES {
            self.refuse("q", format!("is longer than {MAX_TEXT_BYTES} bytes"));
            return None;
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!text.is_empty()).then_some(text)
    }

    fn filters(&mut self) -> Filters {
        let filters = Filters {
            category: self.categories(),
            brand: self.repeated("brand"),
            seller: self.repeated("seller"),
            tag: self.repeated("tag"),
            status: self.statuses(),
            attr: self.attributes(),
            price_min: self.integer("price_min", 0, MAX_AMOUNT),
            price_max: self.integer("price_max", 0, MAX_AMOUNT),
            currency: self.each_parsed("currency"),
            rating_min: self.number("rating_min", 0.0, 5.0),
            in_stock: self.boolean("in_stock"),
            created_after: self.timestamp("created_after"),
            updated_after: self.timestamp("updated_after"),
            near: self.near(),
        };
        if let (Some(min), Some(max)) = (filters.price_min, filters.price_max)
            && min > max
        {
            self.refuse("price_min", "is greater than price_max");
        }
        filters
    }

    fn categories(&mut self) -> Vec<Vec<String>> {
        let mut paths: Vec<Vec<String>> = self
            .repeated("category")
            .iter()
            .map(|path| path.split(CATEGORY_SEPARATOR).map(|l| l.trim().to_owned()).collect())
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    fn statuses(&mut self) -> Vec<Status> {
        let mut found = Vec::new();
        for name in self.repeated("status") {
            match Status::from_name(&name) {
                Some(status) => found.push(status),
                None => {
                    let names = Status::ALL.map(Status::name);
                    let v = Violation::new("/status", format!("must be one of {}", names.join(", "))).allowing(names);
                    self.violations.push(v);
                }
            }
        }
        found.sort();
        found
    }

    fn attributes(&mut self) -> BTreeMap<String, Vec<String>> {
        let parameters: Vec<&str> = self.values.keys().copied().collect();
        parameters
            .into_iter()
            // The prefix once: an attribute may itself be called `attr.something`.
            .filter_map(|parameter| Some((parameter.strip_prefix("attr.")?.to_owned(), self.repeated(parameter))))
            .filter(|(_, values)| !values.is_empty())
            .collect()
    }

    fn each_parsed<T, E>(&mut self, name: &str) -> Vec<T>
    where
        T: FromStr<Err = E>,
        E: std::fmt::Display,
    {
        let mut found = Vec::new();
        for text in self.repeated(name) {
            match text.parse::<T>() {
                Ok(value) => found.push(value),
                Err(e) => self.refuse(name, e.to_string()),
            }
        }
        found
    }

    fn timestamp(&mut self, name: &str) -> Option<crate::time::Timestamp> {
        // A query string's unescaped '+' of an offset arrives as a space.
        let text = self.single(name)?.replace(' ', "+");
        match text.parse() {
            Ok(t) => Some(t),
            Err(e) => {
                let e: crate::time::TimestampError = e;
                self.refuse(name, e.to_string());
                None
            }
        }
    }

    fn near(&mut self) -> Option<Near> {
        let radius_km = self.number("radius_km", 0.0, 20_100.0);
        let Some(text) = self.single("near") else {
            if radius_km.is_some() {
                self.refuse("radius_km", "needs 'near=LAT,LON' to measure from");
            }
            return None;
        };
        let degrees = |t: &str, bound: f64| t.trim().parse::<f64>().ok().filter(|d| (-bound..=bound).contains(d));
        let place = text.split_once(',').and_then(|(lat, lon)| Some((degrees(lat, 90.0)?, degrees(lon, 180.0)?)));
        match place {
            Some((lat, lon)) => Some(Near { lat: lat + 0.0, lon: lon + 0.0, radius_km }),
            None => {
                self.refuse("near", "must be LAT,LON in degrees, for example 18.52,73.86");
                None
            }
        }
    }

    fn sort(&mut self, has_text: bool, has_near: bool) -> Vec<SortKey> {
        let mut keys: Vec<SortKey> = Vec::new();
        for item in self.list("sort") {
            let (name, descending) = item.strip_prefix('-').map_or((item, false), |rest| (rest, true));
            match SortField::ALL.into_iter().find(|f| f.name() == name) {
                Some(SortField::Relevance) if !has_text => {
                    self.refuse("sort", "'relevance' needs 'q', the words to look for")
                }
                Some(SortField::Distance) if !has_near => {
                    self.refuse("sort", "'distance' needs 'near=LAT,LON' to measure from")
                }
                Some(field) if keys.iter().any(|k| k.field == field) => {
                    self.refuse("sort", format!("'{name}' is there twice"));
                }
                Some(field) => keys.push(SortKey { field, descending: descending && field != SortField::Relevance }),
                None => self.unknown_item("sort", name, SortField::ALL.map(SortField::name).to_vec()),
            }
        }
        if keys.len() > 3 {
            self.refuse("sort", "has more than three keys");
        }
        if keys.is_empty() {
            keys.push(default_order(has_text));
        }
        keys
    }

    fn facets(&mut self) -> Vec<FacetField> {
        let mut facets = Vec::new();
        for item in self.list("facets") {
            let named = FacetField::NAMED.into_iter().find(|(n, _)| *n == item).map(|(_, f)| f);
            let attribute = || {
                let name = item.strip_prefix("attr.").filter(|n| is_attribute_name(n))?;
                Some(FacetField::Attribute(name.to_owned()))
            };
            match named.or_else(attribute) {
                Some(facet) => facets.push(facet),
                None => {
                    let mut known: Vec<_> = FacetField::NAMED.iter().map(|(n, _)| *n).collect();
                    known.push("attr.NAME");
                    self.unknown_item("facets", item, known);
                }
            }
        }
        if facets.len() > MAX_FACETS {
            self.refuse("facets", format!("has more than {MAX_FACETS} items"));
        }
        facets
    }

    fn fields(&mut self) -> Option<Vec<&'static str>> {
        let items = self.list("fields");
        for item in &items {
            if !MEMBERS.contains(item) {
                self.unknown_item("fields", item, MEMBERS.to_vec());
            }
        }
        (!items.is_empty()).then(|| MEMBERS.iter().copied().filter(|m| items.contains(m)).collect())
    }

    fn unknown_item(&mut self, name: &str, item: &str, known: Vec<&'static str>) {
        let shown: String = item.chars().take(64).collect();
        let hint = match nearest(&shown, known.iter().copied()) {
            Some(near) => format!("; did you mean '{near}'?"),
            None => format!("; known are {}", known.join(", ")),
        };
        self.violations
            .push(Violation::new(format!("/{name}"), format!("does not know '{shown}'{hint}")).allowing(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pairs: &[(&str, &str)]) -> String {
        match Query::parse(pairs.iter().copied()) {
            Err(QueryError::Invalid(e)) => e.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parameters_in_any_order_and_repeated_values_make_the_same_query() {
        let a = Query::parse([("brand", "B"), ("brand", "A"), ("q", " two  words "), ("brand", "B")]).unwrap();
        let b = Query::parse([("q", "two words"), ("brand", "A"), ("brand", "B")]).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.fingerprint(), b.fingerprint());
    }

    #[test]
    fn an_attribute_is_called_what_follows_the_prefix_whatever_that_is() {
        let query = Query::parse([("attr.attr.x", "1"), ("attr.x", "2")]).unwrap();
        let names: Vec<&str> = query.filters.attr.keys().map(String::as_str).collect();
        assert_eq!(names, ["attr.x", "x"]);
    }

    #[test]
    fn an_unknown_parameter_names_the_nearest_known_one() {
        assert!(refused(&[("brnad", "x")]).contains("did you mean 'brand'?"));
        assert!(refused(&[("sort", "prise")]).contains("did you mean 'price'?"));
        assert!(refused(&[("fields", "skus")]).contains("did you mean 'sku'?"));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for (name, value) in [
            ("limit", "0"),
            ("limit", "101"),
            ("limit", "1.5"),
            ("limit", "ten"),
            ("price_min", "NaN"),
            ("price_min", "-1"),
            ("price_max", "99999999999999999999"),
            ("rating_min", "NaN"),
            ("rating_min", "inf"),
            ("rating_min", "6"),
            ("near", "91,0"),
            ("near", "1"),
            ("near", "NaN,0"),
            ("in_stock", "yes"),
            ("created_after", "yesterday"),
            ("currency", "XXQ"),
            ("count", "some"),
            ("min_seq", "-1"),
            ("facet_limit", "0"),
            ("status", "sold"),
        ] {
            assert!(refused(&[(name, value)]).contains(name), "{name}={value}");
        }
    }

    #[test]
    fn what_needs_something_else_says_so() {
        assert!(refused(&[("sort", "relevance")]).contains("needs 'q'"));
        assert!(refused(&[("sort", "distance")]).contains("needs 'near"));
        assert!(refused(&[("radius_km", "5")]).contains("needs 'near"));
        assert!(refused(&[("price_min", "5"), ("price_max", "4")]).contains("greater than price_max"));
        assert!(refused(&[("limit", "5"), ("limit", "6")]).contains("more than once"));
    }

    #[test]
    fn relevance_is_the_order_of_a_search_and_the_newest_first_that_of_a_listing() {
        let search = Query::parse([("q", "rice")]).unwrap();
        assert_eq!(search.sort, [SortKey { field: SortField::Relevance, descending: false }]);
        assert_eq!(Query::parse([]).unwrap(), Query::default());
    }
}
