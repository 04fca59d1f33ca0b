//! Who asks for a token, and for what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use url::Url;

use super::assertion::AssertionKey;

/// Parameters that have a place of their own and cannot be given as extra ones.
const OWN_PARAMETERS: [&str; 9] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "scope",
    "audience",
    "resource",
    "assertion",
];

/// A text that is in no log and no `Debug` output.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret of a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How a client proves who it is.
#[derive(Debug, Clone)]
pub enum ClientAuth {
    /// `client_secret_basic`: id and secret in the header field `Authorization` (RFC 6749 §2.3.1).
    SecretBasic(Secret),
    /// `client_secret_post`: id and secret in the body.
    SecretPost(Secret),
    /// `private_key_jwt`: a signed statement (RFC 7523 §2.2).
    PrivateKeyJwt {
        /// What signs.
        key: AssertionKey,
        /// Whom the statement is for: the provider's issuer or its token URL, whichever the provider wants.
        audience: String,
    },
}

impl ClientAuth {
    /// Its name in RFC 8414 metadata.
    pub fn method(&self) -> &'static str {
        match self {
            Self::SecretBasic(_) => "client_secret_basic",
            Self::SecretPost(_) => "client_secret_post",
            Self::PrivateKeyJwt { .. } => "private_key_jwt",
        }
    }
}

/// Credentials as they are configured, unchecked.
#[derive(Clone)]
pub struct CredentialsDraft {
    /// Who issues the tokens: the provider's issuer, or any text that names it.
    pub issuer: String,
    /// Where tokens are asked for.
    pub token_url: Url,
    /// The client's id there.
    pub client_id: String,
    /// How it proves who it is.
    pub auth: ClientAuth,
    /// What the token shall be good for; in any order.
    pub scopes: Vec<String>,
    /// Whom the token shall be for, where the provider wants `audience`.
    pub audience: Option<String>,
    /// Where the token shall be used, where the provider wants `resource` (RFC 8707).
    pub resources: Vec<String>,
    /// Parameters that the provider wants besides.
    pub extra: Vec<(String, Secret)>,
}

impl fmt::Debug for CredentialsDraft {
    /// Client and host: nobody has looked yet whether a password is in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.token_url.host_str().unwrap_or_default();
        write!(f, "CredentialsDraft({} at {host})", self.client_id)
    }
}

/// What is wrong with credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// The token URL cannot be one (RFC 6749 §3.2).
    #[error("the token URL must be http or https, without user, password and fragment")]
    TokenUrl,
    /// The id is empty or has control characters.
    #[error("the client id must have 1 to 255 printable characters")]
    ClientId,
    /// The secret is empty.
    #[error("the client secret is empty")]
    Secret,
    /// The statement's audience is empty.
    #[error("the audience of the client assertion is empty; it is the provider's issuer or its token URL")]
    AssertionAudience,
    /// A scope has characters that none may have (RFC 6749 §3.3).
    #[error("'{0}' cannot be a scope: printable ASCII without spaces, quotes and backslashes")]
    Scope(String),
    /// The audience is empty.
    #[error("the audience is empty; leave it out")]
    Audience,
    /// A resource is not an absolute URI without a fragment (RFC 8707 §2).
    #[error("'{0}' cannot be a resource: an absolute URI without a fragment")]
    Resource(String),
    /// An extra parameter has no name, the name of one that has a setting of its own, or that of another one.
    #[error("'{0}' cannot be an extra parameter: it has a setting of its own, is there twice, or is empty")]
    Extra(String),
}

/// Credentials that can be used: checked, and in one form whatever their order was.
#[derive(Clone)]
pub struct Credentials {
    pub(super) issuer: String,
    pub(super) token_url: Url,
    pub(super) client_id: String,
    pub(super) auth: ClientAuth,
    pub(super) scopes: BTreeSet<String>,
    pub(super) audience: Option<String>,
    pub(super) resources: BTreeSet<String>,
    pub(super) extra: BTreeMap<String, Secret>,
}

