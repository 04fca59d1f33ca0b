//! Signing keys: one signs, the ones to come and the ones before it are published beside it.
//!
//! A key is published at least one `max-age` of the key set before it signs, so that whoever verifies has it by then; and
//! stays until the last token that it signed has ended. Both follow from the times at which keys begin to sign and from
//! how long their tokens last at most: no state has to be switched, and replicas agree as soon as they know the same keys.
//!
//! How long the tokens of a key last is kept with it, and only ever raised: a server never signs a longer one
//! ([`SigningKey::longest_token`]). So no configuration but the one that signed decides when a key may go.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haat_catalog::Timestamp;
use serde_json::json;

use crate::hash::sha256;
use crate::ports::StoredKey;
use crate::vault::{Unsealable, Vault};

/// How long after the end of its lifetime a token may still be taken: clocks differ.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// How long a replica may take to hear of a key that is in the store ([`crate::directory::LOOK`] and the time to read it);
/// added to what the write and others may take.
pub const HEARSAY: Duration = Duration::from_secs(2);

/// A signing key.
pub struct SigningKey {
    /// Its name: the thumbprint of its public half (RFC 7638).
    pub kid: Arc<str>,
    /// From when on it signs, until a later one does.
    pub signs_from: Timestamp,
    /// The longest that a token may last which it signs.
    pub longest_token: Duration,
    pair: Ed25519KeyPair,
    header: String,
    public: String,
}

impl SigningKey {
    /// A new one for tokens that last `longest_token` at most, and as it is kept.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate(
        vault: &Vault,
        now: Timestamp,
        signs_from: Timestamp,
        longest_token: Duration,
    ) -> Result<(Self, StoredKey), Unsealable> {
        let pair = Ed25519KeyPair::generate().map_err(|_| Unsealable)?;
        let private = pair.to_pkcs8v1().map_err(|_| Unsealable)?;
        let key = Self::of_pair(pair, signs_from, longest_token);
        let sealed = vault.seal(&key.kid, private.as_ref())?;
        let stored = StoredKey { kid: key.kid.to_string(), sealed, created_at: now, signs_from, longest_token };
        Ok((key, stored))
    }

    /// The key that is kept.
    ///
    /// # Errors
    /// When it was sealed with another encryption key, or is damaged.
    pub fn open(vault: &Vault, stored: &StoredKey) -> Result<Self, Unsealable> {
        let private = vault.open(&stored.kid, &stored.sealed)?;
        let pair = Ed25519KeyPair::from_pkcs8(&private).map_err(|_| Unsealable)?;
        Ok(Self::of_pair(pair, stored.signs_from, stored.longest_token))
    }

    fn of_pair(pair: Ed25519KeyPair, signs_from: Timestamp, longest_token: Duration) -> Self {
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        // The members that RFC 7638 and RFC 8037 §2 name, in their order.
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#);
        let kid = thumbprint(&members);
        let header = json!({"alg": "EdDSA", "kid": kid, "typ": TOKEN_TYPE}).to_string();
        Self { kid: kid.into(), signs_from, longest_token, pair, header: URL_SAFE_NO_PAD.encode(header), public }
    }

    /// Whether it is what is kept under its name: when it signs, and for how long its tokens may last.
    pub fn is_as(&self, stored: &StoredKey) -> bool {
        self.signs_from == stored.signs_from && self.longest_token == stored.longest_token
    }

    /// A JWT (RFC 7519) of these claims.
    pub fn sign(&self, claims: &[u8]) -> String {
        let mut token = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 96);
        token.push_str(&self.header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        token
    }

    /// Whether it made that signature.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.pair.public_key().as_ref()).verify(message, signature).is_ok()
    }

    /// Its public half, as it is published.
    pub fn jwk(&self) -> serde_json::Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": self.public, "kid": &*self.kid, "use": "sig", "alg": "EdDSA"})
    }
}

