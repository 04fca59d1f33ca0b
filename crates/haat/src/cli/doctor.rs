//! `haat doctor`.

use super::Session;
use super::output::Output;
use crate::config::ConfigError;
use crate::doctor::{self, Finding, Verdict};
use crate::exit::{Exit, Failure};

pub(super) async fn run(session: &Session) -> Result<Exit, Failure> {
    Ok(tell(session.output, &doctor::examine(&session.loaded, &session.world).await))
}

/// When the configuration is so wrong that nothing else can be looked at.
pub(super) fn without_configuration(output: Output, error: &ConfigError) -> Exit {
    tell(output, &doctor::configuration_problems(error))
}

fn tell(output: Output, findings: &[Finding]) -> Exit {
    let worst = findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Ok);
    let summary = match worst {
        Verdict::Ok => "All is well.",
        Verdict::Warn => "It works; see the warnings.",
        Verdict::Fail => "Something is wrong; see above what to do.",
    };
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let value = serde_json::json!({ "verdict": worst, "findings": findings });
    output.answer(format!("{}\n\n{summary}", lines.join("\n")), &value);
    if worst == Verdict::Fail { Exit::Failed } else { Exit::Ok }
}
