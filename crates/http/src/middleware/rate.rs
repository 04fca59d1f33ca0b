//! Rate limits: every request of a limited route is charged to the policies that cover it, before anything is read of its
//! body, and every answer says how the caller stands (draft-ietf-httpapi-ratelimit-headers-10).

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::BytesMut;
use haat_limits::{Caller, Decision, Group, Standing};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::percent_decode_str;

use crate::access::Presented;
use crate::problem::{Code, Problem};
use crate::state::{App, Peer};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");
/// What clients looked for before there was a standard to be.
const OLDER: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who asks: the client by its token, and the address behind trusted proxies.
pub(crate) fn caller(app: &App, headers: &HeaderMap, peer: Option<Peer>, presented: &Presented) -> Caller {
    let token = if let Presented::Token(token) = presented { Some(token) } else { None };
    Caller {
        client: token.map(|token| Arc::clone(&token.client)),
        policy: token.and_then(|token| token.policy.clone()),
        address: address(app, headers, peer),
    }
}

/// The address that a request comes from, behind trusted proxies.
pub(crate) fn address(app: &App, headers: &HeaderMap, peer: Option<Peer>) -> IpAddr {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    // An entry with other bytes is one that nothing is believed behind; it must not take those beside it along.
    let forwarded = headers.get_all(X_FORWARDED_FOR).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let forwarded: Vec<_> = forwarded.collect();
    app.services.proxies.caller(peer, forwarded.iter().map(|value| &**value))
}

/// The group of a route; `None` for what is not limited: health, documents, and the limits themselves.
pub(crate) fn group_of(method: &Method, route: &str, query: Option<&str>) -> Option<Group> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    Some(match route {
        "/v1/products" if reads && searches(query) => Group::Search,
        "/v1/products" | "/v1/products/{key}" if reads => Group::Read,
        "/v1/products" | "/v1/products/{key}" => Group::Write,
        "/v1/suggest" => Group::Search,
        "/v1/changes" => Group::Changes,
        "/oauth/token" | "/oauth/introspect" | "/oauth/revoke" => Group::Token,
        _ if route.starts_with("/v1/clients") || route.starts_with("/v1/sources") => Group::Manage,
        _ if route.starts_with("/v1/imports") || route == "/v1/export" => Group::Import,
        _ => return None,
    })
}

/// Whether a listing has words to search for.
fn searches(query: Option<&str>) -> bool {
    let named = |pair: &str| {
        let (name, words) = pair.split_once('=').unwrap_or((pair, ""));
        !words.is_empty() && percent_decode_str(name).eq(*b"q")
    };
    query.is_some_and(|query| query.split('&').any(named))
}

/// The refusal of a request that a policy does not allow.
pub(super) fn refusal(decision: &Decision) -> Option<Problem> {
    let retry = seconds(decision.retry_after()?).max(1);
    let violated: Vec<&str> =
        decision.standings.iter().filter(|s| s.violated).map(|s| s.policy.name.as_str()).collect();
    let detail = format!("The quota of {} is used up; try again in {retry} s.", violated.join(" and "));
    let problem = Problem::new(Code::QuotaExceeded, detail).with("violated-policies", violated);
    Some(problem.with_header(header::RETRY_AFTER, &retry.to_string()))
}

