//! What is measured in this process, gathered where it happens and given to whoever scrapes it.

use std::sync::{Arc, OnceLock};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// The bounds of histograms of seconds: from a call within the machine to one that is given up.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Those of a synchronisation of a whole catalogue: from seconds to hours.
const HOURS: [f64; 14] =
    [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to gather, if that was not done before, and gives what was gathered in the text format of Prometheus each time it
/// is called.
pub fn install() -> Arc<dyn Fn() -> String + Send + Sync> {
    let handle = HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS);
        // A name that matches as a whole goes before one that ends so.
        let runs = Matcher::Full("haat_source_run_duration_seconds".into());
        let builder = builder.and_then(|builder| builder.set_buckets_for_metric(runs, &HOURS));
        match builder.and_then(PrometheusBuilder::install_recorder) {
            Ok(handle) => Some(handle),
            Err(error) => {
                tracing::error!(%error, "nothing is measured");
                None
            }
        }
    });
    Arc::new(|| {
        let Some(handle) = handle else { return String::new() };
        // Histograms that nobody reads would grow.
        handle.run_upkeep();
        handle.render()
    })
}
