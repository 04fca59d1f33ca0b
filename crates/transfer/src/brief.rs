//! What is told about an input is short, whatever the input says: names and texts in it may be megabytes long, and what
//! is told goes into the job's row, the log and the answer.

use haat_catalog::ports::RecordError;

/// The longest place of an error, in bytes.
const POINTER_BYTES: usize = 200;
/// The longest explanation of an error, in bytes.
const DETAIL_BYTES: usize = 500;
/// The longest explanation of why a whole import stopped, in bytes.
const MESSAGE_BYTES: usize = 2_000;
/// The longest name of a column, where several are listed.
pub(crate) const NAME_BYTES: usize = 60;

/// A text of at most `most` bytes: the text itself, or its beginning and end with dots between them.
pub(crate) fn brief(text: String, most: usize) -> String {
    const DOTS: &str = " … ";
    if text.len() <= most {
        return text;
    }
    // The end tells as much as the beginning: advice mostly comes last.
    let half = most.saturating_sub(DOTS.len()) / 2;
    let head = text.get(..text.floor_char_boundary(half)).unwrap_or_default();
    let tail = text.get(text.ceil_char_boundary(text.len() - half)..).unwrap_or_default();
    format!("{head}{DOTS}{tail}")
}

/// An error as it is told.
pub(crate) fn error(error: RecordError) -> RecordError {
    RecordError {
        line: error.line,
        pointer: brief(error.pointer, POINTER_BYTES),
        detail: brief(error.detail, DETAIL_BYTES),
    }
}

/// Why an import stopped, as it is told.
pub(crate) fn message(text: String) -> String {
    brief(text, MESSAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_their_beginning_and_end_and_never_break_a_character() {
        assert_eq!(brief("short".into(), 5), "short");
        for most in 3..60 {
            let text = brief("süß🥭".repeat(50), most);
            assert!(text.len() <= most.max(" … ".len()), "{most}: {text}");
            assert!(text.contains('…'));
        }
        let told = error(RecordError { line: 7, pointer: "/x".repeat(9_999), detail: "d".repeat(9_999) });
        assert!(told.line == 7 && told.pointer.len() <= POINTER_BYTES && told.detail.len() <= DETAIL_BYTES);
    }
}
