//! Where settings are read from: the file, `.env`, the environment. Each gives settings with their origin, or problems.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Value};

use super::problem::{Origin, Problem};
use super::schema::{self, CONFIG_VARIABLE, PLAIN_VARIABLES, PREFIX, SECTIONS};
use super::sources;
use super::units::Secret;

/// The setting whose texts may stand for variables.
const SOURCES: &str = "sources";

/// A setting and who said so.
#[derive(Clone)]
pub struct Setting {
    /// The value, already known to be one that the setting can have.
    pub value: Value,
    /// Where it was said.
    pub origin: Origin,
}

/// The settings so far, later layers over earlier ones, and everything wrong with any of them.
#[derive(Default)]
pub struct Layers {
    /// By key.
    pub settings: BTreeMap<String, Setting>,
    /// In the order found.
    pub problems: Vec<Problem>,
    /// What `${NAME}` stands for in the settings of sources.
    pub variables: BTreeMap<String, String>,
    /// Those of them that a source names.
    named: BTreeSet<String>,
    /// Variables that look like settings and are none.
    unknown: Vec<(String, Origin)>,
}

impl Layers {
    /// Sets `key`, if the value is one it can have.
    pub fn set(&mut self, key: &str, mut value: Value, origin: Origin) {
        if key == SOURCES {
            let unset = self.fill_in(&mut value);
            let wrong = if unset.is_empty() { sources::faults(&value) } else { unset };
            if !wrong.is_empty() {
                return wrong.into_iter().for_each(|detail| self.problem(key, origin.clone(), detail));
            }
        }
        match schema::accepts(key, &value) {
            Ok(()) => drop(self.settings.insert(key.to_owned(), Setting { value, origin })),
            Err(detail) => self.problem(key, origin, detail),
        }
    }

    /// Sets `key` from a text that may stand for a number or true and false as well.
    pub fn set_text(&mut self, key: &str, text: &str, origin: Origin) {
        let as_text = Value::String(text.to_owned());
        let text = text.trim();
        let others = [
            // A list is written as in the file.
            text.starts_with('[').then(|| toml::from_str(&format!("list = {text}")).ok()).flatten().and_then(list_of),
            text.parse().ok().map(Value::Boolean),
            text.parse().ok().map(Value::Float),
            text.parse().ok().map(Value::Integer),
        ];
        let candidates = std::iter::once(as_text.clone()).chain(others.into_iter().flatten());
        // When none fits, the number is the better witness of what is wrong than the text.
        let fitting = candidates.clone().find(|value| schema::accepts(key, value).is_ok());
        self.set(key, fitting.or_else(|| candidates.last()).unwrap_or(as_text), origin);
    }

    /// Adds a problem.
    pub fn problem(&mut self, key: &str, source: Origin, detail: impl Into<String>) {
        self.problems.push(Problem { key: key.to_owned(), source, detail: detail.into() });
    }

