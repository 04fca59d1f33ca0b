//! Breaking the server and mending it while it runs, and looking at what it has seen. Open to whoever reaches it: a
//! demonstration stands on one's own machine.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::options::Settings;
use crate::plan::Current;
use crate::refusal::Refusal;
use crate::script::Script;
use crate::span;
use crate::stats::{Arrival, Stats};
use crate::upstream::Upstream;

/// How the server stands.
#[derive(Serialize)]
pub(super) struct Standing {
    fault: Current,
    script: String,
    settings: Settings,
}

impl Standing {
    fn of(upstream: &Upstream) -> Self {
        let plan = upstream.plan();
        Self { fault: plan.current(), script: plan.script(), settings: upstream.settings() }
    }
}

/// `GET /control`.
pub(super) async fn show(State(upstream): State<Arc<Upstream>>) -> Json<Standing> {
    Json(Standing::of(&upstream))
}

/// What may be ordered. What is absent stays as it is.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Order {
    fault: Option<String>,
    r#for: Option<String>,
    script: Option<String>,
    revoke_tokens: bool,
    latency: Option<String>,
    jitter: Option<String>,
    rate_limit: Option<u32>,
    expires_in: Option<String>,
    expire_early: Option<String>,
    skew: Option<String>,
}

/// `POST /control`: all that is ordered, or nothing if something of it cannot be understood.
pub(super) async fn order(State(upstream): State<Arc<Upstream>>, body: Bytes) -> Result<Json<Standing>, Refusal> {
    let order: Order = serde_json::from_slice(&body).map_err(|e| {
        Refusal::bad_request(format!("{e}; send JSON such as {{\"fault\": \"down\", \"for\": \"20s\"}}"))
    })?;
    let bad = |name: &str, e: &dyn std::fmt::Display| Refusal::bad_request(format!("{name}: {e}"));
    let script = order.script.as_deref().map(str::parse::<Script>).transpose().map_err(|e| bad("script", &e))?;
    let fault = order.fault.as_deref().map(str::parse::<Fault>).transpose().map_err(|e| bad("fault", &e))?;
    let lasts = order.r#for.as_deref().map(span::parse).transpose().map_err(|e| bad("for", &e))?;
    if lasts.is_some() && fault.is_none() {
        return Err(bad("for", &"it says how long a fault lasts; name one beside it"));
    }
    let settings = settings(&order, upstream.settings())?;
    upstream.set(settings);
    let mut plan = upstream.plan();
    if let Some(script) = script {
        plan.begin(script);
    }
    if let Some(fault) = fault {
        plan.order(fault, lasts);
    }
    drop(plan);
    if order.revoke_tokens {
        upstream.tokens.revoke_all();
    }
    tracing::info!(fault = %upstream.plan().fault(), "the demonstration upstream was given an order");
    Ok(Json(Standing::of(&upstream)))
}

fn settings(order: &Order, mut settings: Settings) -> Result<Settings, Refusal> {
    for (name, text, place) in [
        ("latency", &order.latency, &mut settings.latency),
        ("jitter", &order.jitter, &mut settings.jitter),
        ("expires_in", &order.expires_in, &mut settings.expires_in),
        ("expire_early", &order.expire_early, &mut settings.expire_early),
    ] {
        if let Some(text) = text {
            *place = span::parse(text).map_err(|e| Refusal::bad_request(format!("{name}: {e}")))?;
        }
    }
    if let Some(rate) = order.rate_limit {
        settings.rate_limit = NonZeroU32::new(rate);
    }
    if let Some(text) = &order.skew {
        settings.skew_ms = span::parse_signed_ms(text).map_err(|e| Refusal::bad_request(format!("skew: {e}")))?;
    }
    Ok(settings)
}

/// What was seen, and when requests came if that was asked for.
#[derive(Serialize)]
struct Seen {
    #[serde(flatten)]
    stats: Stats,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrivals: Option<Vec<Arrival>>,
}

/// `GET /stats`, with `arrivals=true` if the latest requests are wanted one by one.
pub(super) async fn stats(State(upstream): State<Arc<Upstream>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let wanted = form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "arrivals" && value == "true");
    let arrivals = wanted.then(|| upstream.counter.arrivals());
    Json(Seen { stats: upstream.stats(), arrivals }).into_response()
}

/// `DELETE /stats`: counting begins anew.
pub(super) async fn reset(State(upstream): State<Arc<Upstream>>) -> StatusCode {
    upstream.counter.reset();
    StatusCode::NO_CONTENT
}
