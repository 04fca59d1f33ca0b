//! A product's text with the words found marked, safe to put into a page.

use super::TextQuery;
use super::analyze::{stem, words};

/// The text as HTML, everything in it escaped, with each word that the query matches in `<em>…</em>`; `None` when it
/// matches none. Marks whole words as they are written, accents and all.
pub fn highlight(query: &TextQuery, text: &str) -> Option<String> {
    let found: Vec<_> = words(text).collect();
    let stems: Vec<_> = found.iter().map(|word| stem(&word.text)).collect();
    let mut marked: Vec<bool> = stems.iter().map(|stem| query.stems.contains(stem.as_ref())).collect();
    for (n, pair) in stems.windows(2).enumerate() {
        if query.pairs.get(pair[0].as_ref()).is_some_and(|seconds| seconds.iter().any(|s| *s == pair[1])) {
            marked[n..=n + 1].fill(true);
        }
    }
    if !marked.contains(&true) {
        return None;
    }
    let mut html = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for (word, _) in found.iter().zip(marked).filter(|(_, marked)| *marked) {
        escape(text.get(at..word.offset_from).unwrap_or_default(), &mut html);
        html.push_str("<em>");
        escape(text.get(word.offset_from..word.offset_to).unwrap_or_default(), &mut html);
        html.push_str("</em>");
        at = word.offset_to;
    }
    escape(text.get(at..).unwrap_or_default(), &mut html);
    Some(html)
}

/// Appends a text to HTML, safe in content and in quoted attribute values.
fn escape(text: &str, html: &mut String) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_leaves_nothing_that_html_would_read() {
        let mut html = String::new();
        escape("<a href=\"x\" b='y'>&amp;</a>", &mut html);
        assert_eq!(html, "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;");
    }
}
