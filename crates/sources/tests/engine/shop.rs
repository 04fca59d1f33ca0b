//! An upstream that does as it is told: a list by offset, so that pages shift when items come and go, and single items.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use haat_catalog::product::overlay::Overlay;
use haat_catalog::{Sku, Timestamp};
use haat_outbound::{Answer, Call, CallError, Caller};
use haat_sources::connector::{Connector, ItemPage, Mapped, ReadError};
use haat_sources::live::LiveField;
use haat_sources::ports::Item;
use haat_sources::run::{ItemError, Mode};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

/// How a call fails.
#[derive(Debug, Clone)]
pub enum Fault {
    Error(CallError),
    Status(u16),
    /// 429, with that in `Retry-After`.
    Later(&'static str),
    /// No answer ever, whatever the deadline.
    Hang,
}

pub type Items = BTreeMap<String, Value>;
type Change = Box<dyn FnOnce(&mut Items) + Send>;

#[derive(Default)]
pub struct State {
    pub items: Items,
    /// Faults of the next lists, and of single items as long as they are there.
    pub lists_fail: VecDeque<Fault>,
    pub list_fails: Option<Fault>,
    pub asks_fail: Option<Fault>,
    /// What changes before the list is answered for the n-th time.
    pub changes: BTreeMap<usize, Change>,
    /// Offsets of the lists asked for, with `since`.
    pub lists: Vec<(usize, Option<i64>)>,
    /// Keys asked for one by one.
    pub asks: Vec<String>,
    pub slow: Duration,
    /// Which settings it is read by.
    pub fingerprint: u64,
    /// Of which kind its orders are.
    pub order_fingerprint: u64,
}

pub struct Shop {
    pub state: Mutex<State>,
    pub page: usize,
    pub incremental: bool,
    /// Whether a change of stock is no change of the item.
    pub stock_apart: bool,
    /// Whether there is a request for single items.
    pub single: bool,
}

/// An item of that name and stock.
pub fn item(key: &str, stock: i64) -> Value {
    json!({"id": key, "name": format!("Product {key}"), "stock": stock})
}

impl Shop {
    pub fn new(page: usize) -> Self {
        Self { state: Mutex::default(), page, incremental: false, stock_apart: false, single: true }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// As many items, `k000` and so on.
    pub fn fill(&self, count: usize) {
        self.state().items = (0..count).map(|n| format!("k{n:03}")).map(|key| (key.clone(), item(&key, 5))).collect();
    }

    pub fn put(&self, key: &str, value: Value) {
        self.state().items.insert(key.to_owned(), value);
    }

    pub fn remove(&self, key: &str) {
        self.state().items.remove(key);
    }

    fn list_page(&self, at: usize, since: Option<i64>) -> Value {
        let mut state = self.state();
        state.lists.push((at, since));
        let number = state.lists.len();
        if let Some(change) = state.changes.remove(&number) {
            change(&mut state.items);
        }
        let changed = |item: &&Value| since.is_none_or(|since| item["changed"].as_i64().is_some_and(|at| at >= since));
        let all: Vec<&Value> = state.items.values().filter(changed).collect();
        let page: Vec<&Value> = all.iter().skip(at).take(self.page).copied().collect();
        let next = (at + page.len() < all.len()).then_some(at + page.len());
        json!({"items": page, "next": next, "total": all.len()})
    }
}

fn parameter(call: &Call, name: &str) -> Option<i64> {
    call.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.parse().unwrap())
}

fn url(path: &str) -> url::Url {
    format!("https://shop.test/{path}").parse().unwrap()
}

fn answer(status: u16, body: &Value) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer { status, headers: HeaderMap::new(), body: body.to_string().into(), attempts: 1 }
}

