//! The data folder: what lies where in it, who may look into it, and the lock that keeps two servers out of one folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use haat_catalog::Ids;
use haat_oauth::vault::MasterKey;

use crate::exit::Failure;

/// A data folder.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The folder at `path`, whether it is there or not.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The folder at `path`; made, for its owner only, if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn prepare(path: &Path) -> Result<Self, Failure> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
            Failure::Failed(anyhow!(
                "the data folder {} cannot be made: {e}; set HAAT_DATA_DIR or --data-dir",
                path.display()
            ))
        })?;
        Ok(Self(path.to_owned()))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The SQLite file.
    pub fn sqlite(&self) -> PathBuf {
        self.0.join("haat.db")
    }

    /// The folder of the index.
    pub fn index(&self) -> PathBuf {
        self.0.join("index")
    }

    /// Where imports over HTTP wait.
    pub fn uploads(&self) -> PathBuf {
        self.0.join("uploads")
    }

    /// The encryption key of client secrets and signing keys, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or others may read it too.
    pub fn encryption_key(&self) -> anyhow::Result<Option<MasterKey>> {
        let path = self.key_file();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        let mode = file.metadata().with_context(|| format!("cannot look at {}", path.display()))?.mode();
        if mode & 0o077 != 0 {
            return Err(anyhow!(
                "{} may be read by others (mode {:o}): `chmod 600` it, and think about who has read it",
                path.display(),
                mode & 0o777
            ));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
        MasterKey::parse(&text).map(Some).map_err(|e| anyhow!("{}: {e}", path.display()))
    }

    /// Makes an encryption key, for its owner's eyes only; gives the one that is there if somebody was quicker. Whole or
    /// not at all: a key that was cut off would be taken for another one, and what is sealed under a key that a crash
    /// takes away is lost.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn make_encryption_key(&self) -> anyhow::Result<MasterKey> {
        let path = self.key_file();
        let cannot = || format!("cannot write {}", path.display());
        let key = MasterKey::generate().map_err(|e| anyhow!("{e}"))?;
        let mut file = tempfile::Builder::new().prefix(".encryption").tempfile_in(&self.0).with_context(cannot)?;
        writeln!(file, "{}", key.to_text()).and_then(|()| file.as_file().sync_all()).with_context(cannot)?;
        match file.persist_noclobber(&path) {
            Ok(_) => {
                // Its name is in the folder, which has to reach the disk as well.
                File::open(&self.0).and_then(|folder| folder.sync_all()).with_context(cannot)?;
                Ok(key)
            }
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
                self.encryption_key()?.with_context(|| format!("somebody removed {}", path.display()))
            }
            Err(e) => Err(e.error).with_context(cannot),
        }
    }

    fn key_file(&self) -> PathBuf {
        self.0.join("encryption.key")
    }

    /// Who this installation is, among replicas on one database: made once, kept in the folder. A copy of the folder
    /// for another replica must be made without it.
    ///
    /// # Errors
    /// When it can neither be read nor written.
    pub fn instance_id(&self, ids: &dyn Ids) -> anyhow::Result<String> {
        let path = self.0.join("instance-id");
        match std::fs::read_to_string(&path) {
            Ok(text) if uuid::Uuid::try_parse(text.trim()).is_ok() => return Ok(text.trim().to_owned()),
            // Cut off by a crash while it was first written: nobody knows it yet.
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
        let id = ids.next_id().to_string();
        std::fs::write(&path, format!("{id}\n")).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(id)
    }

    /// Whether a server is running on the folder.
    pub fn is_served(&self) -> bool {
        let file = File::open(self.lock_file());
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join("server.lock")
    }

    /// Keeps every other server out of the folder for as long as what is returned lives. Commands do not ask.
    ///
    /// # Errors
    /// When another server has it.
    pub fn lock(&self) -> Result<ServerLock, Failure> {
        let path = self.lock_file();
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open().with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                drop(file.read_to_string(&mut holder));
                let holder =
                    if holder.trim().is_empty() { String::new() } else { format!(" (process {})", holder.trim()) };
                return Err(Failure::Failed(anyhow!(
                    "another server{holder} is running on the data folder {}: stop it, or give this one a folder of its own with --data-dir",
                    self.0.display()
                )));
            }
            Err(TryLockError::Error(e)) => {
                return Err(Failure::Failed(anyhow!("cannot lock {}: {e}", path.display())));
            }
        }
        // The process id is only a hint for people; failing to write it is no reason not to start.
        drop(file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id())));
        Ok(ServerLock(file))
    }
}

/// As long as this lives, the folder is ours; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct ServerLock(#[expect(dead_code, reason = "held, not used")] File);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use haat_catalog::time::RandomIds;

    use super::*;

    #[test]
    fn the_folder_is_for_its_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let data = DataDir::prepare(&parent.path().join("a/data")).unwrap();
        assert_eq!(std::fs::metadata(data.path()).unwrap().permissions().mode() & 0o777, 0o700);
        DataDir::prepare(data.path()).unwrap();
    }

    #[test]
    fn the_instance_stays_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::at(folder.path());
        let id = data.instance_id(&RandomIds).unwrap();
        assert_eq!(data.instance_id(&RandomIds).unwrap(), id);
        std::fs::write(folder.path().join("instance-id"), "").unwrap();
        assert_ne!(data.instance_id(&RandomIds).unwrap(), id);
    }

    #[test]
    fn the_encryption_key_stays_and_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::at(folder.path());
        assert!(data.encryption_key().unwrap().is_none());
        let key = data.make_encryption_key().unwrap().to_text();
        assert_eq!(data.encryption_key().unwrap().unwrap().to_text(), key);
        assert_eq!(data.make_encryption_key().unwrap().to_text(), key, "somebody else was quicker");
        let path = folder.path().join("encryption.key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(data.encryption_key().err().unwrap().to_string().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "short").unwrap();
        assert!(data.encryption_key().is_err());
    }

    #[test]
    fn one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::at(folder.path());
        let lock = data.lock().unwrap();
        let refused = data.lock().unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(lock);
        data.lock().unwrap();
    }
}
