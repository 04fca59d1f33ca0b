//! `haat migrate`: brings the database's tables up to date, or says what is pending.

use clap::Args;
use serde_json::json;

use super::Session;
use crate::data_dir::DataDir;
use crate::exit::{Exit, Failure};
use crate::wiring;
use haat_store::StoreOptions;

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Only say what is pending; exit code 1 if anything is
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(args: &MigrateArgs, session: &Session) -> Result<Exit, Failure> {
    let options = wiring::store_options(session.config());
    let migrations = match &options {
        // To look is not to make.
        StoreOptions::Sqlite(sqlite) if args.check && !sqlite.path.exists() => haat_store::migrations(&options),
        _ => on_database(args, session, &options).await?,
    };
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

async fn on_database(args: &MigrateArgs, session: &Session, options: &StoreOptions) -> Result<Vec<String>, Failure> {
    if !args.check {
        DataDir::prepare(&session.config().data_dir)?;
    }
    let store = haat_store::open(options).await?;
    let result = if args.check { store.pending_migrations().await } else { store.migrate().await };
    store.close().await;
    Ok(result?)
}
