//! The index's folder: which generation is current, who owns it, and what others ask of the owner.
//!
//! ```text
//! LOCK             held by the one process that writes
//! CURRENT          the name of the generation in use, replaced by a rename
//! REBUILD          left by `haat index rebuild` while a server holds the lock: the server builds anew and removes it
//! generation-…/    a tantivy index; one that CURRENT does not name is unfinished or left over
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const CURRENT: &str = "CURRENT";
const LOCK: &str = "LOCK";
const REQUEST: &str = "REBUILD";
const PREFIX: &str = "generation-";

/// An index's folder.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
}

/// The right to write in a folder, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Ownership {
    _lock: File,
}

impl Folder {
    /// The folder at `dir`, made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Takes the lock; `None` when another process has it.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn own(&self) -> io::Result<Option<Ownership>> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(self.dir.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Ownership { _lock: lock })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }

    /// Where the current generation is; `None` when there is none or its name is damaged.
    pub fn current(&self) -> Option<PathBuf> {
        let name = fs::read_to_string(self.dir.join(CURRENT)).ok()?;
        let path = self.dir.join(name.trim());
        (name.starts_with(PREFIX) && path.is_dir()).then_some(path)
    }

    /// Makes an empty folder for a new generation.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn add(&self) -> io::Result<PathBuf> {
        let newest = self.generations()?.iter().filter_map(|path| number(path)).max().unwrap_or(0);
        let path = self.dir.join(format!("{PREFIX}{:08}", newest + 1));
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// Makes `generation` the current one: after a crash it is either that or the one before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn switch(&self, generation: &Path) -> io::Result<()> {
        let name = generation.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let draft = self.dir.join("CURRENT.new");
        let mut file = File::create(&draft)?;
        file.write_all(name.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, self.dir.join(CURRENT))?;
        File::open(&self.dir)?.sync_all()
    }

    /// Removes all generations but `kept`. What cannot be removed now will be next time.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn clean(&self, kept: Option<&Path>) -> io::Result<()> {
        for path in self.generations()? {
            if Some(path.as_path()) != kept
                && let Err(e) = fs::remove_dir_all(&path)
            {
                tracing::warn!(path = %path.display(), error = %e, "an old index could not be removed");
            }
        }
        Ok(())
    }

    fn generations(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.is_dir() && number(&path).is_some() {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Asks the owner to build the index anew.
    ///
    /// # Errors
    /// When the request cannot be written.
    pub fn request_rebuild(&self) -> io::Result<()> {
        fs::write(self.dir.join(REQUEST), b"")
    }

    /// Whether a rebuild was asked for; the request is removed.
    pub fn take_request(&self) -> bool {
        let request = self.dir.join(REQUEST);
        request.exists() && fs::remove_file(request).is_ok()
    }
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let owner = folder.own().unwrap();
        assert!(owner.is_some());
        assert!(folder.own().unwrap().is_none());
        drop(owner);
        assert!(folder.own().unwrap().is_some());
    }

    #[test]
    fn only_the_generation_that_was_switched_to_is_current_and_cleaning_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let (first, second) = (folder.add().unwrap(), folder.add().unwrap());
        assert_eq!(folder.current(), None);
        folder.switch(&first).unwrap();
        folder.switch(&second).unwrap();
        folder.clean(Some(&second)).unwrap();
        assert_eq!(folder.current(), Some(second.clone()));
        assert!(!first.exists());
        assert!(folder.add().unwrap() > second);
    }

    #[test]
    fn a_damaged_name_is_no_generation() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        for name in ["", "/etc", "generation-00000009", "\u{fffd}"] {
            fs::write(dir.path().join(CURRENT), name).unwrap();
            assert_eq!(folder.current(), None, "{name}");
        }
    }

    #[test]
    fn a_request_is_acted_upon_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert!(!folder.take_request());
        folder.request_rebuild().unwrap();
        assert!(folder.take_request());
        assert!(!folder.take_request());
    }
}
