//! Whole catalogues are read once, whatever the way from page to page and however the upstream cuts them.

use haat_catalog::Timestamp;
use haat_outbound::{Answer, Call};
use haat_sources::kinds::Connection;
use http::HeaderValue;
use http::header::LINK;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::{answer, parameter, read_all, source};

/// A source with that pagination.
fn paged(pagination: &str) -> Connection {
    let settings = format!(
        r#"
        base_url = "https://api.example/v2"
        [list]
        path = "products"
        items = "/results"
        total = "/count"
        pagination = {pagination}
        since = {{ parameter = "updated_after", format = "seconds", overlap = "5m" }}
        [fields]
        key = "/id"
        sku = "/id"
        updated_at = {{ pointer = "/at", format = "seconds" }}
        "#
    );
    source("rest", &settings).unwrap()
}

/// An upstream of `total` items that gives no more than `cap` at once.
struct Upstream {
    total: u64,
    cap: u64,
}

impl Upstream {
    fn number(call: &Call, name: &str) -> Option<u64> {
        parameter(call, name).and_then(|text| text.parse().ok())
    }

    fn slice(&self, from: u64, size: u64) -> Vec<Value> {
        (from..self.total.min(from.saturating_add(size))).map(|id| json!({"id": id})).collect()
    }

    fn size(&self, call: &Call) -> u64 {
        Self::number(call, "size").unwrap_or(self.cap).min(self.cap)
    }

    fn body(&self, items: &[Value]) -> Value {
        json!({"results": items, "count": self.total})
    }

    fn by_page(&self, call: &Call, first: u64) -> Answer {
        let (page, size) = (Self::number(call, "page").unwrap() - first, self.size(call));
        let mut body = self.body(&self.slice(page * size, size));
        body["pages"] = json!(self.total.div_ceil(size));
        body["more"] = json!((page + 1) * size < self.total);
        answer(&body)
    }

    fn by_offset(&self, call: &Call) -> Answer {
        answer(&self.body(&self.slice(Self::number(call, "offset").unwrap(), self.size(call))))
    }

    /// The cursor is where the next page begins; the address is relative, or absolute.
    fn by_cursor(&self, call: &Call) -> Answer {
        let (from, size) = (Self::number(call, "after").unwrap_or(0), self.size(call));
        let mut body = self.body(&self.slice(from, size));
        if from + size < self.total {
            body["next"] = json!(format!("{}", from + size));
            body["url"] = match from % 2 {
                0 => json!(format!("?after={}", from + size)),
                _ => json!(format!("https://api.example/v2/products?after={}", from + size)),
            };
        }
        answer(&body)
    }

    fn by_link(&self, call: &Call) -> Answer {
        let (from, size) = (Self::number(call, "after").unwrap_or(0), self.size(call));
        let mut answer = answer(&self.body(&self.slice(from, size)));
        if from + size < self.total {
            let link = format!("</v2/products?after={}>; rel=\"next\", </v2/products>; rel=\"first\"", from + size);
            answer.headers.insert(LINK, HeaderValue::from_str(&link).unwrap());
        }
        answer
    }
}

const SIZE: &str = r#"size_parameter = "size", size = 7"#;

