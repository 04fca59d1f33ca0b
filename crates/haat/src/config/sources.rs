//! `[[sources]]`: upstream catalogues. What holds for every source is read here; the rest of the table belongs to its kind.

use std::fmt;

use haat_sources::kinds::{self, Connection};
use haat_sources::live::{LiveField, LiveFields};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::units::{Period, Size};

/// Settings of kinds whose values are shown to nobody.
const SECRET: [&str; 8] =
    ["client_secret", "password", "value", "private_key", "headers", "query", "username", "client_id"];

/// A source.
#[derive(Clone, PartialEq)]
pub struct SourceEntry {
    /// What holds for every source.
    pub common: Common,
    /// The settings of its kind.
    settings: Map<String, Value>,
}

/// What holds for every source, whatever its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// Its name: in addresses, commands, logs and metrics.
    pub name: String,
    /// What kind it is.
    pub kind: String,
    /// How often what changed is read; 0: only when somebody asks for it.
    #[serde(default = "defaults::schedule")]
    pub schedule: Period,
    /// How often everything is read, so that what vanished goes; 0: only when somebody asks for it.
    #[serde(default = "defaults::full_schedule")]
    pub full_schedule: Period,
    /// Members that `?live=true` asks the upstream for.
    #[serde(default)]
    pub live: Vec<String>,
    /// The share of the source's products, 0 to 1, that may vanish at once without a confirmation.
    #[serde(default = "defaults::max_vanished")]
    pub max_vanished: f64,
    /// How long the upstream may fail before a run ends.
    #[serde(default = "defaults::give_up_after")]
    pub give_up_after: Period,
    /// After so long without a sign of life a run is taken over by another server or command.
    #[serde(default = "defaults::lease")]
    pub lease: Period,
    /// Networks that may be called although they are not public, and by plain `http`.
    #[serde(default)]
    pub allow_networks: Vec<IpNet>,
    /// Whether plain `http` may be spoken with public addresses too.
    #[serde(default)]
    pub allow_http: bool,
    /// How long a call may take, with all attempts and waits.
    #[serde(default = "defaults::total_timeout")]
    pub total_timeout: Period,
    /// How long one attempt may take.
    #[serde(default = "defaults::attempt_timeout")]
    pub attempt_timeout: Period,
    /// How long opening a connection may take.
    #[serde(default = "defaults::connect_timeout")]
    pub connect_timeout: Period,
    /// How often a call is sent at most.
    #[serde(default = "defaults::attempts")]
    pub attempts: u32,
    /// A call that takes so long counts as slow; the breaker opens when half of them are.
    #[serde(default = "defaults::slow_call")]
    pub slow_call: Period,
    /// Calls under way at once.
    #[serde(default = "defaults::concurrency")]
    pub concurrency: usize,
    /// Calls that wait for one of these to end.
    #[serde(default = "defaults::max_waiting")]
    pub max_waiting: usize,
    /// The largest answer, unpacked.
    #[serde(default = "defaults::max_response")]
    pub max_response: Size,
}

/// The settings that [`Common`] has.
const COMMON: [&str; 18] = [
    "name",
    "kind",
    "schedule",
    "full_schedule",
    "live",
    "max_vanished",
    "give_up_after",
    "lease",
    "allow_networks",
    "allow_http",
    "total_timeout",
    "attempt_timeout",
    "connect_timeout",
    "attempts",
    "slow_call",
    "concurrency",
    "max_waiting",
    "max_response",
];

mod defaults {
    use super::{Period, Size};

    macro_rules! defaults {
        ($($name:ident: $type:ty = $value:expr;)*) => { $(pub(super) fn $name() -> $type { $value })* };
    }

    defaults! {
        schedule: Period = Period::secs(300);
        full_schedule: Period = Period::days(1);
        max_vanished: f64 = 0.2;
        give_up_after: Period = Period::secs(900);
        lease: Period = Period::secs(30);
        total_timeout: Period = Period::secs(60);
        attempt_timeout: Period = Period::secs(15);
        connect_timeout: Period = Period::secs(2);
        attempts: u32 = 3;
        slow_call: Period = Period::secs(10);
        concurrency: usize = 16;
        max_waiting: usize = 64;
        max_response: Size = Size::mib(16);
    }
}

impl SourceEntry {
    /// The source that can be asked.
    ///
    /// # Errors
    /// The first setting that has no meaning, and what to write instead.
    pub fn connect(&self) -> Result<Connection, String> {
        kinds::connect(&self.common.kind, self.settings.clone()).map_err(|error| error.to_string())
    }

    /// The members that are live.
    ///
    /// # Errors
    /// When one cannot be.
    pub fn live(&self) -> Result<LiveFields, String> {
        let field = |name: &String| name.parse::<LiveField>().map_err(|error| format!("live: {error}"));
        self.common.live.iter().map(field).collect()
    }

