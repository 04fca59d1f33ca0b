//! Clients, signing keys and revocations.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haat_catalog::Timestamp;
use haat_oauth::client::{AuthMethod, Client, ClientKeys, ClientSecret, Grant};
use haat_oauth::jwks::KeySet;
use haat_oauth::ports::{AuthStore, PutClientError, Revisions, Revocation, SecretUse, StoredKey};
use haat_oauth::scope::{Scope, Scopes};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Subject, after_noon};

/// More than the store forgets in one step.
const MANY: u64 = 2_345;

fn client(id: &str) -> Client {
    Client {
        id: id.into(),
        name: "Till 7".into(),
        scopes: Scopes::from_iter([Scope::ProductsRead]),
        grants: vec![Grant::ClientCredentials],
        auth_method: AuthMethod::ClientSecretBasic,
        keys: None,
        secrets: Vec::new(),
        token_lifetime: None,
        audiences: Vec::new(),
        dpop_bound: false,
        policy: None,
        enabled: true,
        created_at: after_noon(0),
        updated_at: after_noon(0),
        version: 1,
    }
}

/// A client that says something in every field.
fn full_client(id: &str, keys: ClientKeys) -> Client {
    Client {
        name: "Großmarkt \u{1F96D} \"Süd\"\\\u{7f}".into(),
        scopes: Scopes::all(),
        grants: Vec::new(),
        auth_method: AuthMethod::PrivateKeyJwt,
        keys: Some(keys),
        secrets: vec![
            ClientSecret { hash: [0; 32], created_at: after_noon(1), expires_at: Some(after_noon(2)) },
            ClientSecret { hash: [255; 32], created_at: after_noon(3), expires_at: None },
        ],
        token_lifetime: Some(Duration::from_millis(90_001)),
        audiences: vec!["https://stock.example/api".into(), "urn:example:ledger".into()],
        dpop_bound: true,
        policy: Some("partners".into()),
        enabled: false,
        updated_at: Timestamp::from_millis(after_noon(4).as_millis() + 7),
        ..client(id)
    }
}

/// The client, changed.
fn next(client: &Client, name: &str) -> Client {
    Client { name: name.into(), version: client.version + 1, ..client.clone() }
}

fn key(kid: &str, signs_from: i64) -> StoredKey {
    StoredKey {
        kid: kid.into(),
        sealed: (0..=255).collect(),
        created_at: after_noon(1),
        signs_from: after_noon(signs_from),
        longest_token: Duration::from_secs(3_600),
    }
}

