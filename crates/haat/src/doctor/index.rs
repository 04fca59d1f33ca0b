//! The index: there, whole, and how far behind the database.

use std::sync::Arc;

use haat_store::Store;

use super::Finding;
use crate::data_dir::DataDir;

/// Looks at it.
pub async fn examine(data: &DataDir, store: &Arc<dyn Store>) -> Finding {
    let dir = data.index();
    if !dir.is_dir() {
        return Finding::warn("index", "not there yet", "nothing to do: `haat serve` builds it");
    }
    match haat_search::verify(&dir, store.clone(), store.clone(), &|_| {}).await {
        Err(e) => Finding::fail("index", e.to_string(), "restart the server, or `haat index rebuild`"),
        Ok(report) => {
            let wrong = report.missing.len() + report.surplus.len() + report.different.len();
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
