//! `haat export`: all products, to standard output or a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use haat_transfer::{ExportError, Format};
use indicatif::HumanCount;
use serde_json::json;

use super::Session;
use super::progress::{Progress, Step, took};
use crate::exit::{Exit, Failure};
use crate::wiring;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// ndjson or csv [default: by the file's name, else ndjson]
    #[arg(long)]
    format: Option<Format>,
    /// Compress [default: where the file's name ends in .gz]
    #[arg(long)]
    gzip: bool,
    /// The file to write [default: standard output]. It appears when it is complete
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(args: &ExportArgs, session: &Session) -> Result<Exit, Failure> {
    let target = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if target.is_none() && session.output.is_json() {
        return Err(Failure::Usage("--json and the export would both go to standard output: add --output FILE".into()));
    }
    let format = args.format.or_else(|| target.and_then(Format::from_path)).unwrap_or(Format::Ndjson);
    let gzip = args.gzip || target.is_some_and(|path| path.extension().is_some_and(|e| e == "gz"));
    let store = wiring::open_existing_store(session.config()).await?;
    let (partial, out) = match target {
        None => (None, Box::new(io::stdout()) as Box<dyn Write + Send>),
        Some(path) => {
            let (partial, file) = output(path)?;
            (partial, Box::new(file) as Box<dyn Write + Send>)
        }
    };
    let total = store.count().await?;
    let progress = Progress::begin(&session.bars, "exported", "products", Some(total));
    let observe = |count| progress.step(Step { position: count, count, refused: 0 });
    let result = haat_transfer::export(store.clone(), format, gzip, out, &observe).await;
    progress.end();
    let elapsed = progress.elapsed();
    store.close().await;
    let count = match result {
        Ok(count) => count,
        // `haat export | head`: whoever reads has enough.
        Err(ExportError::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe && target.is_none() => {
            return Ok(Exit::Ok);
        }
        Err(ExportError::Store(e)) => return Err(e.into()),
        Err(e) => return Err(Failure::Failed(e.into())),
    };
    if let Some(partial) = partial {
        partial.complete()?;
    }
    let text = format!("{} products in {}", HumanCount(count), took(elapsed));
    match target {
        None => session.output.aside(text),
        Some(file) => session.output.answer(
            format!("{text}, to {}", file.display()),
            &json!({ "products": count, "file": file, "format": format, "gzip": gzip, "seconds": elapsed.as_secs_f64() }),
        ),
    }
    Ok(Exit::Ok)
}

/// Where to write: beside a file that is to be replaced once all is there, or straight into what is no file (a pipe, a
/// device), which must not be replaced by one.
fn output(target: &Path) -> Result<(Option<Partial>, File), Failure> {
    // Behind a link it is the file that is meant.
    let real = std::fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    if std::fs::metadata(&real).is_ok_and(|about| !about.is_file()) {
        let file = File::options().write(true).open(&real);
        let file = file.map_err(|e| Failure::Failed(anyhow!("{} cannot be written: {e}", target.display())))?;
        return Ok((None, file));
    }
    let (partial, file) = Partial::create(&real)?;
    Ok((Some(partial), file))
}

/// A file that is not complete yet, beside its place; gone again if it never becomes so.
struct Partial {
    path: PathBuf,
    target: PathBuf,
    done: bool,
}

impl Partial {
    fn create(target: &Path) -> Result<(Self, File), Failure> {
        let name = target.file_name().ok_or_else(|| Failure::Usage(format!("{} is no file name", target.display())))?;
        let path = target.with_file_name(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
        let file =
            File::create(&path).map_err(|e| Failure::Failed(anyhow!("{} cannot be written: {e}", path.display())))?;
        Ok((Self { path, target: target.to_owned(), done: false }, file))
    }

    fn complete(mut self) -> anyhow::Result<()> {
        let cannot = || format!("{} cannot be written", self.target.display());
        File::open(&self.path).and_then(|file| file.sync_all()).with_context(cannot)?;
        std::fs::rename(&self.path, &self.target).with_context(cannot)?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            drop(std::fs::remove_file(&self.path));
        }
    }
}
