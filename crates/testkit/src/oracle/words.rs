//! From texts to words and stems, naively: enough for the texts that tests use.

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The folded words of a text: runs of letters and digits, lower case, without accents; ideographs one by one.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let chars: Vec<char> = text.chars().collect();
    for (i, c) in chars.iter().copied().enumerate() {
        let word = found.last_mut().expect("there is always one");
        let possessive = c == '\'' && matches!(chars.get(i + 1), Some('s' | 'S')) && !alphanumeric(chars.get(i + 2));
        if is_accent(c) || (possessive && !word.is_empty()) {
            continue;
        }
        if is_ideograph(c) {
            found.extend([c.to_string(), String::new()]);
        } else if is_combining_mark(c) && !word.is_empty() {
            word.push(c);
        } else {
            match letters(c) {
                Some(letters) => word.push_str(&letters),
                None => found.push(String::new()),
            }
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

/// A name as it is sorted by: lower case, without accents.
pub(super) fn folded(name: &str) -> String {
    let plain: String = name.nfkd().filter(|c| !is_accent(*c)).collect();
    plain.to_lowercase().chars().filter(|c| !is_accent(*c)).collect()
}

fn alphanumeric(c: Option<&char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric())
}

/// What a letter or digit folds to; `None` for anything else, and for fractions.
fn letters(c: char) -> Option<String> {
    let spelled_out = |c: char| match c {
        'ß' => "ss".to_owned(),
        'æ' => "ae".to_owned(),
        'ø' => "o".to_owned(),
        'ł' => "l".to_owned(),
        'đ' => "d".to_owned(),
        other => other.to_string(),
    };
    let parts: Vec<char> = c.nfkd().collect();
    if !c.is_alphanumeric() || parts.contains(&'\u{2044}') {
        return None;
    }
    let folded = parts.into_iter().filter(|d| !is_accent(*d)).flat_map(char::to_lowercase);
    Some(folded.filter(|d| !is_accent(*d)).map(spelled_out).collect())
}

/// Accents of Latin letters, the nukta of Devanagari.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{93c}' | '\u{fe00}'..='\u{fe0f}')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}')
}

/// The English stem of a word of ASCII letters; any other word is its own.
pub(super) fn stem(word: &str) -> String {
    if word.len() > 2 && word.chars().all(|c| c.is_ascii_lowercase()) {
        Stemmer::create(Algorithm::English).stem(word).into_owned()
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_for_sorting_without_losing_vowel_signs() {
        assert_eq!(folded("Crème ÉCLAIR काला"), "creme eclair काला");
    }

    #[test]
    fn texts_fold_into_words() {
        assert_eq!(words("Crème-Brûlée, 500ml No.7"), ["creme", "brulee", "500ml", "no", "7"]);
        assert_eq!(
            words("Ⅷ ﬁne ½ cup 緑茶 O'Brien's Straße"),
            ["viii", "fine", "cup", "緑", "茶", "o", "briens", "strasse"]
        );
        assert_eq!(words("बासमती चावल łosoś"), ["बासमती", "चावल", "losos"]);
        assert!(words(" '…🍎 ").is_empty());
    }
}