impl Credentials {
    /// The credentials of a draft.
    ///
    /// # Errors
    /// When no provider could take them.
    pub fn new(draft: CredentialsDraft) -> Result<Self, InvalidCredentials> {
        let url = &draft.token_url;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if !plain || !["http", "https"].contains(&url.scheme()) {
            return Err(InvalidCredentials::TokenUrl);
        }
        let id = &draft.client_id;
        if id.is_empty() || id.len() > 255 || id.chars().any(char::is_control) {
            return Err(InvalidCredentials::ClientId);
        }
        match &draft.auth {
            ClientAuth::SecretBasic(secret) | ClientAuth::SecretPost(secret) if secret.text().is_empty() => {
                return Err(InvalidCredentials::Secret);
            }
            ClientAuth::PrivateKeyJwt { audience, .. } if audience.is_empty() => {
                return Err(InvalidCredentials::AssertionAudience);
            }
            _ => {}
        }
        if draft.audience.as_ref().is_some_and(String::is_empty) {
            return Err(InvalidCredentials::Audience);
        }
        if let Some(scope) = draft.scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(InvalidCredentials::Scope(scope.clone()));
        }
        if let Some(resource) = draft.resources.iter().find(|resource| !is_resource(resource)) {
            return Err(InvalidCredentials::Resource(resource.clone()));
        }
        let mut extra = BTreeMap::new();
        for (name, value) in draft.extra {
            if name.is_empty() || OWN_PARAMETERS.contains(&&*name) || extra.contains_key(&name) {
                return Err(InvalidCredentials::Extra(name));
            }
            extra.insert(name, value);
        }
        Ok(Self {
            issuer: draft.issuer,
            token_url: draft.token_url,
            client_id: draft.client_id,
            auth: draft.auth,
            scopes: draft.scopes.into_iter().collect(),
            audience: draft.audience,
            resources: draft.resources.into_iter().collect(),
            extra,
        })
    }

    /// All that may make a difference to the token, in one text that no other credentials have: every part has its length
    /// in front, every list its number of parts.
    pub(super) fn identity(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let auth: [&[u8]; 4] = match &self.auth {
            ClientAuth::SecretBasic(secret) | ClientAuth::SecretPost(secret) => {
                [self.auth.method().as_bytes(), secret.text().as_bytes(), b"", b""]
            }
            ClientAuth::PrivateKeyJwt { key, audience } => {
                let kid = key.kid().unwrap_or_default();
                [self.auth.method().as_bytes(), key.public(), audience.as_bytes(), kid.as_bytes()]
            }
        };
        add(&mut out, [self.issuer.as_bytes(), self.token_url.as_str().as_bytes(), self.client_id.as_bytes()]);
        add(&mut out, auth);
        add(&mut out, self.scopes.iter().map(String::as_bytes));
        add(&mut out, self.audience.iter().map(String::as_bytes));
        add(&mut out, self.resources.iter().map(String::as_bytes));
        add(&mut out, self.extra.iter().flat_map(|(name, value)| [name.as_bytes(), value.text().as_bytes()]));
        out
    }
}

impl fmt::Debug for Credentials {
    /// Who asks whom: extra parameters may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Credentials");
        debug.field("issuer", &self.issuer).field("client_id", &self.client_id).field("method", &self.auth.method());
        debug.finish_non_exhaustive()
    }
}

/// Adds a list to an identity.
fn add<'a>(out: &mut Vec<u8>, parts: impl IntoIterator<Item = &'a [u8]>) {
    let parts: Vec<_> = parts.into_iter().collect();
    out.extend_from_slice(&(parts.len() as u64).to_be_bytes());
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
}

/// `scope-token` of RFC 6749 §3.3.
fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

