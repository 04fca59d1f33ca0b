//! Making, changing and revoking clients; rotating their secrets and the server's keys. The command line and the API call
//! the same.

mod draft;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use haat_catalog::ports::StoreError;
use haat_catalog::{Clock, Timestamp};

pub use draft::{ClientDraft, ClientPatch, FieldError, KeysDraft, Rules};

use crate::audit::{self, By};
use crate::client::{AuthMethod, Client, ClientSecret, Grant, MAX_SECRETS};
use crate::keys::{CLOCK_SKEW, KeyRing, KeyTimes, SigningKey};
use crate::ports::{AuthStore, PutClientError};
use crate::scope::Scopes;
use crate::vault::{SecretHash, Unsealable, Vault, generate_secret};

/// The id of the client that is made at first start.
pub const ADMINISTRATOR: &str = "administrator";
/// The longest that an old secret can be told to stay beside a new one.
const LONGEST_KEEP: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How long the last use of a secret is kept that no client has any more.
const USES_KEPT: Duration = Duration::from_secs(400 * 24 * 3_600);

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// What was asked for makes no sense.
    #[error("{}", draft::in_words(.0))]
    Invalid(Vec<FieldError>),
    /// There is no such client.
    #[error("there is no client '{0}'")]
    NotFound(String),
    /// There is one of that id already.
    #[error("there is a client '{0}' already")]
    Exists(String),
    /// Somebody else changed it at the same time.
    #[error("somebody else changed the client '{0}' at the same time; look at it and try again")]
    Conflict(String),
    /// The client signs with keys of its own.
    #[error("the client '{0}' has no secrets: it signs with its own keys (private_key_jwt)")]
    NoSecrets(String),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The encryption key is another one, or the system has no randomness to give.
    #[error("keys and secrets cannot be made or opened: {0}")]
    Vault(#[from] Unsealable),
}

/// When secrets were last used, of those that ever were.
#[derive(Default)]
pub struct LastUses(HashMap<SecretHash, Timestamp>);

impl fmt::Debug for LastUses {
    /// How many there are: each is the hash of a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LastUses({})", self.0.len())
    }
}

impl LastUses {
    /// When a secret was; `None` if it never was.
    pub fn of(&self, secret: &ClientSecret) -> Option<Timestamp> {
        self.0.get(&secret.hash).copied()
    }
}

/// A client and the secret that is shown this once.
#[derive(Clone, PartialEq)]
pub struct Made {
    /// The client.
    pub client: Client,
    /// Its new secret, if it has secrets.
    pub secret: Option<String>,
}

impl fmt::Debug for Made {
    /// All but the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.secret.as_ref().map(|_| "…");
        f.debug_struct("Made").field("client", &self.client).field("secret", &secret).finish()
    }
}

/// Commands about clients and keys.
#[derive(Clone)]
pub struct Admin {
    store: Arc<dyn AuthStore>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    rules: Arc<Rules>,
}

impl Admin {
    /// Commands on this store. Whoever serves refreshes its [`crate::directory::Directory`] after each.
    pub fn new(store: Arc<dyn AuthStore>, vault: Arc<Vault>, clock: Arc<dyn Clock>, rules: Rules) -> Self {
        Self { store, vault, clock, rules: Arc::new(rules) }
    }

