//! `GET /v1/limits`: the policies in force for the caller, and how it stands with them.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use haat_limits::{Per, Standing};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Presented;
use crate::answer;
use crate::extract::parameters::Parameters;
use crate::middleware::rate;
use crate::problem::Problem;
use crate::state::{Peer, SharedApp};

/// The limits of a caller.
#[derive(Serialize, ToSchema)]
pub(crate) struct Limits {
    /// Every policy; none when nothing is limited.
    limits: Vec<Limit>,
}

/// A policy and how the caller stands with it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Limit {
    /// The policy's name, as headers have it.
    #[schema(example = "burst")]
    name: String,
    /// Units.
    quota: u64,
    /// In so many seconds.
    window: u64,
    /// Whose requests count together: `client`, `address` or `all`.
    per: &'static str,
    /// For which routes; all that are limited when there are none.
    routes: Vec<&'static str>,
    /// Units left.
    remaining: u64,
    /// Seconds until all are there again.
    reset: u64,
    /// Whether it is only tried: counted and not enforced.
    dry_run: bool,
}

/// How do I stand with the limits
#[utoipa::path(get, path = "/v1/limits", operation_id = "getLimits", tag = "operating",
    responses((status = 200, description = "The policies in force for the caller.", body = Limits)))]
pub(crate) async fn get(
    State(app): State<SharedApp>,
    parameters: Parameters,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    presented: Option<Extension<Presented>>,
) -> Result<Response, Problem> {
    parameters.expect_none()?;
    let presented = presented.map(|Extension(presented)| presented).unwrap_or_default();
    let caller = rate::caller(&app, &headers, peer.map(|Extension(peer)| peer), &presented);
    let standings = app.services.limiter.look(&caller).await;
    let body = serde_json::to_vec(&Limits { limits: standings.iter().map(limit).collect() });
    // Numbers and texts always serialise.
    Ok(answer::json(StatusCode::OK, body.unwrap_or_default()))
}

fn limit(standing: &Standing) -> Limit {
    let policy = &standing.policy;
    Limit {
        name: policy.name.clone(),
        quota: policy.quota.units,
        window: policy.window_secs(),
        per: match policy.per {
            Per::Client => "client",
            Per::Address { .. } => "address",
            Per::All => "all",
        },
        routes: policy.groups.iter().map(|group| group.name()).collect(),
        remaining: standing.left,
        reset: rate::seconds(standing.reset),
        dry_run: policy.dry_run,
    }
}
