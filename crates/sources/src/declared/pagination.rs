//! How one page of a list leads to the next: by number, by offset, by a cursor in the body, by a link in the header.
//!
//! A page that is shorter than was asked for ends nothing, for many upstreams cap the size: by number and by offset an
//! *empty* page ends a list, unless the body says when it ends.

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::convert::{self, kind_of};
use super::link;
use super::pointer::Pointer;
use super::progress::{Progress, malformed};
use super::request::{Base, set_parameter};
use super::settings::SettingError;
use crate::connector::ReadError;

/// Pagination as it is written: `type` says of which kind, the others belong to some kinds each.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { type = \"page\", … }")]
pub struct PaginationSettings {
    r#type: PaginationType,
    parameter: Option<String>,
    first: Option<u64>,
    size_parameter: Option<String>,
    size: Option<u64>,
    pointer: Option<String>,
    more: Option<String>,
    pages: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PaginationType {
    #[default]
    None,
    Page,
    Offset,
    Cursor,
    Link,
}

/// How one page leads to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Pagination {
    way: Way,
    /// The parameter that asks for a size, and the size.
    size: Option<(String, u64)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Way {
    /// There is one page.
    None,
    /// A parameter that counts pages or items.
    Counted { parameter: String, first: u64, by: By, end: End },
    /// What the body says, in a parameter; or as an address, if there is none.
    Cursor { pointer: Pointer, parameter: Option<String> },
    /// What the header says.
    Link,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Page,
    Item,
}

/// By what a counted list ends.
#[derive(Debug, Clone, PartialEq)]
enum End {
    /// An empty page.
    Empty,
    /// The body says that there is no more.
    More(Pointer),
    /// The body says how many pages there are.
    Pages(Pointer),
}

/// The place of a page, and what is remembered of those before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    at: Place,
    so_far: Progress,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Count(u64),
    Cursor(String),
    Url(Url),
}

impl PaginationSettings {
    /// The pagination that is meant.
    ///
    /// # Errors
    /// When something is missing, or belongs to another kind.
    pub fn meaning(&self, key: &str) -> Result<Pagination, SettingError> {
        use PaginationType::{Cursor, Link, None as Single, Offset, Page};
        let at = |name: &str| format!("{key}.{name}");
        let kinds: [(&str, bool, &[PaginationType], &str); 7] = [
            ("parameter", self.parameter.is_some(), &[Page, Offset, Cursor], "page, offset and cursor"),
            ("first", self.first.is_some(), &[Page, Offset], "page and offset"),
            (
                "size_parameter",
                self.size_parameter.is_some(),
                &[Page, Offset, Cursor, Link],
                "those with several pages",
            ),
            ("size", self.size.is_some(), &[Page, Offset, Cursor, Link], "those with several pages"),
            ("pointer", self.pointer.is_some(), &[Cursor], "cursor"),
            ("more", self.more.is_some(), &[Page, Offset], "page and offset"),
            ("pages", self.pages.is_some(), &[Page], "page"),
        ];
        if let Some((name, _, _, whom)) = kinds.iter().find(|(_, set, of, _)| *set && !of.contains(&self.r#type)) {
            return Err(SettingError::new(at(name), format!("belongs to other types of pagination: {whom}")));
        }
        let needed = |name: &str, value: &Option<String>| match value.as_deref() {
            Some("") | None => Err(SettingError::new(at(name), "is missing; it has to be set")),
            Some(text) => Ok(text.to_owned()),
        };
        let way = match self.r#type {
            Single => Way::None,
            Link => Way::Link,
            Page | Offset => Way::Counted {
                parameter: needed("parameter", &self.parameter)?,
                first: self.first.unwrap_or(u64::from(self.r#type == Page)),
                by: if self.r#type == Page { By::Page } else { By::Item },
                end: self.end(key)?,
            },
            Cursor => Way::Cursor {
                pointer: Pointer::parse(&at("pointer"), &needed("pointer", &self.pointer)?)?,
                parameter: self.parameter.clone(),
            },
        };
        Ok(Pagination { way, size: self.size(key)? })
    }

    fn end(&self, key: &str) -> Result<End, SettingError> {
        match (&self.more, &self.pages) {
            (None, None) => Ok(End::Empty),
            (Some(more), None) => Pointer::parse(&format!("{key}.more"), more).map(End::More),
            (None, Some(pages)) => Pointer::parse(&format!("{key}.pages"), pages).map(End::Pages),
            (Some(_), Some(_)) => Err(SettingError::new(format!("{key}.more"), "stands beside `pages`; leave one out")),
        }
    }

    fn size(&self, key: &str) -> Result<Option<(String, u64)>, SettingError> {
        match (&self.size_parameter, self.size) {
            (None, None) => Ok(None),
            (Some(_), Some(0)) => Err(SettingError::new(format!("{key}.size"), "must be at least 1")),
            (Some(name), Some(size)) if !name.is_empty() => Ok(Some((name.clone(), size))),
            (None, Some(_)) | (Some(_), Some(_)) => Err(SettingError::new(
                format!("{key}.size_parameter"),
                "is missing: `size` needs a parameter that asks for it",
            )),
            (Some(_), None) => Err(SettingError::new(format!("{key}.size"), "is missing: how many items to ask for")),
        }
    }
}

/// A page that was answered.
pub struct Answered<'a> {
    /// What was asked for.
    pub asked: &'a Url,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a Value,
    /// Its items.
    pub items: &'a [Value],
}

/// A position that was kept under other settings.
fn foreign() -> ReadError {
    malformed("the kept place of the next page is of another pagination; begin a new run")
}

impl Pagination {
    fn position(&self, kept: Option<&Value>) -> Result<Option<Position>, ReadError> {
        let Some(kept) = kept else { return Ok(None) };
        let position = Position::deserialize(kept).map_err(|_| foreign())?;
        let fits = match (&self.way, &position.at) {
            (Way::Counted { .. }, Place::Count(_)) | (Way::Link, Place::Url(_)) => true,
            (Way::Cursor { parameter, .. }, Place::Cursor(_)) => parameter.is_some(),
            (Way::Cursor { parameter, .. }, Place::Url(_)) => parameter.is_none(),
            _ => false,
        };
        if fits { Ok(Some(position)) } else { Err(foreign()) }
    }