    /// Reads a configuration file.
    pub fn add_file(&mut self, path: &Path) {
        let at = |line| Origin::File { path: path.to_owned(), line };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) => return self.problem("", at(None), format!("cannot be read: {e}")),
        };
        let (document, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let line = error.span().map(|span| line_of(&text, span));
            self.problem(
                "",
                at(line),
                format!("is not TOML: {}", error.message().lines().collect::<Vec<_>>().join(", ")),
            );
        }
        // What a damaged file would set is guesswork.
        if !errors.is_empty() {
            return;
        }
        let lines = Lines { path, text: &text };
        for (name, value) in document.into_inner() {
            self.add_entry(&lines, &name, value);
        }
    }

    /// One entry outside of any section: a section, or a setting such as `data_dir`.
    fn add_entry(&mut self, lines: &Lines<'_>, name: &Spanned<impl AsRef<str>>, value: Spanned<DeValue<'_>>) {
        let origin = lines.origin(name.span());
        let name = name.get_ref().as_ref();
        let is_section = SECTIONS.iter().any(|(section, _)| *section == name && !section.is_empty());
        match (is_section, value.get_ref().is_table()) {
            (true, true) => {
                if let DeValue::Table(table) = value.into_inner() {
                    for (field, value) in table {
                        self.add_value(lines, &format!("{name}.{}", field.get_ref()), field.span(), value);
                    }
                }
            }
            (true, false) => self.problem(name, origin, format!("is a section: write [{name}] and its settings below")),
            (false, true) if schema::KEYS.iter().any(|known| known == name) => {
                self.problem(name, origin, format!("is a list: begin each with [[{name}]] and its settings below"));
            }
            (false, true) => {
                let sections = SECTIONS.iter().map(|(section, _)| *section).filter(|s| !s.is_empty());
                let meant = haat_catalog::invalid::nearest(name, sections.clone());
                let hint = meant.map_or_else(
                    || format!("the sections are {}", sections.collect::<Vec<_>>().join(", ")),
                    |meant| format!("did you mean [{meant}]?"),
                );
                self.problem(name, origin, format!("is not a section: {hint}"));
            }
            (false, false) => self.add_value(lines, name, lines.span_of(&origin), value),
        }
    }

    fn add_value(&mut self, lines: &Lines<'_>, key: &str, span: Range<usize>, value: Spanned<DeValue<'_>>) {
        let origin = lines.origin(span);
        if !schema::KEYS.iter().any(|known| known == key) {
            let hint = schema::similar(key).map_or_else(
                || "`haat config show` lists all settings".to_owned(),
                |meant| format!("did you mean {meant}?"),
            );
            return self.problem(key, origin, format!("is not a setting: {hint}"));
        }
        match Value::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => self.set(key, value, origin),
            Err(e) => self.problem(key, origin, e.message().to_owned()),
        }
    }

    /// Puts variables where a text of a source has `${NAME}`, so that secrets need not stand in the file. Gives what cannot be.
    fn fill_in(&mut self, value: &mut Value) -> Vec<String> {
        let mut wrong = Vec::new();
        for source in value.as_array_mut().into_iter().flatten() {
            let named = sources::named(source.get("name").and_then(Value::as_str));
            self.fill(source, "", &mut |at, detail| wrong.push(format!("{named}{at}: {detail}")));
        }
        wrong
    }

    fn fill(&mut self, value: &mut Value, at: &str, wrong: &mut impl FnMut(&str, String)) {
        let within = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        match value {
            Value::String(text) => match self.filled(text) {
                Ok(filled) => *text = filled,
                Err(detail) => wrong(at, detail),
            },
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill(item, at, wrong)),
            Value::Table(table) => table.iter_mut().for_each(|(name, item)| self.fill(item, &within(name), wrong)),
            _ => {}
        }
    }

    /// A text with variables for every `${NAME}` in it, and `$` for every `$$`.
    fn filled(&mut self, text: &str) -> Result<String, String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            filled.push_str(before);
            if let Some(behind) = after.strip_prefix('{') {
                let is_name =
                    |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                let named = behind.split_once('}').filter(|(name, _)| is_name(name));
                let (name, behind) =
                    named.ok_or("has a ${ without a variable's name and a }; write $$ for a $ that is meant so")?;
                let found = self.variables.get(name).filter(|value| !value.is_empty());
                filled.push_str(found.ok_or_else(|| format!("names the variable {name}, which is not set"))?);
                self.named.insert(name.to_owned());
                rest = behind;
            } else {
                filled.push('$');
                rest = after.strip_prefix('$').unwrap_or(after);
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Reads variables: the plain names first, so that Haat's own names win over them. Empty ones count as absent.
    pub fn add_variables(&mut self, variables: &[(String, String)], origin: impl Fn(&str) -> Origin) {
        let present = |wanted: &str| variables.iter().find(|(name, text)| name == wanted && !text.is_empty());
        for (name, key) in PLAIN_VARIABLES {
            if let Some((_, text)) = present(name) {
                self.set_text(key, text, origin(name));
            }
        }
        for (name, text) in variables {
            if !name.starts_with(PREFIX) || name == CONFIG_VARIABLE || text.is_empty() {
                continue;
            }
            match schema::key_of(name) {
                Some(key) => self.set_text(key, text, origin(name)),
                None if is_service_link(name, text) || is_for_development(name) => {}
                None => self.unknown.push((name.clone(), origin(name))),
            }
        }
    }

    /// Adds problems for variables that look like settings and are none, once all is read: a source may have named them.
    pub fn tell_unknown_variables(&mut self) {
        for (name, origin) in std::mem::take(&mut self.unknown) {
            if !self.named.contains(&name) {
                self.unknown_variable(&name, origin);
            }
        }
    }

    fn unknown_variable(&mut self, name: &str, origin: Origin) {
        let meant_as_key = name.strip_prefix(PREFIX).unwrap_or(name).replace("__", ".").to_lowercase();
        let meant = schema::similar(&meant_as_key).or_else(|| {
            // A single underscore where two belong: HAAT_HTTP_PORT.
            schema::KEYS.iter().find(|key| key.replace('.', "_") == meant_as_key).map(String::as_str)
        });
        let hint = meant.map_or_else(
            || "names are HAAT_, the section, two underscores and the setting, such as HAAT_HTTP__PORT".to_owned(),
            |key| format!("did you mean {} ({key})?", schema::variable_of(key)),
        );
        self.problem(name, origin, format!("is not a variable that Haat knows: {hint}"));
    }

    /// What the variables hold that sources name: to be shown to nobody, wherever in a text it stands.
    pub fn hidden(&self) -> Vec<Secret> {
        self.named.iter().filter_map(|name| self.variables.get(name)).map(Secret::new).collect()
    }

    /// Reads a `.env` file into variables; one that is not there is none.
    pub fn read_dotenv(&mut self, path: &Path) -> Vec<(String, String)> {
        let at = |line| Origin::File { path: path.to_owned(), line };
        let entries = match dotenvy::from_path_iter(path) {
            Ok(entries) => entries,
            Err(e) if e.not_found() => return Vec::new(),
            Err(e) => {
                self.problem("", at(None), format!("cannot be read: {e}"));
                return Vec::new();
            }
        };
        let mut variables = Vec::new();
        for entry in entries {
            match entry {
                Ok(variable) => variables.push(variable),
                // The line may hold a secret: only its number is shown.
                Err(dotenvy::Error::LineParse(text, _)) => {
                    self.problem("", at(line_holding(path, &text)), "is not a line such as NAME=value");
                }
                Err(e) => {
                    self.problem("", at(None), format!("cannot be read: {e}"));
                    break;
                }
            }
        }
        variables
    }
}

