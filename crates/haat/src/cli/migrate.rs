//! `haat migrate`: brings the database's tables up to date, or says what is pending.

use clap::Args;
use serde_json::json;

use super::Session;
use crate::data_dir::DataDir;
use crate::exit::{Exit, Failure};
use crate::wiring;

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Only say what is pending; exit code 1 if anything is
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(args: &MigrateArgs, session: &Session) -> Result<Exit, Failure> {
    DataDir::prepare(&session.config().data_dir)?;
    let store = haat_store::open(&wiring::store_options(session.config())).await?;
    let result = if args.check { store.pending_migrations().await } else { store.migrate().await };
    store.close().await;
    let migrations = result?;
    let names = migrations.join(", ");
    let text = match (args.check, migrations.is_empty()) {
        (_, true) => "The tables are up to date.".to_owned(),
        (true, false) => format!("Pending: {names}. `haat migrate` carries them out; so does every start of a server."),
        (false, false) => format!("Done: {names}."),
    };
    let key = if args.check { "pending" } else { "applied" };
    session.output.answer(text, &json!({ key: migrations }));
    Ok(if args.check && !migrations.is_empty() { Exit::Failed } else { Exit::Ok })
}
