//! Settings of a source as they are written: read so that a mistake names its key and what to write instead, and so that no
//! mistake repeats a value, for it may be a secret in the wrong place.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use haat_catalog::invalid::nearest;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde_json::{Map, Value};
use url::Url;

/// Why settings make no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{detail}", if .key.is_empty() { String::new() } else { format!("{}: ", .key) })]
pub struct SettingError {
    /// Which setting, with dots between the levels: `list.pagination.size`.
    pub key: String,
    /// What is wrong and what to write instead.
    pub detail: String,
}

impl SettingError {
    /// A mistake in `key`.
    pub fn new(key: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { key: key.into(), detail: detail.into() }
    }

    /// The member of the outermost table in which it is.
    fn member(&self) -> &str {
        self.key.split(['.', '[']).next().unwrap_or_default()
    }

    /// The same, seen from the table of that name.
    #[must_use]
    pub fn within(mut self, table: &str) -> Self {
        self.key = if self.key.is_empty() { table.to_owned() } else { format!("{table}.{}", self.key) };
        self
    }
}

/// What is wrong with settings, gathered so that all of it is told at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<SettingError>);

impl Faults {
    /// Notes what is wrong; `None` then.
    pub fn note<T>(&mut self, read: Result<T, SettingError>) -> Option<T> {
        read.map_err(|fault| self.0.push(fault)).ok()
    }

    /// What was made, if nothing is wrong.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn end<T>(self, made: Option<T>) -> Result<T, Vec<SettingError>> {
        made.filter(|_| self.0.is_empty()).ok_or(self.0)
    }
}

/// Reads a table of settings and tells all that is wrong with it, as far as one mistake does not hide another: one in each
/// member of the table, and the first that is missing.
///
/// # Errors
/// Everything that was found; never nothing.
pub fn read_all<T: DeserializeOwned>(mut table: Map<String, Value>) -> Result<T, Vec<SettingError>> {
    let mut faults: Vec<SettingError> = Vec::new();
    loop {
        let fault = match read::<T>(table.clone()) {
            Ok(read) if faults.is_empty() => return Ok(read),
            Ok(_) => return Err(faults),
            Err(fault) => fault,
        };
        let member = fault.member().to_owned();
        // A member that was taken out, or that was meant by a misspelt one, is not missing.
        let is_known =
            faults.iter().any(|known| known.member() == member || known.detail.contains(&format!("`{member}`")));
        if !is_known {
            faults.push(fault);
        }
        // Without what is wrong, what else is wrong shows.
        if table.remove(&member).is_none() {
            return Err(faults);
        }
    }
}

/// Reads a table of settings.
///
/// # Errors
/// The first mistake in it.
pub fn read<T: DeserializeOwned>(table: Map<String, Value>) -> Result<T, SettingError> {
    serde_path_to_error::deserialize(Value::Object(table)).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        told(&path, &error.into_inner().to_string())
    })
}

/// What serde says, in the words of an operator.
fn told(path: &str, message: &str) -> SettingError {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let (wrong, known) = (quoted.next().unwrap_or_default(), quoted.collect::<Vec<_>>());
        let hint = match nearest(wrong, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        let what =
            if message.starts_with("unknown field") { "is not a setting" } else { "is none of what may stand here" };
        return SettingError::new(path, format!("{what}: {hint}"));
    }
    if message.starts_with("missing field") {
        let name = quoted.next().unwrap_or_default();
        return SettingError::new(name, "is missing; it has to be set").within_if(path);
    }
    // The part before it repeats the value.
    match message.strip_prefix("invalid ").and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((_, expected)) => SettingError::new(path, format!("must be {}", in_toml(expected))),
        None => SettingError::new(path, message),
    }
}

/// What a type of Rust is called in a settings file.
fn in_toml(expected: &str) -> &str {
    match expected {
        "u32" | "u64" | "usize" | "i64" => "a whole number without quotes",
        "a boolean" => "true or false without quotes",
        "f64" => "a number without quotes",
        "a string" => "a text in quotes",
        "a map" => "a table",
        "a sequence" => "a list",
        other => other,
    }
}

