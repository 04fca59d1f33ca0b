//! How a source is shown who asks: a header field, a user with a password, or an access token by client credentials. The
//! first two are put on every call here; the token is fetched and put on by whoever sends the calls.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::settings::{Secret, SettingError};

/// Header fields that belong to the connection or the client: nobody else sets them.
const RESERVED: [&str; 8] =
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "accept-encoding"];

/// Access as it is written: `type` says of which kind, the others belong to one kind each.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { type = \"header\", … }")]
pub struct AuthSettings {
    r#type: AuthType,
    /// `header`: the name of the field.
    name: Option<String>,
    /// `header`: its value, all of it.
    value: Option<Secret>,
    /// `basic`: the user.
    username: Option<String>,
    /// `basic`: the password.
    password: Option<Secret>,
    /// `oauth2`: the token endpoint.
    token_url: Option<String>,
    /// `oauth2`: the client.
    client_id: Option<String>,
    /// `oauth2`: its secret, but for `private_key_jwt`.
    client_secret: Option<Secret>,
    /// `oauth2`: how the client shows who it is.
    method: Option<ClientMethod>,
    /// `private_key_jwt`: the key, PKCS#8 in PEM.
    private_key: Option<Secret>,
    /// `private_key_jwt`: what the key is called (`kid`).
    key_id: Option<String>,
    /// `private_key_jwt`: how it signs, to be sure that the key is of that kind.
    algorithm: Option<KeyAlgorithm>,
    /// `private_key_jwt`: for whom the assertion is (`aud`); the token endpoint, if it is not said.
    assertion_audience: Option<String>,
    /// `oauth2`: what the token shall allow.
    scopes: Option<Vec<String>>,
    /// `oauth2`: for whom it is, where the provider wants a parameter `audience`.
    audience: Option<String>,
    /// `oauth2`: for what it is (RFC 8707).
    resource: Option<String>,
}

/// Kinds of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AuthType {
    #[default]
    None,
    Header,
    Basic,
    Oauth2,
}

/// How a client shows a token endpoint who it is (OpenID Connect Core §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMethod {
    /// Id and secret in the `Authorization` field (RFC 6749 §2.3.1).
    #[default]
    ClientSecretBasic,
    /// Id and secret in the body (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// A signed assertion (RFC 7523).
    PrivateKeyJwt,
}

/// How an assertion is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeyAlgorithm {
    /// Ed25519.
    EdDSA,
    /// ECDSA on P-256.
    ES256,
    /// RSA PKCS#1 with SHA-256.
    RS256,
}

impl KeyAlgorithm {
    /// Its name (RFC 7518 §3.1, RFC 8037 §3.1).
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDSA => "EdDSA",
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
        }
    }
}

/// By what a client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCredential {
    /// A secret, in the `Authorization` field.
    SecretBasic(Secret),
    /// A secret, in the body.
    SecretPost(Secret),
    /// A private key.
    PrivateKey {
        /// PKCS#8 in PEM.
        key: Secret,
        /// How it has to sign; `None` for as it can.
        algorithm: Option<KeyAlgorithm>,
        /// What it is called.
        key_id: Option<String>,
        /// For whom its assertions are; `None` for the token endpoint.
        audience: Option<String>,
    },
}

/// From where and for what an access token is fetched by client credentials (RFC 6749 §4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// The token endpoint.
    pub token_url: Url,
    /// The client.
    pub client_id: String,
    /// By what it shows who it is.
    pub credential: ClientCredential,
    /// What the token shall allow.
    pub scopes: Vec<String>,
    /// The parameter `audience`.
    pub audience: Option<String>,
    /// The parameter `resource` (RFC 8707).
    pub resource: Option<String>,
}

/// How a source is shown who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// By a header field, put on every call by the connector.
    Header(HeaderName, HeaderValue),
    /// By an access token, put on every call by whoever sends it.
    OAuth2(Box<OAuth2>),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Header(name, _) => write!(f, "Header({name}, (hidden))"),
            Self::OAuth2(oauth2) => oauth2.fmt(f),
        }
    }
}

