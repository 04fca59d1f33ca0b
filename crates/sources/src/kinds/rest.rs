//! `kind = "rest"`: any JSON API over HTTP, described by settings alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::{Sku, Timestamp};
use haat_outbound::{Answer, Call};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use super::{Connection, Kind};
use crate::connector::{Connector, ItemPage, Mapped, ReadError};
use crate::declared::auth::{Auth, AuthSettings};
use crate::declared::body;
use crate::declared::convert::MomentFormat;
use crate::declared::mapping::{FieldsSettings, Mapping};
use crate::declared::pagination::{Answered, Pagination, PaginationSettings};
use crate::declared::pointer::Pointer;
use crate::declared::request::{Base, Target, set_parameter};
use crate::declared::settings::{Faults, Period, SettingError, base_url, read_all};
use crate::live::LiveField;
use crate::run::{ItemError, Mode};

/// This kind.
pub const KIND: Kind = Kind {
    name: "rest",
    connect: |settings| {
        let (rest, auth) = read_all::<RestSettings>(settings)?.meaning()?;
        Ok(Connection { base_url: rest.base.url.clone(), oauth2: auth.into_oauth2(), connector: Arc::new(rest) })
    },
};

/// How long before the newest change that is known an incremental run begins, unless the settings say otherwise: what was
/// under way upstream when the last one read may bear an earlier time.
const OVERLAP: Period = Period(Duration::from_secs(300));

/// The settings of this kind. Not to be printed: a query may hold a secret.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestSettings {
    base_url: String,
    #[serde(default)]
    auth: AuthSettings,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    list: ListSettings,
    item: Option<ItemSettings>,
    fields: FieldsSettings,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table [sources.list]")]
struct ListSettings {
    path: String,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    #[serde(default)]
    items: String,
    total: Option<String>,
    #[serde(default)]
    pagination: PaginationSettings,
    since: Option<SinceSettings>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table { parameter = …, format = … }")]
struct SinceSettings {
    parameter: String,
    #[serde(default)]
    format: MomentFormat,
    overlap: Option<Period>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table [sources.item]")]
struct ItemSettings {
    path: String,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    #[serde(default)]
    item: String,
}

/// A source of this kind.
pub struct Rest {
    base: Base,
    /// The address of the first page, without what pagination and `since` add.
    first: Url,
    items: Pointer,
    total: Option<Pointer>,
    pagination: Pagination,
    since: Option<Since>,
    item: Option<(Target, Pointer)>,
    mapping: Mapping,
    fingerprint: u64,
    order_fingerprint: u64,
}

#[derive(Debug)]
struct Since {
    parameter: String,
    format: MomentFormat,
    overlap: Duration,
}

impl RestSettings {
    /// The source that is meant, and how it is shown who asks.
    ///
    /// # Errors
    /// The settings that have no meaning.
    pub fn meaning(&self) -> Result<(Rest, Auth), Vec<SettingError>> {
        let mut faults = Faults::default();
        let auth = faults.note(self.auth.meaning("auth"));
        let rest = self.rest(auth.as_ref(), &mut faults);
        faults.end(rest.zip(auth))
    }

    /// The source that is meant; `None` when something is wrong, which is noted.
    fn rest(&self, auth: Option<&Auth>, faults: &mut Faults) -> Option<Rest> {
        let list = &self.list;
        // All of it is read before anything that is missing ends it, so that all that is wrong is noted.
        let url = faults.note(base_url("base_url", &self.base_url));
        let base = url.zip(auth).and_then(|(url, auth)| faults.note(Base::new(url, &self.headers, auth)));
        let target = faults.note(Target::parse("list", &list.path, &list.query, &[]));
        let items = faults.note(Pointer::parse("list.items", &list.items));
        let total = list.total.as_ref().map(|total| Pointer::parse("list.total", total));
        let total = faults.note(total.transpose());
        let pagination = faults.note(list.pagination.meaning("list.pagination"));
        let since = faults.note(list.since.as_ref().map(|since| self.since(since)).transpose());
        let item = faults.note(self.item.as_ref().map(ItemSettings::meaning).transpose());
        let mapping = self.fields.meaning(faults);
        let (base, target) = (base?, target?);
        let first = target.url(&base, &[]).ok_or_else(|| SettingError::new("list.path", "makes no address"));
        let first = faults.note(first)?;
        Some(Rest {
            fingerprint: self.fingerprint(&first),
            order_fingerprint: xxh3_64(format!("{:?}", (base.url.as_str(), self.fields.order())).as_bytes()),
            items: items?,
            total: total?,
            pagination: pagination?,
            since: since?,
            item: item?,
            mapping: mapping?,
            base,
            first,
        })
    }

