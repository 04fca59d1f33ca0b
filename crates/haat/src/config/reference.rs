//! Keeps `haat.example.toml` and `docs/configuration.md` in step with the section types.
//!
//! The example is written by hand: it must name every setting once, with its default. The page is made from the example;
//! `UPDATE_DOCS=1 cargo test -p haat` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::schema::{KEYS, PLAIN_VARIABLES, variable_of};
use super::{Config, Inputs, load};

/// A section of the example.
struct Section {
    name: String,
    about: String,
    settings: Vec<(String, String, String)>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn example() -> String {
    std::fs::read_to_string(root().join("haat.example.toml")).unwrap()
}

/// The example with every setting in force.
fn in_force(example: &str) -> String {
    let lines = example.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn sections(example: &str) -> Vec<Section> {
    let mut sections = vec![Section { name: String::new(), about: String::new(), settings: Vec::new() }];
    let mut comment: Vec<&str> = Vec::new();
    for line in example.lines() {
        let take = |comment: &mut Vec<&str>| std::mem::take(comment).join(" ");
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_end_matches(']').to_owned();
            sections.push(Section { name, about: take(&mut comment), settings: Vec::new() });
        } else if let Some((name, value)) = line.strip_prefix('#').and_then(|l| l.split_once(" = ")) {
            let about = take(&mut comment);
            let section = sections.last_mut().unwrap();
            section.settings.push((name.to_owned(), value.to_owned(), about));
        } else {
            comment.clear();
        }
    }
    sections
}

fn page() -> String {
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    let has_default = |key: &str| match key.split_once('.') {
        Some((section, name)) => defaults[section].get(name).is_some(),
        None => defaults.contains_key(key),
    };
    let plain: BTreeMap<_, _> = PLAIN_VARIABLES.iter().map(|(variable, key)| (*key, *variable)).collect();
    let mut page = INTRODUCTION.to_owned();
    for section in sections(&example()) {
        let title =
            if section.name.is_empty() { "Outside of any section".into() } else { format!("`[{}]`", section.name) };
        write!(page, "\n## {title}\n\n").unwrap();
        if !section.about.is_empty() {
            write!(page, "{}\n\n", section.about).unwrap();
        }
        page.push_str("| setting | default | variable | what |\n|---|---|---|---|\n");
        for (name, value, about) in section.settings {
            let key = if section.name.is_empty() { name.clone() } else { format!("{}.{name}", section.name) };
            let default = if has_default(&key) { format!("`{value}`") } else { "none".to_owned() };
            let also = plain.get(&*key).map(|p| format!(", `{p}`")).unwrap_or_default();
            writeln!(page, "| `{name}` | {default} | `{}`{also} | {about} |", variable_of(&key)).unwrap();
        }
    }
    page
}

const INTRODUCTION: &str = "# Configuration

<!-- Made from haat.example.toml by a test of the `haat` crate: `UPDATE_DOCS=1 cargo test -p haat` writes it anew. -->

Every setting has a default; Haat runs without any. Settings are read from, each over the one before:

1. the defaults,
2. the file that `--config` or `HAAT_CONFIG` names, else `haat.toml` in the working folder if it is there
   ([haat.example.toml](../haat.example.toml) shows all of it),
3. `.env` in the working folder,
4. environment variables: `HAAT_`, the section, two underscores, the setting (`HAAT_HTTP__PORT`), or the plain names
   that other tools use (`PORT`, `DB_HOST`, …); where both are set, Haat's own name wins. An empty variable counts as
   absent,
5. flags.

Lengths of time are a whole number with `ms`, `s`, `m`, `h` or `d`; sizes one with `B`, `KiB`, `MiB`, `GiB` or `TiB`.

A setting or a `HAAT_` variable that does not exist, or a value that cannot be, stops every command with exit code 78
before anything starts; all mistakes are listed at once, each with its file and line or its variable. (Variables that
Kubernetes makes for a service called `haat…`, such as `HAAT_SERVICE_HOST`, are left alone, and so are those that a
source names by `${NAME}`; see [sources.md](sources.md).) `haat config check` does
only this; `haat config show` prints what is in force and where it was said. Secrets are never printed.

Servers that share a database need the same `auth.issuer` and `auth.encryption_key`.
";

#[test]
fn the_example_names_every_setting_once_and_shows_its_default() {
    let example = example();
    let named: Vec<String> = sections(&example)
        .into_iter()
        .flat_map(|section| {
            let prefix = if section.name.is_empty() { String::new() } else { format!("{}.", section.name) };
            section.settings.into_iter().map(move |(name, ..)| format!("{prefix}{name}")).collect::<Vec<_>>()
        })
        .collect();
    let mut sorted = (named.clone(), KEYS.clone());
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);

    let defaults = toml::Table::try_from(Config::default()).unwrap();
    let shown: toml::Table = toml::from_str(&in_force(&example)).unwrap();
    let shown = Config::try_from_table(shown);
    for (section, value) in &defaults {
        match value {
            toml::Value::Table(fields) => {
                for (name, default) in fields {
                    assert_eq!(&shown[section][name.as_str()], default, "{section}.{name}");
                }
            }
            default => assert_eq!(&shown[section.as_str()], default, "{section}"),
        }
    }
}

impl Config {
    /// What a table means, written out again (so that `"24h"` and `"1d"` are the same).
    fn try_from_table(table: toml::Table) -> toml::Table {
        let config: Config = toml::Value::Table(table).try_into().unwrap();
        toml::Table::try_from(config).unwrap()
    }
}

#[test]
fn the_example_is_a_good_configuration_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("haat.toml"), example()).unwrap();
    let loaded = load(&Inputs { folder: folder.path().to_owned(), ..Inputs::default() }).unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn the_example_of_a_source_makes_one() {
    let example = example();
    let (_, source) = example.split_once("#   [[sources]]").unwrap();
    let source: Vec<&str> = source.lines().map(|line| line.trim_start_matches('#').trim_start()).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("haat.toml"), format!("[[sources]]\n{}", source.join("\n"))).unwrap();
    let variables = vec![("SHOP_TOKEN".to_owned(), "pssst".to_owned())];
    let loaded = load(&Inputs { folder: folder.path().to_owned(), variables, ..Inputs::default() }).unwrap();
    assert_eq!(loaded.config.sources.len(), 1);
}

#[test]
fn the_page_is_up_to_date() {
    let path = root().join("docs/configuration.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(root().join("docs")).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/configuration.md is out of date: UPDATE_DOCS=1 cargo test -p haat");
}
