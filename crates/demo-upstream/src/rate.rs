//! How many requests a client may send in a second: the generic cell rate algorithm (ITU-T I.371), which needs one moment
//! for each client.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For each client the moment at which all that it has sent is paid for. There are no more than there are clients, and one
/// for those without a token.
#[derive(Default)]
pub(crate) struct RateLimit(Mutex<HashMap<String, Instant>>);

impl RateLimit {
    /// Lets a request of a client pass.
    ///
    /// # Errors
    /// How long until one would pass, when it sent `rate` within the last second.
    pub fn pass(&self, client: &str, rate: NonZeroU32) -> Result<(), Duration> {
        let now = Instant::now();
        let price = Duration::from_secs(1) / rate.get();
        let mut paid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = paid.get(client).copied().unwrap_or(now).max(now);
        let ahead = (from - now) + price;
        if ahead > Duration::from_secs(1) {
            return Err(ahead - Duration::from_secs(1));
        }
        paid.insert(client.to_owned(), from + price);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_pass_in_a_second_and_each_client_has_its_own() {
        let limit = RateLimit::default();
        let rate = NonZeroU32::new(3).unwrap();
        let pass = |client| limit.pass(client, rate);
        for _ in 0..3 {
            assert_eq!(pass("a"), Ok(()));
        }
        let wait = pass("a").unwrap_err();
        assert_eq!(pass("b"), Ok(()));
        tokio::time::advance(wait).await;
        assert_eq!(pass("a"), Ok(()));
        assert!(pass("a").is_err());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((0..10).filter(|_| pass("a").is_ok()).count(), 3, "what was not used is not saved up");
    }
}
