//! `haat import`: products from a file or standard input into the database; every server's index follows.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use haat_catalog::ports::RecordError;
use haat_transfer::{CsvMapping, Format, ImportError, ImportReport, ImportSpec, StopCause};
use indicatif::HumanCount;
use serde_json::json;

use super::Session;
use super::progress::{Progress, Step, per_second, took};
use crate::data_dir::DataDir;
use crate::exit::{Exit, Failure};
use crate::wiring;

/// How many errors are printed; `--json` lists more.
const PRINTED_ERRORS: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  haat import products.ndjson
  zcat products.csv.gz | haat import - --format csv --map sku=code --map name=title --map price=price:EUR
  haat import groceries.csv --mapping groceries.toml --dry-run

Good records are kept even when others are refused (exit code 65). Importing the same file again changes nothing.")]
pub(super) struct ImportArgs {
    /// The file, gzipped or not; - for standard input
    file: PathBuf,
    /// Where a CSV has a field, as in price=sale_price:INR; repeatable
    #[arg(long, value_name = "FIELD=SPEC")]
    map: Vec<String>,
    /// A TOML file with such rules
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// ndjson or csv [default: by the file's name; csv where there is a mapping; else ndjson]
    #[arg(long)]
    format: Option<Format>,
    /// Say what would happen, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop when more records than this are refused
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_errors: u64,
}

pub(super) async fn run(args: ImportArgs, session: &Session) -> Result<Exit, Failure> {
    let mut spec = spec(&args)?;
    spec.limits.records = session.config().imports.max_records;
    let (input, size) = open(&args.file)?;
    DataDir::prepare(&session.config().data_dir)?;
    let store = wiring::open_store(session.config()).await?;
    let progress = Progress::begin(&session.bars, "imported", "records", size);
    let observe = |counts: &haat_catalog::ports::ImportCounts, bytes| {
        progress.step(Step { position: bytes, count: counts.records, refused: counts.failed });
    };
    let (clock, ids) = (session.world.clock.clone(), session.world.ids.clone());
    let cancel = session.lifecycle.soft().clone();
    let report = haat_transfer::import(input, spec, store.clone(), clock, ids, &observe, cancel).await;
    progress.end();
    store.close().await;
    match report {
        Ok(report) => {
            tell(&args, session, &report);
            Ok(exit_of(&report))
        }
        Err(error @ ImportError::MappingWithoutCsv) => Err(Failure::Usage(error.to_string())),
        Err(error @ ImportError::Internal(_)) => Err(Failure::Failed(error.into())),
        Err(error) => Err(Failure::BadData(format!("{}: {error}", args.file.display()))),
    }
}

fn spec(args: &ImportArgs) -> Result<ImportSpec, Failure> {
    let mapping = match &args.mapping {
        None if args.map.is_empty() => None,
        None => Some(CsvMapping::parse(&args.map)),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| Failure::Usage(format!("--mapping {} cannot be read: {e}", path.display())))?;
            Some(CsvMapping::from_toml(&text, &args.map))
        }
    };
    let mapping = mapping.transpose().map_err(|e| Failure::Usage(e.to_string()))?;
    let by_name = || Format::from_path(&args.file);
    let format = args.format.or_else(by_name).unwrap_or(if mapping.is_some() { Format::Csv } else { Format::Ndjson });
    Ok(ImportSpec { mapping, dry_run: args.dry_run, max_errors: args.max_errors, ..ImportSpec::new(format) })
}

/// The input, and its size where that is known.
fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let unreadable = |e: io::Error| Failure::BadData(format!("{} cannot be read: {e}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if about.is_dir() {
        return Err(Failure::BadData(format!("{} is a folder", path.display())));
    }
    // A pipe or device tells no size.
    let size = about.is_file().then_some(about.len());
    Ok((Box::new(file), size))
}

fn tell(args: &ImportArgs, session: &Session, report: &ImportReport) {
    let output = session.output;
    let counts = &report.counts;
    if !output.is_json() {
        for error in report.errors.iter().take(PRINTED_ERRORS) {
            output.aside(line_of(error));
        }
        let more = report.errors.len().saturating_sub(PRINTED_ERRORS);
        if more > 0 {
            output.aside(format!("… and {more} more; --json lists them"));
        }
        if let Some(why) = &report.stopped {
            output.aside(format!("Stopped before the end: {why}"));
        }
    }
    let n = HumanCount;
    let text = format!(
        "{}{} records in {} ({}/s): {} created, {} updated, {} unchanged, {} refused",
        if args.dry_run { "Dry run, nothing written. " } else { "" },
        n(counts.records),
        took(report.elapsed),
        n(per_second(counts.records, report.elapsed)),
        n(counts.created),
        n(counts.updated),
        n(counts.unchanged),
        n(counts.failed),
    );
    let value = json!({
        "dry_run": args.dry_run,
        "counts": counts,
        "errors": report.errors,
        "stopped": report.stopped,
        "seconds": report.elapsed.as_secs_f64(),
    });
    output.answer(text, &value);
}

fn line_of(error: &RecordError) -> String {
    let at = if error.pointer.is_empty() { String::new() } else { format!("{}: ", error.pointer) };
    format!("line {}: {at}{}", error.line, error.detail)
}

fn exit_of(report: &ImportReport) -> Exit {
    match report.cause {
        None if report.counts.failed == 0 => Exit::Ok,
        None | Some(StopCause::TooManyErrors | StopCause::Input) => Exit::BadData,
        Some(StopCause::Cancelled) => Exit::Interrupted,
        Some(StopCause::StoreUnavailable) => Exit::Unavailable,
        Some(StopCause::StoreFailed | StopCause::Ended) => Exit::Failed,
    }
}
