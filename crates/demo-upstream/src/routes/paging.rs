//! Four ways to ask for a page of the same list. Each answer says where the next page is in the words of its own way, and in
//! a `Link` header (RFC 8288) besides, which is the fourth.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use haat_catalog::Timestamp;
use serde_json::{Value, json};

use crate::catalogue::{Begin, Slice};
use crate::refusal::Refusal;

/// The most products on a page.
pub(super) const MAX_SIZE: usize = 200;
/// How many there are on a page unless something else is asked for.
const DEFAULT_SIZE: usize = 20;
/// What a cursor begins with before it is encoded: another format would be told from it.
const CURSOR: &str = "after:";

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// `page`, from 1.
    Page(usize),
    /// `offset`, from 0.
    Offset(usize),
    /// `cursor`, absent on the first page: the id of the last product before the page.
    Cursor(Option<String>),
}

/// What a list is asked for.
#[derive(Debug)]
pub(super) struct ListQuery {
    place: Place,
    size: usize,
    /// Only what was modified at that moment or later.
    pub since: Option<Timestamp>,
}

impl ListQuery {
    /// Reads a query string. Parameters that are not known here are left alone, as most APIs do.
    pub fn read(query: &str) -> Result<Self, Refusal> {
        let mut given = Given::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            given.take(&name, &value)?;
        }
        let Given { page, per_page, offset, limit, cursor, since } = given;
        let paged = page.is_some() || per_page.is_some();
        let place = match (paged, offset, cursor) {
            (true, None, None) if limit.is_none() => Place::Page(page.unwrap_or(1)),
            (false, Some(offset), None) => Place::Offset(offset),
            (false, None, cursor) => Place::Cursor(cursor),
            _ => {
                let ways = "page and per_page, offset and limit, or cursor and limit";
                return Err(Refusal::bad_request(format!("a page is asked for in one way: by {ways}")));
            }
        };
        Ok(Self { place, size: per_page.or(limit).unwrap_or(DEFAULT_SIZE), since })
    }

    /// How many products are wanted.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Where the page begins.
    pub fn begin(&self) -> Begin<'_> {
        match &self.place {
            Place::Page(page) => Begin::Skip(page.saturating_sub(1).saturating_mul(self.size)),
            Place::Offset(offset) => Begin::Skip(*offset),
            Place::Cursor(None) => Begin::Skip(0),
            Place::Cursor(Some(id)) => Begin::After(id),
        }
    }

    /// Where the page after that one is; `None` after the last.
    fn next(&self, slice: &Slice) -> Option<Place> {
        let last = slice.products.last().filter(|_| slice.more)?;
        Some(match &self.place {
            Place::Page(page) => Place::Page(page.saturating_add(1)),
            Place::Offset(offset) => Place::Offset(offset.saturating_add(slice.products.len())),
            Place::Cursor(_) => Place::Cursor(Some(last.id.clone())),
        })
    }

    /// What the body says of the next page: its number, its offset or its cursor; `null` after the last.
    pub fn next_in_body(&self, slice: &Slice) -> Value {
        match self.next(slice) {
            None | Some(Place::Cursor(None)) => Value::Null,
            Some(Place::Page(n) | Place::Offset(n)) => json!(n),
            Some(Place::Cursor(Some(id))) => json!(encode(&id)),
        }
    }

    /// The `Link` header of a page, with the URLs of the first one and of the next; absolute where the request said which
    /// host it wants.
    pub fn link(&self, slice: &Slice, headers: &HeaderMap) -> Option<HeaderValue> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let base = host.map(|host| format!("http://{host}")).unwrap_or_default();
        let first = match self.place {
            Place::Page(_) => Place::Page(1),
            Place::Offset(_) => Place::Offset(0),
            Place::Cursor(_) => Place::Cursor(None),
        };
        let mut link = format!("<{base}/products?{}>; rel=\"first\"", self.query(&first));
        if let Some(next) = self.next(slice) {
            link.push_str(&format!(", <{base}/products?{}>; rel=\"next\"", self.query(&next)));
        }
        HeaderValue::from_str(&link).ok()
    }

    /// The query string that asks for the same list at another place.
    fn query(&self, place: &Place) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let size = if matches!(place, Place::Page(_)) { "per_page" } else { "limit" };
        match place {
            Place::Page(page) => query.append_pair("page", &page.to_string()),
            Place::Offset(offset) => query.append_pair("offset", &offset.to_string()),
            Place::Cursor(Some(id)) => query.append_pair("cursor", &encode(id)),
            Place::Cursor(None) => &mut query,
        };
        query.append_pair(size, &self.size.to_string());
        if let Some(since) = self.since {
            query.append_pair("updated_since", &since.to_string());
        }
        query.finish()
    }
}

/// The parameters as they were given.
#[derive(Default)]
struct Given {
    page: Option<usize>,
    per_page: Option<usize>,
    offset: Option<usize>,
    limit: Option<usize>,
    cursor: Option<String>,
    since: Option<Timestamp>,
}

impl Given {
    fn take(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        match name {
            "page" => self.page = Some(number(name, value, 1, usize::MAX)?),
            "per_page" => self.per_page = Some(number(name, value, 1, MAX_SIZE)?),
            "offset" => self.offset = Some(number(name, value, 0, usize::MAX)?),
            "limit" => self.limit = Some(number(name, value, 1, MAX_SIZE)?),
            // Empty is the first page: some clients send it so.
            "cursor" if value.is_empty() => {}
            "cursor" => {
                let id = decode(value).ok_or_else(|| Refusal::bad_request("cursor is none that was given out here"))?;
                self.cursor = Some(id);
            }
            "updated_since" => {
                let since = value.parse();
                self.since = Some(since.map_err(|e| Refusal::bad_request(format!("updated_since: {e}")))?);
            }
            _ => {}
        }
        Ok(())
    }
}

fn number(name: &str, value: &str, least: usize, most: usize) -> Result<usize, Refusal> {
    let number = value.parse().ok().filter(|n| (least..=most).contains(n));
    let up_to = if most == usize::MAX { String::new() } else { format!(" to {most}") };
    number.ok_or_else(|| Refusal::bad_request(format!("{name} is a whole number from {least}{up_to}")))
}

fn encode(id: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{CURSOR}{id}"))
}

fn decode(cursor: &str) -> Option<String> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.strip_prefix(CURSOR).map(str::to_owned)
}
