//! What a client shall be, before it is one: checked field by field, all faults told at once.

use std::fmt::{self, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haat_catalog::Timestamp;
use url::Url;

use crate::client::{AuthMethod, Client, ClientKeys, Grant};
use crate::jwks::{KeySet, check_source};
use crate::keys::KeyTimes;
use crate::scope::Scopes;
use crate::vault::random;

/// What the configuration says of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How long keys are needed; no token lasts longer than the longest there.
    pub keys: KeyTimes,
    /// The rate-limit policies that a client may be given.
    pub policies: Vec<String>,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Its name, as in JSON.
    pub field: &'static str,
    /// What is wrong, and what to do.
    pub detail: String,
}

/// The keys of a client that signs, as they are sent.
#[derive(Clone, PartialEq)]
pub enum KeysDraft {
    /// A key set.
    Jwks(serde_json::Value),
    /// Where one is.
    JwksUri(String),
}

impl fmt::Debug for KeysDraft {
    /// The kind alone: nobody has looked yet whether private keys are among them, or a password in the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jwks(_) => "Jwks(…)",
            Self::JwksUri(_) => "JwksUri(…)",
        })
    }
}

/// A client to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientDraft {
    /// Its id; drawn if `None`.
    pub id: Option<String>,
    /// What people call it.
    pub name: String,
    /// The most that its tokens may be used for.
    pub scopes: Scopes,
    /// How it gets tokens.
    pub grants: Vec<Grant>,
    /// How it proves who it is.
    pub auth_method: AuthMethod,
    /// The keys that it signs with.
    pub keys: Option<KeysDraft>,
    /// How long its tokens last.
    pub token_lifetime: Option<Duration>,
    /// The resources that it may ask tokens for; of one that gets no tokens, those that it is.
    pub audiences: Vec<String>,
    /// Whether its tokens must be bound to a key.
    pub dpop_bound: bool,
    /// Its rate-limit policy.
    pub policy: Option<String>,
}

/// A change: what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientPatch {
    /// What people call it.
    pub name: Option<String>,
    /// The most that its tokens may be used for.
    pub scopes: Option<Scopes>,
    /// How it gets tokens.
    pub grants: Option<Vec<Grant>>,
    /// The keys that it signs with.
    pub keys: Option<KeysDraft>,
    /// How long its tokens last; `Some(None)`: the server's setting.
    pub token_lifetime: Option<Option<Duration>>,
    /// The resources that it may ask tokens for.
    pub audiences: Option<Vec<String>>,
    /// Whether its tokens must be bound to a key.
    pub dpop_bound: Option<bool>,
    /// Its rate-limit policy; `Some(None)`: the usual ones.
    pub policy: Option<Option<String>>,
    /// Whether it gets tokens, and those that it has are good.
    pub enabled: Option<bool>,
}

