//! `haat serve --demo`: a sample catalogue for a first look.

use std::io::Cursor;
use std::sync::Arc;

use anyhow::anyhow;
use haat_store::Store;
use haat_transfer::{Format, ImportSpec, StopCause};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::wiring::World;

/// The sample products, one JSON object a line.
const PRODUCTS: &[u8] = include_bytes!("../assets/demo.ndjson");

/// What became of the sample products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demo {
    /// They are in: this many.
    Imported(u64),
    /// The catalogue had products already, this many: nothing was changed.
    LeftAlone(u64),
}

/// Puts the sample products into an empty catalogue.
///
/// # Errors
/// When the database fails.
pub async fn fill(store: &Arc<dyn Store>, world: &World, cancel: CancellationToken) -> Result<Demo, Failure> {
    let present = store.count().await?;
    if present > 0 {
        return Ok(Demo::LeftAlone(present));
    }
    let (clock, ids) = (world.clock.clone(), world.ids.clone());
    let input = Box::new(Cursor::new(PRODUCTS));
    let spec = ImportSpec::new(Format::Ndjson);
    let report = haat_transfer::import(input, spec, store.clone(), clock, ids, &|_, _| {}, cancel).await;
    let report = report.map_err(|e| Failure::Failed(e.into()))?;
    if report.cause == Some(StopCause::Cancelled) {
        return Err(Failure::Interrupted);
    }
    match (report.stopped, report.errors.first()) {
        (Some(why), _) => Err(Failure::Failed(anyhow!("the sample products could not be imported: {why}"))),
        (None, Some(error)) => Err(Failure::Failed(anyhow!("sample product on line {}: {}", error.line, error.detail))),
        (None, None) => Ok(Demo::Imported(report.counts.created)),
    }
}
