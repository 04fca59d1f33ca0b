//! `haat index rebuild`: builds the index anew from the command line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haat_catalog::ports::{ChangeLog, IndexError, ProductReader};
use haat_catalog::{Clock, Seq};
use tokio_util::sync::CancellationToken;

use super::build::{Progress, Source};
use super::folder::Folder;
use super::follow::build_into;
use super::index::{IndexOptions, internal};

/// What a rebuild came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildReport {
    /// The index was built.
    Built {
        /// Products in it.
        products: u64,
        /// Every change up to this one is in.
        seq: Seq,
        /// How long it took.
        elapsed: Duration,
    },
    /// A running server has the index and was asked to build it anew, which it does while it goes on serving.
    Requested,
}

/// Builds the index in `options.dir` anew; the one that is there stays in use until the new one is complete. When a
/// running server has the folder, it is asked to do so instead.
///
/// # Errors
/// When the folder cannot be written or the store fails.
pub async fn rebuild(
    options: IndexOptions,
    reader: Arc<dyn ProductReader>,
    log: Arc<dyn ChangeLog>,
    clock: Arc<dyn Clock>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<RebuildReport, IndexError> {
    let began = Instant::now();
    let folder = Folder::open(&options.dir).map_err(internal)?;
    let Some(_ownership) = folder.own().map_err(internal)? else {
        folder.request_rebuild().map_err(internal)?;
        return Ok(RebuildReport::Requested);
    };
    let source = Source { reader, log, clock, follower: options.follower.clone() };
    let stop = CancellationToken::new();
    let built = build_into(&folder, source, options.batch, progress, None, stop).await?;
    folder.switch(&built.generation.path).map_err(internal)?;
    folder.clean(Some(&built.generation.path)).map_err(internal)?;
    // Whoever asked meanwhile has what was asked for.
    folder.take_request();
    Ok(RebuildReport::Built { products: built.view.num_docs(), seq: built.seq, elapsed: began.elapsed() })
}