#[async_trait]
impl Caller for Shop {
    async fn call(&self, call: Call) -> Result<Answer, CallError> {
        tokio::task::yield_now().await;
        let slow = self.state().slow;
        if slow > Duration::ZERO {
            tokio::time::sleep(slow).await;
        }
        let single = call.url.path().strip_prefix("/item/").map(str::to_owned);
        let fault = {
            let mut state = self.state();
            match &single {
                Some(key) => {
                    state.asks.push(key.clone());
                    state.asks_fail.clone()
                }
                None => state.lists_fail.pop_front().or_else(|| state.list_fails.clone()),
            }
        };
        match fault {
            Some(Fault::Error(error)) => return Err(error),
            Some(Fault::Status(status)) => return Ok(answer(status, &json!({}))),
            Some(Fault::Later(when)) => {
                let mut later = answer(429, &json!({}));
                later.headers.insert(RETRY_AFTER, HeaderValue::from_static(when));
                return Ok(later);
            }
            Some(Fault::Hang) => std::future::pending::<()>().await,
            None => {}
        }
        Ok(match single {
            // As real ones do with a key that is none of theirs.
            Some(key) if !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) => answer(400, &json!({})),
            Some(key) => self.state().items.get(&key).map_or_else(|| answer(404, &json!({})), |item| answer(200, item)),
            None => {
                let at = usize::try_from(parameter(&call, "at").unwrap_or(0)).unwrap();
                answer(200, &self.list_page(at, parameter(&call, "since")))
            }
        })
    }
}

fn read(answer: &Answer) -> Result<Value, ReadError> {
    if !answer.status.is_success() {
        return Err(ReadError::Status(answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|error| ReadError::Malformed(error.to_string()))
}

impl Connector for Shop {
    fn fingerprint(&self) -> u64 {
        self.state().fingerprint
    }

    fn order_fingerprint(&self) -> u64 {
        self.state().order_fingerprint
    }

    fn is_incremental(&self) -> bool {
        self.incremental
    }

    fn carries(&self, field: LiveField, mode: Mode) -> bool {
        !(self.stock_apart && field == LiveField::Stock && mode == Mode::Incremental)
    }

    fn never_live(&self, _: LiveField) -> Option<&'static str> {
        (!self.single).then_some("needs a request for a single item")
    }

    fn list(&self, since: Option<Timestamp>, position: Option<&Value>) -> Call {
        let mut url = url("list");
        url.query_pairs_mut().append_pair("at", &position.and_then(Value::as_u64).unwrap_or(0).to_string());
        if let Some(since) = since {
            url.query_pairs_mut().append_pair("since", &since.as_millis().to_string());
        }
        Call::get(url)
    }

    fn read_page(&self, _: Option<Timestamp>, _: Option<&Value>, answer: &Answer) -> Result<ItemPage, ReadError> {
        let body = read(answer)?;
        let next = body["next"].as_u64().map(Value::from);
        Ok(ItemPage { items: body["items"].as_array().unwrap().clone(), next, total: body["total"].as_u64() })
    }

    fn item(&self, key: &str, _: &Sku) -> Option<Call> {
        self.single.then(|| Call::get(url(&format!("item/{key}"))))
    }

    fn read_item(&self, answer: &Answer) -> Result<Option<Value>, ReadError> {
        if answer.status == StatusCode::NOT_FOUND { Ok(None) } else { read(answer).map(Some) }
    }

    fn key(&self, item: &Value) -> Option<String> {
        item["id"].as_str().map(str::to_owned)
    }

    fn map(&self, value: &Value) -> Result<Mapped, Vec<ItemError>> {
        let key = self.key(value).unwrap_or_default();
        if key.is_empty() || value["bad"] == true {
            let error = |at: &str| ItemError { key: key.clone(), pointer: at.into(), detail: "is bad".into() };
            return Err(vec![error("/bad"), error("/worse")]);
        }
        let sku = value["sku"].as_str().map_or_else(|| format!("S-{key}"), str::to_owned);
        let mut overlay = Overlay::new(Sku::new(sku).unwrap());
        overlay.members.insert("name".into(), value["name"].clone());
        overlay
            .members
            .insert("price".into(), json!({"amount": value["price"].as_i64().unwrap_or(100), "currency": "INR"}));
        overlay.members.insert("stock".into(), value["stock"].clone());
        let item = Item { key, sku: overlay.sku.clone(), order: value["order"].as_i64() };
        Ok(Mapped { item, overlay, changed_at: value["changed"].as_i64().map(Timestamp::from_millis) })
    }
}
