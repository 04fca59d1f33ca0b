//! The body of a listing, put together in one buffer from the stored documents.

use haat_catalog::page::{FacetCount, Page};
use haat_catalog::{FacetResult, Query};

use super::document::{append, append_json};

/// The bytes of a page: `{"data":[…],"page":{…},"total":{…},"facets":{…},"seq":N}`.
pub(crate) fn render(page: &Page, query: &Query) -> Vec<u8> {
    let documents: usize = page.hits.iter().map(|hit| hit.document.len() + 1).sum();
    let mut out = Vec::with_capacity(documents + 512);
    out.extend_from_slice(b"{\"data\":[");
    for (i, hit) in page.hits.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        append(&mut out, hit, query.fields.as_deref(), query.highlight);
    }
    out.extend_from_slice(b"],\"page\":{\"limit\":");
    append_json(&mut out, &query.limit.get());
    out.extend_from_slice(b",\"next\":");
    append_json(&mut out, &page.next);
    out.extend_from_slice(b",\"prev\":");
    append_json(&mut out, &page.prev);
    out.extend_from_slice(b"},\"total\":");
    append_json(&mut out, &page.total);
    if !query.facets.is_empty() {
        append_facets(&mut out, &page.facets);
    }
    out.extend_from_slice(b",\"seq\":");
    append_json(&mut out, &page.seq);
    if !page.complete {
        out.extend_from_slice(b",\"index\":\"building\"");
    }
    out.push(b'}');
    out
}

fn append_facets(out: &mut Vec<u8>, facets: &[FacetResult]) {
    out.extend_from_slice(b",\"facets\":{");
    for (i, facet) in facets.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        append_json(out, &facet.field.name());
        out.push(b':');
        append_counts(out, &facet.counts);
    }
    out.push(b'}');
}

/// Appends values with their counts.
pub(crate) fn append_counts(out: &mut Vec<u8>, counts: &[FacetCount]) {
    append_json(out, counts);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use haat_catalog::{FacetField, FacetValue, Hit, Seq, Total};
    use serde_json::{Value, json};

    fn page() -> Page {
        Page {
            hits: [r#"{"id":"1","sku":"A"}"#, r#"{"id":"2","sku":"B"}"#]
                .map(|d| Hit { document: Bytes::from_static(d.as_bytes()), highlight: None })
                .into(),
            next: Some("n".into()),
            prev: None,
            total: Some(Total::exact(27_555)),
            facets: vec![FacetResult {
                field: FacetField::Attribute("grain".into()),
                counts: vec![FacetCount { value: FacetValue::Text("long".into()), count: 638 }],
            }],
            seq: Seq(7),
            complete: true,
        }
    }

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query::parse(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn a_page_has_the_documented_form() {
        let text = String::from_utf8(render(&page(), &query(&[]))).unwrap();
        assert_eq!(
            text,
            r#"{"data":[{"id":"1","sku":"A"},{"id":"2","sku":"B"}],"page":{"limit":20,"next":"n","prev":null},"total":{"value":27555,"relation":"eq"},"seq":7}"#
        );
    }

    #[test]
    fn facets_fields_and_an_incomplete_index_show() {
        let mut page = page();
        page.complete = false;
        page.total = None;
        let body = render(&page, &query(&[("facets", "attr.grain"), ("fields", "sku"), ("count", "none")]));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["data"], json!([{"sku": "A"}, {"sku": "B"}]));
        assert_eq!(body["facets"], json!({"attr.grain": [{"value": "long", "count": 638}]}));
        assert_eq!((&body["index"], &body["total"]), (&json!("building"), &Value::Null));
    }

    #[test]
    fn an_empty_page_is_a_page() {
        let body: Value = serde_json::from_slice(&render(&Page::default(), &query(&[]))).unwrap();
        assert_eq!(body["data"], json!([]));
    }
}
