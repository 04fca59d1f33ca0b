//! `haat doctor`: looks at everything a deployment stands on and says what is wrong and what to do about it.
//!
//! It changes nothing: no folder or database is made, no table is brought up to date. It works beside a running server.

mod access;
mod database;
mod index;
pub mod machine;
mod sources;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::config::{Config, ConfigError, Loaded};
use crate::data_dir::DataDir;
use crate::wiring::{World, shared_redis};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, but somebody should look at it.
    Warn,
    /// Does not work.
    Fail,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty when all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, detail: detail.into(), advice: String::new() }
    }

    fn warn(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, detail: detail.into(), advice: advice.into() }
    }

    fn fail(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, detail: detail.into(), advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict}  {:<14} {}", self.check, self.detail)?;
        if !self.advice.is_empty() {
            write!(f, "\n      {:<14} → {}", "", self.advice)?;
        }
        Ok(())
    }
}

/// What is wrong with a configuration that could not even be read.
pub fn configuration_problems(error: &ConfigError) -> Vec<Finding> {
    let advice = "correct it; `haat config check` looks again, docs/configuration.md lists all settings";
    error.0.iter().map(|problem| Finding::fail("configuration", problem.to_string(), advice)).collect()
}

/// Looks at everything.
pub async fn examine(loaded: &Loaded, world: &World) -> Vec<Finding> {
    let config = &loaded.config;
    let data = DataDir::at(&config.data_dir);
    let mut findings = vec![configuration(loaded)];
    findings.extend(redis(config).await);
    findings.extend(machine::data_folder(&data));
    findings.push(machine::port(config, &data));
    findings.push(machine::file_limit(config.http.max_connections));
    let (found, store) = database::examine(config, world).await;
    findings.extend(found);
    findings.extend(sources::examine(config, store.as_ref(), world).await);
    if let Some(store) = store {
        findings.push(access::examine(config, &store, world).await);
        findings.push(index::examine(&data, &store).await);
        store.close().await;
    }
    findings
}

/// How long Redis may take to be reached.
const PATIENCE: Duration = Duration::from_secs(3);

/// Redis: there, if it is asked for. Without it a server works all the same.
async fn redis(config: &Config) -> Option<Finding> {
    config.redis.url.as_ref()?;
    let advice = "check redis.url, its user and password, and the network between; until then every server caches and \
                  counts for itself";
    Some(match shared_redis(config) {
        Err(e) => Finding::fail("redis", e.to_string(), "correct redis.url or redis.tls_ca"),
        Ok(None) => return None,
        Ok(Some(cache)) if cache.reached(PATIENCE).await => Finding::ok("redis", "answers"),
        Ok(Some(_)) => Finding::warn("redis", "does not answer", advice),
    })
}

fn configuration(loaded: &Loaded) -> Finding {
    let file = loaded.file.as_ref().map_or("no file".to_owned(), |path| path.display().to_string());
    let detail = format!("good ({file}; settings that are not defaults: {})", loaded.origins.len());
    Finding::ok("configuration", detail)
}