impl SettingError {
    fn within_if(self, path: &str) -> Self {
        if path.is_empty() { self } else { self.within(path) }
    }
}

/// Reads what is either a text, for the plain case, or a table.
///
/// # Errors
/// When it is neither; `what` says what it could be.
pub fn text_or_table<'de, D, T>(from: D, what: &'static str, plain: fn(String) -> T) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Either<T>(&'static str, fn(String) -> T, PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            Ok((self.1)(text.to_owned()))
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    from.deserialize_any(Either(what, plain, PhantomData))
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from) {
            Ok(Value::String(text)) if !text.is_empty() => Ok(Self(text)),
            _ => Err(de::Error::custom("must be a text in quotes that is not empty")),
        }
    }
}

/// A length of time, written as a whole number with its unit: `250ms`, `30s`, `5m`, `12h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Ok(Value::String(text)) = Value::deserialize(from) else {
            return Err(de::Error::custom("must be a length of time in quotes such as \"5m\""));
        };
        period(&text).map(Self).ok_or_else(|| {
            de::Error::custom("is not a length of time: write a whole number and ms, s, m, h or d, such as \"5m\"")
        })
    }
}

fn period(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).map(Duration::from_millis)
}

/// Reads an address that others are relative to: always with a `/` at its end.
///
/// # Errors
/// When it is no address of the web, or has more than scheme, host and path.
pub fn base_url(key: &str, text: &str) -> Result<Url, SettingError> {
    let wrong = |detail: &str| SettingError::new(key, detail);
    let slashed = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
    let url =
        Url::parse(&slashed).map_err(|_| wrong("is no URL: write one such as \"https://api.example.com/v2/\""))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("must begin with https:// or http:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a user or a password; they belong into `auth`"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a ? or a #; parameters belong into `query`"));
    }
    Ok(url)
}

/// A text that stands for a value in a query: numbers, `true` and `false` may be written without quotes.
///
/// # Errors
/// When the value is a list or a table.
pub fn query_text(key: &str, value: &Value) -> Result<String, SettingError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(SettingError::new(key, "must be a text, a number, true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_one_member_hides_none_in_another() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code, reason = "only read")]
        struct Settings {
            size: u64,
            every: Period,
            name: String,
            #[serde(default)]
            at: Vec<u64>,
        }
        let keys = |settings: Value| {
            let Value::Object(table) = settings else { panic!("no table") };
            read_all::<Settings>(table).unwrap_err().into_iter().map(|fault| fault.key).collect::<Vec<_>>()
        };
        let wrong = serde_json::json!({"size": "s3cret", "every": "soon", "nmae": "x", "at": [1, "2"]});
        assert_eq!(keys(wrong), ["at[1]", "every", "nmae", "size"]);
        assert_eq!(keys(serde_json::json!({"every": 5})), ["every", "size"]);
        let Value::Object(good) = serde_json::json!({"size": 1, "every": "5m", "name": "x"}) else {
            panic!("no table")
        };
        assert_eq!(read_all::<Settings>(good).unwrap().size, 1);
    }

    #[test]
    fn lengths_of_time_have_a_unit() {
        assert_eq!(period("5m"), Some(Duration::from_secs(300)));
        assert_eq!(period("250 ms"), Some(Duration::from_millis(250)));
        for bad in ["", "5", "m", "-5m", "1.5h", "5 minutes", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(period(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_base_always_ends_with_a_slash_and_holds_nothing_but_a_place() {
        assert_eq!(base_url("base_url", "https://x.example/v2").unwrap().as_str(), "https://x.example/v2/");
        for bad in
            ["x.example", "ftp://x.example", "https://u:p@x.example", "https://x.example/?a=b", "https://", "data:x"]
        {
            let error = base_url("base_url", bad).unwrap_err();
            assert!(error.key == "base_url" && !error.detail.contains("u:p"), "{bad}: {error}");
        }
    }
}
