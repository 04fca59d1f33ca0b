//! Logs: to standard error, as text for people or JSON for machines, beside a progress bar if there is one.

use std::io::{self, IsTerminal as _, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// Libraries that are chatty on levels where Haat is not; a filter that names them wins.
const QUIET: &str = "tantivy=warn,sqlx=warn";

/// Begins logging. The filter was checked with the configuration.
pub fn init(filter: &str, format: LogFormat, bars: MultiProgress) {
    let filter = EnvFilter::new(format!("{QUIET},{filter}"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(BesideBars(bars));
    let done = match format {
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        LogFormat::Text => subscriber.with_ansi(colours()).with_target(false).try_init(),
    };
    // Only fails when logging has begun already, which is as good.
    drop(done);
    // In the log's own form, or machines that read it would stumble over a panic.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, backtrace = %std::backtrace::Backtrace::capture(), "a fault in Haat");
    }));
}

fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Standard error, with progress bars out of the way while a line is written.
struct BesideBars(MultiProgress);

struct Line<'a>(&'a MultiProgress);

impl<'a> MakeWriter<'a> for BesideBars {
    type Writer = Line<'a>;
    fn make_writer(&'a self) -> Self::Writer {
        Line(&self.0)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write_all(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
