//! A client as people write it in Rust, with the crate `oauth2`: gets tokens from Haat by client credentials, with the
//! secret in the header and in the body, and writes a product with them.
//!
//!   haat-interop-oauth2 URL BASIC_ID BASIC_SECRET POST_ID POST_SECRET

use oauth2::basic::{BasicClient, BasicErrorResponseType, BasicTokenType};
use oauth2::reqwest::blocking::Client as Http;
use oauth2::reqwest::redirect;
use oauth2::{AuthType, ClientId, ClientSecret, RequestTokenError, Scope, TokenResponse, TokenUrl};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, basic_id, basic_secret, post_id, post_secret] = &arguments[..] else {
        return Err("usage: haat-interop-oauth2 URL BASIC_ID BASIC_SECRET POST_ID POST_SECRET".into());
    };
    // As the crate's documentation asks: a token endpoint is not to send its clients elsewhere.
    let http = Http::builder().redirect(redirect::Policy::none()).build()?;
    uses_a_token(&http, url, basic_id, basic_secret, AuthType::BasicAuth, "RS-1")?;
    uses_a_token(&http, url, post_id, post_secret, AuthType::RequestBody, "RS-2")?;
    is_told_what_is_wrong(&http, url, basic_id)
}

fn uses_a_token(http: &Http, url: &str, id: &str, secret: &str, how: AuthType, sku: &str) -> Result<(), Failure> {
    let client = BasicClient::new(ClientId::new(id.to_owned()))
        .set_client_secret(ClientSecret::new(secret.to_owned()))
        .set_token_uri(TokenUrl::new(format!("{url}/oauth/token"))?)
        .set_auth_type(how.clone());
    let scope = Scope::new("products:write".to_owned());
    let token = client.exchange_client_credentials().add_scope(scope).request(http)?;
    assert_eq!(*token.token_type(), BasicTokenType::Bearer);
    assert!(token.expires_in().is_some_and(|lifetime| !lifetime.is_zero()));
    assert!(token.refresh_token().is_none(), "RFC 6749 §4.4.3: no refresh token");

    let product = r#"{"name":"Written from Rust","price":{"amount":100,"currency":"INR"}}"#;
    let written = http
        .put(format!("{url}/v1/products/{sku}"))
        .bearer_auth(token.access_token().secret())
        .header("content-type", "application/json")
        .body(product)
        .send()?;
    assert_eq!(written.status().as_u16(), 201, "{}", written.text()?);
    println!("ok: {how:?}");
    Ok(())
}

fn is_told_what_is_wrong(http: &Http, url: &str, id: &str) -> Result<(), Failure> {
    let client = BasicClient::new(ClientId::new(id.to_owned()))
        .set_client_secret(ClientSecret::new("wrong".to_owned()))
        .set_token_uri(TokenUrl::new(format!("{url}/oauth/token"))?);
    let Err(RequestTokenError::ServerResponse(refused)) = client.exchange_client_credentials().request(http) else {
        return Err("a wrong secret is not refused as the crate expects it".into());
    };
    assert_eq!(*refused.error(), BasicErrorResponseType::InvalidClient);
    println!("ok: a refusal");
    Ok(())
}