/// Reads the whole of an upstream in each of the ways.
fn every_way(total: u64, cap: u64) -> Vec<(&'static str, Vec<Value>)> {
    let upstream = Upstream { total, cap };
    let read = |pagination: &str, upstream: &dyn Fn(&Call) -> Answer| {
        let settings = format!("{{ {pagination}, {SIZE} }}");
        read_all(&*paged(&settings).connector, None, upstream).unwrap().0
    };
    vec![
        ("page", read(r#"type = "page", parameter = "page""#, &|call| upstream.by_page(call, 1))),
        ("page from 0", read(r#"type = "page", parameter = "page", first = 0"#, &|call| upstream.by_page(call, 0))),
        ("page, more", read(r#"type = "page", parameter = "page", more = "/more""#, &|c| upstream.by_page(c, 1))),
        ("page, pages", read(r#"type = "page", parameter = "page", pages = "/pages""#, &|c| upstream.by_page(c, 1))),
        ("offset", read(r#"type = "offset", parameter = "offset""#, &|call| upstream.by_offset(call))),
        ("cursor", read(r#"type = "cursor", parameter = "after", pointer = "/next""#, &|c| upstream.by_cursor(c))),
        ("cursor, url", read(r#"type = "cursor", pointer = "/url""#, &|call| upstream.by_cursor(call))),
        ("link", read(r#"type = "link""#, &|call| upstream.by_link(call))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_item_is_lost_or_repeated(total in 0_u64..60, cap in 1_u64..12) {
        for (way, items) in every_way(total, cap) {
            let ids: Vec<u64> = items.iter().map(|item| item["id"].as_u64().unwrap()).collect();
            prop_assert_eq!(ids, (0..total).collect::<Vec<_>>(), "{}, {} at once", way, cap);
        }
    }
}

#[rstest]
#[case(r#"{ type = "none" }"#)]
#[case(r#"{ type = "link" }"#)]
fn a_list_without_a_next_page_is_read_at_once(#[case] pagination: &str) {
    let (items, calls) =
        read_all(&*paged(pagination).connector, None, |_| answer(&json!({"results": [{"id": 1}]}))).unwrap();
    assert_eq!((items.len(), calls), (1, 1));
}

#[test]
fn the_first_page_is_asked_for_with_all_parameters_and_says_how_many_there_are() {
    let connector = paged(r#"{ type = "page", parameter = "p", first = 3, size_parameter = "n", size = 9 }"#).connector;
    let since = Some(Timestamp::from_millis(1_000_000));
    let call = connector.list(since, None);
    assert_eq!(call.url.as_str(), "https://api.example/v2/products?updated_after=700&n=9&p=3");
    let page = connector.read_page(since, None, &answer(&json!({"results": [{"id": 1}], "count": 41}))).unwrap();
    assert_eq!(page.total, Some(41));
    let next = connector.list(since, page.next.as_ref());
    assert_eq!(next.url.as_str(), "https://api.example/v2/products?updated_after=700&n=9&p=4");
}

#[test]
fn a_full_run_asks_for_everything() {
    let call = paged(r#"{ type = "none" }"#).connector.list(None, None);
    assert_eq!(call.url.as_str(), "https://api.example/v2/products");
}

#[rstest]
#[case::ignored_page(r#"{ type = "page", parameter = "page" }"#, json!({"results": [{"id": 1}]}), "twice")]
#[case::ignored_offset(r#"{ type = "offset", parameter = "offset" }"#, json!({"results": [{"id": 1}]}), "twice")]
#[case::same_cursor(r#"{ type = "cursor", parameter = "after", pointer = "/next" }"#, json!({"results": [], "next": "a"}), "is the one it answers")]
#[case::own_address(r#"{ type = "cursor", pointer = "/next" }"#, json!({"results": [], "next": "/v2/products"}), "is the one it answers")]
#[case::elsewhere(r#"{ type = "cursor", pointer = "/next" }"#, json!({"results": [], "next": "https://evil.example/v2/products"}), "base_url")]
#[case::other_port(r#"{ type = "cursor", pointer = "/next" }"#, json!({"results": [], "next": "https://api.example:444/"}), "base_url")]
#[case::other_scheme(r#"{ type = "cursor", pointer = "/next" }"#, json!({"results": [], "next": "http://api.example/"}), "base_url")]
#[case::no_scheme(r#"{ type = "cursor", pointer = "/next" }"#, json!({"results": [], "next": "//evil.example/"}), "base_url")]
#[case::with_a_user(r#"{ type = "cursor", pointer = "/next" }"#, json!({"results": [], "next": "https://u:p@api.example/"}), "base_url")]
#[case::no_address(r#"{ type = "cursor", pointer = "/next" }"#, json!({"results": [], "next": "https://"}), "no address")]
#[case::no_cursor(r#"{ type = "cursor", pointer = "/next" }"#, json!({"results": [], "next": {"a": 1}}), "/next")]
#[case::empty_but_more(r#"{ type = "page", parameter = "page", more = "/more" }"#, json!({"results": [], "more": true}), "empty")]
#[case::no_pages(r#"{ type = "page", parameter = "page", pages = "/pages" }"#, json!({"results": [{"id": 1}]}), "/pages")]
#[case::long_cursor(r#"{ type = "cursor", parameter = "after", pointer = "/next" }"#, json!({"results": [], "next": "a".repeat(20_000)}), "longer")]
fn a_list_that_does_not_move_on_or_leads_away_is_refused(
    #[case] pagination: &str,
    #[case] body: Value,
    #[case] why: &str,
) {
    let mut calls = 0;
    let refused = read_all(&*paged(pagination).connector, None, |_| {
        calls += 1;
        assert!(calls < 5, "it is asked for ever");
        answer(&body)
    })
    .unwrap_err();
    assert!(refused.to_string().contains(why), "{refused}");
}

#[test]
fn a_link_to_another_host_is_refused() {
    let refused = read_all(&*paged(r#"{ type = "link" }"#).connector, None, |_| {
        let mut answer = answer(&json!({"results": [{"id": 1}]}));
        answer.headers.insert(LINK, HeaderValue::from_static("<https://evil.example/>; rel=next"));
        answer
    });
    assert!(refused.unwrap_err().to_string().contains("base_url"));
}

#[test]
fn cursors_that_go_round_are_noticed() {
    for around in 2..40_u64 {
        let mut calls = 0_u64;
        let connector = paged(r#"{ type = "cursor", parameter = "after", pointer = "/next" }"#).connector;
        let refused = read_all(&*connector, None, |_| {
            calls += 1;
            assert!(calls < 4 * around + 8, "a circle of {around} is read for ever");
            answer(&json!({"results": [{"id": calls}], "next": format!("c{}", calls % around)}))
        });
        assert!(refused.unwrap_err().to_string().contains("circle"));
    }
}

#[test]
fn a_place_that_was_kept_under_other_settings_is_refused() {
    let body = answer(&json!({"results": [{"id": 1}], "next": "b"}));
    let cursor = paged(r#"{ type = "cursor", parameter = "after", pointer = "/next" }"#).connector;
    let page = paged(r#"{ type = "page", parameter = "page" }"#).connector;
    let kept = cursor.read_page(None, None, &body).unwrap().next;
    assert_eq!(parameter(&page.list(None, kept.as_ref()), "page").as_deref(), Some("1"));
    assert!(page.read_page(None, kept.as_ref(), &body).unwrap_err().to_string().contains("new run"));
    // An address that somebody has put into the database is not asked either.
    let address = paged(r#"{ type = "cursor", pointer = "/next" }"#).connector;
    let planted = json!({"at": {"url": "https://evil.example/"}, "so_far": {"pages": 1}});
    assert_eq!(address.list(None, Some(&planted)).url.host_str(), Some("api.example"));
}
