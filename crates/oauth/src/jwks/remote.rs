//! Key sets that are somewhere else: fetched when they are needed, kept for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::KeySet;
use crate::ports::FetchKeys;

/// How long a fetched set is used without a look at its source.
const FRESH: Duration = Duration::from_secs(600);
/// How long after a fetch nothing is fetched again, whoever names keys that are not there.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a fetch may take, however patient whoever fetches is: nothing else is fetched from there meanwhile.
/// Less than `PAUSE`: those who waited find that it was just tried, or each would wait for a silent source anew, in turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a fetched set is good while its source does not answer: a key that its owner has withdrawn must not be trusted
/// for ever because nobody hears of it. A set that nobody asks for is forgotten after as long.
const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// The most sets. When there are as many, the one that was not asked for the longest goes.
const MAX_SETS: usize = 10_000;

/// Key sets by their URL. One fetch at a time for each, and at most one in `PAUSE`.
pub struct RemoteKeys {
    fetch: Arc<dyn FetchKeys>,
    sets: std::sync::Mutex<HashMap<Url, Asked>>,
}

/// A set, and when it was last asked for.
struct Asked {
    set: Arc<Remote>,
    at: Instant,
}

/// A set that is somewhere else.
#[derive(Default)]
struct Remote {
    fetched: ArcSwapOption<Fetched>,
    /// When it was last asked for; held while it is.
    tried: Arc<Mutex<Option<Instant>>>,
}

struct Fetched {
    set: KeySet,
    at: Instant,
}

impl Remote {
    /// The keys that are known to fit, and whether they are known from lately.
    fn known(&self, kid: Option<&str>, algorithm: Algorithm) -> (Vec<DecodingKey>, bool) {
        match &*self.fetched.load() {
            Some(fetched) if fetched.at.elapsed() < KEPT => {
                (fetched.set.candidates(kid, algorithm), fetched.at.elapsed() < FRESH)
            }
            _ => (Vec::new(), false),
        }
    }

    /// Fetches the set. What cannot be fetched leaves what was known.
    async fn read(&self, fetch: &dyn FetchKeys, url: &Url) {
        let text = tokio::time::timeout(PATIENCE, fetch.fetch(url)).await;
        let text = text.unwrap_or_else(|_| Err(format!("there was no answer within {} s", PATIENCE.as_secs())));
        let set = text.and_then(|text| KeySet::read(&text).map_err(|e| format!("what it answers {e}")));
        match set {
            Ok(set) => self.fetched.store(Some(Arc::new(Fetched { set, at: Instant::now() }))),
            Err(error) => {
                // Not all of the URL: path and query are somebody else's, and may be a secret.
                let host = url.host_str().unwrap_or_default();
                tracing::warn!(host, error, "a key set cannot be fetched");
            }
        }
    }
}

impl RemoteKeys {
    /// None fetched yet.
    pub fn new(fetch: Arc<dyn FetchKeys>) -> Self {
        Self { fetch, sets: std::sync::Mutex::default() }
    }

    fn set_at(&self, url: &Url) -> Arc<Remote> {
        let mut sets = self.sets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if let Some(asked) = sets.get_mut(url) {
            asked.at = now;
            return Arc::clone(&asked.set);
        }
        // Rare: a URL is new once.
        sets.retain(|_, asked| asked.at.elapsed() < KEPT);
        if sets.len() >= MAX_SETS {
            let longest_ago = sets.iter().min_by_key(|(_, asked)| asked.at).map(|(url, _)| url.clone());
            longest_ago.map(|url| sets.remove(&url));
        }
        Arc::clone(&sets.entry(url.clone()).or_insert_with(|| Asked { set: Arc::default(), at: now }).set)
    }

