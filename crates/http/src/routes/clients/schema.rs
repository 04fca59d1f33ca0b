//! Clients as JSON.

use std::time::Duration;

use haat_catalog::Timestamp;
use haat_oauth::admin::{ClientDraft, ClientPatch, FieldError, KeysDraft, LastUses};
use haat_oauth::client::{AuthMethod, Client, ClientKeys, Grant};
use haat_oauth::scope::Scopes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// All clients.
#[derive(Serialize, ToSchema)]
pub(crate) struct Clients {
    pub data: Vec<ClientView>,
}

/// A client, as it is shown to those who may manage clients.
#[derive(Serialize, ToSchema)]
pub struct ClientView {
    /// Its `client_id`.
    id: String,
    /// What people call it.
    name: String,
    /// The most that its tokens may be used for.
    #[schema(value_type = Vec<String>, example = json!(["products:write"]))]
    scopes: Scopes,
    /// How it gets tokens: `client_credentials`, or not at all.
    #[schema(value_type = Vec<String>)]
    grants: Vec<Grant>,
    /// `client_secret_basic`, `client_secret_post` or `private_key_jwt`.
    #[schema(value_type = String)]
    auth_method: AuthMethod,
    /// The keys that it signs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks: Option<Value>,
    /// Where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<String>,
    /// How many seconds its tokens last; `null`: as long as the server says.
    token_lifetime: Option<u64>,
    /// The resources that it may ask tokens for besides this server.
    audiences: Vec<String>,
    /// Whether its tokens must be bound to a key (RFC 9449).
    dpop_bound: bool,
    /// Its rate-limit policy; `null`: the usual ones.
    policy: Option<String>,
    /// Whether it gets tokens, and those that it has are good.
    enabled: bool,
    /// Its secrets, the oldest first.
    secrets: Vec<SecretView>,
    /// The new secret, shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// How often it was changed.
    version: u64,
}

/// What is known of a secret.
#[derive(Serialize, ToSchema)]
pub struct SecretView {
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// From when on it is no longer good.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was last used, to about a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl ClientView {
    /// The client, and when its secrets were last used.
    pub fn of(client: &Client, uses: &LastUses) -> Self {
        let (jwks, jwks_uri) = match &client.keys {
            Some(ClientKeys::Jwks(set)) => (Some(json!(set)), None),
            Some(ClientKeys::JwksUri(url)) => (None, Some(url.to_string())),
            None => (None, None),
        };
        let secrets = client.secrets.iter().map(|secret| SecretView {
            created_at: secret.created_at,
            expires_at: secret.expires_at,
            last_used_at: uses.of(secret),
        });
        Self {
            id: client.id.to_string(),
            name: client.name.clone(),
            scopes: client.scopes,
            grants: client.grants.clone(),
            auth_method: client.auth_method,
            jwks,
            jwks_uri,
            token_lifetime: client.token_lifetime.map(|lifetime| lifetime.as_secs()),
            audiences: client.audiences.clone(),
            dpop_bound: client.dpop_bound,
            policy: client.policy.clone(),
            enabled: client.enabled,
            secrets: secrets.collect(),
            client_secret: None,
            created_at: client.created_at,
            updated_at: client.updated_at,
            version: client.version,
        }
    }

    /// With the new secret, which is shown this once; without if there is none.
    #[must_use]
    pub fn with_secret(self, secret: Option<&str>) -> Self {
        Self { client_secret: secret.map(str::to_owned), ..self }
    }
}

/// What a client shall be. To create one, `name` and `scopes` are needed; to change one, what is left out stays.
#[derive(Deserialize, ToSchema, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClientInput {
    /// Only when it is created; drawn if left out.
    id: Option<String>,
    name: Option<String>,
    #[schema(value_type = Option<Vec<String>>, example = json!(["products:write", "imports"]))]
    scopes: Option<Scopes>,
    #[schema(value_type = Option<Vec<String>>)]
    grants: Option<Vec<Grant>>,
    /// Only when it is created.
    #[schema(value_type = Option<String>)]
    auth_method: Option<AuthMethod>,
    jwks: Option<Value>,
    jwks_uri: Option<String>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    token_lifetime: Option<Option<u64>>,
    audiences: Option<Vec<String>>,
    dpop_bound: Option<bool>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    policy: Option<Option<String>>,
    /// Only when it is changed.
    enabled: Option<bool>,
}

