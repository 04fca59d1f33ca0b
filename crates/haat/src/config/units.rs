//! Values as people write them in a configuration: lengths of time (`30s`), sizes (`64MiB`), addresses, secrets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, written as a whole number with its unit: `250ms`, `30s`, `5m`, `12h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

/// The units of a [`Period`] in milliseconds, longest first.
const PERIOD_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Period {
    /// That many milliseconds.
    pub const fn millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }
    /// That many seconds.
    pub const fn secs(s: u64) -> Self {
        Self(Duration::from_secs(s))
    }
    /// That many hours.
    pub const fn hours(h: u64) -> Self {
        Self(Duration::from_secs(h * 3_600))
    }
    /// That many days.
    pub const fn days(d: u64) -> Self {
        Self(Duration::from_secs(d * 86_400))
    }
    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 {
            return f.write_str("0s");
        }
        let (unit, factor) =
            PERIOD_UNITS.into_iter().find(|(_, factor)| ms.is_multiple_of(*factor)).unwrap_or(("ms", 1));
        write!(f, "{}{unit}", ms / factor)
    }
}

impl FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor = PERIOD_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        match (number.parse::<u64>().ok(), factor) {
            (Some(n), Some(factor)) => n.checked_mul(factor).map(Self::millis).ok_or_else(too_large),
            // What was written is not repeated: it may be a secret in the wrong place.
            _ => Err("is not a length of time: write a whole number and ms, s, m, h or d, such as 30s".to_owned()),
        }
    }
}

/// A number of bytes, written with its unit: `512KiB`, `64MiB`, `2GiB`, `1GB`; a bare number is in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// The units of a [`Size`] in bytes, largest binary ones first.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Size {
    /// That many bytes.
    pub const fn bytes(n: u64) -> Self {
        Self(n)
    }
    /// That many kibibytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }
    /// That many mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
    /// That many gibibytes.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }
    /// In bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
    /// In bytes, for what is held in memory.
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        let exact = SIZE_UNITS.into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor = match unit {
            "" => Some(1),
            unit => SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor),
        };
        match (number.parse::<u64>().ok(), factor) {
            (Some(n), Some(factor)) => n.checked_mul(factor).map(Self).ok_or_else(too_large),
            _ => Err("is not a size: write a whole number and B, KiB, MiB, GiB or TiB, such as 64MiB".to_owned()),
        }
    }
}

/// Splits `30s` into `30` and `s`; a space between them is allowed.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

fn too_large() -> String {
    "is too large".to_owned()
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The address to listen on: an IP address, or `localhost` for 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind(pub IpAddr);

impl Bind {
    /// 127.0.0.1.
    pub const LOOPBACK: Self = Self(IpAddr::V4(Ipv4Addr::LOCALHOST));
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Bind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("localhost") {
            return Ok(Self::LOOPBACK);
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        bare.parse().map(Self).map_err(|_| {
            let text = short(text);
            format!("'{text}' is not an address to listen on: write an IP address such as 127.0.0.1, 0.0.0.0 or ::1 (the port is a setting of its own)")
        })
    }
}

/// A text that is never printed.
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

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The usual message would quote what was found, so this one is our own.
        match toml::Value::deserialize(deserializer) {
            Ok(toml::Value::String(text)) => Ok(Self(text)),
            _ => Err(de::Error::custom("must be a text in quotes")),
        }
    }
}

macro_rules! written_as_text {
    ($($name:ident: $expected:literal),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match toml::Value::deserialize(deserializer)? {
                    toml::Value::String(text) => text.parse().map_err(de::Error::custom),
                    toml::Value::Integer(number) => number.to_string().parse().map_err(de::Error::custom),
                    other => Err(de::Error::custom(format!("this is a {}, expected {}", other.type_str(), $expected))),
                }
            }
        }
    )*};
}

written_as_text! {
    Period: "a length of time such as \"30s\"",
    Size: "a size such as \"64MiB\"",
    Bind: "an IP address in quotes"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_shown() {
        for text in ["0s", "250ms", "30s", "5m", "12h", "7d", "90s", "1500ms"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in ["0B", "1B", "512KiB", "64MiB", "2GiB", "1TiB", "1GB", "1500B"] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.to_string().parse::<Size>().unwrap(), size, "{text}");
        }
        assert_eq!("1048576".parse::<Size>().unwrap().to_string(), "1MiB");
        assert_eq!("64 mib".parse::<Size>().unwrap(), Size::mib(64));
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["", "30", "s", "-1s", "1.5h", "30 parsecs", "99999999999999999999s", "18446744073709551615d"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GiB", "12 elephants", "18446744073709551615TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert!("30".parse::<Period>().unwrap_err().contains("such as 30s"));
        assert!(!"pssst".parse::<Period>().unwrap_err().contains("pssst"));
        assert!(!"pssst".parse::<Size>().unwrap_err().contains("pssst"));
    }

    #[test]
    fn an_address_has_no_port() {
        for text in ["127.0.0.1", "[::1]", "localhost", "0.0.0.0", "::"] {
            assert!(text.parse::<Bind>().is_ok(), "{text}");
        }
        assert!("127.0.0.1:3000".parse::<Bind>().unwrap_err().contains("port"));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret("correct horse".to_owned());
        assert!(!format!("{secret:?}").contains("horse"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("horse"));
        let wrong = toml::from_str::<std::collections::BTreeMap<String, Secret>>("s = 123456789").unwrap_err();
        assert!(!wrong.message().contains("123456789"));
    }
}