    /// The address of a page: of the first, or of the one at a position. One that was kept under other settings asks for the
    /// first; [`Self::next`] then refuses it.
    pub fn url(&self, base: &Base, first: Url, position: Option<&Value>) -> Url {
        let place = self.position(position).ok().flatten().map(|position| position.at);
        let mut url = match &place {
            Some(Place::Url(next)) if base.is_home(next) => return next.clone(),
            _ => first,
        };
        if let Some((name, size)) = &self.size {
            set_parameter(&mut url, name, &size.to_string());
        }
        match (&self.way, &place) {
            (Way::Counted { parameter, .. }, Some(Place::Count(count))) => {
                set_parameter(&mut url, parameter, &count.to_string())
            }
            (Way::Counted { parameter, first, .. }, _) => set_parameter(&mut url, parameter, &first.to_string()),
            (Way::Cursor { parameter: Some(name), .. }, Some(Place::Cursor(cursor))) => {
                set_parameter(&mut url, name, cursor)
            }
            _ => {}
        }
        url
    }

    /// The position of the next page; `None` after the last.
    ///
    /// # Errors
    /// When the answer does not say where it is, leads away from the source, or does not move on.
    pub fn next(&self, base: &Base, position: Option<&Value>, page: &Answered<'_>) -> Result<Option<Value>, ReadError> {
        let current = self.position(position)?;
        let (at, progress) = current.map_or_else(|| (None, Progress::default()), |p| (Some(p.at), p.so_far));
        let next = match &self.way {
            Way::None => None,
            Way::Counted { first, by, end, .. } => {
                let count = match &at {
                    Some(Place::Count(count)) => *count,
                    _ => *first,
                };
                counted(count, *first, *by, end, page)?.map(Place::Count)
            }
            Way::Cursor { pointer, parameter } => match (cursor(pointer, page.body)?, parameter) {
                (None, _) => None,
                (Some(cursor), Some(_)) => Some(Place::Cursor(cursor)),
                (Some(address), None) => Some(Place::Url(address_of(base, page.asked, &address)?)),
            },
            Way::Link => match link::next(page.headers) {
                Some(address) => Some(Place::Url(address_of(base, page.asked, &address)?)),
                None => None,
            },
        };
        let Some(next) = next else { return Ok(None) };
        if at.as_ref() == Some(&next) || matches!(&next, Place::Url(url) if url == page.asked) {
            return Err(malformed("the next page that it names is the one it answers"));
        }
        let place = serde_json::to_value(&next).map_err(|_| foreign())?;
        let so_far = progress.after(page.items, &place)?;
        serde_json::to_value(Position { at: next, so_far }).map(Some).map_err(|_| foreign())
    }
}

fn counted(count: u64, first: u64, by: By, end: &End, page: &Answered<'_>) -> Result<Option<u64>, ReadError> {
    let items = u64::try_from(page.items.len()).unwrap_or(u64::MAX);
    let is_last = match end {
        End::Empty => items == 0,
        End::More(pointer) => !match pointer.find(page.body) {
            None => false,
            Some(more) => {
                convert::boolean(more).map_err(|detail| malformed(format!("'{}' {detail}", pointer.as_str())))?
            }
        },
        End::Pages(pointer) => {
            let wrong = |detail: &str| malformed(format!("'{}' {detail}", pointer.as_str()));
            let pages = pointer.find(page.body).ok_or_else(|| wrong("is not there; `pages` says that it is"))?;
            let pages = convert::integer(pages).map_err(|detail| wrong(&detail))?;
            i64::try_from(count.saturating_sub(first).saturating_add(1)).unwrap_or(i64::MAX) >= pages
        }
    };
    if is_last {
        return Ok(None);
    }
    if items == 0 {
        return Err(malformed("a page is empty although there shall be more"));
    }
    Ok(Some(count.saturating_add(if by == By::Page { 1 } else { items })))
}

/// What the body says of the next page. Absent, `null`, `false` and empty mean that there is none.
fn cursor(pointer: &Pointer, body: &Value) -> Result<Option<String>, ReadError> {
    match pointer.find(body) {
        None | Some(Value::Bool(false)) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => {
            Err(malformed(format!("'{}' must be a text or a number, not {}", pointer.as_str(), kind_of(other))))
        }
    }
}

/// An address that an answer names, which may be relative to the one that was asked (RFC 3986 §5).
fn address_of(base: &Base, asked: &Url, text: &str) -> Result<Url, ReadError> {
    let mut url = asked.join(text).map_err(|_| malformed("the next page that it names is no address"))?;
    url.set_fragment(None);
    match base.is_home(&url) {
        true => Ok(url),
        false => Err(malformed("the next page that it names is not at `base_url`; it would be shown the credentials")),
    }
}
