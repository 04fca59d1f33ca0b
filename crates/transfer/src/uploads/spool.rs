//! Uploads on disk. One being received is `ID.part`; one that is complete and flushed is `ID.upload`.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

const COMPLETE: &str = "upload";
const PARTIAL: &str = "part";

/// The folder of uploads.
pub(crate) struct Spool {
    dir: PathBuf,
}

/// Why an upload could not be received.
pub(crate) enum SpoolError {
    TooLarge,
    Interrupted(String),
    Io(io::Error),
}

impl From<io::Error> for SpoolError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl Spool {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn path(&self, id: Uuid, extension: &str) -> PathBuf {
        self.dir.join(format!("{id}.{extension}"))
    }

    /// Writes a body to disk. Whatever goes wrong, and if this is dropped half way, nothing is left.
    pub(crate) async fn receive<E: Display>(
        &self,
        id: Uuid,
        mut body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
        max_bytes: u64,
    ) -> Result<Received, SpoolError> {
        tokio::fs::create_dir_all(&self.dir).await?;
        let part = Removed(Some(self.path(id, PARTIAL)));
        let mut file = tokio::fs::File::create_new(self.path(id, PARTIAL)).await?;
        let mut size = 0_u64;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|e| SpoolError::Interrupted(e.to_string()))?;
            size = size.saturating_add(chunk.len() as u64);
            if size > max_bytes {
                return Err(SpoolError::TooLarge);
            }
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(Received { file, part, complete: self.path(id, COMPLETE), dir: self.dir.clone() })
    }

    /// Opens a complete upload.
    pub(crate) async fn open(&self, id: Uuid) -> io::Result<File> {
        Ok(tokio::fs::File::open(self.path(id, COMPLETE)).await?.into_std().await)
    }

    /// Removes an upload that is no longer needed.
    pub(crate) async fn remove(&self, id: Uuid) -> io::Result<()> {
        match tokio::fs::remove_file(self.path(id, COMPLETE)).await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Every upload in the folder, complete or not. Other files are left alone.
    pub(crate) async fn list(&self) -> io::Result<Vec<(Uuid, PathBuf)>> {
        tokio::fs::create_dir_all(&self.dir).await?;
        let mut entries = tokio::fs::read_dir(&self.dir).await?;
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            found.extend(upload_id(&path).map(|id| (id, path)));
        }
        Ok(found)
    }
}

/// The id of the upload that a file is of.
fn upload_id(path: &Path) -> Option<Uuid> {
    let extension = path.extension()?.to_str()?;
    if ![COMPLETE, PARTIAL].contains(&extension) {
        return None;
    }
    Uuid::try_parse(path.file_stem()?.to_str()?).ok()
}

/// An upload of which every byte has arrived.
pub(crate) struct Received {
    file: tokio::fs::File,
    part: Removed,
    complete: PathBuf,
    dir: PathBuf,
}

impl Received {
    /// Flushes it to the disk under its final name.
    pub(crate) async fn keep(mut self) -> io::Result<Kept> {
        self.file.sync_all().await?;
        let Some(part) = self.part.0.take() else { return Err(io::Error::other("there is no such upload")) };
        let kept = Kept(Removed(Some(self.complete.clone())));
        if let Err(e) = tokio::fs::rename(&part, &self.complete).await {
            self.part.0 = Some(part);
            return Err(e);
        }
        // The name is on the disk only when the folder is.
        tokio::fs::File::open(&self.dir).await?.sync_all().await?;
        Ok(kept)
    }
}

/// An upload that is on the disk and goes again unless a job was made of it.
pub(crate) struct Kept(Removed);

impl Kept {
    /// A job needs it from now on.
    pub(crate) fn accepted(mut self) {
        self.0.0 = None;
    }
}

/// Removes a file when it is dropped.
struct Removed(Option<PathBuf>);

impl Drop for Removed {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "an upload could not be removed; the next start will");
        }
    }
}
