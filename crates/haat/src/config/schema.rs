//! The names of all settings, found out from the section types themselves, and the check of a single value.

use std::sync::LazyLock;

use haat_catalog::invalid::nearest;
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::auth::Auth;
use super::limits::Limits;
use super::sections::{Cache, Config, Database, Http, Imports, Index, Log, Redis, Retention};

/// Variables that other tools set and that Haat understands, with the setting they stand for.
pub const PLAIN_VARIABLES: [(&str, &str); 8] = [
    ("PORT", "http.port"),
    ("DB_HOST", "database.host"),
    ("DB_PORT", "database.port"),
    ("DB_USER", "database.user"),
    ("DB_PASS", "database.password"),
    ("DB_NAME", "database.name"),
    ("REDIS_URL", "redis.url"),
    ("RUST_LOG", "log.filter"),
];

/// Says where the configuration file is; not a setting itself.
pub const CONFIG_VARIABLE: &str = "HAAT_CONFIG";

/// What every variable of Haat's own begins with.
pub const PREFIX: &str = "HAAT_";

/// The sections and the names of the settings in them; the first is what stands outside of any section.
pub static SECTIONS: LazyLock<Vec<(&'static str, Vec<&'static str>)>> = LazyLock::new(|| {
    let sections = [
        ("http", field_names::<Http>()),
        ("auth", field_names::<Auth>()),
        ("database", field_names::<Database>()),
        ("redis", field_names::<Redis>()),
        ("cache", field_names::<Cache>()),
        ("limits", field_names::<Limits>()),
        ("index", field_names::<Index>()),
        ("imports", field_names::<Imports>()),
        ("retention", field_names::<Retention>()),
        ("log", field_names::<Log>()),
    ];
    let is_section = |name: &&str| sections.iter().any(|(section, _)| section == name);
    let outside = field_names::<Config>().iter().copied().filter(|name| !is_section(name)).collect();
    std::iter::once(("", outside)).chain(sections.map(|(name, fields)| (name, fields.to_vec()))).collect()
});

/// Every setting, as in `http.port`.
pub static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let named = |(section, fields): &(&str, Vec<&str>)| -> Vec<String> {
        fields.iter().map(|f| if section.is_empty() { (*f).to_owned() } else { format!("{section}.{f}") }).collect()
    };
    SECTIONS.iter().flat_map(named).collect()
});

/// The variable that sets `key`: `HAAT_HTTP__PORT` for `http.port`.
pub fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The setting that `variable` sets, if there is one of that name.
pub fn key_of(variable: &str) -> Option<&'static str> {
    KEYS.iter().find(|key| variable_of(key) == variable).map(String::as_str)
}

/// The setting that was probably meant by `unknown`: one of the same name in another section, else one spelled alike.
pub fn similar(unknown: &str) -> Option<&'static str> {
    let unknown = unknown.to_lowercase();
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let name = last(&unknown);
    let same_name = || {
        let mut homes = KEYS.iter().filter(|key| last(key) == name);
        homes.next().filter(|_| homes.next().is_none())
    };
    nearest(&unknown, KEYS.iter().map(String::as_str)).or_else(|| same_name().map(String::as_str))
}

/// Whether `value` is one that `key` can have, apart from its range; says what is wrong if not.
pub fn accepts(key: &str, value: &toml::Value) -> Result<(), String> {
    let mut table = toml::Table::new();
    match key.split_once('.') {
        Some((section, name)) => {
            let inner = toml::Table::from_iter([(name.to_owned(), value.clone())]);
            table.insert(section.to_owned(), toml::Value::Table(inner));
        }
        None => {
            table.insert(key.to_owned(), value.clone());
        }
    }
    Config::deserialize(toml::Value::Table(table)).map(drop).map_err(|e| in_plain_words(e.message()))
}

/// The messages of the TOML reader name Rust types; say it for people.
fn in_plain_words(message: &str) -> String {
    let whole = "a whole number that is not negative";
    let mut text = message.trim().to_owned();
    for (rust, plain) in [
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", &*format!("expected {whole}")),
        ("expected u64", &*format!("expected {whole}")),
        ("expected usize", &*format!("expected {whole}")),
        ("expected a string", "expected a text in quotes"),
        ("expected path string", "expected a path in quotes"),
        ("invalid type: ", "has the wrong type: "),
        ("invalid value: ", "has an impossible value: "),
        ("unknown variant ", "has an unknown value "),
    ] {
        text = text.replace(rust, plain);
    }
    text
}

/// The names of the fields of a struct that derives `Deserialize`.
fn field_names<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // Always an error: the deserializer only listens to what it is asked for.
    drop(T::deserialize(FieldNames(&mut names)));
    names
}

/// A deserializer that holds nothing and notes the fields it is asked for.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("nothing here"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_come_from_the_types() {
        assert!(KEYS.iter().any(|k| k == "data_dir"));
        assert!(KEYS.iter().any(|k| k == "http.port"));
        assert!(KEYS.iter().any(|k| k == "database.password"));
        assert_eq!(SECTIONS.iter().map(|(_, fields)| fields.len()).sum::<usize>(), KEYS.len());
        assert_eq!(SECTIONS.first().unwrap().1, ["data_dir", "sources"]);
        assert!(PLAIN_VARIABLES.iter().all(|(_, key)| KEYS.iter().any(|k| k == key)));
    }

    #[test]
    fn variables_and_keys_lead_to_each_other() {
        assert_eq!(variable_of("http.max_body"), "HAAT_HTTP__MAX_BODY");
        assert!(KEYS.iter().all(|key| key_of(&variable_of(key)) == Some(key)));
        assert_eq!(key_of("HAAT_HTTP_PORT"), None);
    }

    #[test]
    fn the_key_that_was_meant_is_found() {
        assert_eq!(similar("http.prot"), Some("http.port"));
        assert_eq!(similar("public_read"), Some("auth.public_read"));
        assert_eq!(similar("zebra"), None);
    }
}
