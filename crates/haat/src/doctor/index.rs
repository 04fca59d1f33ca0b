//! The index: there, whole, and how far behind the database.

use std::sync::Arc;
use std::time::Duration;

use haat_store::Store;

use super::Finding;
use crate::data_dir::DataDir;

/// How long the comparison with the database may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at it.
pub async fn examine(data: &DataDir, store: &Arc<dyn Store>) -> Finding {
    let dir = data.index();
    if !dir.is_dir() {
        return Finding::warn("index", "not there yet", "nothing to do: `haat serve` builds it");
    }
    let verified = haat_search::verify(&dir, store.clone(), store.clone(), &|_| {});
    let Ok(verified) = tokio::time::timeout(PATIENCE, verified).await else {
        let detail = "there; comparing all of it with the database takes longer than a doctor's visit";
        return Finding::ok("index", format!("{detail} (`haat index verify` does)"));
    };
    match verified {
        Err(e) => Finding::fail("index", e.to_string(), "restart the server, or `haat index rebuild`"),
        Ok(report) => {
            let wrong = report.missing.len() + report.surplus.len() + report.different.len();
            if let Some(file) = &report.damaged {
                let advice =
                    "restart the server, which builds it anew by itself, or `haat index rebuild`; and check the disk";
                return Finding::fail("index", format!("{} is damaged", file.display()), advice);
            }
            let detail = format!("{} documents up to change {}", report.documents, report.seq);
            match (wrong, report.pending) {
                (0, 0) => Finding::ok("index", detail),
                (0, pending) => {
                    let advice = "nothing to do while a server is running: it catches up; otherwise start one";
                    Finding::warn("index", format!("{detail}, {pending} products behind"), advice)
                }
                (wrong, _) => {
                    let advice = "`haat index rebuild` makes it anew; please report this, it should not happen";
                    Finding::fail("index", format!("{detail}; {wrong} products differ from the database"), advice)
                }
            }
        }
    }
}