impl ClientPatch {
    /// The members that it changes, for the audit log: their names, and what the client may do from now on.
    pub(super) fn members(&self) -> String {
        let name = |name: &str, is: bool| is.then(|| name.to_owned());
        let members = [
            name("name", self.name.is_some()),
            self.scopes.map(|scopes| format!("scopes={}", scopes.to_string().replace(' ', ","))),
            name("grants", self.grants.is_some()),
            name("keys", self.keys.is_some()),
            name("token_lifetime", self.token_lifetime.is_some()),
            name("audiences", self.audiences.is_some()),
            name("dpop_bound", self.dpop_bound.is_some()),
            name("policy", self.policy.is_some()),
            self.enabled.map(|enabled| format!("enabled={enabled}")),
        ];
        members.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Whether it only takes the client its rights.
    fn only_disables(&self) -> bool {
        *self == Self { enabled: Some(false), ..Self::default() }
    }
}

/// The longest id, name and audience.
const MAX_CHARS: (usize, usize, usize) = (64, 100, 255);
/// The most audiences.
const MAX_AUDIENCES: usize = 16;

impl ClientDraft {
    /// The client, without a secret.
    pub(super) fn check(self, rules: &Rules, now: Timestamp) -> Result<Client, Vec<FieldError>> {
        let mut faults = Faults::default();
        let id = self.id.unwrap_or_else(|| match random::<12>() {
            Ok(bytes) => format!("client-{}", URL_SAFE_NO_PAD.encode(bytes)),
            Err(_) => String::new(),
        });
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty() || id.len() > MAX_CHARS.0 || !id.chars().all(plain) {
            faults.add("id", format!("must be 1 to {} of letters, digits, '-', '_' and '.'", MAX_CHARS.0));
        }
        let client = Client {
            id: id.into(),
            name: self.name,
            scopes: self.scopes,
            grants: self.grants,
            auth_method: self.auth_method,
            keys: self.keys.and_then(|keys| faults.keys(keys)),
            secrets: Vec::new(),
            token_lifetime: self.token_lifetime,
            audiences: self.audiences,
            dpop_bound: self.dpop_bound,
            policy: self.policy,
            enabled: true,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        faults.of(client, rules)
    }
}

impl ClientPatch {
    /// The client with the change.
    pub(super) fn apply(self, mut client: Client, rules: &Rules, now: Timestamp) -> Result<Client, Vec<FieldError>> {
        if self.only_disables() {
            // Whatever a newer rule finds wrong with it must not keep anybody from stopping it.
            client.enabled = false;
            client.changed(now);
            return Ok(client);
        }
        let mut faults = Faults::default();
        if let Some(keys) = self.keys {
            client.keys = faults.keys(keys).or(client.keys);
        }
        client.name = self.name.unwrap_or(client.name);
        client.scopes = self.scopes.unwrap_or(client.scopes);
        client.grants = self.grants.unwrap_or(client.grants);
        client.token_lifetime = self.token_lifetime.unwrap_or(client.token_lifetime);
        client.audiences = self.audiences.unwrap_or(client.audiences);
        client.dpop_bound = self.dpop_bound.unwrap_or(client.dpop_bound);
        client.policy = self.policy.unwrap_or(client.policy);
        client.enabled = self.enabled.unwrap_or(client.enabled);
        client.changed(now);
        faults.of(client, rules)
    }
}

#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, field: &'static str, detail: impl Into<String>) {
        self.0.push(FieldError { field, detail: detail.into() });
    }

    fn keys(&mut self, keys: KeysDraft) -> Option<ClientKeys> {
        match keys {
            KeysDraft::Jwks(json) => match KeySet::register(&json) {
                Ok(set) => return Some(ClientKeys::Jwks(set)),
                Err(error) => self.add("jwks", error.to_string()),
            },
            KeysDraft::JwksUri(text) => match Url::parse(&text) {
                Ok(url) => match check_source(&url) {
                    Ok(()) => return Some(ClientKeys::JwksUri(url)),
                    Err(error) => self.add("jwks_uri", error),
                },
                Err(_) => self.add("jwks_uri", "must be a URL with https"),
            },
        }
        None
    }

