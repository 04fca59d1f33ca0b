//! Around every request. [`outer`] is one layer, so that a request passes one boxed future and not seven; what it
//! does stands in a file each.

mod access_log;
mod limits;
mod panic;
pub(crate) mod rate;
mod request_id;
mod security;
pub(crate) mod timeout;

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use haat_limits::{Decision, Group};
use haat_oauth::scope::Scope;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use http_body::Body as _;
use tracing::Instrument;

use crate::access::{self, LastShown, Presented};
use crate::answer::date::date;
use crate::answer::ready::respond;
use crate::problem::{PROBLEM_JSON, Problem};
use crate::routes::oauth::METADATA;
use crate::state::{App, Peer, SharedApp};
use access_log::AccessLog;
use request_id::RequestId;

/// Id, log, limits, rates, panics, problems and headers, in this order from the outside in.
pub(crate) async fn outer(State(app): State<SharedApp>, mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut around =
        Around::begin(&app, &request, route.as_ref().map_or("none".into(), |route| route.as_str().to_owned().into()));
    let unread = may_stay_unread(&request);
    let oauth = is_oauth(request.uri().path());
    let answered = match limits::check(&request, &app.options) {
        Ok(()) => {
            let span = around.log.span();
            let answered = async {
                let presented = match oauth {
                    // Credentials there are a client's own, not a token.
                    true => Presented::Nothing,
                    false => access::presented(&app, &method, request.uri(), request.headers()).await,
                };
                let group = route.and_then(|route| rate::group_of(&method, route.as_str(), request.uri().query()));
                let peer = request.extensions().get::<Peer>().copied();
                let refused = around.refused(group, request.headers(), peer, &presented).await;
                request.extensions_mut().insert(presented);
                match refused {
                    Some(refusal) => refusal.into_response(),
                    None => next.run(request).await,
                }
            };
            panic::caught(answered).instrument(span).await
        }
        Err(problem) => problem.into_response(),
    };
    let answered = finish(answered, &method, &app.options.errors_url, &around.id, &around.log, oauth);
    let bytes = answered.body().size_hint().exact();
    let mut response = around.end(answered, bytes);
    if unread && (response.status().is_client_error() || response.status().is_server_error()) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer that is at hand, with all that is around an answer; `None` when the request has to go through the router,
/// be it to be refused.
pub(crate) fn at_hand<B>(
    app: &App,
    request: &http::Request<B>,
    peer: Peer,
    last: &mut LastShown,
) -> Option<http::Response<Bytes>> {
    if request.method() != Method::GET || limits::check(request, &app.options).is_err() {
        return None;
    }
    let presented = access::at_hand(app, request.headers(), last)?;
    if !app.options.public_read && !may_read(&presented) {
        return None;
    }
    let (address, found) = app.pages.at_hand(request.uri(), request.headers())?;
    let decision = match limited(app, address.group) {
        Some(group) => {
            let caller = rate::caller(app, request.headers(), Some(peer), &presented);
            Some(app.services.limiter.charge_now(&caller, group)?)
        }
        None => None,
    };
    let around = Around { decision, ..Around::begin(app, request, address.route.into()) };
    let mut response = respond(&found, request.headers(), &app.caching);
    response.headers_mut().insert(header::DATE, date(app.services.clock.now()));
    let bytes = u64::try_from(response.body().len()).ok();
    Some(around.end(response, bytes))
}

fn may_read(presented: &Presented) -> bool {
    matches!(presented, Presented::Token(token) if token.scopes.contains(Scope::ProductsRead))
}

/// Whether an address is one of the OAuth endpoints, which have a form of their own for errors (RFC 6749 §5.2).
fn is_oauth(path: &str) -> bool {
    path.starts_with("/oauth/") || path == METADATA
}

/// The group to charge a request to, if anybody limits anything.
fn limited(app: &App, group: Option<Group>) -> Option<Group> {
    group.filter(|group| app.services.limiter.policies().iter().any(|policy| policy.covers(*group)))
}

/// What is around every answer, wherever it comes from.
struct Around<'a> {
    app: &'a App,
    id: RequestId,
    log: AccessLog,
    docs: bool,
    decision: Option<Decision>,
}

impl<'a> Around<'a> {
    fn begin<B>(app: &'a App, request: &http::Request<B>, route: Cow<'static, str>) -> Self {
        let id = RequestId::of(request.headers(), &*app.services.ids);
        let log = AccessLog::begin(id.clone(), request.method(), route);
        let docs = request.uri().path().starts_with("/docs");
        Self { app, id, log, docs, decision: None }
    }

    /// Charges the request to the policies of its group; gives the refusal when they refuse it.
    async fn refused(
        &mut self,
        group: Option<Group>,
        headers: &HeaderMap,
        peer: Option<Peer>,
        presented: &Presented,
    ) -> Option<Problem> {
        let group = limited(self.app, group)?;
        let caller = rate::caller(self.app, headers, peer, presented);
        let decision = self.app.services.limiter.charge(&caller, group).await;
        let refusal = rate::refusal(&decision);
        self.decision = Some(decision);
        refusal
    }

    /// Adds what every answer says and writes its line into the log. `bytes` are those of the body, unknown for streams.
    fn end<B>(self, mut response: http::Response<B>, bytes: Option<u64>) -> http::Response<B> {
        let Self { id, log, docs, decision, .. } = self;
        let headers = response.headers_mut();
        security::protect(headers, docs);
        if let Some(decision) = &decision {
            rate::tell(headers, decision);
        }
        id.name(headers);
        log.end(response.status(), bytes);
        response
    }
}

/// Bodies up to this size are read even where nobody wants them.
const DRAINED: u64 = 64 * 1024;

/// Whether a refusal may come before the body was read. The connection ends after it then, and the answer must say so:
/// a client that believes it can be used again loses its next request.
fn may_stay_unread(request: &Request) -> bool {
    let size = request.body().size_hint().exact();
    request.version() <= Version::HTTP_11 && size.is_none_or(|bytes| bytes > DRAINED)
}

/// Gives problems their body, and answers `OPTIONS` where a method was refused.
fn finish(
    mut response: Response,
    method: &Method,
    errors_url: &str,
    id: &RequestId,
    log: &AccessLog,
    oauth: bool,
) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    if method == Method::OPTIONS && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        // The router adds `Allow` to what its fallback for methods answers (RFC 9110 §9.3.7).
        return StatusCode::NO_CONTENT.into_response();
    }
    if let Some(cause) = problem.cause() {
        log.cause(problem.code(), cause);
    }
    let (body, kind) = match oauth {
        true => (problem.render_for_oauth(), HeaderValue::from_static("application/json")),
        false => (problem.render(errors_url, id.as_str()), PROBLEM_JSON),
    };
    *response.body_mut() = Body::from(body);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}