/// How a secret is rotated.
#[derive(Deserialize, ToSchema, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rotation {
    /// How long the newest of the old secrets stays good; 0 ends it at once, left out it stays.
    #[schema(maximum = 31_536_000)]
    keep_seconds: Option<u64>,
}

/// `null` is something else than nothing.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A new client.
pub(crate) fn draft(json: Value) -> Result<ClientDraft, Vec<FieldError>> {
    let input: ClientInput = read(json)?;
    if input.enabled.is_some() {
        return Err(fault("enabled", "a new client is enabled; change it afterwards"));
    }
    let usual = ClientDraft::default();
    Ok(ClientDraft {
        id: input.id.clone(),
        name: input.name.clone().unwrap_or_default(),
        scopes: input.scopes.unwrap_or_default(),
        auth_method: input.auth_method.unwrap_or(usual.auth_method),
        keys: input.keys()?,
        token_lifetime: input.token_lifetime.flatten().map(Duration::from_secs),
        audiences: input.audiences.clone().unwrap_or_default(),
        dpop_bound: input.dpop_bound.unwrap_or_default(),
        policy: input.policy.clone().flatten(),
        grants: input.grants.unwrap_or(usual.grants),
    })
}

/// A change of a client.
pub(crate) fn patch(json: Value) -> Result<ClientPatch, Vec<FieldError>> {
    let input: ClientInput = read(json)?;
    if input.id.is_some() {
        return Err(fault("id", "a client's id stays; create another client"));
    }
    if input.auth_method.is_some() {
        return Err(fault("auth_method", "how a client authenticates stays; create another client"));
    }
    Ok(ClientPatch {
        keys: input.keys()?,
        name: input.name,
        scopes: input.scopes,
        grants: input.grants,
        token_lifetime: input.token_lifetime.map(|lifetime| lifetime.map(Duration::from_secs)),
        audiences: input.audiences,
        dpop_bound: input.dpop_bound,
        policy: input.policy,
        enabled: input.enabled,
    })
}

/// How long old secrets stay.
pub(crate) fn rotation(json: Value) -> Result<Option<Duration>, Vec<FieldError>> {
    let rotation: Rotation = read(json)?;
    Ok(rotation.keep_seconds.map(Duration::from_secs))
}

impl ClientInput {
    fn keys(&self) -> Result<Option<KeysDraft>, Vec<FieldError>> {
        match (&self.jwks, &self.jwks_uri) {
            (Some(_), Some(_)) => Err(fault("jwks_uri", "give either the keys or where they are")),
            (Some(set), None) => Ok(Some(KeysDraft::Jwks(set.clone()))),
            (None, Some(url)) => Ok(Some(KeysDraft::JwksUri(url.clone()))),
            (None, None) => Ok(None),
        }
    }
}

fn fault(field: &'static str, detail: &str) -> Vec<FieldError> {
    vec![FieldError { field, detail: detail.to_owned() }]
}

/// Members one by one, so that a fault is told at its name.
fn read<T: for<'de> Deserialize<'de>>(json: Value) -> Result<T, Vec<FieldError>> {
    if !json.is_object() {
        return Err(fault("", "must be a JSON object"));
    }
    serde_path_to_error::deserialize(json).map_err(|e| {
        let path = e.path().to_string();
        let field = FIELDS.into_iter().find(|field| path.split(['.', '[']).next() == Some(field));
        fault(field.unwrap_or_default(), &e.into_inner().to_string())
    })
}

/// Every member of an input.
const FIELDS: [&str; 13] = [
    "id",
    "name",
    "scopes",
    "grants",
    "auth_method",
    "jwks",
    "jwks_uri",
    "token_lifetime",
    "audiences",
    "dpop_bound",
    "policy",
    "enabled",
    "keep_seconds",
];
