//! The section of access: the authorization server, and whose tokens are taken.

use garde::Validate;
use haat_limits::{Group, Per, Policy, Quota};
use haat_oauth::jwks::check_source;
use haat_oauth::keys::KeyTimes;
use haat_oauth::resource::ForeignIssuer;
use haat_oauth::vault::MasterKey;
use serde::{Deserialize, Serialize};
use url::Url;

use super::sections::between;
use super::units::{Period, Secret};

/// Tokens and clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    #[garde(inner(custom(issuer_url)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[garde(inner(length(min = 1, max = 255)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    #[garde(inner(custom(whole_key)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_key: Option<Secret>,
    #[garde(skip)]
    pub public_read: bool,
    #[garde(custom(between(Period::secs(1), Period::days(7))))]
    pub token_lifetime: Period,
    #[garde(custom(between(Period::secs(1), Period::days(7))))]
    pub max_token_lifetime: Period,
    #[garde(custom(between(Period::secs(1), Period::days(1))))]
    pub jwks_max_age: Period,
    /// 0: never by itself.
    #[garde(custom(rotation))]
    pub key_rotation: Period,
    /// 0: as many as anybody likes.
    #[garde(custom(between(0, 1_000_000)))]
    pub token_requests: u64,
    #[garde(custom(between(1, 1_000_000)))]
    pub failures_per_client: u32,
    #[garde(custom(between(1, 1_000_000)))]
    pub failures_per_address: u32,
    #[garde(custom(all_make_sense))]
    pub issuers: Vec<IssuerEntry>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            encryption_key: None,
            public_read: true,
            token_lifetime: Period::hours(1),
            max_token_lifetime: Period::hours(24),
            jwks_max_age: Period::secs(300),
            key_rotation: Period::days(30),
            token_requests: 600,
            failures_per_client: 10,
            failures_per_address: 100,
            issuers: Vec::new(),
        }
    }
}

/// Another issuer whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerEntry {
    /// Its `iss`.
    pub issuer: String,
    /// The `aud` by which it means this server.
    pub audience: String,
    /// Where its keys are.
    pub jwks_url: String,
    /// The claim that names scopes.
    #[serde(default = "scope")]
    pub scope_claim: String,
}

fn scope() -> String {
    "scope".to_owned()
}

impl IssuerEntry {
    fn meaning(&self) -> Result<ForeignIssuer, String> {
        let jwks_url = Url::parse(&self.jwks_url).map_err(|e| format!("jwks_url is no URL: {e}"))?;
        check_source(&jwks_url).map_err(|what| format!("jwks_url {what}"))?;
        if self.issuer.is_empty() || self.issuer.len() > 128 || self.audience.is_empty() {
            return Err("issuer must have 1 to 128 characters, and audience must not be empty".into());
        }
        let Self { issuer, audience, scope_claim, .. } = self.clone();
        Ok(ForeignIssuer { issuer, audience, jwks_url, scope_claim })
    }
}

/// The policy that limits the token endpoint for everybody, besides those that are configured.
pub const TOKEN_POLICY: &str = "token-requests";

impl Auth {
    /// How long signing keys are needed.
    pub fn key_times(&self) -> KeyTimes {
        let rotation = self.key_rotation.duration();
        KeyTimes {
            max_age: self.jwks_max_age.duration(),
            longest_token: self.max_token_lifetime.duration(),
            rotate_every: (!rotation.is_zero()).then_some(rotation),
        }
    }

    /// The issuers, which are known to make sense.
    pub fn foreign(&self) -> Vec<ForeignIssuer> {
        self.issuers.iter().filter_map(|entry| entry.meaning().ok()).collect()
    }

    /// The limit of the token endpoint.
    pub fn token_policy(&self) -> Option<Policy> {
        (self.token_requests > 0).then(|| Policy {
            name: TOKEN_POLICY.to_owned(),
            quota: Quota { units: self.token_requests, window_us: 60_000_000 },
            per: Per::Address { ipv4_prefix: 32, ipv6_prefix: 64 },
            groups: vec![Group::Token],
            costs: Default::default(),
            dry_run: false,
            assigned: false,
        })
    }
}

/// RFC 8414 §2: a URL without query and fragment; without a slash at the end, so that paths can be put behind it.
fn issuer_url(text: &str, _: &()) -> garde::Result {
    let fits = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    });
    if fits && !text.ends_with('/') {
        return Ok(());
    }
    Err(garde::Error::new("is not a URL such as https://shop.example, without query, fragment and slash at the end"))
}

/// Keys that follow each other more quickly than tokens end only pile up.
fn rotation(every: &Period, context: &()) -> garde::Result {
    match every.duration().is_zero() {
        true => Ok(()),
        false => between(Period::hours(1), Period::days(3_650))(every, context)
            .map_err(|e| garde::Error::new(format!("{e}, or 0s for never"))),
    }
}

fn whole_key(key: &Secret, _: &()) -> garde::Result {
    MasterKey::parse(key.reveal()).map(|_| ()).map_err(|e| garde::Error::new(e.to_string()))
}

fn all_make_sense(issuers: &[IssuerEntry], _: &()) -> garde::Result {
    for (i, entry) in issuers.iter().enumerate() {
        entry.meaning().map_err(|e| garde::Error::new(format!("issuer {}: {e}", i + 1)))?;
    }
    Ok(())
}
