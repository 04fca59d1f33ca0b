//! The clients of the stage.
//!
//! | client | what is particular about it |
//! |---|---|
//! | `basic`, `post` | a secret, sent in the header or in the body |
//! | `padded` | an id of such a length that its credentials need padding in base64 |
//! | `other` | another client with the same rights |
//! | `off` | disabled |
//! | `checker` | gets no tokens; asks about those for its resource |
//! | `bound` | its tokens are bound to a key |
//! | `brief`, `lasting` | its tokens last a minute; as long as any may |
//! | `two` | two live secrets; the older one as `two, older` |
//! | `ended` | its older secret has ended; as `ended, older` |
//! | `ed`, `ec`, `rsa` | signs with one key; `ed` has a second one, `ed, second` |
//! | `ed-other` | another client that signs, under the same key name |
//! | `ed-off` | the same, disabled |
//! | `remote` | its keys are at [`JWKS_URI`] |

use std::collections::HashMap;
use std::time::Duration;

use haat_oauth::admin::{Admin, ClientDraft, ClientPatch, KeysDraft};
use haat_oauth::client::AuthMethod;
use haat_oauth::scope::{Scope, Scopes};
use haat_testkit::clock::TestClock;
use serde_json::json;

use crate::jwt::Signer;
use crate::stage::{KEY_TIMES, PARTNER, STOCK};

/// Where the client `remote` has its keys.
pub const JWKS_URI: &str = "https://remote.example/jwks.json";
/// What every client may ask for.
pub const SCOPES: &str = "products:write imports changes:read";

/// What clients prove themselves with.
#[derive(Default)]
pub struct Registered {
    pub secrets: HashMap<&'static str, String>,
    pub signers: HashMap<&'static str, Signer>,
}

/// A client with a secret.
pub fn draft(id: &str) -> ClientDraft {
    ClientDraft {
        id: Some(id.into()),
        name: format!("The client {id}"),
        scopes: Scopes::from_iter([Scope::ProductsWrite, Scope::Imports, Scope::ChangesRead]),
        audiences: vec![PARTNER.into(), STOCK.into()],
        ..ClientDraft::default()
    }
}

/// A client that signs.
pub fn signing(id: &str, keys: KeysDraft) -> ClientDraft {
    ClientDraft { auth_method: AuthMethod::PrivateKeyJwt, keys: Some(keys), ..draft(id) }
}

pub async fn register(admin: &Admin, clock: &TestClock) -> Registered {
    let mut registered = Registered::default();
    for id in ["basic", "post", "padded", "other", "off", "checker", "bound", "brief", "lasting", "two", "ended"] {
        let draft = match id {
            "post" => ClientDraft { auth_method: AuthMethod::ClientSecretPost, ..draft(id) },
            "checker" => ClientDraft { grants: Vec::new(), audiences: vec![PARTNER.into()], ..draft(id) },
            "bound" => ClientDraft { dpop_bound: true, ..draft(id) },
            "brief" => ClientDraft { token_lifetime: Some(Duration::from_secs(60)), ..draft(id) },
            "lasting" => ClientDraft { token_lifetime: Some(KEY_TIMES.longest_token), ..draft(id) },
            _ => draft(id),
        };
        let made = admin.create(draft, "test").await.unwrap();
        registered.secrets.insert(id, made.secret.unwrap());
    }
    for (id, older, keep) in [("two", "two, older", None), ("ended", "ended, older", Some(Duration::from_secs(10)))] {
        let newer = admin.rotate(id, keep, "test").await.unwrap().secret.unwrap();
        let before = registered.secrets.insert(id, newer).unwrap();
        registered.secrets.insert(older, before);
    }
    clock.advance(Duration::from_secs(10));
    register_signers(admin, &mut registered).await;
    for id in ["off", "ed-off"] {
        let disabled = ClientPatch { enabled: Some(false), ..ClientPatch::default() };
        admin.change(id, disabled, "test").await.unwrap();
    }
    registered
}

async fn register_signers(admin: &Admin, registered: &mut Registered) {
    let signers = [
        ("ed", Signer::ed25519("key-1")),
        ("ed, second", Signer::ed25519("key-2")),
        ("ec", Signer::p256("key-1")),
        ("rsa", Signer::rsa("key-1")),
        ("ed-other", Signer::ed25519("key-1")),
        ("ed-off", Signer::ed25519("key-1")),
        ("remote", Signer::ed25519("key-1")),
    ];
    registered.signers.extend(signers);
    for id in ["ed", "ec", "rsa", "ed-other", "ed-off"] {
        let mut jwks = registered.signers[id].jwks();
        if id == "ed" {
            jwks = json!({"keys": [jwks["keys"][0], registered.signers["ed, second"].jwk()]});
        }
        admin.create(signing(id, KeysDraft::Jwks(jwks)), "test").await.unwrap();
    }
    let remote = signing("remote", KeysDraft::JwksUri(JWKS_URI.into()));
    admin.create(remote, "test").await.unwrap();
}
