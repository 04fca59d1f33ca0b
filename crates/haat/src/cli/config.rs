//! `haat config check|show`.

use clap::Subcommand;
use serde_json::json;
use toml::Value;

use super::Session;
use crate::config::schema::{KEYS, variable_of};
use crate::config::units::Secret;
use crate::exit::{Exit, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say everything that is wrong with the configuration; exit code 78 if anything is
    Check,
    /// Print every setting that is in force and where it was said
    Show,
}

pub(super) fn run(command: &ConfigCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check => check(session),
        ConfigCommand::Show => show(session)?,
    }
    Ok(Exit::Ok)
}

/// That the settings are good was found out before.
fn check(session: &Session) {
    let file = session.loaded.file.as_ref().map(|path| path.display().to_string());
    let from = file.clone().unwrap_or_else(|| "no file; environment and defaults only".to_owned());
    session.output.answer(format!("The configuration is good ({from})."), &json!({ "ok": true, "file": file }));
}

fn show(session: &Session) -> Result<(), Failure> {
    let mut settings = toml::Table::try_from(session.config()).map_err(anyhow::Error::from)?;
    settings.get_mut("sources").into_iter().for_each(|sources| hide(sources, &session.loaded.hidden));
    let value_of = |key: &str| match key.split_once('.') {
        Some((section, name)) => settings.get(section).and_then(|s| s.get(name)),
        None => settings.get(key),
    };
    let mut text = Vec::new();
    let mut members = serde_json::Map::new();
    let mut section = "";
    for key in KEYS.iter() {
        let origin = session.loaded.origin(key);
        let (home, name) = key.split_once('.').unwrap_or(("", key));
        if home != section {
            text.push(format!("\n[{home}]"));
            section = home;
        }
        let shown = value_of(key).map_or_else(|| format!("#{name} ="), |value| format!("{name} = {value}"));
        text.push(format!("{shown:<48} # {origin}"));
        let value = value_of(key).map(as_json).unwrap_or_default();
        members.insert(key.clone(), json!({ "value": value, "source": origin, "variable": variable_of(key) }));
    }
    session.output.answer(text.join("\n"), &members);
    Ok(())
}

/// Hides texts with something in them that came from a variable.
fn hide(value: &mut Value, hidden: &[Secret]) {
    match value {
        Value::String(text) if hidden.iter().any(|secret| text.contains(secret.reveal())) => {
            *text = "(hidden)".to_owned()
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, hidden)),
        Value::Table(members) => members.iter_mut().for_each(|(_, member)| hide(member, hidden)),
        _ => {}
    }
}

fn as_json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}