/// Says how the caller stands.
pub(super) fn tell(headers: &mut HeaderMap, decision: &Decision) {
    let Some(tightest) = decision.standings.iter().min_by_key(|s| (!s.violated, s.left)) else { return };
    let mut buffer = BytesMut::with_capacity(64 + 96 * decision.standings.len());
    let mut put = |name: HeaderName, write: &dyn Fn(&mut BytesMut) -> fmt::Result| {
        // Writing to memory does not fail, and names of policies are letters, digits, - and _.
        if write(&mut buffer).is_ok()
            && let Ok(value) = HeaderValue::from_maybe_shared(buffer.split().freeze())
        {
            headers.insert(name, value);
        }
    };
    let each = |line: fn(&mut BytesMut, &Standing) -> fmt::Result| {
        move |out: &mut BytesMut| {
            decision.standings.iter().enumerate().try_for_each(|(i, standing)| {
                out.write_str(if i > 0 { ", " } else { "" })?;
                line(out, standing)
            })
        }
    };
    put(
        POLICY,
        &each(|out, s| write!(out, "\"{}\";q={};w={}", s.policy.name, s.policy.quota.units, s.policy.window_secs())),
    );
    put(STANDING, &each(|out, s| write!(out, "\"{}\";r={};t={}", s.policy.name, s.left, seconds(s.reset))));
    let [limit, remaining, reset] = OLDER;
    headers.insert(limit, HeaderValue::from(tightest.policy.quota.units));
    headers.insert(remaining, HeaderValue::from(tightest.left));
    headers.insert(reset, HeaderValue::from(seconds(tightest.reset)));
}

/// Whole seconds, rounded up: nobody is told to come too early.
pub(crate) fn seconds(duration: std::time::Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use haat_limits::{Per, Policy, Quota};
    use rstest::rstest;
    use std::time::Duration;

    #[rstest]
    #[case("GET", "/v1/products", Some("brand=a"), Some(Group::Read))]
    #[case("GET", "/v1/products", Some("brand=a&q=rice"), Some(Group::Search))]
    #[case("GET", "/v1/products", Some("q=&brand=a"), Some(Group::Read))]
    #[case("GET", "/v1/products", Some("%71=rice"), Some(Group::Search))]
    #[case("POST", "/v1/products", None, Some(Group::Write))]
    #[case("DELETE", "/v1/products/{key}", None, Some(Group::Write))]
    #[case("HEAD", "/v1/products/{key}", None, Some(Group::Read))]
    #[case("GET", "/v1/imports/{id}", None, Some(Group::Import))]
    #[case("GET", "/readyz", None, None)]
    #[case("GET", "/v1/limits", None, None)]
    fn routes_are_limited_in_groups(
        #[case] method: &str,
        #[case] route: &str,
        #[case] query: Option<&str>,
        #[case] group: Option<Group>,
    ) {
        assert_eq!(group_of(&method.parse().unwrap(), route, query), group);
    }

    fn standing(name: &str, left: u64, reset_ms: u64, violated: bool) -> Standing {
        let quota = Quota { units: 100, window_us: 60_000_000 };
        let policy = Policy {
            name: name.into(),
            quota,
            per: Per::Client,
            groups: vec![],
            costs: Default::default(),
            dry_run: false,
            assigned: false,
        };
        Standing { policy: Arc::new(policy), left, reset: Duration::from_millis(reset_ms), violated }
    }

    #[test]
    fn every_policy_is_told_in_whole_seconds_and_the_tightest_to_older_clients() {
        let decision =
            Decision { standings: [standing("burst", 50, 29_100, false), standing("day", 7, 1, false)].into() };
        let mut headers = HeaderMap::new();
        tell(&mut headers, &decision);
        assert_eq!(headers[POLICY], "\"burst\";q=100;w=60, \"day\";q=100;w=60");
        assert_eq!(headers[STANDING], "\"burst\";r=50;t=30, \"day\";r=7;t=1");
        assert_eq!((&headers[&OLDER[0]], &headers[&OLDER[1]]), (&"100".parse().unwrap(), &"7".parse().unwrap()));
        assert!(refusal(&decision).is_none());
    }

    #[test]
    fn a_refusal_says_which_policy_and_when_to_come_again() {
        let decision =
            Decision { standings: [standing("burst", 0, 2_300, true), standing("day", 7, 90_000, false)].into() };
        let problem = refusal(&decision).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&problem.render("/docs/errors", "1")).unwrap();
        assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
        assert_eq!((&body["status"], &body["violated-policies"]), (&429.into(), &serde_json::json!(["burst"])));
        let response = axum::response::IntoResponse::into_response(problem);
        assert_eq!(response.headers()[header::RETRY_AFTER], "3");
    }
}
