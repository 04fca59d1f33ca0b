//! What the server says of itself: its metadata (RFC 8414) and its key set (RFC 7517).

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::json;

use super::AuthorizationServer;
use crate::client::{AuthMethod, Grant};
use crate::jwks::ALGORITHMS;
use crate::scope::Scope;

impl AuthorizationServer {
    /// The answer of `/.well-known/oauth-authorization-server`.
    pub fn metadata(&self) -> Response<Bytes> {
        let issuer = &self.options.issuer;
        let methods = AuthMethod::ALL.map(AuthMethod::name);
        let algorithms = ALGORITHMS.map(|(name, _)| name);
        self.published(&json!({
            "issuer": issuer,
            "token_endpoint": format!("{issuer}/oauth/token"),
            "introspection_endpoint": format!("{issuer}/oauth/introspect"),
            "revocation_endpoint": format!("{issuer}/oauth/revoke"),
            "jwks_uri": format!("{issuer}/oauth/jwks"),
            "scopes_supported": Scope::ALL.map(Scope::name),
            "response_types_supported": [],
            "grant_types_supported": [Grant::ClientCredentials.name()],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "introspection_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "dpop_signing_alg_values_supported": algorithms,
            "service_documentation": format!("{issuer}/docs"),
        }))
    }

    /// The answer of `/oauth/jwks`.
    pub fn jwks(&self) -> Response<Bytes> {
        self.published(&self.directory.known().keys.jwks())
    }

    /// What others may keep for as long as a new key is announced before it signs.
    fn published(&self, body: &serde_json::Value) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(body.to_string()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let control = format!("public, max-age={}", self.options.keys.max_age.as_secs());
        if let Ok(control) = HeaderValue::try_from(control) {
            headers.insert(header::CACHE_CONTROL, control);
        }
        response
    }
}