    /// The client, if nothing is wrong with it.
    fn of(mut self, client: Client, rules: &Rules) -> Result<Client, Vec<FieldError>> {
        let chars = client.name.chars().count();
        if client.name.trim().is_empty() || chars > MAX_CHARS.1 || client.name.chars().any(char::is_control) {
            self.add("name", format!("must have 1 to {} characters, without control characters", MAX_CHARS.1));
        }
        let signs = client.auth_method == AuthMethod::PrivateKeyJwt;
        if signs && client.keys.is_none() && !self.0.iter().any(|fault| fault.field.starts_with("jwks")) {
            self.add("jwks", "private_key_jwt needs the client's public keys: jwks or jwks_uri");
        }
        if !signs && client.keys.is_some() {
            self.add("jwks", format!("{} uses a secret and no keys", client.auth_method));
        }
        if !client.grants.is_empty() && client.scopes.is_empty() {
            self.add("scopes", "a client that gets tokens needs at least one scope");
        }
        let longest = rules.keys.longest_token;
        if client.token_lifetime.is_some_and(|lifetime| lifetime < Duration::from_secs(1) || lifetime > longest) {
            let detail = format!("must be from 1 to {} s (auth.max_token_lifetime)", longest.as_secs());
            self.add("token_lifetime", detail);
        }
        let is_resource =
            |text: &String| text.len() <= MAX_CHARS.2 && Url::parse(text).is_ok_and(|url| url.fragment().is_none());
        if client.audiences.len() > MAX_AUDIENCES || !client.audiences.iter().all(is_resource) {
            let detail = format!("must be at most {MAX_AUDIENCES} absolute URIs without a fragment (RFC 8707)");
            self.add("audiences", detail);
        }
        if client.grants.is_empty() && client.audiences.is_empty() {
            self.add(
                "audiences",
                "a client that gets no tokens asks about those for the resources that it is: name one",
            );
        }
        if let Some(policy) = client.policy.as_ref().filter(|policy| !rules.policies.contains(policy)) {
            let known = rules.policies.join(", ");
            let known = if known.is_empty() { "none is configured".to_owned() } else { format!("there are {known}") };
            self.add("policy", format!("'{policy}' is no rate-limit policy for single clients: {known}"));
        }
        if self.0.is_empty() { Ok(client) } else { Err(self.0) }
    }
}

/// All faults in one line.
pub(super) fn in_words(faults: &[FieldError]) -> String {
    let mut text = String::new();
    for (i, fault) in faults.iter().enumerate() {
        let between = if i > 0 { "; " } else { "" };
        // Writing to memory does not fail.
        let _ = write!(text, "{between}{}: {}", fault.field, fault.detail);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_that_a_newer_rule_does_not_like_can_still_be_disabled() {
        let keys = KeyTimes { max_age: Duration::ZERO, longest_token: Duration::from_secs(60), rotate_every: None };
        let (now, today) = (Timestamp::from_millis(0), |policies| Rules { keys, policies });
        let draft = ClientDraft {
            name: "n".into(),
            scopes: Scopes::all(),
            policy: Some("gone".into()),
            ..ClientDraft::default()
        };
        let client = draft.check(&today(vec!["gone".into()]), now).unwrap();
        let patch = |enabled| ClientPatch { enabled: Some(enabled), ..ClientPatch::default() };
        assert!(patch(true).apply(client.clone(), &today(Vec::new()), now).is_err(), "the rule is a rule");
        let disabled = patch(false).apply(client.clone(), &today(Vec::new()), now).unwrap();
        assert_eq!(disabled, Client { enabled: false, version: 2, ..client });
    }

    #[test]
    fn the_log_is_told_what_a_client_may_do_from_now_on() {
        let scopes = Some(Scopes::all());
        let patch = ClientPatch { name: Some("n".into()), scopes, enabled: Some(false), ..ClientPatch::default() };
        let members = patch.members();
        assert!(members.starts_with("name scopes=products:read,") && members.ends_with(" enabled=false"), "{members}");
    }

    #[test]
    fn no_private_key_and_no_password_is_in_what_debugging_shows() {
        let private = KeysDraft::Jwks(json!({"keys": [{"kty": "OKP", "d": "private"}]}));
        let address = KeysDraft::JwksUri("https://user:private@client.example/".into());
        for keys in [private, address] {
            let draft = ClientDraft { keys: Some(keys.clone()), ..ClientDraft::default() };
            let patch = ClientPatch { keys: Some(keys), ..ClientPatch::default() };
            let shown = format!("{draft:?} {patch:?}");
            assert!(shown.contains("Jwks") && !shown.contains("private"), "{shown}");
        }
    }
}