/// Where things stand in a file.
struct Lines<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Lines<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        Origin::File { path: self.path.to_owned(), line: Some(line_of(self.text, span)) }
    }

    /// A span on the line of `origin`.
    fn span_of(&self, origin: &Origin) -> Range<usize> {
        let Origin::File { line: Some(line), .. } = origin else { return 0..0 };
        let start: usize = self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        start..start
    }
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1
}

fn line_holding(path: &Path, text: &str) -> Option<usize> {
    let all = std::fs::read_to_string(path).ok()?;
    all.lines().position(|line| line.trim() == text.trim()).map(|i| i + 1)
}

/// The line of a `.env` file that sets `name`.
pub fn dotenv_origin(path: &Path, name: &str) -> Origin {
    let sets = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let line = std::fs::read_to_string(path).ok().and_then(|all| all.lines().position(sets)).map(|i| i + 1);
    Origin::File { path: PathBuf::from(path), line }
}

/// The list of a document that is one.
fn list_of(mut document: toml::Table) -> Option<Value> {
    document.remove("list")
}

/// Variables of the project's own scripts and tests (CONTRIBUTING.md), which a developer may have exported.
fn is_for_development(name: &str) -> bool {
    name.starts_with("HAAT_TEST_") || name.starts_with("HAAT_FUZZ_") || name == "HAAT_UPDATE"
}