    /// Of all that decides what is listed and asked for, and how an item is called. The text is hashed and not kept: a query or
    /// a header field may hold a secret.
    fn fingerprint(&self, first: &Url) -> u64 {
        let (list, item) = (&self.list, self.item.as_ref().map(|item| (&item.path, &item.query, &item.item)));
        let since = list.since.as_ref().map(|since| (&since.parameter, since.format));
        let of = (first.as_str(), &self.headers, &list.items, &list.pagination, since, item, self.fields.key());
        xxh3_64(format!("{of:?}").as_bytes())
    }

    fn since(&self, since: &SinceSettings) -> Result<Since, SettingError> {
        if !self.fields.has_updated_at() {
            let detail = "needs `fields.updated_at`: without it nobody knows since when to ask";
            return Err(SettingError::new("list.since", detail));
        }
        if since.parameter.is_empty() {
            return Err(SettingError::new("list.since.parameter", "is empty; write what the parameter is called"));
        }
        let overlap = since.overlap.unwrap_or(OVERLAP).0;
        Ok(Since { parameter: since.parameter.clone(), format: since.format, overlap })
    }
}

impl ItemSettings {
    fn meaning(&self) -> Result<(Target, Pointer), SettingError> {
        let target = Target::parse("item", &self.path, &self.query, &["key", "sku"])?;
        Ok((target, Pointer::parse("item.item", &self.item)?))
    }
}

impl Rest {
    fn url(&self, since: Option<Timestamp>, position: Option<&Value>) -> Url {
        let mut first = self.first.clone();
        if let (Some(moment), Some(since)) = (since, &self.since) {
            set_parameter(&mut first, &since.parameter, &since.format.write(moment.minus(since.overlap)));
        }
        self.pagination.url(&self.base, first, position)
    }
}

impl Connector for Rest {
    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn order_fingerprint(&self) -> u64 {
        self.order_fingerprint
    }

    fn is_incremental(&self) -> bool {
        self.since.is_some()
    }

    /// That it does is what `list.since` stands for.
    fn carries(&self, _: LiveField, _: Mode) -> bool {
        true
    }

    fn never_live(&self, field: LiveField) -> Option<&'static str> {
        match (&self.item, self.mapping.has(field)) {
            (None, _) => Some("needs a request for a single item: declare [sources.item]"),
            (_, false) => Some("needs to be read: declare it in [sources.fields]"),
            _ => None,
        }
    }

    fn list(&self, since: Option<Timestamp>, position: Option<&Value>) -> Call {
        self.base.call(self.url(since, position))
    }

    fn read_page(
        &self,
        since: Option<Timestamp>,
        position: Option<&Value>,
        answer: &Answer,
    ) -> Result<ItemPage, ReadError> {
        let document = body::json(answer)?;
        let items = body::items(&document, &self.items)?;
        let asked = self.url(since, position);
        let page = Answered { asked: &asked, headers: &answer.headers, body: &document, items };
        let next = self.pagination.next(&self.base, position, &page)?;
        let total = self.total.as_ref().and_then(|total| total.find(&document)).and_then(Value::as_u64);
        Ok(ItemPage { items: items.to_vec(), next, total })
    }

    fn item(&self, key: &str, sku: &Sku) -> Option<Call> {
        let (target, _) = self.item.as_ref()?;
        target.url(&self.base, &[("key", key), ("sku", sku.as_str())]).map(|url| self.base.call(url))
    }

    fn read_item(&self, answer: &Answer) -> Result<Option<Value>, ReadError> {
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::NO_CONTENT) {
            return Ok(None);
        }
        let document = body::json(answer)?;
        let place = self.item.as_ref().map_or(Pointer::WHOLE, |(_, place)| place.clone());
        body::single(&document, &place)
    }

    fn key(&self, item: &Value) -> Option<String> {
        self.mapping.key(item)
    }

    fn map(&self, item: &Value) -> Result<Mapped, Vec<ItemError>> {
        self.mapping.map(item)
    }
}