/// `typ` of an access token (RFC 9068 §2.1).
pub const TOKEN_TYPE: &str = "at+jwt";

/// The thumbprint of a key's members in their order (RFC 7638 §3).
pub(crate) fn thumbprint(members: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(members.as_bytes()))
}

/// The keys that there are, the one that signs first earliest.
#[derive(Default)]
pub struct KeyRing(Vec<Arc<SigningKey>>);

/// How long keys are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTimes {
    /// How long others may keep the key set.
    pub max_age: Duration,
    /// The longest that a token lasts.
    pub longest_token: Duration,
    /// How long a key signs before another one takes its place; for ever if `None`.
    pub rotate_every: Option<Duration>,
}

impl KeyRing {
    /// The ring of these keys.
    pub fn new(mut keys: Vec<Arc<SigningKey>>) -> Self {
        keys.sort_by(|a, b| (a.signs_from, &a.kid).cmp(&(b.signs_from, &b.kid)));
        Self(keys)
    }

    /// The key that signs now: of those that do, the newest. Before the time of the first one, the first one.
    pub fn signing(&self, now: Timestamp) -> Option<&Arc<SigningKey>> {
        self.0.iter().rfind(|key| key.signs_from <= now).or_else(|| self.0.first())
    }

    /// The key of that name.
    pub fn find(&self, kid: &str) -> Option<&Arc<SigningKey>> {
        self.0.iter().find(|key| &*key.kid == kid)
    }

    /// The key that will sign last.
    pub fn newest(&self) -> Option<&Arc<SigningKey>> {
        self.0.last()
    }

