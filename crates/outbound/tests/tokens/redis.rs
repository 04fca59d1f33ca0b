//! A real Redis: what is in it, and what happens when it is frozen or gone.

use std::sync::Arc;
use std::time::Duration;

use haat_catalog::time::SystemClock;
use haat_outbound::tokens::{SharedTokens, TokenVault};
use haat_testkit::servers::RedisServer;
use rstest::rstest;

use crate::provider::{Fault, Provider, SECRET, TOKEN};
use crate::stage::{Plain, draft, eventually, manager, manager_of, options, redis, shared, text};
use crate::worker::{Setup, Worker};

const PATIENT: Duration = Duration::from_secs(5);

/// What becomes of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Frozen,
    Killed,
}

impl End {
    fn of(self, server: &mut RedisServer) {
        match self {
            Self::Frozen => server.pause(),
            Self::Killed => server.kill(),
        }
    }
}

#[rstest]
#[case::frozen_before(End::Frozen, false)]
#[case::frozen_during_the_fetch(End::Frozen, true)]
#[case::killed_before(End::Killed, false)]
#[case::killed_during_the_fetch(End::Killed, true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_process_fetches_once_at_most_and_nothing_is_sent_without_a_token(
    #[case] end: End,
    #[case] during: bool,
) {
    let (mut server, provider) = (RedisServer::start(), Provider::new());
    provider.always(Some(Fault::Late(Duration::from_millis(400))));
    let address = provider.listen().await;
    let setup = Setup { redis: server.url(), provider: address, patience_ms: 100, lock_ms: 3_000 };
    let mut workers: [Worker; 4] = Worker::start(&setup).await;
    if !during {
        end.of(&mut server);
    }
    for worker in &mut workers {
        worker.call(100).await;
    }
    if during {
        eventually("the first asks", || provider.fetches() > 0).await;
        end.of(&mut server);
    }
    for worker in &mut workers {
        let report = worker.report().await;
        assert_eq!(report.given, [("200".to_owned(), 100)].into());
        // A fetch, the patience, the jitter; the rest is what a busy machine adds.
        assert!(report.took < Duration::from_secs(3), "{:?}", report.took);
    }
    assert!((1..=4).contains(&provider.fetches()), "{} fetches", provider.fetches());
    assert!(provider.asked().iter().all(|asked| asked.token.is_some()), "something was sent without a token");
    // Each goes on with its own.
    let before = provider.fetches();
    for worker in &mut workers {
        worker.call(10).await;
        assert_eq!(worker.report().await.given, [("200".to_owned(), 10)].into());
    }
    assert_eq!(provider.fetches(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_redis_is_sealed_and_goes_by_itself() {
    let (server, provider) = (RedisServer::start(), Provider::new());
    let (address, cache, plain) = (provider.listen().await, redis(&server, PATIENT).await, Plain::client());
    let first = manager(&plain, shared(&cache), Some(address)).token().await.unwrap();
    let keys = server.command(&["KEYS", "*"]);
    let tokens: Vec<_> = keys.lines().filter(|key| key.contains("token:") && !key.contains("lock")).collect();
    assert_eq!(tokens.len(), 1, "{keys}");
    for key in keys.lines().filter(|key| !key.is_empty()) {
        let dump = server.command(&["GET", key]);
        for secret in [TOKEN, SECRET, "shop", "products"] {
            assert!(!dump.contains(secret) && !key.contains(secret), "{key}: {dump}");
        }
        let ttl = server.command(&["PTTL", key]).trim().parse::<i64>().unwrap();
        assert!(ttl > 0 || key.ends_with("probe"), "{key} never ends");
    }
    // Another process with the same encryption key reads it, with what is left of its life; one with another does not.
    let second = manager(&plain, shared(&cache), Some(address)).token().await.unwrap();
    assert_eq!((text(&second), provider.fetches()), (text(&first), 1));
    assert!(second.ends() <= first.ends() && second.ends() + Duration::from_secs(5) > first.ends());
    let vault = Arc::new(TokenVault::new(&[1; 32]).unwrap());
    let stranger = Some(SharedTokens { cache, vault });
    let third = manager(&plain, stranger, Some(address)).token().await.unwrap();
    assert_eq!((text(&third), provider.fetches()), (format!("{TOKEN}2"), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_token_that_was_moved_or_changed_is_not_used() {
    let (server, provider) = (RedisServer::start(), Provider::new());
    let (address, cache, plain) = (provider.listen().await, redis(&server, PATIENT).await, Plain::client());
    let reader = || manager(&plain, shared(&cache), Some(address));
    reader().token().await.unwrap();
    let key = server.command(&["KEYS", "*token:*"]);
    let key = key.lines().find(|key| !key.contains("lock")).unwrap();
    // Under the name of other credentials.
    let mut other = draft(Some(address));
    other.scopes = vec!["products:write".into()];
    let other = || manager_of(other.clone(), options(), &plain, shared(&cache), Arc::new(SystemClock));
    other().token().await.unwrap();
    let keys = server.command(&["KEYS", "*token:*"]);
    let moved = keys.lines().find(|k| !k.contains("lock") && *k != key).unwrap();
    server.command(&["COPY", key, moved, "REPLACE"]);
    assert_eq!(text(&other().token().await.unwrap()), format!("{TOKEN}3"));
    // Cut short.
    server.command(&["SETRANGE", key, "40", "xxxx"]);
    assert_eq!(text(&reader().token().await.unwrap()), format!("{TOKEN}4"));
    assert_eq!(provider.fetches(), 4);
}
