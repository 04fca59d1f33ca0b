//! `kind = "commercetools"`: the published product projections of a commercetools project
//! (<https://docs.commercetools.com/api/projects/productProjections>).
//!
//! Pages are read by key, not by offset, which the API allows up to 10,000 only: `where=id > "…"` in order of id, and for what
//! changed since, in order of `lastModifiedAt` and id. `staged` is left out, for the published ones are what it stands for
//! when absent. Product types are not expanded: of what type an attribute is shows in its value, and a page of 500 products
//! would carry all their enumerations 500 times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::{Currency, Sku, Timestamp};
use haat_outbound::{Answer, Call};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use self::projection::Projection;
use super::{Connection, Kind};
use crate::connector::{Connector, ItemPage, Mapped, ReadError};
use crate::declared::auth::{Auth, ClientCredential, OAuth2, token_url};
use crate::declared::body;
use crate::declared::convert::MomentFormat;
use crate::declared::mapping::checked_key;
use crate::declared::money::currency_code;
use crate::declared::pointer::Pointer;
use crate::declared::progress::{Progress, malformed};
use crate::declared::request::{Base, add_parameter, encoded};
use crate::declared::settings::{Faults, Period, Secret, SettingError, base_url, read_all};
use crate::live::LiveField;
use crate::run::{ItemError, Mode};

mod projection;

/// This kind.
pub const KIND: Kind = Kind {
    name: "commercetools",
    connect: |settings| {
        let (connector, oauth2) = read_all::<CommercetoolsSettings>(settings)?.meaning()?;
        Ok(Connection { base_url: connector.base.url.clone(), oauth2: Some(oauth2), connector: Arc::new(connector) })
    },
};

/// The largest page that the API gives.
const MOST_ITEMS: u64 = 500;
/// How long before the newest change that is known an incremental run begins, unless the settings say otherwise.
const OVERLAP: Period = Period(Duration::from_secs(300));

/// The settings of this kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommercetoolsSettings {
    api_url: String,
    auth_url: String,
    project_key: String,
    client_id: String,
    client_secret: Secret,
    scopes: Option<Vec<String>>,
    locales: Vec<String>,
    currency: String,
    country: Option<String>,
    channel: Option<String>,
    supply_channel: Option<String>,
    brand_attribute: Option<String>,
    attributes: Option<BTreeSet<String>>,
    page_size: Option<u64>,
    overlap: Option<Period>,
}

/// A source of this kind.
#[derive(Debug)]
pub struct Commercetools {
    base: Base,
    /// The address of the list, with the parameters that never change.
    list: Url,
    page_size: u64,
    overlap: Duration,
    mapping: Projection,
}

/// The place of the next page: behind which product, and what is remembered of the pages before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    id: String,
    /// Its `lastModifiedAt`, as it was written; for what changed since only.
    at: Option<String>,
    so_far: Progress,
}

impl CommercetoolsSettings {
    /// The source that is meant, and how the access token is fetched that its calls need.
    ///
    /// # Errors
    /// The settings that have no meaning.
    pub fn meaning(&self) -> Result<(Commercetools, OAuth2), Vec<SettingError>> {
        let mut faults = Faults::default();
        faults.note(self.some_locales());
        let page_size = faults.note(self.page_size());
        let currency = faults.note(currency_code("currency", &self.currency));
        let project = faults.note(self.project());
        let auth = base_url("auth_url", &self.auth_url);
        let token_url = faults.note(auth.and_then(|auth| token_url("auth_url", &format!("{auth}oauth/token"))));
        let list = project.as_ref().zip(currency).map(|(project, currency)| self.list(project, currency));
        let list = list.and_then(|list| faults.note(list));
        let base = project.map(|project| Base::new(project, &BTreeMap::new(), &Auth::None));
        let base = base.and_then(|base| faults.note(base));
        let made = || {
            let mapping = Projection {
                locales: self.locales.clone(),
                supply_channel: self.supply_channel.clone(),
                brand_attribute: self.brand_attribute.clone(),
                attributes: self.attributes.clone(),
            };
            let overlap = self.overlap.unwrap_or(OVERLAP).0;
            let connector = Commercetools { base: base?, list: list?, page_size: page_size?, overlap, mapping };
            Some((connector, self.oauth2(token_url?)))
        };
        let made = made();
        faults.end(made)
    }