    /// All keys, by the time from which they sign.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.0.iter()
    }

    /// Those of which no token can be good any more, by how long their own tokens last.
    pub fn retired(&self, now: Timestamp) -> Vec<String> {
        let needed_for = |key: &SigningKey| key.longest_token + CLOCK_SKEW + HEARSAY;
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let over = pairs.filter(|(key, next)| now > next.signs_from.plus(needed_for(key)));
        over.map(|(key, _)| key.kid.to_string()).collect()
    }

    /// Those that sign now or will, and not yet tokens that last so long.
    pub fn short_of(&self, longest_token: Duration, now: Timestamp) -> Vec<String> {
        let signing = self.signing(now).map(|key| key.signs_from);
        let to_sign = self.0.iter().filter(|key| Some(key.signs_from) >= signing);
        to_sign.filter(|key| key.longest_token < longest_token).map(|key| key.kid.to_string()).collect()
    }

    /// Whether it is time for a new key.
    pub fn is_due(&self, now: Timestamp, times: KeyTimes) -> bool {
        match (self.newest(), times.rotate_every) {
            (None, _) => true,
            (Some(newest), Some(every)) => now >= newest.signs_from.plus(every.saturating_sub(lead(times))),
            (Some(_), None) => false,
        }
    }

    /// From when on a key may sign that is in the store by `now`: the first one at once, for nobody knows a key set without
    /// it.
    pub fn next_signs_from(&self, now: Timestamp, times: KeyTimes) -> Timestamp {
        match self.newest() {
            None => now,
            Some(newest) => now.plus(lead(times)).max(newest.signs_from.plus(Duration::from_millis(1))),
        }
    }

    /// The key set as it is published (RFC 7517 §5).
    pub fn jwks(&self) -> serde_json::Value {
        json!({"keys": self.0.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
    }
}

/// How long before it signs a key must be published.
fn lead(times: KeyTimes) -> Duration {
    times.max_age + HEARSAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::MasterKey;

    const HOUR: Duration = Duration::from_secs(3_600);
    const TIMES: KeyTimes = KeyTimes {
        max_age: Duration::from_secs(300),
        longest_token: HOUR,
        rotate_every: Some(Duration::from_secs(86_400)),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn vault() -> Vault {
        Vault::new(&MasterKey::generate().unwrap()).unwrap()
    }

    fn key(vault: &Vault, from: i64) -> Arc<SigningKey> {
        Arc::new(SigningKey::generate(vault, at(from), at(from), HOUR).unwrap().0)
    }

    #[test]
    fn a_key_comes_back_as_it_was_kept_but_not_to_another_vault() {
        let vault = vault();
        let (key, stored) = SigningKey::generate(&vault, at(1), at(2), HOUR).unwrap();
        let again = SigningKey::open(&vault, &stored).unwrap();
        assert_eq!((&again.kid, again.signs_from, again.jwk()), (&key.kid, at(2), key.jwk()));
        assert_eq!(again.longest_token, HOUR);
        assert!(SigningKey::open(&self::vault(), &stored).is_err());
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.jwk()).unwrap();
        assert_eq!(jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap(), &*key.kid);
    }

    #[test]
    fn a_new_key_is_published_a_max_age_before_it_signs_and_the_old_one_stays_until_its_tokens_ended() {
        let vault = vault();
        let first = key(&vault, 0);
        let ring = KeyRing::new(vec![first.clone()]);
        assert_eq!(KeyRing::default().next_signs_from(at(5), TIMES), at(5), "the first one signs at once");
        let from = ring.next_signs_from(at(1_000), TIMES);
        assert!(from >= at(1_000 + 300));
        let second = Arc::new(SigningKey::generate(&vault, at(1_000), from, HOUR).unwrap().0);
        let ring = KeyRing::new(vec![second.clone(), first.clone()]);
        let signs = |now| ring.signing(now).unwrap().kid.clone();
        assert_eq!((signs(at(1_299)), signs(from)), (first.kid.clone(), second.kid.clone()));
        assert_eq!(ring.jwks()["keys"].as_array().unwrap().len(), 2);
        let last_token_ends = from.plus(TIMES.longest_token);
        assert!(ring.retired(last_token_ends).is_empty());
        let long_after = last_token_ends.plus(Duration::from_secs(600));
        assert_eq!(ring.retired(long_after), [first.kid.to_string()]);
    }

    #[test]
    fn a_key_is_kept_for_its_own_tokens_whatever_others_last() {
        let vault = vault();
        let of = |from, longest| Arc::new(SigningKey::generate(&vault, at(from), at(from), longest).unwrap().0);
        let (first, second, third) = (of(0, HOUR * 24), of(1_000, HOUR), of(2_000, HOUR));
        let ring = KeyRing::new(vec![first.clone(), second.clone(), third.clone()]);
        assert_eq!(ring.retired(at(2_000 + 3_600 + 600)), [second.kid.to_string()]);
        assert_eq!(ring.retired(at(1_000 + 24 * 3_600 + 600)), [first.kid.to_string(), second.kid.to_string()]);
        // Of those that have signed for the last time nothing is raised.
        assert_eq!(ring.short_of(HOUR * 2, at(1_500)), [second.kid.to_string(), third.kid.to_string()]);
        assert_eq!(ring.short_of(HOUR * 2, at(2_000)), [third.kid.to_string()]);
        assert!(ring.short_of(HOUR, at(1_500)).is_empty() && KeyRing::default().short_of(HOUR, at(0)).is_empty());
    }

    #[test]
    fn keys_are_due_on_schedule() {
        let ring = KeyRing::new(vec![key(&vault(), 0)]);
        assert!(!ring.is_due(at(80_000), TIMES) && ring.is_due(at(86_400 - 300), TIMES));
        assert!(!ring.is_due(at(1 << 30), KeyTimes { rotate_every: None, ..TIMES }));
        assert!(KeyRing::default().is_due(at(0), TIMES));
    }

    #[test]
    fn only_the_key_that_signed_knows_its_signature() {
        let vault = vault();
        let (one, other) = (key(&vault, 0), key(&vault, 0));
        let token = one.sign(br#"{"a":1}"#);
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(one.has_signed(message.as_bytes(), &signature));
        assert!(!other.has_signed(message.as_bytes(), &signature));
    }
}
