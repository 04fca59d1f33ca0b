//! `[[sources]]`: upstream catalogues. What holds for every source is read here; the rest of the table belongs to its kind.

use std::fmt;

use haat_catalog::invalid::nearest;
use haat_sources::connector::Connector;
use haat_sources::declared::settings::{SettingError, read_all};
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
        let first = |faults: Vec<SettingError>| faults.first().map(ToString::to_string).unwrap_or_default();
        kinds::connect(&self.common.kind, self.settings.clone()).map_err(first)
    }

    /// The members that are live.
    ///
    /// # Errors
    /// When one cannot be.
    pub fn live(&self) -> Result<LiveFields, String> {
        self.common.live.iter().map(|name| live_field(name).map_err(|fault| fault.to_string())).collect()
    }

    /// Reads a table.
    fn read(table: toml::Table) -> Result<Self, Vec<SettingError>> {
        let Ok(Value::Object(table)) = serde_json::to_value(table) else {
            return Err(vec![SettingError::new("", "has a value that cannot be read")]);
        };
        let (common, settings): (Map<_, _>, Map<_, _>) =
            table.into_iter().partition(|(name, _)| COMMON.contains(&name.as_str()));
        let kind = common.get("kind").and_then(Value::as_str).map(str::to_owned);
        let missing = ["name", "kind"].into_iter().filter(|name| !common.contains_key(*name));
        let mut faults: Vec<_> = missing.map(|name| SettingError::new(name, "is missing; it has to be set")).collect();
        let common = read_all::<Common>(common).map_err(|more| {
            let more = more.into_iter().filter(|fault| faults.iter().all(|known| known.key != fault.key));
            faults.extend(more.collect::<Vec<_>>());
        });
        let connected = kind.map(|kind| kinds::connect(&kind, settings.clone()));
        let connection = match connected {
            Some(Ok(connection)) => Some(connection),
            Some(Err(more)) => {
                faults.extend(more.into_iter().map(meant_for_all));
                None
            }
            None => None,
        };
        if let Some(oauth2) = connection.as_ref().and_then(|connection| connection.oauth2.as_ref())
            && let Err(fault) = crate::upstreams::check_credentials(oauth2)
        {
            faults.push(if settings.contains_key("auth") { fault.within("auth") } else { fault });
        }
        let Ok(common) = common else { return Err(faults) };
        faults.extend(common.faults());
        faults.extend(connection.iter().flat_map(|connection| common.never_live(&*connection.connector)));
        if faults.is_empty() { Ok(Self { common, settings }) } else { Err(faults) }
    }
}

impl Common {
    /// Everything that is wrong with settings that can be read.
    fn faults(&self) -> Vec<SettingError> {
        let Self { name, max_vanished, lease, .. } = self;
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let is_name = (1..=64).contains(&name.len()) && name.chars().all(is_name);
        let rules = [
            ("name", is_name, "must be 1 to 64 of a to z, 0 to 9, '-' and '_'"),
            ("max_vanished", (0.0..=1.0).contains(max_vanished), "must be a share from 0 to 1"),
            ("lease", (Period::secs(1)..=Period::hours(1)).contains(lease), "must be from 1s to 1h"),
        ];
        let broken = rules.into_iter().filter(|(_, holds, _)| !holds);
        let broken = broken.map(|(name, _, why)| SettingError::new(name, why));
        // The name is checked above, and more strictly.
        let calls = crate::upstreams::client_options(self).faults().into_iter().filter(|fault| fault.field != "name");
        let calls = calls.map(|fault| SettingError::new(setting_of(fault.field), fault.why));
        broken.chain(calls).collect()
    }

    /// Live members that are none, or that could never be asked for: each request would fall back to what is stored.
    fn never_live(&self, connector: &dyn Connector) -> Vec<SettingError> {
        let fault = |name: &String| match live_field(name) {
            Err(fault) => Some(fault),
            Ok(field) => Some(SettingError::new("live", format!("'{field}' {}", connector.never_live(field)?))),
        };
        self.live.iter().filter_map(fault).collect()
    }
}

