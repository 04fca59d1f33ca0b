//! The shapes of `/v1/sources`, as they are read and as the document describes them.

mod shapes;

use haat_sources::ports::BreakerOrder;
use haat_sources::run::Mode;
use haat_sources::service::{Confirmation, SyncRequest};
use serde_json::{Map, Value};

use super::invalid;
use crate::problem::Problem;
pub(crate) use shapes::{BreakerInput, Source, Sources, SyncInput};

/// Reads what to synchronise; no body is no wish.
pub(super) fn sync_request(body: Option<Value>) -> Result<SyncRequest, Problem> {
    let mut request = SyncRequest::default();
    for (name, value) in members(body, &["mode", "confirm_removals"])? {
        match (name.as_str(), &value) {
            (_, Value::Null) => {}
            ("mode", Value::String(mode)) if mode == "full" => request.mode = Some(Mode::Full),
            ("mode", Value::String(mode)) if mode == "incremental" => request.mode = Some(Mode::Incremental),
            ("mode", _) => return Err(invalid("/mode", "must be \"full\" or \"incremental\"")),
            (_, Value::Bool(confirmed)) => request.confirms = confirmed.then_some(Confirmation::Waiting),
            (_, Value::String(run)) => match run.parse() {
                Ok(run) => request.confirms = Some(Confirmation::Run(run)),
                Err(_) => return Err(invalid("/confirm_removals", "is not the id of a run")),
            },
            _ => return Err(invalid("/confirm_removals", "must be true, false, or the id of the run that waits")),
        }
    }
    if request.mode == Some(Mode::Incremental) && request.confirms.is_some() {
        let detail = "goes with a full run only: an incremental one finds nothing that has vanished";
        return Err(invalid("/confirm_removals", detail));
    }
    Ok(request)
}

/// Reads an order.
pub(super) fn breaker_order(body: Value) -> Result<BreakerOrder, Problem> {
    let order = members(Some(body), &["order"])?.remove("order");
    match order.as_ref().and_then(Value::as_str) {
        Some("auto") => Ok(BreakerOrder::Auto),
        Some("force_open") => Ok(BreakerOrder::ForceOpen),
        Some("force_closed") => Ok(BreakerOrder::ForceClosed),
        _ => Err(invalid("/order", "must be \"auto\", \"force_open\" or \"force_closed\"")),
    }
}

fn members(body: Option<Value>, known: &[&str]) -> Result<Map<String, Value>, Problem> {
    let members = match body {
        None => Map::new(),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(invalid("", "must be a JSON object")),
    };
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(members),
        Some(unknown) => {
            let at = format!("/{}", haat_catalog::invalid::pointer_token(unknown));
            Err(invalid(&at, format!("is not known here; there are {}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wish_is_read_and_a_mistake_named() {
        assert_eq!(sync_request(None).unwrap(), SyncRequest::default());
        let full = sync_request(Some(json!({"mode": "full", "confirm_removals": true}))).unwrap();
        assert_eq!(full, SyncRequest { mode: Some(Mode::Full), confirms: Some(Confirmation::Waiting) });
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let one = sync_request(Some(json!({"confirm_removals": id}))).unwrap();
        assert_eq!(one, SyncRequest { mode: None, confirms: Some(Confirmation::Run(id.parse().unwrap())) });
        let none = sync_request(Some(json!({"mode": "incremental", "confirm_removals": false}))).unwrap();
        assert_eq!(none, SyncRequest { mode: Some(Mode::Incremental), confirms: None });
        for bad in [
            json!({"mode": "all"}),
            json!({"mode": 1}),
            json!({"confirm_removals": "yes"}),
            json!({"confirm_removals": 1}),
            json!({"mode": "incremental", "confirm_removals": true}),
            json!({"mode": "incremental", "confirm_removals": id}),
            json!({"mod": 1}),
            json!([]),
        ] {
            assert!(sync_request(Some(bad.clone())).is_err(), "{bad}");
        }
        assert_eq!(breaker_order(json!({"order": "force_open"})).unwrap(), BreakerOrder::ForceOpen);
        for bad in [json!({}), json!({"order": "open"}), json!({"order": "auto", "x": 1}), json!([])] {
            assert!(breaker_order(bad.clone()).is_err(), "{bad}");
        }
    }
}
