//! The token in the shared cache, and the lock under which it is fetched.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haat_cache::{Cache, CacheError, Held, Ordered, Script};
use tokio::time::Instant;

use super::credentials::Credentials;
use super::random::Random;
use super::token::Token;
use super::vault::TokenVault;

/// The time on the cache's clock in milliseconds since 1970. It looks at no key; the one it is run on decides which server
/// of a cluster is asked.
static NOW: Script = Script {
    name: "now",
    lua: "local time = redis.call('TIME') return {time[1] * 1000 + math.floor(time[2] / 1000)}",
    native: |now_us, _, _| vec![now_us.div_euclid(1_000)],
};

/// What a stored token begins with, so that another layout is not taken for it.
const LAYOUT: u8 = 1;
/// Layout, id, end, life.
const HEAD: usize = 1 + 16 + 8 + 8;

/// A cache that other processes use as well, and what tokens are sealed with in it.
#[derive(Clone)]
pub struct SharedTokens {
    /// The cache.
    pub cache: Arc<dyn Cache>,
    /// What they are sealed with; the same in all processes.
    pub vault: Arc<TokenVault>,
}

/// The place of one token in the shared cache.
pub(super) struct Shelf {
    shared: SharedTokens,
    name: String,
    lock: String,
    clock: String,
}

impl Shelf {
    pub fn new(shared: SharedTokens, credentials: &Credentials) -> Self {
        let name = shared.vault.name(credentials);
        Self { lock: format!("{name}:lock"), clock: format!("{name}:clock"), name, shared }
    }

    fn cache(&self) -> &dyn Cache {
        &*self.shared.cache
    }

    /// Whether the cache answered when it was last asked.
    pub fn is_up(&self) -> bool {
        self.cache().is_up()
    }

    async fn now_ms(&self) -> Result<i64, CacheError> {
        let now = self.cache().run(&NOW, &self.clock, &[]).await?;
        now.first().copied().ok_or_else(|| CacheError::Failed("it does not tell the time".into()))
    }

    /// The token that is there, if it can be read.
    pub async fn read(&self, random: &dyn Random) -> Result<Option<Token>, CacheError> {
        let Some(stored) = self.cache().get_newest(&self.name).await? else { return Ok(None) };
        let Ok(plain) = self.shared.vault.open(&self.name, &stored.value) else {
            tracing::warn!("the shared access token cannot be opened; do all replicas have the same encryption key?");
            return Ok(None);
        };
        // Before the cache tells the time: what passes until it is read counts as the token's.
        let before = Instant::now();
        let now_ms = self.now_ms().await?;
        Ok(decode(&plain, before, now_ms, random.fraction()))
    }

    /// Puts a token there, unless one was put under a later lock; says whether it did.
    pub async fn write(&self, token: &Token, fence: u64) -> Result<bool, CacheError> {
        let now_ms = self.now_ms().await?;
        // After the cache has told the time, likewise.
        let left = token.ends().saturating_duration_since(Instant::now());
        let Ok(value) = self.shared.vault.seal(&self.name, &encode(token, now_ms, left)) else {
            return Err(CacheError::Failed("the token cannot be sealed".into()));
        };
        if left.is_zero() {
            return Ok(true);
        }
        self.cache().put_newest(&self.name, Ordered { order: fence, value: Bytes::from(value) }, left).await
    }

    /// Takes the lock, unless another has it.
    pub async fn lock(&self, lock: Duration) -> Result<Option<Held>, CacheError> {
        self.cache().lock(&self.lock, lock).await
    }

    /// Does something while holding on to the lock, which is renewed every third of its time and ends by `longest` after it
    /// was taken at the latest, whether the work is done or not; gives it back.
    pub async fn holding<F: Future>(&self, held: &Held, lock: Duration, longest: Duration, work: F) -> F::Output {
        let done = {
            let mut work = std::pin::pin!(work);
            tokio::select! {
                biased;
                done = &mut work => done,
                () = self.renewing(held, lock, longest) => work.await,
            }
        };
        // Not done in time or not at all, it ends by itself.
        if let Err(error) = self.cache().unlock(held).await {
            tracing::debug!(%error, "the lock of an access token is not given back");
        }
        done
    }

    /// Renews a lock until that is over: it has been held for long enough, or it is another's.
    async fn renewing(&self, held: &Held, lock: Duration, longest: Duration) {
        let end = Instant::now() + longest;
        loop {
            tokio::time::sleep(lock / 3).await;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            match self.cache().renew(held, lock.min(left)).await {
                Ok(true) => {}
                Ok(false) => return,
                // It may be back before the lock has ended.
                Err(error) => tracing::debug!(%error, "the lock of an access token is not renewed"),
            }
        }
    }
}

/// A token with the moment of its end on the cache's clock.
fn encode(token: &Token, now_ms: i64, left: Duration) -> Vec<u8> {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let mut out = Vec::with_capacity(HEAD + token.text().len());
    out.push(LAYOUT);
    out.extend_from_slice(&token.id.to_be_bytes());
    out.extend_from_slice(&now_ms.saturating_add(millis(left)).to_be_bytes());
    out.extend_from_slice(&millis(token.life).to_be_bytes());
    out.extend_from_slice(token.text());
    out
}

fn decode(plain: &[u8], now: Instant, now_ms: i64, early: f64) -> Option<Token> {
    let (layout, rest) = plain.split_first_chunk::<1>()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (ends, rest) = rest.split_first_chunk()?;
    let (life, text) = rest.split_first_chunk()?;
    if layout != &[LAYOUT] {
        return None;
    }
    let millis = |number: i64| Duration::from_millis(u64::try_from(number).unwrap_or(0));
    let life = millis(i64::from_be_bytes(*life));
    // A clock that was set back does not make it live longer than it ever did.
    let left = millis(i64::from_be_bytes(*ends).saturating_sub(now_ms)).min(life);
    Token::new(std::str::from_utf8(text).ok()?, u128::from_be_bytes(*id), life, now + left, early).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_lives_on_in_another_process_for_what_is_left_of_it() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3_600));
        let token = Token::new("wonderland", 77, hour, now + hour, 0.0).unwrap();
        let stored = encode(&token, 1_000_000, hour);
        // Ten minutes later on the cache's clock; this process's began at another moment.
        let read = decode(&stored, now, 1_600_000, 0.0).unwrap();
        assert_eq!((read.text(), read.id, read.life), (&b"wonderland"[..], 77, hour));
        assert_eq!(read.ends(), now + hour - Duration::from_secs(600));
        // The cache's clock was set back, and forward.
        assert_eq!(decode(&stored, now, 0, 0.0).unwrap().ends(), now + hour);
        assert!(!decode(&stored, now, i64::MAX, 0.0).unwrap().serves(now));
        for length in 0..HEAD {
            assert!(decode(&stored[..length], now, 0, 0.0).is_none());
        }
        let mut other = stored.clone();
        other[0] = 9;
        assert!(decode(&other, now, 0, 0.0).is_none());
    }
}
