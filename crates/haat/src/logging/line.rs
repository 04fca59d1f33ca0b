//! A line of the log as text: when, how bad, in what, what, and its fields.
//!
//! The library's own formatter goes through `Debug` for every field, which at fifty thousand lines a second is several
//! percent of the machine.

use std::cell::RefCell;
use std::fmt;

use haat_catalog::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The target of lines about who was given what and who changed what, which are told from the others.
const AUDIT: &str = "haat::audit";

/// Writes lines without colours.
pub(super) struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write_time(&mut out)?;
        out.write_str(match *event.metadata().level() {
            Level::ERROR => " ERROR ",
            Level::WARN => "  WARN ",
            Level::INFO => "  INFO ",
            Level::DEBUG => " DEBUG ",
            Level::TRACE => " TRACE ",
        })?;
        if event.metadata().target() == AUDIT {
            out.write_str("audit: ")?;
        }
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            out.write_str(span.name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(out, "{{{fields}}}")?;
            }
            out.write_str(": ")?;
        }
        let mut fields = Fields { out, first: true, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        fields.out.write_str("\n")
    }
}

/// When, as in the library's lines; what stands before the fraction is made once a second and thread.
#[expect(clippy::disallowed_methods, reason = "lines are written by the machine's clock, as by the library")]
fn write_time(out: &mut Writer<'_>) -> fmt::Result {
    let now = std::time::SystemTime::now();
    thread_local!(static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) });
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (second, rest) = (since.as_secs(), since.subsec_micros());
    LAST.with_borrow_mut(|(of, text)| {
        if *of != second || text.is_empty() {
            *of = second;
            text.clear();
            let millis = i64::try_from(second.saturating_mul(1_000)).unwrap_or(i64::MAX);
            text.push_str(String::from(Timestamp::from_millis(millis)).trim_end_matches('Z'));
        }
        out.write_str(text)
    })?;
    write!(out, ".{rest:06}Z")
}

/// Writes the message as it is and every other field as `name=value`, texts in quotes.
struct Fields<'w> {
    out: Writer<'w>,
    first: bool,
    result: fmt::Result,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let space = if std::mem::take(&mut self.first) { "" } else { " " };
        self.result = self.result.and_then(|()| {
            self.out.write_str(space)?;
            if field.name() != "message" {
                self.out.write_str(field.name())?;
                self.out.write_char('=')?;
            }
            value(&mut self.out)
        });
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, |out| write!(out, "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |out| {
            if value.bytes().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\')) {
                out.write_char('"')?;
                out.write_str(value)?;
                out.write_char('"')
            } else {
                // Escaped: nothing that came from outside begins a line of its own or paints the terminal.
                write!(out, "{value:?}")
            }
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |out| write!(out, "{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_have_time_level_span_message_and_escaped_fields() {
        let page = Page::default();
        let writer = page.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).event_format(Plain).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let _in = tracing::info_span!("request", id = "7").entered();
            tracing::info!(target: AUDIT, by = "me", members = None::<&str>, "changed");
            tracing::warn!(route = "/v1", status = 200_u64, left = -1, name = "a\nb\u{1b}[31m\"", "answered");
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let (audit, text) = text.split_once('\n').unwrap();
        assert!(audit.ends_with(" INFO audit: request{id=\"7\"}: changed by=\"me\""), "{audit}");
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.len() == 27, "{time}");
        let expected =
            " WARN request{id=\"7\"}: answered route=\"/v1\" status=200 left=-1 name=\"a\\nb\\u{1b}[31m\\\"\"\n";
        assert_eq!(rest, expected);
    }
}
