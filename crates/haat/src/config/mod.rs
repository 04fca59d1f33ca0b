//! The configuration: read from everywhere, checked completely, before anything starts.
//!
//! Layers, each over the one before: defaults, the file (`haat.toml`), `.env`, environment variables, flags. Every value
//! is checked by itself as its layer is read, so that all mistakes are reported at once, each with its key, its place
//! (file and line, or variable) and the nearest known name. The usual crates for layered configuration stop at the first
//! mistake and lose the line, which is why the layering is done here.

mod auth;
mod layers;
mod limits;
mod problem;
#[cfg(test)]
mod reference;
pub mod schema;
mod sections;
mod sources;
pub mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use garde::Validate;
use serde::Deserialize;

pub use problem::{ConfigError, Origin, Problem};
pub use sections::{Config, LogFormat, Retention, Tls};
pub use sources::{Common, SourceEntry};

use layers::Layers;
use schema::CONFIG_VARIABLE;
use units::Secret;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "haat.toml";

/// What a configuration is made from.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The folder in which `haat.toml` and `.env` are looked for.
    pub folder: PathBuf,
    /// The process's environment.
    pub variables: Vec<(String, String)>,
    /// Settings given as flags: key, flag, value.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

impl Inputs {
    /// From this process's environment and working folder.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(&'static str, &'static str, String)>) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Self { file, folder: PathBuf::new(), variables: std::env::vars_os().filter_map(text).collect(), flags }
    }
}

/// A configuration that was found good, and where each setting comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Where those that are not defaults were said.
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What stands in the settings of sources by way of variables.
    pub hidden: Vec<Secret>,
}

impl Loaded {
    /// Where `key` was said.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

/// Reads and checks everything.
///
/// # Errors
/// All that is wrong, not only the first thing.
pub fn load(inputs: &Inputs) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::default();
    let dotenv_path = inputs.folder.join(".env");
    let dotenv = layers.read_dotenv(&dotenv_path);
    layers.variables = dotenv.iter().chain(&inputs.variables).cloned().collect();
    let file = file_to_read(inputs, &dotenv);
    if let Some(file) = &file {
        layers.add_file(file);
    }
    layers.add_variables(&dotenv, |name| layers::dotenv_origin(&dotenv_path, name));
    layers.add_variables(&inputs.variables, |name| Origin::Variable(name.to_owned()));
    for (key, flag, text) in &inputs.flags {
        layers.set_text(key, text, Origin::Flag(flag));
    }
    layers.tell_unknown_variables();
    finish(layers, file)
}

/// `--config`, else `HAAT_CONFIG`, else `haat.toml` if there is one.
fn file_to_read(inputs: &Inputs, dotenv: &[(String, String)]) -> Option<PathBuf> {
    let named = |variables: &[(String, String)]| {
        let found = variables.iter().find(|(name, value)| name == CONFIG_VARIABLE && !value.is_empty());
        found.map(|(_, value)| inputs.folder.join(value))
    };
    let default = || Some(inputs.folder.join(DEFAULT_FILE)).filter(|path: &PathBuf| Path::exists(path));
    inputs.file.clone().or_else(|| named(&inputs.variables)).or_else(|| named(dotenv)).or_else(default)
}

fn finish(layers: Layers, file: Option<PathBuf>) -> Result<Loaded, ConfigError> {
    let hidden = layers.hidden();
    let Layers { settings, mut problems, .. } = layers;
    let origins: BTreeMap<_, _> = settings.iter().map(|(key, s)| (key.clone(), s.origin.clone())).collect();
    let origin = |key: &str| origins.get(key).cloned().unwrap_or(Origin::Default);
    let config = match Config::deserialize(toml::Value::Table(nested(settings))) {
        Ok(config) => config,
        // Every value was accepted by itself, so this is a fault in Haat rather than in the configuration.
        Err(e) => {
            problems.push(Problem { key: String::new(), source: Origin::Default, detail: e.message().to_owned() });
            return Err(ConfigError(problems));
        }
    };
    if let Err(report) = config.validate() {
        problems.extend(report.iter().map(|(path, error)| {
            let key = path.to_string();
            Problem { source: origin(&key), key, detail: error.message().to_owned() }
        }));
    }
    // With values missing because they were refused, contradictions would only mislead.
    if problems.is_empty() {
        problems.extend(config.contradictions().into_iter().map(|(key, detail)| Problem {
            key: key.to_owned(),
            source: origin(key),
            detail,
        }));
    }
    if problems.is_empty() { Ok(Loaded { config, origins, file, hidden }) } else { Err(ConfigError(problems)) }
}