impl AuthSettings {
    /// The access that is meant. `key` is where the settings stand.
    ///
    /// # Errors
    /// When something is missing, or belongs to another kind.
    pub fn meaning(&self, key: &str) -> Result<Auth, SettingError> {
        let at = |name: &str| format!("{key}.{name}");
        self.belongs(key)?;
        match self.r#type {
            AuthType::None => Ok(Auth::None),
            AuthType::Header => {
                let name = header_name(&at("name"), needed(&self.name, at("name"))?)?;
                Ok(Auth::Header(name, sensitive(&at("value"), needed(&self.value, at("value"))?.reveal())?))
            }
            AuthType::Basic => {
                let user = needed(&self.username, at("username"))?;
                if user.contains(':') {
                    // RFC 7617 §2.
                    return Err(SettingError::new(at("username"), "holds a colon, which a user cannot"));
                }
                let pair = format!("{user}:{}", needed(&self.password, at("password"))?.reveal());
                let value = sensitive(&at("password"), &format!("Basic {}", STANDARD.encode(pair)))?;
                Ok(Auth::Header(AUTHORIZATION, value))
            }
            AuthType::Oauth2 => Ok(Auth::OAuth2(Box::new(OAuth2 {
                token_url: token_url(&at("token_url"), needed(&self.token_url, at("token_url"))?)?,
                client_id: needed(&self.client_id, at("client_id"))?.clone(),
                credential: self.credential(key)?,
                scopes: self.scopes.clone().unwrap_or_default(),
                audience: self.audience.clone(),
                resource: self.resource.clone(),
            }))),
        }
    }

    /// That nothing is set which the kind does not use: it was meant to do something.
    fn belongs(&self, key: &str) -> Result<(), SettingError> {
        use AuthType::{Basic, Header, Oauth2};
        let set = [
            ("name", self.name.is_some(), Header, "header"),
            ("value", self.value.is_some(), Header, "header"),
            ("username", self.username.is_some(), Basic, "basic"),
            ("password", self.password.is_some(), Basic, "basic"),
            ("token_url", self.token_url.is_some(), Oauth2, "oauth2"),
            ("client_id", self.client_id.is_some(), Oauth2, "oauth2"),
            ("client_secret", self.client_secret.is_some(), Oauth2, "oauth2"),
            ("method", self.method.is_some(), Oauth2, "oauth2"),
            ("private_key", self.private_key.is_some(), Oauth2, "oauth2"),
            ("key_id", self.key_id.is_some(), Oauth2, "oauth2"),
            ("algorithm", self.algorithm.is_some(), Oauth2, "oauth2"),
            ("assertion_audience", self.assertion_audience.is_some(), Oauth2, "oauth2"),
            ("scopes", self.scopes.is_some(), Oauth2, "oauth2"),
            ("audience", self.audience.is_some(), Oauth2, "oauth2"),
            ("resource", self.resource.is_some(), Oauth2, "oauth2"),
        ];
        match set.into_iter().find(|(_, is_set, of, _)| *is_set && *of != self.r#type) {
            None => Ok(()),
            Some((name, _, _, of)) => {
                let detail = format!("belongs to type = \"{of}\"; set that type, or leave it out");
                Err(SettingError::new(format!("{key}.{name}"), detail))
            }
        }
    }

    fn credential(&self, key: &str) -> Result<ClientCredential, SettingError> {
        let at = |name: &str| format!("{key}.{name}");
        let secret = || needed(&self.client_secret, at("client_secret")).cloned();
        let of_keys = [
            ("private_key", self.private_key.is_some()),
            ("key_id", self.key_id.is_some()),
            ("algorithm", self.algorithm.is_some()),
            ("assertion_audience", self.assertion_audience.is_some()),
        ];
        let of_keys = of_keys.into_iter().find(|(_, is_set)| *is_set);
        match (self.method.unwrap_or_default(), of_keys) {
            (ClientMethod::PrivateKeyJwt, _) if self.assertion_audience.as_deref() == Some("") => Err(
                SettingError::new(at("assertion_audience"), "is empty; write the provider's issuer, or leave it out"),
            ),
            (ClientMethod::PrivateKeyJwt, _) if self.client_secret.is_some() => {
                Err(SettingError::new(at("client_secret"), "is not used where there is a `private_key`; leave it out"))
            }
            (ClientMethod::PrivateKeyJwt, _) => Ok(ClientCredential::PrivateKey {
                key: needed(&self.private_key, at("private_key"))?.clone(),
                algorithm: self.algorithm,
                key_id: self.key_id.clone(),
                audience: self.assertion_audience.clone(),
            }),
            (_, Some((name, _))) => {
                let detail = format!("has to be \"private_key_jwt\" where there is `{name}`");
                Err(SettingError::new(at("method"), detail))
            }
            (ClientMethod::ClientSecretBasic, None) => secret().map(ClientCredential::SecretBasic),
            (ClientMethod::ClientSecretPost, None) => secret().map(ClientCredential::SecretPost),
        }
    }
}

