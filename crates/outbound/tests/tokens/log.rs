//! No secret and no token in any log line or metric, whatever happens.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haat_outbound::Caller;
use haat_outbound::tokens::{Authorized, ClientAuth, Secret};
use haat_testkit::servers::RedisServer;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::provider::{Fault, Provider, SECRET, TOKEN};
use crate::stage::{Plain, api, draft, manager_of, options, redis, shared};

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Tokens, refusals, rejections, a Redis that goes: over TCP, with a secret that another manager reads from Redis.
async fn everything() -> (usize, usize) {
    let (server, provider, plain) = (RedisServer::start(), Provider::new(), Plain::client());
    let (address, cache) = (provider.listen().await, redis(&server, Duration::from_secs(5)).await);
    let (mut asked, mut errors) = (0, 0);
    for post in [false, true] {
        let mut draft = draft(Some(address));
        draft.extra = vec![("pin".into(), Secret::new(format!("{SECRET}-pin")))];
        if post {
            draft.auth = ClientAuth::SecretPost(Secret::new(SECRET));
        }
        for faults in [
            vec![],
            vec![Fault::Cut],
            vec![Fault::Answer(400, vec![], json!({"error": SECRET, "error_description": SECRET}))],
            vec![Fault::Answer(200, vec![], json!({"access_token": format!("{TOKEN} x"), "token_type": "Bearer"}))],
            vec![Fault::Answer(503, vec![("retry-after", "1".into())], json!({"error": SECRET}))],
        ] {
            provider.revoke();
            provider.next(faults);
            let clock = Arc::new(haat_catalog::time::SystemClock);
            let manager = manager_of(draft.clone(), options(), &plain, shared(&cache), clock);
            tracing::debug!(?draft, ?manager, "what Debug says");
            let authorized = Authorized::new(plain.clone(), manager.clone());
            for _ in 0..3 {
                match authorized.call(api(Some(address))).await {
                    Ok(_) => asked += 1,
                    Err(error) => {
                        errors += 1;
                        tracing::debug!(%error, ?error, "what a caller sees");
                    }
                }
            }
            if let Ok(token) = manager.token().await {
                tracing::debug!(?token, header = ?token.authorization(), "what Debug says");
            }
        }
    }
    drop(server);
    (asked, errors)
}

/// On this thread alone, so that the log and the metrics are this test's.
fn recorded<T>(work: impl Future<Output = T>) -> (T, String, String) {
    let log = Log::default();
    let writer = log.clone();
    let layer = fmt::layer().with_ansi(false).with_writer(move || writer.clone()).with_filter(LevelFilter::TRACE);
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = tracing::subscriber::with_default(Registry::default().with(layer), || {
        metrics::with_local_recorder(&recorder, || runtime.block_on(work))
    });
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    (done, text, metrics.render())
}

#[test]
fn no_secret_and_no_token_is_in_any_log() {
    let ((asked, errors), log, metrics) = recorded(everything());
    assert!(asked > 5 && errors > 5, "{asked} {errors}");
    for line in ["an access token was fetched", "no access token was given", "what Debug says", "what a caller sees"] {
        assert!(log.contains(line), "nothing was captured of '{line}'");
    }
    for secret in [TOKEN, SECRET] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
        assert!(!metrics.contains(secret));
    }
}

#[test]
fn fetches_are_counted_by_upstream_and_outcome() {
    let work = async {
        let provider = Provider::new();
        let caller: Arc<dyn Caller> = provider.clone();
        let clock = Arc::new(haat_catalog::time::SystemClock);
        let manager = manager_of(draft(None), options(), &caller, None, clock);
        provider.next([Fault::Cut, Fault::Answer(500, vec![], json!({}))]);
        tokio::time::pause();
        for _ in 0..5 {
            let _ = manager.token().await;
            // An answer that is none keeps it waiting for a moment.
            tokio::time::advance(Duration::from_secs(5)).await;
        }
    };
    let ((), _, metrics) = recorded(work);
    for (outcome, times) in [("ok", 1), ("no_answer", 1), ("status", 1)] {
        let line = format!(r#"haat_outbound_token_fetches_total{{upstream="demo",outcome="{outcome}"}} {times}"#);
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}