fn nested(settings: BTreeMap<String, layers::Setting>) -> toml::Table {
    let mut table = toml::Table::new();
    for (key, setting) in settings {
        match key.split_once('.') {
            None => drop(table.insert(key, setting.value)),
            Some((section, name)) => {
                let inner = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
                if let toml::Value::Table(inner) = inner {
                    inner.insert(name.to_owned(), setting.value);
                }
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, and what loading there gives with these variables.
    fn load_with(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        load(&Inputs { folder: folder.path().to_owned(), variables, ..Inputs::default() })
    }

    #[test]
    fn nothing_said_gives_the_defaults() {
        assert_eq!(load_with(&[], &[("HOME", "/root")]).unwrap().config, Config::default());
    }

    #[test]
    fn each_layer_wins_over_the_one_before() {
        let toml = "[http]\nport = 1001\nmax_headers = 50\nmax_body = '2MiB'\nbind = '::1'\n";
        let dotenv = "PORT=1002\nHAAT_HTTP__MAX_BODY=3MiB\n";
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("haat.toml"), toml).unwrap();
        std::fs::write(folder.path().join(".env"), dotenv).unwrap();
        let loaded = load(&Inputs {
            folder: folder.path().to_owned(),
            variables: vec![("PORT".into(), "1003".into()), ("HAAT_HTTP__BIND".into(), "127.0.0.2".into())],
            flags: vec![("http.bind", "--bind", "127.0.0.3".into())],
            ..Inputs::default()
        })
        .unwrap();
        assert_eq!(loaded.config.http.port, 1003);
        assert_eq!(loaded.config.http.max_headers, 50);
        assert_eq!(loaded.config.http.max_body.to_string(), "3MiB");
        assert_eq!(loaded.config.http.bind.to_string(), "127.0.0.3");
        assert_eq!(loaded.origin("http.bind").to_string(), "flag --bind");
        assert_eq!(loaded.origin("http.port").to_string(), "environment variable PORT");
        assert!(loaded.origin("http.max_body").to_string().ends_with(".env:2"));
        assert!(loaded.origin("http.max_headers").to_string().ends_with("haat.toml:3"));
        assert_eq!(loaded.origin("log.filter"), Origin::Default);
    }

    #[test]
    fn every_mistake_is_reported_with_key_place_and_hint() {
        let toml = "data_dri = 'x'\n[http]\nprot = 1\nport = 'many'\nmax_headers = 100000\nbind = '10.0.0.1:80'\n\n[htttp]\nport = 1\n";
        let variables = [("HAAT_HTTP__MAX_BODDY", "1MiB"), ("DB_PORT", "70000"), ("HAAT_LOG__FORMAT", "xml")];
        let error = load_with(&[("haat.toml", toml)], &variables).unwrap_err();
        let text = error.to_string();
        for (place, says) in [
            ("haat.toml:1", "data_dir"),
            ("haat.toml:3", "did you mean http.port"),
            ("haat.toml:4", "http.port has the wrong type"),
            ("haat.toml:5", "http.max_headers 100000 is out of range: it must be between 10 and 1000"),
            ("haat.toml:6", "http.bind '10.0.0.1:80' is not an address"),
            ("haat.toml:8", "did you mean [http]"),
            ("HAAT_HTTP__MAX_BODDY", "did you mean HAAT_HTTP__MAX_BODY"),
            ("DB_PORT", "from 0 to 65535"),
            ("HAAT_LOG__FORMAT", "`text` or `json`"),
        ] {
            let line = text.lines().find(|line| line.contains(place) && line.contains(says));
            assert!(line.is_some(), "{place}: {says}\nin {text}");
        }
        assert_eq!(error.0.len(), 9, "{text}");
    }

    #[test]
    fn a_file_that_is_no_toml_is_named_with_the_line() {
        let text = load_with(&[("haat.toml", "[http]\nport = \n")], &[]).unwrap_err().to_string();
        assert!(text.contains("haat.toml:2") && text.contains("not TOML"), "{text}");
    }

    #[test]
    fn a_named_file_must_be_there() {
        let text = load_with(&[], &[("HAAT_CONFIG", "elsewhere.toml")]).unwrap_err().to_string();
        assert!(text.contains("elsewhere.toml") && text.contains("cannot be read"), "{text}");
    }

    #[test]
    fn secrets_are_in_no_message() {
        const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let variables = [("HAAT_AUTH__ENCRYPTION_KEY", "pssst"), ("REDIS_URL", "pssst@host"), ("DB_PASS", "pssst")];
        let error = load_with(&[(".env", "pssst pssst\n")], &variables).unwrap_err();
        assert_eq!(error.0.len(), 3, "{error}");
        assert!(!format!("{error} {error:?}").contains("pssst"), "{error}");
        let loaded = load_with(&[], &[("HAAT_AUTH__ENCRYPTION_KEY", KEY)]).unwrap();
        assert!(!format!("{loaded:?}").contains(KEY));
        assert!(!toml::to_string(&loaded.config).unwrap().contains(KEY));
    }

    /// A request would end, answered with 503, before it falls back to what is stored.
    #[test]
    fn a_live_value_is_not_waited_for_longer_than_its_request_may_take() {
        let load = |wait: &str, most: &str| {
            let (wait, most) = (("HAAT_HTTP__LIVE_WAIT", wait), ("HAAT_HTTP__REQUEST_TIMEOUT", most));
            load_with(&[], &[wait, most]).map_err(|error| error.to_string())
        };
        assert!(load("4s", "5s").is_ok());
        let text = load("5s", "5s").unwrap_err();
        assert!(text.contains("http.live_wait must be shorter than http.request_timeout, which is 5s"), "{text}");
        let text = load("11s", "30s").unwrap_err();
        assert!(text.contains("http.live_wait 11s is out of range: it must be between 1ms and 10s"), "{text}");
    }

    /// A source, with `{}` for the value of the header by which it is shown who asks.
    const SOURCE: &str = "{ name = 'a', kind = 'rest', base_url = 'https://a.example', list = { path = '' }, \
                          auth = { type = 'header', name = 'Authorization', value = '{}' }, fields = { key = '/id', sku = '/sku' } }";

    #[test]
    fn a_source_s_secret_may_be_in_any_variable_and_stand_for_part_of_a_text() {
        let value = "Bearer ${HAAT_SHOP_TOKEN}";
        let source = SOURCE.replace("{}", value);
        let file = format!("sources = [{source}]");
        let secret = ("HAAT_SHOP_TOKEN", "pssst");
        let in_file = load_with(&[("haat.toml", &file)], &[secret]).unwrap();
        let in_environment = load_with(&[], &[secret, ("HAAT_SOURCES", &format!("[{source}]"))]).unwrap();
        let in_dotenv = load_with(&[("haat.toml", &file), (".env", "HAAT_SHOP_TOKEN=pssst\n")], &[]).unwrap();
        let literal = load_with(&[("haat.toml", &file.replace(value, "Bearer pssst"))], &[]).unwrap();
        for loaded in [in_file, in_environment, in_dotenv] {
            assert!(loaded.config.sources == literal.config.sources, "{loaded:?}");
        }
        let text = load_with(&[("haat.toml", &file)], &[]).unwrap_err().to_string();
        assert!(
            text.contains("source 'a': auth.value: names the variable HAAT_SHOP_TOKEN, which is not set"),
            "{text}"
        );
        // One that nobody names is a mistake as before.
        let text = load_with(&[("haat.toml", &file)], &[secret, ("HAAT_SHOP_TOKN", "x")]).unwrap_err().to_string();
        assert!(text.contains("HAAT_SHOP_TOKN is not a variable"), "{text}");
    }

    #[test]
    fn all_mistakes_in_all_sources_are_told_at_once() {
        let file = "[[sources]]\nname = 'a'\nkind = 'rest'\nattempts = 99\nshedule = '5m'\nmax_vanished = 2.0\nbase_url = 'x'\n\
                    auth = { type = 'header' }\nlist = { path = '' }\nfields = { key = 'id', sku = '/sku' }\n\
                    [[sources]]\nname = 'b'\nlease = 'pssst'\nconcurrency = 'pssst'\n[[sources]]\nname = 'c'\nkind = 'rets'\n";
        let error = load_with(&[("haat.toml", file)], &[]).unwrap_err();
        let text = error.to_string();
        for says in [
            "source 'a': attempts: must be from 1 to 10",
            "source 'a': shedule: is not a setting: did you mean `schedule`?",
            "source 'a': max_vanished: must be a share",
            "source 'b': kind: is missing",
            "source 'b': lease: is not a length of time",
            "source 'b': concurrency: must be a whole number",
            "source 'c': kind: is no kind of source: did you mean \"rest\"?",
        ] {
            assert!(text.contains(says), "{says} in {text}");
        }
        assert_eq!(error.0.len(), 7, "{text}");
        let text = load_with(&[("haat.toml", &file.replace("shedule = '5m'\n", ""))], &[]).unwrap_err().to_string();
        for says in ["base_url: is no URL", "auth.name: is missing", "fields.key: "] {
            assert!(text.contains(says), "{says} in {text}");
        }
        assert!(!text.contains("pssst"), "{text}");
    }

    #[test]
    fn a_database_host_wants_the_rest_and_the_rest_wants_a_host() {
        let text = load_with(&[], &[("DB_HOST", "db")]).unwrap_err().to_string();
        assert!(text.contains("DB_NAME") && text.contains("DB_USER"), "{text}");
        let text = load_with(&[], &[("DB_NAME", "shop")]).unwrap_err().to_string();
        assert!(text.contains("environment variable DB_NAME: database.name") && text.contains("DB_HOST"), "{text}");
        assert!(load_with(&[], &[("DB_HOST", "db"), ("DB_NAME", "shop"), ("DB_USER", "haat")]).is_ok());
    }
}