    fn some_locales(&self) -> Result<(), SettingError> {
        if self.locales.is_empty() || self.locales.iter().any(String::is_empty) {
            let detail = "must name at least one locale, the preferred one first: [\"en-GB\", \"en\"]";
            return Err(SettingError::new("locales", detail));
        }
        Ok(())
    }

    fn page_size(&self) -> Result<u64, SettingError> {
        let size = self.page_size.unwrap_or(MOST_ITEMS);
        let wrong = || SettingError::new("page_size", format!("must be from 1 to {MOST_ITEMS}"));
        Some(size).filter(|size| (1..=MOST_ITEMS).contains(size)).ok_or_else(wrong)
    }

    /// The address of the project.
    fn project(&self) -> Result<Url, SettingError> {
        if self.project_key.is_empty() || encoded(&self.project_key) != self.project_key {
            return Err(SettingError::new("project_key", "is no key of a project: letters, digits, '-' and '_'"));
        }
        base_url("api_url", &format!("{}{}", base_url("api_url", &self.api_url)?, self.project_key))
    }

    /// The address of the list, with the parameters that never change.
    fn list(&self, project: &Url, currency: Currency) -> Result<Url, SettingError> {
        let list = project.join("product-projections");
        let mut list = list.map_err(|_| SettingError::new("api_url", "makes no address"))?;
        add_parameter(&mut list, "withTotal", "false");
        add_parameter(&mut list, "expand", "categories[*].ancestors[*]");
        add_parameter(&mut list, "priceCurrency", currency.code());
        for (name, value) in [("priceCountry", &self.country), ("priceChannel", &self.channel)] {
            value.iter().for_each(|value| add_parameter(&mut list, name, value));
        }
        Ok(list)
    }

    fn oauth2(&self, token_url: Url) -> OAuth2 {
        let published = || vec![format!("view_published_products:{}", self.project_key)];
        OAuth2 {
            token_url,
            client_id: self.client_id.clone(),
            credential: ClientCredential::SecretBasic(self.client_secret.clone()),
            scopes: self.scopes.clone().unwrap_or_else(published),
            audience: None,
            resource: None,
        }
    }
}

/// A text in a predicate (<https://docs.commercetools.com/api/predicates/query>).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Commercetools {
    fn url(&self, since: Option<Timestamp>, position: Option<&Position>) -> Url {
        let mut url = self.list.clone();
        add_parameter(&mut url, "limit", &self.page_size.to_string());
        if since.is_some() {
            add_parameter(&mut url, "sort", "lastModifiedAt asc");
        }
        add_parameter(&mut url, "sort", "id asc");
        let condition = match (position, since) {
            (Some(Position { id, at: Some(at), .. }), Some(_)) => {
                let (at, id) = (quoted(at), quoted(id));
                Some(format!("lastModifiedAt > {at} or (lastModifiedAt = {at} and id > {id})"))
            }
            (Some(Position { id, .. }), None) => Some(format!("id > {}", quoted(id))),
            (_, Some(since)) => {
                let since = MomentFormat::Rfc3339.write(since.minus(self.overlap));
                Some(format!("lastModifiedAt >= {}", quoted(&since)))
            }
            (None, None) => None,
        };
        condition.iter().for_each(|condition| add_parameter(&mut url, "where", condition));
        url
    }
}

fn kept(position: Option<&Value>, since: Option<Timestamp>) -> Result<Option<Position>, ReadError> {
    let Some(position) = position else { return Ok(None) };
    match Position::deserialize(position) {
        Ok(position) if position.at.is_some() == since.is_some() => Ok(Some(position)),
        _ => Err(malformed("the kept place of the next page is not of this kind; begin a new run")),
    }
}

/// What a product is sorted by: its time of change as a moment and as it is written (for what changed since only), its id.
type Place<'a> = (Option<(Timestamp, &'a str)>, &'a str);

fn place_of(item: &Value, timed: bool) -> Result<Place<'_>, ReadError> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let id = text("id").ok_or_else(|| malformed("a product has no 'id' that is a text"))?;
    let at = text("lastModifiedAt").and_then(|text| text.parse().ok().map(|at| (at, text)));
    match (timed, at) {
        (true, None) => Err(malformed("a product has no 'lastModifiedAt' that is a date-time")),
        (true, at) => Ok((at, id)),
        (false, _) => Ok((None, id)),
    }
}

