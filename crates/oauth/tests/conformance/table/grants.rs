//! Which grants there are, and who may use them.

use super::{INVALID_CLIENT, INVALID_REQUEST, Row, UNAUTHORIZED_CLIENT, UNSUPPORTED_GRANT, granted, refused};
use crate::request::{Endpoint, Request};
use crate::stage::Stage;

pub fn rows(stage: &Stage) -> Vec<Row> {
    let secret = stage.secret("basic");
    let bare = || Request::to(Endpoint::Token).basic("basic", secret);
    let grant = |name: &str| bare().with("grant_type", name);
    let of_another_kind = |name: &'static str, section: &'static str, grant_type: &str| {
        refused(name, section, grant(grant_type), UNSUPPORTED_GRANT)
    };
    let by = |client| stage.asked_by(client);
    vec![
        granted("client credentials", "RFC 6749 §4.4.2", grant("client_credentials")),
        refused("no grant_type", "RFC 6749 §4.4.2", bare(), INVALID_REQUEST).says("grant_type"),
        refused("an empty grant_type", "RFC 6749 §3.2", grant(""), INVALID_REQUEST),
        of_another_kind("authorization code", "RFC 6749 §4.1.3", "authorization_code"),
        of_another_kind("password", "RFC 6749 §4.3.2", "password"),
        of_another_kind("refresh token", "RFC 6749 §6", "refresh_token"),
        of_another_kind("implicit", "RFC 6749 §4.2", "implicit"),
        of_another_kind("device code", "RFC 8628 §3.4", "urn:ietf:params:oauth:grant-type:device_code"),
        of_another_kind("token exchange", "RFC 8693 §2.1", "urn:ietf:params:oauth:grant-type:token-exchange"),
        of_another_kind("JWT bearer as a grant", "RFC 7523 §2.1", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        of_another_kind("SAML bearer as a grant", "RFC 7522 §2.1", "urn:ietf:params:oauth:grant-type:saml2-bearer"),
        of_another_kind("a grant with other case", "RFC 6749 §4.4.2", "Client_Credentials"),
        of_another_kind("a grant with a space before it", "RFC 6749 §4.4.2", " client_credentials"),
        of_another_kind("a grant with a line end", "RFC 6749 §4.4.2", "client_credentials\n"),
        of_another_kind("two grants in one parameter", "RFC 6749 §4.4.2", "client_credentials password"),
        refused("a client without grants", "RFC 6749 §5.2", by("checker"), UNAUTHORIZED_CLIENT),
        refused("a disabled client", "RFC 6749 §5.2", by("off"), INVALID_CLIENT),
        refused(
            "a client is looked at before its grant",
            "RFC 6749 §3.2.1",
            Request::to(Endpoint::Token).with("grant_type", "password").basic("basic", "wrong"),
            INVALID_CLIENT,
        ),
        refused(
            "a client without grants, and a grant that there is not",
            "RFC 6749 §5.2",
            Request::to(Endpoint::Token).with("grant_type", "password").basic("checker", stage.secret("checker")),
            UNSUPPORTED_GRANT,
        ),
        granted(
            "parameters of other grants are ignored",
            "RFC 6749 §3.2",
            grant("client_credentials")
                .with("code", "x")
                .with("username", "u")
                .with("redirect_uri", "https://a.example/"),
        ),
    ]
}