    /// All clients, in order of id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self) -> Result<Vec<Client>, AdminError> {
        Ok(self.store.clients().await?)
    }

    /// The client of that id.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn show(&self, id: &str) -> Result<Client, AdminError> {
        let found = self.list().await?.into_iter().find(|client| &*client.id == id);
        found.ok_or_else(|| AdminError::NotFound(id.to_owned()))
    }

    /// When secrets were last used.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn last_uses(&self) -> Result<LastUses, AdminError> {
        let uses = self.store.secret_uses().await?;
        Ok(LastUses(uses.into_iter().map(|used| (used.hash, used.at)).collect()))
    }

    /// Makes a client.
    ///
    /// # Errors
    /// When the draft makes no sense, its id is taken, or the store fails.
    pub async fn create(&self, draft: ClientDraft, by: impl Into<By>) -> Result<Made, AdminError> {
        let now = self.clock.now();
        let mut client = draft.check(&self.rules, now).map_err(AdminError::Invalid)?;
        let secret = match client.auth_method.has_secret() {
            true => Some(self.add_secret(&mut client, now)?),
            false => None,
        };
        let client = self.put(client, "client created", None, by.into()).await?;
        Ok(Made { client, secret })
    }

    /// Changes a client.
    ///
    /// # Errors
    /// When there is none, the change makes no sense, somebody else changes it at the same time, or the store fails.
    pub async fn change(&self, id: &str, patch: ClientPatch, by: impl Into<By>) -> Result<Client, AdminError> {
        let before = self.show(id).await?;
        let now = self.clock.now();
        let members = patch.members();
        let client = patch.apply(before, &self.rules, now).map_err(AdminError::Invalid)?;
        self.put(client, "client changed", Some(members), by.into()).await
    }

    /// Gives a client another secret. The newest of the old ones is good for `keep` longer, for ever if `None`; older ones
    /// end now.
    ///
    /// # Errors
    /// When `keep` is more than a year, there is no such client, it has no secrets, somebody else changes it at the same
    /// time, or the store fails.
    pub async fn rotate(&self, id: &str, keep: Option<Duration>, by: impl Into<By>) -> Result<Made, AdminError> {
        if keep.is_some_and(|keep| keep > LONGEST_KEEP) {
            let detail = "must not be more than a year (31536000); left out, the old secret stays".into();
            return Err(AdminError::Invalid(vec![FieldError { field: "keep_seconds", detail }]));
        }
        let mut client = self.show(id).await?;
        if !client.auth_method.has_secret() {
            return Err(AdminError::NoSecrets(id.to_owned()));
        }
        let now = self.clock.now();
        client.secrets.retain(|secret| secret.is_live(now));
        let ended = client.secrets.len().saturating_sub(MAX_SECRETS - 1);
        client.secrets.drain(..ended);
        for secret in &mut client.secrets {
            let end = keep.map(|keep| now.plus(keep));
            secret.expires_at = [secret.expires_at, end].into_iter().flatten().min();
        }
        client.secrets.retain(|secret| secret.is_live(now));
        let secret = self.add_secret(&mut client, now)?;
        client.changed(now);
        let client = self.put(client, "client secret rotated", None, by.into()).await?;
        Ok(Made { client, secret: Some(secret) })
    }

    /// Removes a client. Its tokens are good no longer.
    ///
    /// # Errors
    /// When there is no such client, or the store fails.
    pub async fn revoke(&self, id: &str, by: impl Into<By>) -> Result<(), AdminError> {
        let (store, by, owned) = (Arc::clone(&self.store), by.into(), id.to_owned());
        let removed = async move {
            match store.remove_client(&owned).await? {
                true => Ok(owned),
                false => Err(AdminError::NotFound(owned)),
            }
        };
        audit::on_record(removed, move |id| audit::changed("client revoked", id, None, &by)).await?;
        Ok(())
    }

    /// Makes the first client of a new installation, which may do everything; nothing if there are clients, though none of
    /// them can be read.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn ensure_administrator(&self) -> Result<Option<Made>, AdminError> {
        if self.store.has_clients().await? {
            return Ok(None);
        }
        let draft = ClientDraft {
            id: Some(ADMINISTRATOR.into()),
            name: "Administrator".into(),
            scopes: Scopes::all(),
            ..ClientDraft::default()
        };
        match self.create(draft, "first start").await {
            Ok(made) => Ok(Some(made)),
            // Another replica was quicker, and has shown the secret.
            Err(AdminError::Exists(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the first signing key if there is none, and lets those that sign sign tokens as long as the configuration
    /// wants. Removes none: whoever is about to make a secret calls this first, so that another encryption key than the
    /// servers' is noticed.
    ///
    /// # Errors
    /// When the store fails, or the keys were sealed with another encryption key.
    pub async fn ensure_keys(&self) -> Result<(), AdminError> {
        let (ring, now) = (self.ring().await?, self.clock.now());
        self.raise_longest_token(&ring, now).await?;
        if ring.newest().is_none() {
            self.add_key(&ring, now, "first start").await?;
        }
        Ok(())
    }

    /// What a server does now and then: makes a signing key if there is none, or it is time for the next; lets those that
    /// sign sign tokens as long as the configuration wants; removes those that nobody needs. Tells whether anything
    /// changed.
    ///
    /// # Errors
    /// When the store fails, or the keys were sealed with another encryption key.
    pub async fn tend_keys(&self) -> Result<bool, AdminError> {
        let (ring, now) = (self.ring().await?, self.clock.now());
        let raised = self.raise_longest_token(&ring, now).await?;
        let retired = ring.retired(now);
        if !retired.is_empty() {
            self.store.remove_keys(&retired).await?;
            retired.iter().for_each(|kid| audit::changed("signing key retired", kid, None, &"schedule".into()));
        }
        let due = ring.is_due(now, self.rules.keys);
        let added = due && self.add_key(&ring, now, "schedule").await?.is_some();
        Ok(raised || added || !retired.is_empty())
    }

    async fn raise_longest_token(&self, ring: &KeyRing, now: Timestamp) -> Result<bool, AdminError> {
        let longest = self.rules.keys.longest_token;
        let short = ring.short_of(longest, now);
        Ok(!short.is_empty() && self.store.raise_longest_token(&short, longest).await?)
    }

    /// Forgets what has ended by `now` on every replica's clock, and when secrets were last used that no client has any
    /// more. Gives how much that was.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn prune(&self, now: Timestamp) -> Result<u64, AdminError> {
        let ended = self.store.prune_expired(now.minus(CLOCK_SKEW)).await?;
        let live: Vec<_> = self.list().await?.iter().flat_map(|client| &client.secrets).map(|s| s.hash).collect();
        Ok(ended + self.store.prune_secret_uses(now.minus(USES_KEPT), &live).await?)
    }

    /// Makes a new signing key. Gives its name and from when on it signs; nothing if somebody else made one at the same
    /// time.
    ///
    /// # Errors
    /// When the store fails, or the keys were sealed with another encryption key.
    pub async fn rotate_keys(&self, by: &str) -> Result<Option<(String, Timestamp)>, AdminError> {
        self.add_key(&self.ring().await?, self.clock.now(), by).await
    }

    /// The signing keys.
    ///
    /// # Errors
    /// When the store fails, or they were sealed with another encryption key.
    pub async fn ring(&self) -> Result<KeyRing, AdminError> {
        let stored = self.store.keys().await?;
        let open = |stored| SigningKey::open(&self.vault, stored).map(Arc::new);
        Ok(KeyRing::new(stored.iter().map(open).collect::<Result<_, _>>()?))
    }

    /// How long keys are needed.
    pub fn key_times(&self) -> KeyTimes {
        self.rules.keys
    }

    async fn add_key(
        &self,
        ring: &KeyRing,
        now: Timestamp,
        by: &str,
    ) -> Result<Option<(String, Timestamp)>, AdminError> {
        // The key may be written as late as that, and be told to have failed: its time counts from then.
        let written = if ring.newest().is_some() { now.plus(self.store.longest_write()) } else { now };
        let signs_from = ring.next_signs_from(written, self.rules.keys);
        let (_, stored) = SigningKey::generate(&self.vault, now, signs_from, self.rules.keys.longest_token)?;
        let (store, newest) = (Arc::clone(&self.store), ring.newest().map(|key| key.kid.clone()));
        let (kid, by) = (stored.kid.clone(), By::from(by));
        let added = async move { Ok::<_, AdminError>(store.add_key(&stored, newest.as_deref()).await?.then_some(kid)) };
        let line = move |kid: &Option<String>| {
            kid.iter().for_each(|kid| audit::changed("signing key made", kid, None, &by));
        };
        Ok(audit::on_record(added, line).await?.map(|kid| (kid, signs_from)))
    }

    fn add_secret(&self, client: &mut Client, now: Timestamp) -> Result<String, AdminError> {
        let secret = generate_secret()?;
        let hash = self.vault.hash_secret(secret.as_bytes());
        client.secrets.push(ClientSecret { hash, created_at: now, expires_at: None });
        Ok(secret)
    }

    /// Writes a client and the line of it.
    async fn put(
        &self,
        client: Client,
        what: &'static str,
        members: Option<String>,
        by: By,
    ) -> Result<Client, AdminError> {
        let store = Arc::clone(&self.store);
        let put = async move {
            match store.put_client(&client).await {
                Ok(()) => Ok(client),
                Err(PutClientError::Exists) => Err(AdminError::Exists(client.id.to_string())),
                Err(PutClientError::Changed) => Err(AdminError::Conflict(client.id.to_string())),
                Err(PutClientError::Store(error)) => Err(AdminError::Store(error)),
            }
        };
        audit::on_record(put, move |client| audit::changed(what, &client.id, members.as_deref(), &by)).await
    }
}

impl Client {
    /// Counts a change.
    fn changed(&mut self, now: Timestamp) {
        self.version += 1;
        self.updated_at = now;
    }
}

/// What a client is when nobody says otherwise.
impl Default for ClientDraft {
    fn default() -> Self {
        Self {
            id: None,
            name: String::new(),
            scopes: Scopes::NONE,
            grants: vec![Grant::ClientCredentials],
            auth_method: AuthMethod::ClientSecretBasic,
            keys: None,
            token_lifetime: None,
            audiences: Vec::new(),
            dpop_bound: false,
            policy: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_in_what_debugging_shows() {
        let rules = Rules {
            keys: KeyTimes { max_age: Duration::ZERO, longest_token: Duration::MAX, rotate_every: None },
            policies: Vec::new(),
        };
        let draft = ClientDraft { name: "n".into(), scopes: Scopes::all(), ..ClientDraft::default() };
        let client = draft.check(&rules, Timestamp::from_millis(0)).unwrap();
        let made = Made { client, secret: Some("haat_secret".into()) };
        let uses = LastUses(HashMap::from([([211; 32], Timestamp::from_millis(0))]));
        let shown = format!("{made:?} {uses:?}");
        assert!(!shown.contains("haat_secret") && !shown.contains("211"), "{shown}");
    }
}
