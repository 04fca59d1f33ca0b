//! What a command answers: text for people or JSON for machines on standard output, failures on standard error.

use std::fmt::Display;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::exit::Failure;

/// Where answers go, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON or text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON was asked for.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Answers: `text` for people, `value` for machines.
    pub fn answer(self, text: impl Display, value: &impl Serialize) {
        if self.json { self.value(value) } else { print(text) }
    }

    /// A value for machines, on a line of its own.
    pub fn value(self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(line) => print(line),
            Err(error) => tracing::error!(%error, "an answer cannot be written as JSON"),
        }
    }

    /// Says why the command failed.
    pub fn failure(self, failure: &Failure) {
        if self.json {
            self.value(&failure.to_json());
        }
        // Nobody reads standard error any more: nothing to be done about it.
        drop(writeln!(io::stderr().lock(), "haat: {failure}"));
    }

    /// A line beside the answer, for people.
    pub fn aside(self, text: impl Display) {
        drop(writeln!(io::stderr().lock(), "{text}"));
    }
}

/// Prints a line. That nobody reads it (`haat … | head`) is no failure of the command.
fn print(text: impl Display) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}