impl Auth {
    /// Puts what is known before any call on the fields of all calls.
    pub fn put_on(&self, headers: &mut HeaderMap) {
        if let Self::Header(name, value) = self {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// How an access token is fetched, if calls need one.
    pub fn into_oauth2(self) -> Option<OAuth2> {
        match self {
            Self::OAuth2(oauth2) => Some(*oauth2),
            _ => None,
        }
    }
}

/// A token endpoint.
///
/// # Errors
/// When it is no URL of the web, or holds credentials.
pub fn token_url(key: &str, text: &str) -> Result<Url, SettingError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url =
        url.ok_or_else(|| SettingError::new(key, "is no URL: write one such as \"https://login.example.com/token\""))?;
    match url.username().is_empty() && url.password().is_none() {
        true => Ok(url),
        false => Err(SettingError::new(key, "holds a user or a password; write `client_id` and `client_secret`")),
    }
}

/// The name of a header field that may be set.
///
/// # Errors
/// When there can be none of that name, or it is not for others to set.
pub fn header_name(key: &str, text: &str) -> Result<HeaderName, SettingError> {
    let name: HeaderName = text.parse().map_err(|_| SettingError::new(key, "is no name of a header field"))?;
    match RESERVED.contains(&name.as_str()) {
        true => Err(SettingError::new(key, format!("'{name}' is set by the client itself"))),
        false => Ok(name),
    }
}

/// The value of a header field, marked so that nobody prints or indexes it.
///
/// # Errors
/// When no field can have it.
pub fn sensitive(key: &str, text: &str) -> Result<HeaderValue, SettingError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| SettingError::new(key, "has a character that no header field can have"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn needed<T>(value: &Option<T>, key: String) -> Result<&T, SettingError> {
    value.as_ref().ok_or_else(|| SettingError::new(key, "is missing; it has to be set"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::settings::read;
    use super::*;

    fn auth(settings: Value) -> Result<Auth, SettingError> {
        let Value::Object(table) = settings else { panic!("no table") };
        read::<AuthSettings>(table)?.meaning("auth")
    }

    #[test]
    fn static_credentials_are_put_on_calls_and_are_marked_as_secret() {
        for (settings, name, value) in [
            (json!({"type": "header", "name": "X-Api-Key", "value": "s3cret"}), "x-api-key", "s3cret"),
            // RFC 7617 §2.
            (
                json!({"type": "basic", "username": "Aladdin", "password": "open sesame"}),
                "authorization",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
        ] {
            let auth = auth(settings).unwrap();
            let mut headers = HeaderMap::new();
            auth.put_on(&mut headers);
            assert_eq!(headers[name], value);
            assert!(headers[name].is_sensitive());
            assert!(!format!("{auth:?} {headers:?}").contains(value));
        }
    }

    #[test]
    fn a_token_is_described_with_all_that_it_depends_on() {
        let settings = json!({"type": "oauth2", "token_url": "https://login.example/token", "client_id": "haat",
            "client_secret": "s3cret", "method": "client_secret_post", "scopes": ["a", "b"], "audience": "x", "resource": "y"});
        let oauth2 = auth(settings).unwrap().into_oauth2().unwrap();
        assert_eq!(oauth2.credential, ClientCredential::SecretPost(Secret::new("s3cret")));
        assert_eq!(
            (oauth2.scopes.len(), oauth2.audience.as_deref(), oauth2.resource.as_deref()),
            (2, Some("x"), Some("y"))
        );
        assert!(!format!("{oauth2:?}").contains("s3cret"));
        let key = json!({"type": "oauth2", "token_url": "https://login.example/token", "client_id": "haat",
            "method": "private_key_jwt", "private_key": "PEM", "algorithm": "ES256", "key_id": "k",
            "assertion_audience": "https://login.example"});
        let ClientCredential::PrivateKey { algorithm, audience, .. } =
            auth(key).unwrap().into_oauth2().unwrap().credential
        else {
            panic!("no key")
        };
        assert_eq!((algorithm, audience.as_deref()), (Some(KeyAlgorithm::ES256), Some("https://login.example")));
    }

    #[rstest]
    #[case(json!({"type": "header", "name": "X"}), "auth.value")]
    #[case(json!({"type": "header", "name": "a b", "value": "x"}), "auth.name")]
    #[case(json!({"type": "header", "name": "Host", "value": "x"}), "auth.name")]
    #[case(json!({"type": "header", "name": "X", "value": "a\nb"}), "auth.value")]
    #[case(json!({"type": "basic", "username": "a:b", "password": "x"}), "auth.username")]
    #[case(json!({"type": "basic", "username": "a", "password": "x", "client_id": "b"}), "auth.client_id")]
    #[case(json!({"username": "a", "password": "x"}), "auth.username")]
    #[case(json!({"type": "oauth2", "token_url": "login", "client_id": "a", "client_secret": "x"}), "auth.token_url")]
    #[case(json!({"type": "oauth2", "token_url": "https://u:p@x.example", "client_id": "a", "client_secret": "x"}), "auth.token_url")]
    #[case(json!({"type": "oauth2", "token_url": "https://x.example", "client_id": "a"}), "auth.client_secret")]
    #[case(json!({"type": "oauth2", "token_url": "https://x.example", "client_id": "a", "method": "private_key_jwt"}), "auth.private_key")]
    #[case(json!({"type": "oauth2", "token_url": "https://x.example", "client_id": "a", "private_key": "x"}), "auth.method")]
    #[case(json!({"type": "oauth2", "token_url": "https://x.example", "client_id": "a", "client_secret": "x", "assertion_audience": "y"}), "auth.method")]
    #[case(json!({"type": "oauth2", "token_url": "https://x.example", "client_id": "a", "method": "private_key_jwt", "private_key": "x", "assertion_audience": ""}), "auth.assertion_audience")]
    #[case(json!({"type": "basic", "username": "a", "password": "x", "assertion_audience": "y"}), "auth.assertion_audience")]
    fn mistakes_are_named(#[case] settings: Value, #[case] key: &str) {
        let error = auth(settings).unwrap_err();
        assert_eq!(error.key, key, "{error}");
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        for settings in [
            json!({"type": "header", "name": {"s3cret": 1}, "value": "x"}),
            json!({"type": "s3cret"}),
            json!({"type": "header", "name": ["s3cret"]}),
            json!({"password": 5}),
        ] {
            let shown = auth(settings).unwrap_err().to_string();
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}
