//! What authorization asks of the store beside the promises of its ports that every store keeps.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::time::Duration;

use haat_catalog::Timestamp;
use haat_oauth::ports::{SecretUse, StoredKey};
use haat_oauth::vault::SecretHash;
use haat_store::StoreOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use stage::{Stage, past_the_store};

const HOUR: Duration = Duration::from_secs(3_600);

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn key(kid: &str, longest_token: Duration) -> StoredKey {
    StoredKey { kid: kid.into(), sealed: vec![1], created_at: at(0), signs_from: at(1), longest_token }
}

/// Up, by name, and counted only where it changes something.
async fn how_long_tokens_of_a_key_last_is_only_ever_raised(stage: Stage) {
    let auth = &stage.auth;
    assert!(auth.add_key(&key("a", HOUR), None).await.unwrap());
    assert!(auth.add_key(&key("b", HOUR * 3), Some("a")).await.unwrap());
    let both = ["a".to_owned(), "b".to_owned(), "never there".to_owned()];
    assert!(auth.raise_longest_token(&both, HOUR * 2).await.unwrap());
    assert_eq!(auth.keys().await.unwrap(), [key("a", HOUR * 2), key("b", HOUR * 3)]);
    let counted = auth.revisions().await.unwrap();
    assert_eq!(counted.keys, 3);
    for longest in [HOUR, HOUR * 2] {
        assert!(!auth.raise_longest_token(&both, longest).await.unwrap());
    }
    assert!(!auth.raise_longest_token(&[], HOUR * 9).await.unwrap());
    assert_eq!(auth.revisions().await.unwrap(), counted);
    assert!(auth.raise_longest_token(&both[1..2], HOUR * 4).await.unwrap());
    assert_eq!(auth.keys().await.unwrap(), [key("a", HOUR * 2), key("b", HOUR * 4)]);
}

/// However many there are of either.
async fn uses_of_live_secrets_are_not_forgotten(stage: Stage) {
    const MANY: u32 = 2_345;
    let hash = |n: u32| -> SecretHash {
        let mut hash = [9; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        hash
    };
    let uses: Vec<_> = (0..MANY).map(|n| SecretUse { hash: hash(n), at: at(i64::from(n)) }).collect();
    stage.auth.note_secret_uses(&uses).await.unwrap();
    // Every other one, and some that were never used.
    let live: Vec<_> = (0..MANY * 2).filter(|n| n % 2 == 0).map(hash).collect();
    assert_eq!(stage.auth.prune_secret_uses(at(2_001), &live).await.unwrap(), 1_000);
    assert_eq!(stage.auth.prune_secret_uses(at(2_001), &live).await.unwrap(), 0);
    let mut left: Vec<_> = stage.auth.secret_uses().await.unwrap().iter().map(|used| used.at.as_millis()).collect();
    left.sort_unstable();
    let expected: Vec<i64> = (0..i64::from(MANY)).filter(|n| n % 2 == 0 || *n >= 2_001).collect();
    assert_eq!(left, expected);
}

async fn a_client_that_cannot_be_read_is_there(stage: Stage) {
    assert!(!stage.auth.has_clients().await.unwrap());
    let junk = "INSERT INTO clients (id, version, document) VALUES ('junk', 1, 'no JSON')";
    match &stage.options {
        StoreOptions::Sqlite(options) => {
            let options = SqliteConnectOptions::new().filename(&options.path);
            options.connect().await.unwrap().execute(junk).await.unwrap();
        }
        StoreOptions::MySql(_) => {
            let options = past_the_store(stage.database.as_ref().unwrap());
            options.connect().await.unwrap().execute(junk).await.unwrap();
        }
    }
    assert!(stage.auth.clients().await.unwrap().is_empty());
    assert!(stage.auth.has_clients().await.unwrap());
}

/// Whoever waits for a free connection, and then for each try, is not done before.
async fn a_write_may_take_as_long_as_its_limits_together(stage: Stage) {
    // Those of the stage: a minute for a connection, a minute for the transaction.
    assert_eq!(stage.auth.longest_write(), Duration::from_secs(180));
}

macro_rules! on_both {
    ($($promise:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(super::stage::sqlite().await).await;
                }
            )*
        }

        mod on_mysql {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(super::stage::mysql().await).await;
                }
            )*
        }
    };
}

on_both! {
    how_long_tokens_of_a_key_last_is_only_ever_raised,
    uses_of_live_secrets_are_not_forgotten,
    a_client_that_cannot_be_read_is_there,
    a_write_may_take_as_long_as_its_limits_together,
}