    /// The keys at `url` that a signature of that header may have been made with. A key that is not known is looked for at
    /// the source; a source that does not answer leaves what was known, for a day.
    pub async fn candidates(&self, url: &Url, kid: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let remote = self.set_at(url);
        let (found, fresh) = remote.known(kid, algorithm);
        if fresh && !found.is_empty() {
            return found;
        }
        // Whoever has a key does not wait while others, who may name any key they like, make this server look for theirs.
        let mut tried = match Arc::clone(&remote.tried).try_lock_owned() {
            Ok(tried) => tried,
            Err(_) if !found.is_empty() => return found,
            Err(_) => Arc::clone(&remote.tried).lock_owned().await,
        };
        if tried.is_some_and(|at| at.elapsed() < PAUSE) {
            return remote.known(kid, algorithm).0;
        }
        *tried = Some(Instant::now());
        let (asked, fetch, url) = (Arc::clone(&remote), Arc::clone(&self.fetch), url.clone());
        // On its own: whoever asks may go away, and must not leave the others without keys until the pause is over.
        let fetching = tokio::spawn(async move {
            asked.read(&*fetch, &url).await;
            drop(tried);
        });
        if let Err(error) = fetching.await {
            tracing::error!(%error, "the fetching of a key set has failed");
        }
        remote.known(kid, algorithm).0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;
    use serde_json::json;

    use super::super::tests::ed;
    use super::*;

    struct Source(AtomicUsize);

    #[async_trait]
    impl FetchKeys for Source {
        async fn fetch(&self, _: &Url) -> Result<Bytes, String> {
            let n = self.0.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            match n {
                2 => Err("gone".into()),
                n => Ok(json!({"keys": [ed(&format!("key-{n}"))]}).to_string().into()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_key_does_not_wait_while_an_unknown_one_is_looked_for() {
        let keys = RemoteKeys::new(Arc::new(Source(AtomicUsize::new(0))));
        let url: Url = "https://client.example/jwks".parse().unwrap();
        let find = async |kid| keys.candidates(&url, Some(kid), Algorithm::EdDSA).await.len();
        assert_eq!(find("key-0").await, 1);
        tokio::time::advance(PAUSE).await;
        let known = async {
            tokio::task::yield_now().await;
            let begun = Instant::now();
            assert_eq!(find("key-0").await, 1);
            begun.elapsed()
        };
        let (unknown, waited) = tokio::join!(find("key-1"), known);
        assert_eq!((unknown, waited), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_is_looked_for_once_in_a_while() {
        let source = Arc::new(Source(AtomicUsize::new(0)));
        let keys = RemoteKeys::new(source.clone());
        let url: Url = "https://client.example/jwks".parse().unwrap();
        let find = async |kid| keys.candidates(&url, Some(kid), Algorithm::EdDSA).await.len();
        let fetched = || source.0.load(Ordering::SeqCst);
        assert_eq!(tokio::join!(find("key-0"), find("key-0")), (1, 1));
        for _ in 0..50 {
            assert_eq!(find("key-1").await, 0);
        }
        assert_eq!(fetched(), 1);
        tokio::time::advance(PAUSE).await;
        assert_eq!(tokio::join!(find("key-1"), find("key-1")), (1, 1));
        assert_eq!(fetched(), 2);
        tokio::time::advance(FRESH).await;
        assert_eq!(find("key-1").await, 1, "what was known is used while the source does not answer");
        assert_eq!((find("key-1").await, fetched()), (1, 3));
        tokio::time::advance(PAUSE).await;
        assert_eq!((find("key-3").await, find("key-1").await, fetched()), (1, 0, 4), "and given up once it does");
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_the_others_what_they_waited_for() {
        let source = Arc::new(Source(AtomicUsize::new(0)));
        let keys = RemoteKeys::new(source.clone());
        let url: Url = "https://client.example/jwks".parse().unwrap();
        let find = async || keys.candidates(&url, Some("key-0"), Algorithm::EdDSA).await.len();
        assert!(tokio::time::timeout(Duration::from_millis(10), find()).await.is_err());
        assert_eq!((find().await, source.0.load(Ordering::SeqCst)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_never_answers_is_asked_again() {
        struct Silent(AtomicUsize);

        #[async_trait]
        impl FetchKeys for Silent {
            async fn fetch(&self, _: &Url) -> Result<Bytes, String> {
                match self.0.fetch_add(1, Ordering::SeqCst) {
                    0 => std::future::pending().await,
                    _ => Ok(json!({"keys": [ed("key")]}).to_string().into()),
                }
            }
        }

        let source = Arc::new(Silent(AtomicUsize::new(0)));
        let keys = RemoteKeys::new(source.clone());
        let url: Url = "https://client.example/jwks".parse().unwrap();
        let find = async || keys.candidates(&url, Some("key"), Algorithm::EdDSA).await.len();
        let begun = Instant::now();
        // Who waits meanwhile does not wait once more after it.
        assert_eq!(tokio::join!(find(), find(), find()), (0, 0, 0));
        assert_eq!(source.0.load(Ordering::SeqCst), 1);
        assert!(begun.elapsed() <= Duration::from_secs(10), "{:?}", begun.elapsed());
        tokio::time::advance(PAUSE.saturating_sub(begun.elapsed())).await;
        assert_eq!(find().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_silent_for_a_day_is_trusted_no_longer() {
        struct Once(AtomicUsize);

        #[async_trait]
        impl FetchKeys for Once {
            async fn fetch(&self, _: &Url) -> Result<Bytes, String> {
                match self.0.fetch_add(1, Ordering::SeqCst) {
                    0 => Ok(json!({"keys": [ed("key")]}).to_string().into()),
                    _ => Err("gone".into()),
                }
            }
        }

        let keys = RemoteKeys::new(Arc::new(Once(AtomicUsize::new(0))));
        let url: Url = "https://client.example/jwks".parse().unwrap();
        let find = async || keys.candidates(&url, Some("key"), Algorithm::EdDSA).await.len();
        assert_eq!(find().await, 1);
        for _ in 0..23 {
            tokio::time::advance(Duration::from_secs(3_600)).await;
            assert_eq!(find().await, 1);
        }
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(find().await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn sets_that_nobody_asks_for_are_forgotten() {
        let keys = RemoteKeys::new(Arc::new(Source(AtomicUsize::new(9))));
        let url = |n: usize| format!("https://client.example/{n}").parse::<Url>().unwrap();
        let kept = |n: usize| keys.sets.lock().unwrap().contains_key(&url(n));
        keys.set_at(&url(0));
        tokio::time::advance(KEPT / 2).await;
        keys.set_at(&url(1));
        tokio::time::advance(KEPT / 2).await;
        keys.set_at(&url(2));
        assert_eq!((kept(0), kept(1), kept(2)), (false, true, true));
        tokio::time::advance(Duration::from_millis(1)).await;
        keys.set_at(&url(1));
        for n in 3..=MAX_SETS {
            keys.set_at(&url(n));
        }
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(kept(2));
        keys.set_at(&url(MAX_SETS + 1));
        assert_eq!((kept(1), kept(2), keys.sets.lock().unwrap().len()), (true, false, MAX_SETS));
    }
}