/// Whether a variable is one that Kubernetes sets by itself for a service whose name begins with "haat"
/// (`HAAT_SERVICE_HOST`, `HAAT_PORT=tcp://…`, `HAAT_PORT_3000_TCP_ADDR`, `HAAT_DB_SERVICE_PORT_MYSQL`): nobody meant those for us.
fn is_service_link(name: &str, value: &str) -> bool {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let has = |part: &str| name.starts_with(part) || name.contains(&format!("_{part}"));
    let protocol_port = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| name.contains(protocol)) && has("PORT_");
    has("SERVICE_HOST") || has("SERVICE_PORT") || protocol_port || (name.ends_with("PORT") && value.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(list: &[(&str, &str)]) -> Layers {
        let mut layers = Layers::default();
        let list: Vec<_> = list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        layers.add_variables(&list, |name| Origin::Variable(name.to_owned()));
        layers.tell_unknown_variables();
        layers
    }

    #[test]
    fn own_names_win_over_plain_ones_and_empty_ones_count_as_absent() {
        let layers =
            variables(&[("HAAT_HTTP__PORT", "4000"), ("PORT", "3000"), ("DB_HOST", ""), ("HAAT_DATA_DIR", "")]);
        assert!(layers.problems.is_empty(), "{:?}", layers.problems);
        assert_eq!(layers.settings["http.port"].value, Value::Integer(4000));
        assert_eq!(layers.settings.len(), 1);
    }

    #[test]
    fn a_text_of_digits_stays_a_text_where_a_text_is_wanted() {
        let layers = variables(&[("HAAT_AUTH__AUDIENCE", "1234567890123456"), ("DB_PASS", "0042")]);
        assert_eq!(layers.settings["auth.audience"].value, Value::String("1234567890123456".into()));
        assert_eq!(layers.settings["database.password"].value, Value::String("0042".into()));
    }

    #[test]
    fn variables_that_kubernetes_sets_for_a_service_called_haat_are_no_mistakes() {
        let layers = variables(&[
            ("HAAT_SERVICE_HOST", "10.0.0.1"),
            ("HAAT_TEST_DATA", "/data"),
            ("HAAT_UPDATE", "1"),
            ("HAAT_SERVICE_PORT_HTTP", "3000"),
            ("HAAT_PORT", "tcp://10.0.0.1:3000"),
            ("HAAT_PORT_3000_TCP_ADDR", "10.0.0.1"),
            ("HAAT_DB_SERVICE_HOST", "10.0.0.2"),
            ("HAAT_DB_PORT_3306_TCP", "tcp://10.0.0.2:3306"),
        ]);
        assert!(layers.problems.is_empty(), "{:?}", layers.problems);
        assert_eq!(variables(&[("HAAT_PORT", "3000")]).problems.len(), 1);
    }

    #[test]
    fn variables_stand_anywhere_in_the_texts_of_a_source() {
        let filled = |text: &str| {
            let variables =
                [("TOKEN", "pssst"), ("A1_", "a$b"), ("EMPTY", "")].map(|(n, v)| (n.to_owned(), v.to_owned()));
            let mut layers = Layers { variables: variables.into(), ..Layers::default() };
            let mut value = Value::Array(vec![
                toml::from_str(&format!("name = 'a'\nb = {{ c = ['{text}'] }}")).map(Value::Table).unwrap(),
            ]);
            match &*layers.fill_in(&mut value) {
                [] => Ok(value[0]["b"]["c"][0].as_str().unwrap().to_owned()),
                wrong => Err(wrong.join("\n")),
            }
        };
        for (text, stands_for) in [
            ("${TOKEN}", "pssst"),
            ("Bearer ${TOKEN}", "Bearer pssst"),
            ("${TOKEN}:${A1_}!", "pssst:a$b!"),
            ("$${TOKEN}", "${TOKEN}"),
            ("$$${TOKEN}", "$pssst"),
            ("5 $ or $5, not {key}", "5 $ or $5, not {key}"),
            ("$", "$"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(stands_for), "{text}");
        }
        assert_eq!(filled("x ${NO}").unwrap_err(), "source 'a': b.c: names the variable NO, which is not set");
        assert!(filled("${EMPTY}").unwrap_err().contains("EMPTY, which is not set"));
        for wrong in ["${}", "${TOKEN", "${not a name}"] {
            assert!(filled(wrong).unwrap_err().contains("write $$"), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_variable_is_named_with_the_nearest_known_one() {
        for (wrong, right) in [
            ("HAAT_HTTP__PROT", "HAAT_HTTP__PORT"),
            ("HAAT_HTTP_MAX_BODY", "HAAT_HTTP__MAX_BODY"),
            ("HAAT_ENCRYPTION_KEY", "HAAT_AUTH__ENCRYPTION_KEY"),
            ("HAAT_DATADIR", "HAAT_DATA_DIR"),
        ] {
            let problems = variables(&[(wrong, "x")]).problems;
            assert_eq!(problems.len(), 1);
            assert!(problems[0].to_string().contains(wrong), "{}", problems[0]);
            assert!(problems[0].detail.contains(right), "{wrong}: {}", problems[0]);
        }
    }
}
