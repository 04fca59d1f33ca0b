//! What kinds of source promise: whole catalogues read page by page from upstreams in memory, items of every form, and
//! upstreams that mean no good.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "connectors/commercetools.rs"]
mod commercetools;
#[path = "connectors/hostile.rs"]
mod hostile;
#[path = "connectors/paging.rs"]
mod paging;
#[path = "connectors/rest.rs"]
mod rest;
#[path = "connectors/settings.rs"]
mod settings;

use haat_outbound::{Answer, Call};
use haat_sources::connector::{Connector, ReadError};
use haat_sources::declared::settings::SettingError;
use haat_sources::kinds::{Connection, connect};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// A source of settings as they are written in haat.toml, without `name` and `kind`; or the first mistake in them.
pub fn source(kind: &str, settings: &str) -> Result<Connection, SettingError> {
    all_of(kind, settings).map_err(|faults| faults.into_iter().next().expect("a mistake"))
}

/// The same, or all mistakes.
pub fn all_of(kind: &str, settings: &str) -> Result<Connection, Vec<SettingError>> {
    let table: toml::Table = toml::from_str(settings).unwrap();
    let Value::Object(settings) = serde_json::to_value(table).unwrap() else { unreachable!("a table is an object") };
    connect(kind, settings)
}

/// An answer with that body.
pub fn answer(body: &Value) -> Answer {
    raw(StatusCode::OK, body.to_string())
}

/// An answer of that status with that text.
pub fn raw(status: StatusCode, body: impl Into<bytes::Bytes>) -> Answer {
    Answer { status, headers: HeaderMap::new(), body: body.into(), attempts: 1 }
}

/// A parameter of a call.
pub fn parameter(call: &Call, name: &str) -> Option<String> {
    call.url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// Reads a list to its end, as the sync does: every position goes through its text. Gives the items and the calls.
pub fn read_all(
    connector: &dyn Connector,
    since: Option<haat_catalog::Timestamp>,
    mut upstream: impl FnMut(&Call) -> Answer,
) -> Result<(Vec<Value>, usize), ReadError> {
    let (mut all, mut calls) = (Vec::new(), 0);
    let mut position: Option<Value> = None;
    loop {
        let call = connector.list(since, position.as_ref());
        calls += 1;
        let page = connector.read_page(since, position.as_ref(), &upstream(&call))?;
        all.extend(page.items);
        match page.next {
            None => return Ok((all, calls)),
            Some(next) => position = Some(serde_json::from_str(&next.to_string()).unwrap()),
        }
    }
}