/// The hash of something, told by its number.
fn hash(n: u64) -> [u8; 32] {
    let mut hash = [7; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    hash
}

fn used(n: u64, at: i64) -> SecretUse {
    SecretUse { hash: hash(n), at: after_noon(at) }
}

fn token(n: u64) -> Revocation {
    Revocation { jti: Uuid::from_u128(u128::from(n) << 64 | 0xabc), expires_at: after_noon(600) }
}

fn revisions((clients, keys, revocations): (u64, u64, u64)) -> Revisions {
    Revisions { clients, keys, revocations }
}

impl Subject {
    async fn counted(&self) -> Revisions {
        self.auth.revisions().await.unwrap()
    }

    async fn uses(&self) -> Vec<SecretUse> {
        let mut uses = self.auth.secret_uses().await.unwrap();
        uses.sort_by_key(|noted| noted.hash);
        uses
    }

    async fn kids(&self) -> Vec<String> {
        self.auth.keys().await.unwrap().into_iter().map(|key| key.kid).collect()
    }

    async fn revoked(&self, since: u64) -> Vec<Revocation> {
        self.auth.revoked_since(since).await.unwrap()
    }
}

/// Every field, in order of id.
pub async fn clients_come_back_as_they_were_written(s: &Subject) {
    assert!(s.auth.clients().await.unwrap().is_empty());
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k", "use": "sig"}]});
    let registered = ClientKeys::Jwks(KeySet::register(&set).unwrap());
    let elsewhere = ClientKeys::JwksUri("https://client.example/keys?of=us".parse().unwrap());
    let mut written = [client("m"), full_client("Z", registered), full_client("a", elsewhere)];
    for client in &written {
        s.auth.put_client(client).await.unwrap();
    }
    written.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(s.auth.clients().await.unwrap(), written);
    let changed = Client { version: 2, ..full_client("m", ClientKeys::Jwks(KeySet::register(&set).unwrap())) };
    s.auth.put_client(&changed).await.unwrap();
    assert_eq!(s.auth.clients().await.unwrap()[2], changed);
}

/// A second client of an id is refused, and changes nothing.
pub async fn an_id_is_one_client_s(s: &Subject) {
    s.auth.put_client(&client("a")).await.unwrap();
    let second = Client { name: "another".into(), ..client("a") };
    let error = s.auth.put_client(&second).await.unwrap_err();
    assert!(matches!(error, PutClientError::Exists), "{error}");
    assert_eq!(s.auth.clients().await.unwrap(), [client("a")]);
}

/// Neither case nor spaces nor ways of writing an accent make two ids one.
pub async fn ids_of_clients_are_compared_byte_by_byte(s: &Subject) {
    let ids = ["till", "TILL", "Till", "till ", " till", "t\u{ed}ll", "ti\u{301}ll", "tıll"];
    for id in ids {
        s.auth.put_client(&client(id)).await.unwrap();
    }
    assert!(!s.auth.remove_client("tILL").await.unwrap());
    assert!(s.auth.remove_client("TILL").await.unwrap());
    s.auth.put_client(&next(&client("till"), "changed")).await.unwrap();
    let clients = s.auth.clients().await.unwrap();
    let ids: BTreeSet<&str> = ids.into_iter().filter(|id| *id != "TILL").collect();
    assert_eq!(clients.iter().map(|client| &*client.id).collect::<Vec<_>>(), Vec::from_iter(ids));
    for client in clients {
        assert_eq!(client.name == "changed", &*client.id == "till", "{}", client.id);
    }
}

/// And over no other: not over a later one, nor one that is gone or was never there.
pub async fn a_client_is_written_over_the_version_it_was_made_from(s: &Subject) {
    let first = client("a");
    s.auth.put_client(&first).await.unwrap();
    let second = next(&first, "second");
    s.auth.put_client(&second).await.unwrap();
    for stale in [next(&first, "late"), next(&next(&second, ""), "early"), next(&client("b"), "never there")] {
        let error = s.auth.put_client(&stale).await.unwrap_err();
        assert!(matches!(error, PutClientError::Changed), "{error}");
    }
    assert_eq!(s.auth.clients().await.unwrap(), std::slice::from_ref(&second));
    assert!(s.auth.remove_client("a").await.unwrap());
    let error = s.auth.put_client(&next(&second, "gone")).await.unwrap_err();
    assert!(matches!(error, PutClientError::Changed), "{error}");
    assert!(s.auth.clients().await.unwrap().is_empty());
}

/// Once; its id is free again.
pub async fn a_removed_client_is_gone(s: &Subject) {
    s.auth.put_client(&client("a")).await.unwrap();
    s.auth.put_client(&client("b")).await.unwrap();
    assert!(s.auth.remove_client("a").await.unwrap());
    assert!(!s.auth.remove_client("a").await.unwrap());
    assert_eq!(s.auth.clients().await.unwrap(), [client("b")]);
    s.auth.put_client(&client("a")).await.unwrap();
}

/// From the same version, or of the same new id.
pub async fn of_concurrent_changes_of_a_client_exactly_one_is_made(s: &Subject) {
    let mut before: Option<Client> = None;
    for _ in 0..10 {
        let mut writers = JoinSet::new();
        for n in 0..8 {
            let name = format!("of writer {n}");
            let change = before.as_ref().map_or_else(|| client("a"), |before| next(before, &name));
            let auth = Arc::clone(&s.auth);
            writers.spawn(async move { auth.put_client(&change).await.map(|()| change) });
        }
        let mut made = Vec::new();
        for result in writers.join_all().await {
            match result {
                Ok(change) => made.push(change),
                Err(PutClientError::Exists) => assert!(before.is_none()),
                Err(PutClientError::Changed) => assert!(before.is_some()),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((made.len(), &s.auth.clients().await.unwrap()), (1, &made));
        before = made.pop();
    }
    assert_eq!(s.counted().await, revisions((10, 0, 0)));
}

/// A replica reads anew what was changed, and nothing else.
pub async fn a_change_is_counted_with_its_own_kind(s: &Subject) {
    assert_eq!(s.counted().await, Revisions::default());
    s.auth.put_client(&client("a")).await.unwrap();
    assert_eq!(s.counted().await, revisions((1, 0, 0)));
    s.auth.put_client(&next(&client("a"), "x")).await.unwrap();
    assert_eq!(s.counted().await, revisions((2, 0, 0)));
    s.auth.remove_client("a").await.unwrap();
    assert_eq!(s.counted().await, revisions((3, 0, 0)));
    assert!(s.auth.add_key(&key("k", 1), None).await.unwrap());
    assert_eq!(s.counted().await, revisions((3, 1, 0)));
    s.auth.remove_keys(&["k".into(), "never there".into()]).await.unwrap();
    assert_eq!(s.counted().await, revisions((3, 2, 0)));
    s.auth.revoke(token(1)).await.unwrap();
    assert_eq!(s.counted().await, revisions((3, 2, 1)));
}

/// What is refused or there already, and what nobody keeps in memory: uses of secrets and of things good for one use, and
/// what is forgotten because it has ended.
pub async fn what_changes_nothing_is_not_counted(s: &Subject) {
    s.auth.put_client(&client("a")).await.unwrap();
    assert!(s.auth.add_key(&key("k", 1), None).await.unwrap());
    s.auth.revoke(token(1)).await.unwrap();
    let before = s.counted().await;
    assert!(s.auth.put_client(&client("a")).await.is_err());
    assert!(s.auth.put_client(&Client { version: 9, ..client("a") }).await.is_err());
    assert!(!s.auth.remove_client("b").await.unwrap());
    assert!(!s.auth.add_key(&key("l", 2), None).await.unwrap());
    assert!(!s.auth.add_key(&key("l", 2), Some("other")).await.unwrap());
    s.auth.remove_keys(&[]).await.unwrap();
    s.auth.remove_keys(&["other".into()]).await.unwrap();
    s.auth.revoke(token(1)).await.unwrap();
    s.auth.note_secret_uses(&[used(1, 1)]).await.unwrap();
    s.auth.prune_secret_uses(after_noon(9), &[]).await.unwrap();
    assert!(s.auth.first_use(hash(1), after_noon(1)).await.unwrap());
    assert!(!s.auth.first_use(hash(1), after_noon(1)).await.unwrap());
    assert_eq!(s.auth.prune_expired(after_noon(9_999)).await.unwrap(), 2);
    assert_eq!(s.counted().await, before);
}

/// Whoever reads a count finds what it counts: neither is there before the commit.
pub async fn a_change_and_its_count_are_seen_together(s: &Subject) {
    s.gate.close();
    let change = tokio::spawn({
        let auth = Arc::clone(&s.auth);
        async move { auth.revoke(token(1)).await }
    });
    s.gate.someone_waits().await;
    assert_eq!((s.counted().await, s.revoked(0).await), (Revisions::default(), vec![]));
    s.gate.open();
    change.await.unwrap().unwrap();
    assert_eq!((s.counted().await, s.revoked(0).await), (revisions((0, 0, 1)), vec![token(1)]));
}

/// Replicas note what they saw in any order, and some of it twice.
pub async fn the_latest_use_of_a_secret_is_kept(s: &Subject) {
    s.auth.note_secret_uses(&[]).await.unwrap();
    assert!(s.uses().await.is_empty());
    s.auth.note_secret_uses(&[used(1, 10), used(2, 20)]).await.unwrap();
    s.auth.note_secret_uses(&[used(2, 15), used(3, 30), used(1, 11), used(3, 29), used(3, 31)]).await.unwrap();
    assert_eq!(s.uses().await, [used(1, 11), used(2, 20), used(3, 31)]);
    let mut replicas = JoinSet::new();
    for replica in 0..8 {
        let auth = Arc::clone(&s.auth);
        let mut uses: Vec<SecretUse> = (0..300).map(|n| used(n, 100 + (replica * 7 + 3) % 8)).collect();
        uses.rotate_left(usize::try_from(replica).unwrap() * 37);
        replicas.spawn(async move { auth.note_secret_uses(&uses).await.unwrap() });
    }
    replicas.join_all().await;
    assert_eq!(s.uses().await, (0..300).map(|n| used(n, 107)).collect::<Vec<_>>());
}

/// Those from before a moment, however many.
pub async fn old_uses_of_secrets_are_forgotten(s: &Subject) {
    let old: Vec<SecretUse> = (0..MANY).map(|n| used(n, 9)).collect();
    s.auth.note_secret_uses(&old).await.unwrap();
    s.auth.note_secret_uses(&[used(MANY, 10), used(MANY + 1, 11), used(3, 12)]).await.unwrap();
    assert_eq!(s.auth.prune_secret_uses(after_noon(10), &[]).await.unwrap(), MANY - 1);
    assert_eq!(s.auth.prune_secret_uses(after_noon(10), &[]).await.unwrap(), 0);
    assert_eq!(s.uses().await, [used(3, 12), used(MANY, 10), used(MANY + 1, 11)]);
}

/// Whatever the order in which they were made; names decide between two of the same moment.
pub async fn keys_are_given_in_the_order_in_which_they_sign(s: &Subject) {
    assert!(s.auth.keys().await.unwrap().is_empty());
    for (kid, signs_from, newest) in
        [("m", 5, None), ("a", 5, Some("m")), ("Z", 5, Some("m")), ("c", 1, Some("m")), ("b", 9, Some("m"))]
    {
        assert!(s.auth.add_key(&key(kid, signs_from), newest).await.unwrap(), "{kid}");
    }
    let keys = s.auth.keys().await.unwrap();
    assert_eq!(keys, [key("c", 1), key("Z", 5), key("a", 5), key("m", 5), key("b", 9)]);
    s.auth.remove_keys(&["c".into(), "a".into(), "C".into(), "a".into()]).await.unwrap();
    assert_eq!(s.kids().await, ["Z", "m", "b"]);
}

/// Whoever decided by another is told so. A name that is taken is not taken again.
pub async fn a_key_is_added_after_the_newest_alone(s: &Subject) {
    assert!(!s.auth.add_key(&key("a", 1), Some("b")).await.unwrap(), "there is none");
    assert!(s.auth.add_key(&key("a", 1), None).await.unwrap());
    assert!(!s.auth.add_key(&key("b", 2), None).await.unwrap(), "there is one");
    assert!(!s.auth.add_key(&key("b", 2), Some("A")).await.unwrap(), "of another case");
    assert!(s.auth.add_key(&key("b", 2), Some("a")).await.unwrap());
    assert!(!s.auth.add_key(&key("c", 3), Some("a")).await.unwrap(), "no longer the newest");
    assert!(!s.auth.add_key(&key("a", 9), Some("b")).await.unwrap(), "taken");
    assert_eq!(s.auth.keys().await.unwrap(), [key("a", 1), key("b", 2)]);
    s.auth.remove_keys(&["a".into(), "b".into()]).await.unwrap();
    assert!(s.auth.add_key(&key("a", 1), None).await.unwrap(), "there is none again");
}

/// Replicas rotate at the same time; the first key of all as well as those after it.
pub async fn of_keys_added_at_the_same_time_exactly_one_is(s: &Subject) {
    let mut newest: Option<String> = None;
    for round in 0..30 {
        let mut replicas = JoinSet::new();
        for replica in 0..6 {
            let (auth, newest) = (Arc::clone(&s.auth), newest.clone());
            let added = key(&format!("{round}-{replica}"), round);
            replicas.spawn(async move { auth.add_key(&added, newest.as_deref()).await.unwrap().then_some(added.kid) });
        }
        let added: Vec<String> = replicas.join_all().await.into_iter().flatten().collect();
        assert_eq!(added.len(), 1, "{added:?}");
        assert_eq!(s.kids().await.last(), added.first());
        newest = added.into_iter().next();
    }
    assert_eq!((s.kids().await.len(), s.counted().await.keys), (30, 30));
}

/// Revoking it again neither moves it nor lengthens what is kept of it.
pub async fn a_token_is_revoked_once(s: &Subject) {
    for n in [1, 2, 1, 3, 2] {
        s.auth.revoke(token(n)).await.unwrap();
    }
    s.auth.revoke(Revocation { expires_at: after_noon(9_000), ..token(1) }).await.unwrap();
    assert_eq!(s.revoked(0).await, [token(1), token(2), token(3)]);
    assert_eq!(s.revoked(2).await, [token(3)]);
    assert_eq!((s.revoked(3).await, s.revoked(u64::MAX).await), (vec![], vec![]));
    let mut revokers = JoinSet::new();
    for n in 0..32 {
        let auth = Arc::clone(&s.auth);
        revokers.spawn(async move { auth.revoke(token(4 + n % 2)).await.unwrap() });
    }
    revokers.join_all().await;
    assert_eq!((s.revoked(3).await.len(), s.counted().await.revocations), (2, 5));
}

const REVOKERS: u64 = 16;
const ROUNDS: u64 = 12;

/// Follows revocations as every replica does: asks how many there are, and reads those after the number that it knew.
/// Ends when there is nothing more to come.
pub async fn follow_revocations(auth: &dyn AuthStore, all_done: &AtomicBool) -> BTreeSet<Uuid> {
    let (mut seen, mut at) = (BTreeSet::new(), 0);
    loop {
        let last_look = all_done.load(Ordering::SeqCst);
        let now = auth.revisions().await.unwrap().revocations;
        if now != at {
            seen.extend(auth.revoked_since(at).await.unwrap().iter().map(|token| token.jti));
            at = now;
        } else if last_look {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

/// Whatever the order in which they are committed.
pub async fn concurrent_revocations_leave_no_gap(s: &Subject) {
    let done = Arc::new(AtomicBool::new(false));
    let follower = tokio::spawn({
        let (auth, done) = (Arc::clone(&s.auth), Arc::clone(&done));
        async move { follow_revocations(&*auth, &done).await }
    });
    let mut revokers = JoinSet::new();
    for revoker in 0..REVOKERS {
        let auth = Arc::clone(&s.auth);
        revokers.spawn(async move {
            for round in 0..ROUNDS {
                auth.revoke(token(revoker * ROUNDS + round)).await.unwrap();
            }
        });
    }
    revokers.join_all().await;
    done.store(true, Ordering::SeqCst);
    let total = REVOKERS * ROUNDS;
    assert_eq!(follower.await.unwrap(), (0..total).map(|n| token(n).jti).collect());
    assert_eq!(s.counted().await.revocations, total);
    let all = s.revoked(0).await;
    for revision in (0..=total).step_by(5) {
        let after = usize::try_from(revision).unwrap();
        assert_eq!(s.revoked(revision).await, all[after..], "after {revision}");
    }
}

/// On any replica. What another hash or another end makes of it is something else, or the same.
pub async fn of_many_uses_at_once_exactly_one_is_the_first(s: &Subject) {
    for n in 0..5 {
        let mut users = JoinSet::new();
        for user in 0..32 {
            let auth = Arc::clone(&s.auth);
            users.spawn(async move { auth.first_use(hash(n), after_noon(user)).await.unwrap() });
        }
        let first = users.join_all().await.into_iter().filter(|first| *first).count();
        assert_eq!(first, 1, "of {n}");
    }
    assert!(s.auth.first_use(hash(5), after_noon(1)).await.unwrap());
    assert!(!s.auth.first_use(hash(5), after_noon(2)).await.unwrap());
}

/// What comes while others are being noted is noted together, and each is still told for itself whether it was the first.
pub async fn uses_that_come_while_others_are_noted_share_a_transaction(s: &Subject) {
    const TWICE: u64 = 300;
    s.gate.close();
    let ask = |n| {
        let auth = Arc::clone(&s.auth);
        async move { (n, auth.first_use(hash(n), after_noon(9)).await.unwrap()) }
    };
    let mut asked = JoinSet::new();
    asked.spawn(ask(0));
    s.gate.someone_waits().await;
    for n in 1..=TWICE {
        asked.spawn(ask(n));
        asked.spawn(ask(n));
    }
    // All of them wait behind the first.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    s.gate.admit(20);
    let asked = tokio::time::timeout(Duration::from_secs(60), asked.join_all()).await;
    s.gate.open();
    let first =
        asked.expect("twenty commits are enough for all of them").into_iter().filter(|(_, first)| *first).count();
    assert_eq!(u64::try_from(first).unwrap(), 1 + TWICE);
}

/// Tokens and things good for one use, however many; what has not ended stays.
pub async fn what_has_ended_is_forgotten(s: &Subject) {
    let ends = |n: u64, at| Revocation { expires_at: after_noon(at), ..token(n) };
    for n in 0..5 {
        s.auth.revoke(ends(n, 9 + i64::from(n > 2))).await.unwrap();
    }
    let mut users = JoinSet::new();
    for user in 0..8 {
        let auth = Arc::clone(&s.auth);
        users.spawn(async move {
            for n in (user..MANY).step_by(8) {
                assert!(auth.first_use(hash(n), after_noon(9)).await.unwrap());
            }
        });
    }
    users.join_all().await;
    assert!(s.auth.first_use(hash(MANY), after_noon(10)).await.unwrap());
    assert_eq!(s.auth.prune_expired(after_noon(10)).await.unwrap(), 3 + MANY);
    assert_eq!(s.auth.prune_expired(after_noon(10)).await.unwrap(), 0);
    assert_eq!(s.revoked(0).await, [ends(3, 10), ends(4, 10)]);
    assert!(!s.auth.first_use(hash(MANY), after_noon(20)).await.unwrap(), "kept");
    assert!(s.auth.first_use(hash(0), after_noon(20)).await.unwrap(), "forgotten");
    s.auth.revoke(ends(9, 20)).await.unwrap();
    assert_eq!(s.revoked(5).await, [ends(9, 20)], "counting goes on");
}