/// The place behind a page.
///
/// # Errors
/// When the page is not sorted as was asked for, or begins before where it should: what is left out would count as vanished.
fn behind<'a>(
    items: &'a [Value],
    before: Option<&'a Position>,
    timed: bool,
) -> Result<Option<(Option<&'a str>, &'a str)>, ReadError> {
    let moment = |at: &'a Option<String>| at.as_deref().and_then(|text| text.parse().ok().map(|at| (at, text)));
    let mut last = before.map(|before| (moment(&before.at), before.id.as_str()));
    for item in items {
        let (at, id) = place_of(item, timed)?;
        if let Some((last_at, last_id)) = last {
            let moments = (last_at.map(|(at, _)| at), at.map(|(at, _)| at));
            let is_same_text = last_at.map(|(_, text)| text) == at.map(|(_, text)| text);
            if moments.1 < moments.0 || (is_same_text && id <= last_id) {
                return Err(malformed("the products are not in the order that was asked for, or a page repeats one"));
            }
        }
        last = Some((at, id));
    }
    Ok(last.map(|(at, id)| (at.map(|(_, text)| text), id)))
}

impl Connector for Commercetools {
    fn fingerprint(&self) -> u64 {
        // Everything else is fixed.
        xxh3_64(self.url(None, None).as_str().as_bytes())
    }

    /// Versions are the project's, in whichever currency or channel.
    fn order_fingerprint(&self) -> u64 {
        xxh3_64(format!("version {}", self.base.url).as_bytes())
    }

    fn is_incremental(&self) -> bool {
        true
    }

    /// Stock belongs to the inventory: that it changes does not change `lastModifiedAt`
    /// (<https://docs.commercetools.com/api/projects/inventory>).
    fn carries(&self, field: LiveField, mode: Mode) -> bool {
        mode == Mode::Full || field != LiveField::Stock
    }

    fn never_live(&self, field: LiveField) -> Option<&'static str> {
        (field == LiveField::Rating).then_some("is nothing that a project of commercetools says")
    }

    fn list(&self, since: Option<Timestamp>, position: Option<&Value>) -> Call {
        let position = kept(position, since).ok().flatten();
        self.base.call(self.url(since, position.as_ref()))
    }

    fn read_page(
        &self,
        since: Option<Timestamp>,
        position: Option<&Value>,
        answer: &Answer,
    ) -> Result<ItemPage, ReadError> {
        let before = kept(position, since)?;
        let document = body::json(answer)?;
        let items = body::items(&document, &Pointer::parse("", "/results").unwrap_or(Pointer::WHOLE))?;
        let total = document.get("total").and_then(Value::as_u64);
        // The size that was granted: a smaller page is the last one.
        let size = document.get("limit").and_then(Value::as_u64).unwrap_or(self.page_size).min(self.page_size);
        let place = behind(items, before.as_ref(), since.is_some())?;
        let is_last = u64::try_from(items.len()).unwrap_or(u64::MAX) < size;
        let next = match place {
            Some((at, id)) if !is_last => {
                let so_far = before.as_ref().map(|before| before.so_far.clone()).unwrap_or_default();
                let so_far = so_far.after(items, &json!([at, id]))?;
                Some(json!({"id": id, "at": at, "so_far": so_far}))
            }
            _ => None,
        };
        Ok(ItemPage { items: items.to_vec(), next, total })
    }

    /// From the list as well, so that a product looks the same however it was asked for, and one that is not published is an
    /// empty result.
    fn item(&self, key: &str, _: &Sku) -> Option<Call> {
        let mut url = self.list.clone();
        add_parameter(&mut url, "limit", "1");
        add_parameter(&mut url, "where", &format!("id = {}", quoted(key)));
        Some(self.base.call(url))
    }

    fn read_item(&self, answer: &Answer) -> Result<Option<Value>, ReadError> {
        let document = body::json(answer)?;
        match document.get("results") {
            Some(results @ Value::Array(_)) => body::single(results, &Pointer::WHOLE),
            _ => Err(malformed("'/results' must be an array of items, and is none")),
        }
    }

    fn key(&self, item: &Value) -> Option<String> {
        item.get("id").and_then(Value::as_str).and_then(|id| checked_key(id.to_owned(), "/id").ok())
    }

    fn map(&self, item: &Value) -> Result<Mapped, Vec<ItemError>> {
        self.mapping.map(item)
    }
}