fn is_resource(resource: &str) -> bool {
    Url::parse(resource).is_ok_and(|url| url.fragment().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::assertion::tests::{ec_key, ed_key};
    use super::super::vault::TokenVault;
    use super::*;

    fn draft() -> CredentialsDraft {
        CredentialsDraft {
            issuer: "https://as.example".into(),
            token_url: "https://as.example/token".parse().unwrap(),
            client_id: "shop".into(),
            auth: ClientAuth::SecretBasic(Secret::new("wonderland")),
            scopes: vec!["b".into(), "a".into()],
            audience: None,
            resources: vec![],
            extra: vec![],
        }
    }

    #[rstest]
    #[case(|d: &mut CredentialsDraft| d.token_url = "ftp://as.example/".parse().unwrap(), InvalidCredentials::TokenUrl)]
    #[case(|d: &mut CredentialsDraft| d.token_url = "https://as.example/#a".parse().unwrap(), InvalidCredentials::TokenUrl)]
    #[case(|d: &mut CredentialsDraft| d.token_url = "https://a:b@as.example/".parse().unwrap(), InvalidCredentials::TokenUrl)]
    #[case(|d: &mut CredentialsDraft| d.client_id = String::new(), InvalidCredentials::ClientId)]
    #[case(|d: &mut CredentialsDraft| d.client_id = "a\n".into(), InvalidCredentials::ClientId)]
    #[case(|d: &mut CredentialsDraft| d.auth = ClientAuth::SecretPost(Secret::new("")), InvalidCredentials::Secret)]
    #[case(|d: &mut CredentialsDraft| d.scopes = vec!["a b".into()], InvalidCredentials::Scope("a b".into()))]
    #[case(|d: &mut CredentialsDraft| d.scopes = vec![String::new()], InvalidCredentials::Scope(String::new()))]
    #[case(|d: &mut CredentialsDraft| d.audience = Some(String::new()), InvalidCredentials::Audience)]
    #[case(|d: &mut CredentialsDraft| d.resources = vec!["products".into()], InvalidCredentials::Resource("products".into()))]
    #[case(|d: &mut CredentialsDraft| d.resources = vec!["urn:a#b".into()], InvalidCredentials::Resource("urn:a#b".into()))]
    #[case(|d: &mut CredentialsDraft| d.extra = vec![("scope".into(), Secret::new("a"))], InvalidCredentials::Extra("scope".into()))]
    fn credentials_that_no_provider_could_take_are_refused(
        #[case] change: fn(&mut CredentialsDraft),
        #[case] error: InvalidCredentials,
    ) {
        let mut draft = draft();
        assert!(Credentials::new(draft.clone()).is_ok());
        change(&mut draft);
        assert_eq!(Credentials::new(draft).err(), Some(error));
    }

    #[test]
    fn no_secret_is_in_debug_output() {
        let mut draft = draft();
        draft.extra = vec![("pin".into(), Secret::new("wonderland"))];
        assert!(!format!("{draft:?} {:?}", Credentials::new(draft.clone()).unwrap()).contains("wonderland"));
    }

    /// Texts of few characters, so that they are often alike, and often what two others are when put together.
    fn word() -> impl Strategy<Value = String> {
        "[ab]{1,3}"
    }

    fn drafts() -> impl Strategy<Value = CredentialsDraft> {
        let auth = prop_oneof![
            word().prop_map(|secret| ClientAuth::SecretBasic(Secret::new(secret))),
            word().prop_map(|secret| ClientAuth::SecretPost(Secret::new(secret))),
            (any::<bool>(), proptest::option::of(word()), word()).prop_map(|(ed, kid, audience)| {
                ClientAuth::PrivateKeyJwt { key: if ed { ed_key(kid) } else { ec_key(kid) }, audience }
            }),
        ];
        let list = || proptest::collection::vec(word(), 0..3);
        let extra = proptest::collection::btree_map(word(), word(), 0..3);
        (word(), word(), word(), auth, list(), proptest::option::of(word()), list(), extra).prop_map(
            |(issuer, path, client_id, auth, scopes, audience, resources, extra)| CredentialsDraft {
                issuer,
                token_url: format!("https://as.example/{path}").parse().unwrap(),
                client_id,
                auth,
                scopes,
                audience,
                resources: resources.into_iter().map(|resource| format!("urn:{resource}")).collect(),
                extra: extra.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            },
        )
    }

    /// What a token depends on, member by member, for comparison.
    fn members(credentials: &Credentials) -> impl PartialEq + use<> {
        let auth = match &credentials.auth {
            ClientAuth::SecretBasic(secret) => ("basic", secret.text().as_bytes().to_vec(), None, None),
            ClientAuth::SecretPost(secret) => ("post", secret.text().as_bytes().to_vec(), None, None),
            ClientAuth::PrivateKeyJwt { key, audience } => {
                ("jwt", key.public().to_vec(), Some(audience.clone()), Some(key.kid().map(str::to_owned)))
            }
        };
        let extra: Vec<_> = credentials.extra.iter().map(|(k, v)| (k.clone(), v.text().to_owned())).collect();
        (
            (credentials.issuer.clone(), credentials.token_url.clone(), credentials.client_id.clone(), auth),
            (credentials.scopes.clone(), credentials.audience.clone(), credentials.resources.clone(), extra),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn two_managers_share_a_token_exactly_when_their_credentials_are_the_same(a in drafts(), b in drafts()) {
            let vault = TokenVault::new(&[7; 32]).unwrap();
            let (a, b) = (Credentials::new(a).unwrap(), Credentials::new(b).unwrap());
            prop_assert_eq!(members(&a) == members(&b), vault.name(&a) == vault.name(&b));
        }

        #[test]
        fn one_difference_is_enough(draft in drafts(), which in 0..9_usize) {
            let vault = TokenVault::new(&[7; 32]).unwrap();
            let mut other = draft.clone();
            match which {
                0 => other.issuer.push('c'),
                1 => other.token_url.set_path("/c"),
                2 => other.client_id.push('c'),
                3 => other.scopes.push("c".into()),
                4 => other.audience = Some(format!("{}c", other.audience.unwrap_or_default())),
                5 => other.resources.push("urn:c".into()),
                6 => other.extra.push(("c".into(), Secret::new("c"))),
                // The same secret by another method.
                7 => other.auth = match other.auth {
                    ClientAuth::SecretBasic(secret) => ClientAuth::SecretPost(secret),
                    ClientAuth::SecretPost(secret) => ClientAuth::SecretBasic(secret),
                    ClientAuth::PrivateKeyJwt { .. } => ClientAuth::SecretPost(Secret::new("a")),
                },
                _ => other.auth = match other.auth {
                    ClientAuth::SecretBasic(secret) => ClientAuth::SecretBasic(Secret::new(format!("{}c", secret.text()))),
                    ClientAuth::SecretPost(secret) => ClientAuth::SecretPost(Secret::new(format!("{}c", secret.text()))),
                    ClientAuth::PrivateKeyJwt { key, audience } => {
                        ClientAuth::PrivateKeyJwt { key, audience: format!("{audience}c") }
                    }
                },
            }
            let mut turned = draft.clone();
            turned.scopes.reverse();
            turned.resources.reverse();
            let name = |draft| vault.name(&Credentials::new(draft).unwrap());
            prop_assert_eq!(name(draft.clone()), name(turned), "order makes no difference");
            prop_assert_ne!(name(draft), name(other));
        }
    }

    #[test]
    fn names_depend_on_the_key_and_tell_nothing() {
        let credentials = Credentials::new(draft()).unwrap();
        let names = [1, 2].map(|key| TokenVault::new(&[key; 32]).unwrap().name(&credentials));
        assert_ne!(names[0], names[1]);
        assert!(!names[0].contains("shop") && !names[0].contains("wonderland"));
    }
}
