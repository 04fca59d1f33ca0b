//! From text to words and from words to stems, for products and queries alike.
//!
//! A word is a run of letters and digits, folded: NFKD, accents dropped, lower case, and letters that do not decompose
//! spelled out (`ß` → `ss`, `æ` → `ae`, `ø` → `o`). A possessive (`baker's`) stays one word; ideographs and kana, which
//! are written without spaces, are a word each. Vowel signs of Indic scripts are part of their word.
//!
//! A stem is what the English Snowball stemmer leaves of a word of ASCII letters; any other word is its own stem.

use std::borrow::Cow;
use std::collections::HashMap;

use haat_catalog::query::is_accent;
use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// What is left of a longer word, in bytes.
pub const MAX_WORD_BYTES: usize = 64;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Folded, lower case, at most [`MAX_WORD_BYTES`].
    pub text: String,
    /// Where it begins in the text, in bytes.
    pub offset_from: usize,
    /// Where it ends.
    pub offset_to: usize,
    /// Its number among the words.
    pub position: usize,
}

/// The words of a text, in order. Any input is safe.
pub fn words(text: &str) -> Words<'_> {
    Words { text, at: 0, position: 0 }
}

/// See [`words`].
#[derive(Debug, Clone)]
pub struct Words<'a> {
    text: &'a str,
    at: usize,
    position: usize,
}

/// What a character contributes.
enum Piece {
    /// Nothing, and the word goes on.
    Skip,
    /// The end of a word.
    Gap,
    /// Letters of a word.
    Letters(String),
    /// A whole word by itself.
    Alone(char),
}

/// A word in the making.
#[derive(Default)]
struct Growing {
    text: String,
    full: bool,
}

impl Growing {
    fn push(&mut self, c: char) {
        // Once a letter did not fit, a shorter one that would fit must not follow.
        self.full |= self.text.len() + c.len_utf8() > MAX_WORD_BYTES;
        if !self.full {
            self.text.push(c);
        }
    }
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let mut word = Growing::default();
        let (mut from, mut to) = (self.at, self.at);
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(c) = rest.chars().next() else { break };
            let first = word.text.is_empty();
            let (start, end) = (self.at, self.at + c.len_utf8());
            // Nearly every character of nearly every text takes the first way.
            let piece = if c.is_ascii_alphanumeric() {
                word.push(c.to_ascii_lowercase());
                Piece::Skip
            } else {
                piece(c, rest, first)
            };
            let alone = matches!(piece, Piece::Alone(_));
            match piece {
                Piece::Skip => {}
                Piece::Letters(letters) => letters.chars().for_each(|c| word.push(c)),
                Piece::Alone(letter) if first => word.push(letter),
                Piece::Gap if first => {
                    self.at = end;
                    continue;
                }
                Piece::Gap | Piece::Alone(_) => break,
            }
            if first {
                from = start;
            }
            (self.at, to) = (end, end);
            if alone {
                break;
            }
        }
        if word.text.is_empty() {
            return None;
        }
        let position = self.position;
        self.position += 1;
        Some(Word { text: word.text, offset_from: from, offset_to: to, position })
    }
}

/// What the character at the start of `rest` contributes to a text's words.
fn piece(c: char, rest: &str, first: bool) -> Piece {
    if is_ideograph(c) {
        return Piece::Alone(c);
    }
    match c {
        // The possessive: an apostrophe and an `s` that ends the word.
        '\'' | '\u{2019}' | '\u{2bc}' if !first => {
            let mut after = rest.chars().skip(1);
            let possessive =
                matches!(after.next(), Some('s' | 'S')) && !after.next().is_some_and(char::is_alphanumeric);
            return if possessive { Piece::Skip } else { Piece::Gap };
        }
        '\u{2bc}' => return Piece::Gap,
        // Soft hyphen, zero-width joiners: drawn, if at all, inside a word.
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' if !first => return Piece::Skip,
        _ => {}
    }
    if is_accent(c) {
        return if first { Piece::Gap } else { Piece::Skip };
    }
    if is_combining_mark(c) {
        return if first { Piece::Gap } else { Piece::Letters(c.to_string()) };
    }
    if !c.is_alphanumeric() {
        return Piece::Gap;
    }
    let (mut letters, mut fraction) = (String::new(), false);
    decompose_compatible(c, |d| {
        fraction |= d == '\u{2044}';
        if is_accent(d) || !(d.is_alphanumeric() || is_combining_mark(d)) {
            return;
        }
        match spelled_out(d) {
            Some(text) => letters.push_str(text),
            None => letters.extend(d.to_lowercase().filter(|l| !is_accent(*l))),
        }
    });
    // A circled or half-wide one is what it stands for; a square of several (`㌔`) is a sign, not a word.
    if letters.chars().any(is_ideograph) {
        let mut all = letters.chars();
        return match (all.next(), all.next()) {
            (Some(only), None) => Piece::Alone(only),
            _ => Piece::Gap,
        };
    }
    // One half is not twelve.
    if letters.is_empty() || fraction { Piece::Gap } else { Piece::Letters(letters) }
}

/// Characters of scripts without spaces of which each one carries a meaning or a syllable.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x3041..=0x30ff | 0x31f0..=0x31ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

/// How letters that do not decompose are typed without them.
fn spelled_out(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' | 'ẞ' => "ss",
        'æ' | 'Æ' => "ae",
        'œ' | 'Œ' => "oe",
        'ø' | 'Ø' => "o",
        'ł' | 'Ł' => "l",
        'đ' | 'Đ' | 'ð' | 'Ð' => "d",
        'þ' | 'Þ' => "th",
        'ħ' | 'Ħ' => "h",
        'ŧ' | 'Ŧ' => "t",
        'ı' => "i",
        'ŋ' | 'Ŋ' => "n",
        'ĸ' => "k",
        'ς' => "σ",
        _ => return None,
    })
}

thread_local! {
    /// Tables only; making one costs nothing, but neither does keeping it.
    static STEMMER: Stemmer = Stemmer::create(Algorithm::English);
}

/// The stem of a folded word.
pub fn stem(word: &str) -> Cow<'_, str> {
    if word.len() > 2 && word.bytes().all(|b| b.is_ascii_lowercase()) {
        STEMMER.with(|s| s.stem(word))
    } else {
        Cow::Borrowed(word)
    }
}

/// Stems with a memory: the words of a catalogue repeat, and a look-up is ten times cheaper than stemming.
#[derive(Debug, Default)]
pub struct Stems {
    known: HashMap<String, String>,
}

/// How many words [`Stems`] remembers before it starts anew.
const MAX_KNOWN: usize = 100_000;

impl Stems {
    /// The stem of a folded word.
    pub fn get(&mut self, word: &str) -> &str {
        if !self.known.contains_key(word) {
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            self.known.insert(word.to_owned(), stem(word).into_owned());
        }
        self.known.get(word).map_or("", String::as_str)
    }
}
