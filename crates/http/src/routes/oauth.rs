//! The OAuth endpoints: from HTTP to the authorization server and back.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use haat_oauth::audit::{self, Act};
use haat_oauth::server::Asked;
use utoipa::ToSchema;

use crate::extract::body;
use crate::middleware::rate;
use crate::problem::Problem;
use crate::state::{Peer, SharedApp};

/// Where the metadata is (RFC 8414 §3).
pub(crate) const METADATA: &str = "/.well-known/oauth-authorization-server";
/// The most bytes of a form: a token, an assertion and some parameters.
const MAX_FORM: usize = 64 * 1024;

/// A request for a token.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
pub(crate) struct TokenRequest {
    /// `client_credentials`.
    #[schema(example = "client_credentials")]
    grant_type: String,
    /// What the token shall be good for, with spaces in between; all that the client may if left out.
    #[schema(example = "products:write")]
    scope: Option<String>,
    /// The resource it is for (RFC 8707); this server if left out.
    resource: Option<String>,
    /// The client, where its secret is in the body.
    client_id: Option<String>,
    /// Its secret, where it is in the body.
    client_secret: Option<String>,
    /// With `private_key_jwt`: the signed statement.
    client_assertion: Option<String>,
    /// With `private_key_jwt`: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`.
    client_assertion_type: Option<String>,
}

/// A request about a token.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
pub(crate) struct AboutToken {
    /// The token.
    token: String,
    /// What kind of token it is thought to be; there is one kind.
    token_type_hint: Option<String>,
}

/// Get an access token
///
/// The client credentials grant (RFC 6749 §4.4). The client proves who it is by `Basic` in the `Authorization` header, by
/// its secret in the body, or by a signed statement, as it is registered. With a `DPoP` header (RFC 9449) the token is bound
/// to that key.
#[utoipa::path(
    post, path = "/oauth/token", operation_id = "getToken", tag = "access",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "`access_token`, `token_type`, `expires_in`, `scope`.", body = serde_json::Value))
)]
pub(crate) async fn token(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let asked = Form::of(&app, request).await?;
    Ok(answer(app.services.access.server.token(asked.asked()).await))
}

/// Is a token good
///
/// RFC 7662. `active` is false for a token that is not good, and for one that is neither the caller's nor meant for it.
#[utoipa::path(
    post, path = "/oauth/introspect", operation_id = "introspectToken", tag = "access",
    request_body(content = AboutToken, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "`active`, and what the token says.", body = serde_json::Value))
)]
pub(crate) async fn introspect(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let asked = Form::of(&app, request).await?;
    Ok(answer(app.services.access.server.introspect(asked.asked()).await))
}

/// Give a token up
///
/// RFC 7009. From then on no server takes it any more, the others within a second.
#[utoipa::path(
    post, path = "/oauth/revoke", operation_id = "revokeToken", tag = "access",
    request_body(content = AboutToken, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token is good no longer, or never was."))
)]
pub(crate) async fn revoke(State(app): State<SharedApp>, request: Request) -> Result<Response, Problem> {
    let asked = Form::of(&app, request).await?;
    Ok(answer(app.services.access.server.revoke(asked.asked()).await))
}

/// The keys that tokens are signed with
#[utoipa::path(
    get, path = "/oauth/jwks", operation_id = "getKeySet", tag = "access",
    responses((status = 200, description = "A JSON Web Key Set (RFC 7517).", body = serde_json::Value))
)]
pub(crate) async fn jwks(State(app): State<SharedApp>) -> Response {
    answer(app.services.access.server.jwks())
}

/// What the authorization server can do
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", operation_id = "getAuthorizationServer", tag = "access",
    responses((status = 200, description = "Its metadata (RFC 8414).", body = serde_json::Value))
)]
pub(crate) async fn metadata(State(app): State<SharedApp>) -> Response {
    answer(app.services.access.server.metadata())
}

/// A request, read.
struct Form {
    headers: http::HeaderMap,
    body: Bytes,
    address: std::net::IpAddr,
}

impl Form {
    async fn of(app: &SharedApp, request: Request) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let address = rate::address(app, &headers, request.extensions().get::<Peer>().copied());
        let body = body::read(request, MAX_FORM, app.options.request_timeout / 4 * 3).await;
        let body = body.inspect_err(|problem| {
            audit::note(Act::Refused { client: audit::UNKNOWN, why: problem.code().title() }, address);
        })?;
        Ok(Self { headers, body, address })
    }

    fn asked(&self) -> Asked<'_> {
        Asked { headers: &self.headers, body: &self.body, address: self.address }
    }
}

fn answer(response: http::Response<Bytes>) -> Response {
    response.map(Body::from)
}