fn live_field(name: &str) -> Result<LiveField, SettingError> {
    let wrong = |_| {
        let known = LiveField::ALL.map(LiveField::name);
        let hint = match nearest(name, known) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("there are {}", known.join(", ")),
        };
        SettingError::new("live", format!("names what cannot be live: {hint}"))
    };
    name.parse().map_err(wrong)
}

/// What a setting is called where it is written, of those that the client of an upstream has.
fn setting_of(field: &'static str) -> &'static str {
    match field {
        "retry.max_attempts" => "attempts",
        "breaker.slow_call" => "slow_call",
        "max_response_bytes" => "max_response",
        other => other,
    }
}

/// A misspelt setting that all sources have is taken for one of the kind's own, which knows nothing of the others.
fn meant_for_all(fault: SettingError) -> SettingError {
    match nearest(&fault.key, COMMON) {
        Some(meant) if fault.detail.starts_with("is not a setting") => {
            SettingError::new(fault.key, format!("is not a setting: did you mean `{meant}`?"))
        }
        _ => fault,
    }
}

/// Whose mistake it is.
pub(super) fn named(name: Option<&str>) -> String {
    name.map_or_else(|| "a source: ".to_owned(), |name| format!("source '{name}': "))
}

/// Everything that is wrong with a list of sources, each with its source and setting; nothing where it is no list of tables,
/// which is found out elsewhere.
pub(super) fn faults(sources: &toml::Value) -> Vec<String> {
    let tables = sources.as_array().into_iter().flatten().filter_map(toml::Value::as_table);
    tables.flat_map(|table| told(table, SourceEntry::read(table.clone()).err().unwrap_or_default())).collect()
}

fn told(table: &toml::Table, faults: Vec<SettingError>) -> Vec<String> {
    let named = named(table.get("name").and_then(toml::Value::as_str));
    faults.into_iter().map(|fault| format!("{named}{fault}")).collect()
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
        Self::read(table.clone()).map_err(|faults| de::Error::custom(told(&table, faults).join("; ")))
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
        [item]
        path = "products/{key}"
        [fields]
        key = "/id"
        stock = "/stock"
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
            (
                "live = [\"stock\"]",
                "live = [\"stok\"]",
                "source 'shop': live: names what cannot be live: did you mean \"stock\"?",
            ),
            (
                "live = [\"stock\"]",
                "live = [\"rating\"]",
                "live: 'rating' needs to be read: declare it in [sources.fields]",
            ),
            (
                "[item]\n        path = \"products/{key}\"",
                "",
                "live: 'stock' needs a request for a single item: declare [sources.item]",
            ),
            ("path = \"products\"", "pth = \"products\"", "did you mean `path`?"),
            ("live = [\"stock\"]", "schedule = \"5 minutes\"", "is not a length of time"),
            ("live = [\"stock\"]", "attempts = 99", "source 'shop': attempts: must be from 1 to 10"),
            ("live = [\"stock\"]", "slow_call = \"0s\"", "source 'shop': slow_call: must be at least 1 ms"),
            ("live = [\"stock\"]", "max_response = \"0B\"", "source 'shop': max_response: must be from 1 to 1 GiB"),
            ("live = [\"stock\"]", "schedule = \"pssst\"", "source 'shop': schedule: is not a length of time"),
            ("live = [\"stock\"]", "concurrency = \"pssst\"", "source 'shop': concurrency: must be a whole number"),
            ("live = [\"stock\"]", "live = [\"pssst\"]", "source 'shop': live: names what cannot be live"),
            (
                "client_secret = \"pssst\"",
                "client_secret = \"pssst\"\n        scopes = [\"pss st\"]",
                "auth.scopes: has one that cannot be a scope",
            ),
            (
                "client_secret = \"pssst\"",
                "method = \"private_key_jwt\"\n        private_key = \"pssst\"",
                "auth.private_key: is not an Ed25519",
            ),
            ("live = [\"stock\"]", "shedule = \"5m\"", "shedule: is not a setting: did you mean `schedule`?"),
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
