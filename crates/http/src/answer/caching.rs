//! What answers say to caches in front: how long they may be kept, and by which keys they are purged.

use http::{HeaderName, HeaderValue};

use crate::options::HttpOptions;

/// What goes for `Cache-Control` when the configured text is no header value.
const REVALIDATE: HeaderValue = HeaderValue::from_static("public, max-age=0, must-revalidate");
/// Every answer from the catalogue has this key.
const ALL: &str = "products";
/// Caches in front read so many bytes of keys (Fastly and Cloudflare take 16 KiB); a page of more products has only [`ALL`].
const MOST: usize = 16 * 1024;

/// What is said.
pub(crate) struct Caching {
    /// `Cache-Control`.
    pub control: HeaderValue,
    /// How keys are told, if they are.
    pub surrogates: Option<Surrogates>,
}

/// The field that keys are told in, and what stands between them.
pub(crate) struct Surrogates {
    pub name: HeaderName,
    separator: &'static str,
}

impl Caching {
    /// As configured.
    pub fn new(options: &HttpOptions) -> Self {
        let control = HeaderValue::from_str(&options.cache_control).unwrap_or(REVALIDATE);
        let surrogates = options.surrogate_header.as_ref().map(|name| Surrogates {
            name: name.clone(),
            // Cloudflare's and Akamai's fields are lists in commas, those of Fastly and Varnish in spaces.
            separator: if name.as_str().ends_with("-tag") { "," } else { " " },
        });
        Self { control, surrogates }
    }

    /// The keys of an answer that these products, by their JSON, stand in.
    pub fn keys<'a>(&self, documents: impl IntoIterator<Item = &'a [u8]>) -> Option<HeaderValue> {
        let separator = self.surrogates.as_ref()?.separator;
        let mut keys = ALL.to_owned();
        for id in documents.into_iter().filter_map(id_of) {
            keys.push_str(separator);
            keys.push_str("product-");
            keys.push_str(id);
        }
        HeaderValue::from_str(if keys.len() > MOST { ALL } else { &keys }).ok()
    }
}

/// The id of a product, with which its JSON begins.
fn id_of(document: &[u8]) -> Option<&str> {
    let rest = document.strip_prefix(b"{\"id\":\"")?;
    let end = rest.iter().position(|&b| b == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(header: Option<&'static str>, documents: &[&str]) -> Option<HeaderValue> {
        let surrogate_header = header.map(HeaderName::from_static);
        let caching = Caching::new(&HttpOptions { surrogate_header, ..HttpOptions::default() });
        caching.keys(documents.iter().map(|document| document.as_bytes()))
    }

    #[test]
    fn an_answer_is_purged_by_any_product_in_it() {
        let page = [r#"{"id":"a","sku":"1"}"#, r#"{"id":"b","sku":"2"}"#];
        assert_eq!(keys(None, &page), None);
        assert_eq!(keys(Some("surrogate-key"), &page).unwrap(), "products product-a product-b");
        assert_eq!(keys(Some("cache-tag"), &page).unwrap(), "products,product-a,product-b");
        assert_eq!(keys(Some("xkey"), &[]).unwrap(), "products");
        assert_eq!(keys(Some("xkey"), &[page[0]; 2_000]).unwrap(), "products", "more than a cache reads");
    }
}
