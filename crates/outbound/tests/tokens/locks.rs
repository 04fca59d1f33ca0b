//! The lock in the shared cache: it is held for as long as it takes, not for ever, and who comes late does no harm.

use std::sync::Arc;
use std::time::Duration;

use haat_cache::Cache;
use haat_catalog::time::SystemClock;
use haat_outbound::Caller;
use haat_outbound::tokens::TokenManager;
use haat_testkit::servers::RedisServer;
use tokio::time::Instant;

use crate::provider::{Fault, Provider, TOKEN};
use crate::stage::{draft, eventually, manager, manager_of, memory, options, redis, shared, text};

/// A manager whose lock lasts for so long, and is held for so long at most.
fn holding(caller: &Arc<dyn Caller>, cache: &Arc<dyn Cache>, lock: Duration, longest: Duration) -> TokenManager {
    let mut options = options();
    (options.lock, options.longest_hold) = (lock, longest);
    manager_of(draft(None), options, caller, shared(cache), Arc::new(SystemClock))
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_renewed_while_its_holder_fetches() {
    let (provider, cache) = (Provider::new(), memory());
    let caller: Arc<dyn Caller> = provider.clone();
    provider.next([Fault::Late(Duration::from_secs(9))]);
    let managers = [(); 3].map(|()| manager(&caller, shared(&cache), None));
    let (a, b, c) = tokio::join!(managers[0].token(), managers[1].token(), managers[2].token());
    let texts = [a, b, c].map(|token| text(&token.unwrap()));
    assert_eq!((texts, provider.fetches()), ([(); 3].map(|()| format!("{TOKEN}1")), 1));
}

#[tokio::test(start_paused = true)]
async fn a_lock_ends_after_the_longest_hold_though_its_holder_is_still_at_it() {
    let (provider, cache) = (Provider::new(), memory());
    let caller: Arc<dyn Caller> = provider.clone();
    let (lock, longest) = (Duration::from_secs(3), Duration::from_secs(5));
    let slow = holding(&caller, &cache, lock, longest);
    provider.next([Fault::Hang]);
    let began = Instant::now();
    let first = tokio::spawn(async move { slow.token().await });
    eventually("it asks", || provider.fetches() == 1).await;
    holding(&caller, &cache, lock, longest).token().await.unwrap();
    let took = began.elapsed();
    assert!(took >= longest && took < longest + Duration::from_millis(100), "{took:?}");
    assert_eq!(provider.fetches(), 2);
    first.abort();
}

/// The holder's token comes after its lock has ended and another has fetched.
async fn late(cache: Arc<dyn Cache>, unit: Duration) {
    let provider = Provider::new();
    let caller: Arc<dyn Caller> = provider.clone();
    let former = holding(&caller, &cache, unit * 3, unit * 3);
    provider.next([Fault::Late(unit * 9)]);
    let former = tokio::spawn(async move { (former.token().await.unwrap(), former.token().await.unwrap()) });
    eventually("the former holder asks", || provider.fetches() == 1).await;
    let next = holding(&caller, &cache, unit * 3, unit * 3).token().await.unwrap();
    // The provider numbers tokens when it gives them.
    assert_eq!(text(&next), format!("{TOKEN}1"));
    let (given, kept) = former.await.unwrap();
    assert_eq!((text(&given), text(&kept)), (format!("{TOKEN}1"), format!("{TOKEN}1")), "it takes the newer one");
    assert_eq!(provider.fetches(), 2);
    let another = manager(&caller, shared(&cache), None).token().await.unwrap();
    assert_eq!(text(&another), format!("{TOKEN}1"), "what came late does not replace what is newer");
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_write_of_a_former_holder_is_harmless() {
    late(memory(), Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_write_of_a_former_holder_is_harmless_in_redis() {
    let server = RedisServer::start();
    late(redis(&server, Duration::from_secs(5)).await, Duration::from_millis(150)).await;
}

#[tokio::test(start_paused = true)]
async fn the_lock_is_given_back_when_there_was_no_token() {
    let (provider, cache) = (Provider::new(), memory());
    let caller: Arc<dyn Caller> = provider.clone();
    provider.next([Fault::Cut]);
    let began = Instant::now();
    assert!(manager(&caller, shared(&cache), None).token().await.is_err());
    assert!(manager(&caller, shared(&cache), None).token().await.is_ok());
    assert_eq!(began.elapsed(), Duration::ZERO);
}