    fn check(&self) -> Result<(), String> {
        let Common { name, max_vanished, lease, .. } = &self.common;
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
            return Err("name: must be 1 to 64 of a to z, 0 to 9, '-' and '_'".into());
        }
        if !(0.0..=1.0).contains(max_vanished) {
            return Err("max_vanished: must be a share from 0 to 1".into());
        }
        if !(Period::secs(1)..=Period::hours(1)).contains(lease) {
            return Err("lease: must be from 1s to 1h".into());
        }
        self.live()?;
        let connection = self.connect()?;
        crate::upstreams::client_options(&self.common).check().map_err(|error| error.to_string())?;
        crate::upstreams::check_credentials(connection.oauth2.as_ref())
    }
}

impl fmt::Debug for SourceEntry {
    /// What holds for every source: the rest may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceEntry").field("common", &self.common).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for SourceEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let table: toml::Table = Deserialize::deserialize(from)?;
        let named = table.get("name").and_then(toml::Value::as_str).map(|name| format!("source '{name}': "));
        let named = named.unwrap_or_else(|| "a source: ".to_owned());
        let wrong = |detail: String| de::Error::custom(format!("{named}{detail}"));
        let (common, settings): (toml::Table, toml::Table) =
            table.into_iter().partition(|(name, _)| COMMON.contains(&name.as_str()));
        if let Some(missing) = ["name", "kind"].iter().find(|name| !common.contains_key(**name)) {
            return Err(wrong(format!("{missing}: is missing; it has to be set")));
        }
        let common = Common::deserialize(common).map_err(|error| wrong(error.message().to_owned()))?;
        let settings = match serde_json::to_value(settings) {
            Ok(Value::Object(settings)) => settings,
            _ => return Err(wrong("has a value that cannot be read".into())),
        };
        let entry = Self { common, settings };
        entry.check().map_err(wrong)?;
        Ok(entry)
    }
}

impl Serialize for SourceEntry {
    /// For people to look at: what may be secret is not shown.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = match serde_json::to_value(&self.common).map_err(serde::ser::Error::custom)? {
            Value::Object(shown) => shown,
            _ => Map::new(),
        };
        shown.extend(self.settings.iter().map(|(name, value)| (name.clone(), without_secrets(name, value))));
        shown.serialize(serializer)
    }
}

fn without_secrets(name: &str, value: &Value) -> Value {
    match value {
        _ if SECRET.contains(&name) => Value::from("(hidden)"),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), without_secrets(name, value))).collect()
        }
        value => value.clone(),
    }
}

/// That no two have one name.
pub(super) fn names_differ(sources: &[SourceEntry], _: &()) -> garde::Result {
    for (i, source) in sources.iter().enumerate() {
        if sources.iter().take(i).any(|other| other.common.name == source.common.name) {
            return Err(garde::Error::new(format!("there are two sources of the name '{}'", source.common.name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "shop"
        kind = "rest"
        base_url = "https://api.example.com/v2"
        live = ["stock"]
        [auth]
        type = "oauth2"
        token_url = "https://api.example.com/token"
        client_id = "haat"
        client_secret = "pssst"
        [list]
        path = "products"
        items = "/results"
        [fields]
        key = "/id"
        sku = "/sku"
        name = "/title"
        price = { pointer = "/cents", unit = "minor", currency = "EUR" }
    "#;

    fn read(text: &str) -> Result<SourceEntry, String> {
        toml::from_str(text).map_err(|e: toml::de::Error| e.message().to_owned())
    }

    #[test]
    fn a_source_is_read_with_what_holds_for_all_and_what_its_kind_needs() {
        let source = read(GOOD).unwrap();
        assert_eq!((source.common.name.as_str(), source.common.schedule), ("shop", Period::secs(300)));
        assert!(source.connect().unwrap().oauth2.is_some());
        assert_eq!(source.live().unwrap().len(), 1);
    }

    #[test]
    fn all_common_settings_are_told_from_those_of_the_kind() {
        let shown = serde_json::to_value(&read(GOOD).unwrap().common).unwrap();
        let mut names: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = COMMON.to_vec();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn mistakes_are_named_with_the_source() {
        for (right, wrong, says) in [
            ("name = \"shop\"", "name = \"Shop!\"", "source 'Shop!': name: must be"),
            ("kind = \"rest\"", "kind = \"rst\"", "source 'shop': kind: is no kind of source: did you mean \"rest\"?"),
            ("live = [\"stock\"]", "live = [\"stok\"]", "source 'shop': live: 'stok' cannot be live"),
            ("path = \"products\"", "pth = \"products\"", "did you mean `path`?"),
            ("live = [\"stock\"]", "schedule = \"5 minutes\"", "is not a length of time"),
            ("live = [\"stock\"]", "attempts = 99", "retry.max_attempts"),
            ("live = [\"stock\"]", "shedule = \"5m\"", "shedule"),
            ("name = \"shop\"", "", "a source: name: is missing"),
            ("client_id = \"haat\"", "", "client_id"),
        ] {
            let error = read(&GOOD.replacen(right, wrong, 1)).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
            assert!(!error.contains("pssst"), "{error}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let source = read(GOOD).unwrap();
        let shown = format!("{source:?} {}", toml::to_string(&source).unwrap());
        assert!(shown.contains("(hidden)") && !shown.contains("pssst"), "{shown}");
    }
}
