//! Logs: to standard error, as text for people or JSON for machines, beside a progress bar if there is one.

mod line;
mod standard_error;

use std::io::{self, IsTerminal as _};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use standard_error::StandardError;

/// Libraries that are chatty on levels where Haat is not; a filter that names them wins.
const QUIET: &str = "tantivy=warn,sqlx=warn";

/// Begins logging, until what is returned is dropped: then everything is written. The filter was checked with the
/// configuration.
#[must_use]
pub fn init(filter: &str, format: LogFormat, bars: MultiProgress) -> impl Drop + use<> {
    let filter = EnvFilter::new(format!("{QUIET},{filter}"));
    let (lines, rest) = StandardError::new(bars);
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    let done = match format {
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        LogFormat::Text if colours() => subscriber.with_target(false).try_init(),
        LogFormat::Text => subscriber.with_ansi(false).event_format(line::Plain).try_init(),
    };
    // Only fails when logging has begun already, which is as good.
    drop(done);
    // In the log's own form, or machines that read it would stumble over a panic.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, backtrace = %std::backtrace::Backtrace::capture(), "a fault in Haat");
    }));
    rest
}

fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
