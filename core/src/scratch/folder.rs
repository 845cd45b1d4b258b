//! One folder of a context in one of its scratch folders, with the lock that says it is in use.

use crate::disk::{Access, Disk, DiskLock};
use crate::faults::{FailPoint, Faults, hit};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// How the name of every folder begins.
pub(super) const PREFIX: &str = "emberline-";
/// The lock file in every folder. While its owner lives, whoever finds this file finds it held.
pub(super) const LOCK: &str = "emberline-scratch.lock";

/// A private folder. The fields drop in this order: it is held until it is gone.
pub(super) struct Folder {
    dir: TempDir,
    lock: Mutex<Option<Box<dyn DiskLock>>>,
}

impl Folder {
    /// A new folder in `parent`.
    pub fn make(parent: &Path, disk: &dyn Disk, faults: Option<&Faults>) -> io::Result<Folder> {
        let dir = make_dir(parent)?;
        hit(faults, FailPoint::FolderMade);
        let lock = Mutex::new(take_lock(dir.path(), disk)?);
        hit(faults, FailPoint::FolderLocked);
        Ok(Folder { dir, lock })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes the folder again that a cleaner of temporary files took.
    pub fn remake(&self, disk: &dyn Disk) -> io::Result<()> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        match disk.create_dir(self.path(), Access::Private) {
            // Another task was faster.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            made => made?,
        }
        *lock = take_lock(self.path(), disk)?;
        Ok(())
    }
}

/// The lock file of a folder.
pub(super) fn lock_in(folder: &Path) -> PathBuf {
    folder.join(LOCK)
}

/// Whether folders can be made and removed in `parent`.
pub(super) fn probe(parent: &Path) -> io::Result<()> {
    make_dir(parent)?.close()
}

/// The one thing not made through the disk's door: tempfile picks the random name and removes the
/// folder again, also when this thread unwinds.
fn make_dir(parent: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir_in(parent)
}

/// Where files cannot be locked a folder has no lock file, and so is never taken for an orphan.
fn take_lock(folder: &Path, disk: &dyn Disk) -> io::Result<Option<Box<dyn DiskLock>>> {
    match disk.create_lock(&lock_in(folder)) {
        Err(cause) if cause.kind() == io::ErrorKind::Unsupported => Ok(None),
        lock => lock.map(Some),
    }
}
