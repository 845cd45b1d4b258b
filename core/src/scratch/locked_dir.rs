//! One scratch directory of a context, with the lock that marks it as in use.

use super::closing::ScratchClosed;
use crate::disk::{Access, Disk, DiskLock, MAX_CREATE_ATTEMPTS, is_taken_for_abandoned};
use crate::exclusive::Exclusive;
use crate::faults::{FailPoint, Faults, hit};
use crate::sync::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The prefix of the names of all scratch directories.
pub(super) const DIR_PREFIX: &str = "emberline-";
/// The number of random letters and digits after the prefix.
const RANDOM_LETTERS: usize = 12;
/// The lock file in every scratch directory. It is locked as long as its owner lives.
pub(super) const LOCK_FILE: &str = "emberline-scratch.lock";

/// A private directory, until it is deleted.
pub(super) struct LockedDir {
    path: PathBuf,
    owned: Mutex<Option<OwnedDir>>,
    recreating: Exclusive,
}

/// The fields are dropped in this order, so that the directory stays locked until it is deleted.
struct OwnedDir {
    dir: TempDir,
    lock: Option<Box<dyn DiskLock>>,
}

impl LockedDir {
    /// Creates and locks a directory in `parent`. A cleaner that finds the directory before it is
    /// locked takes it for an orphan and deletes it; then another one is created.
    pub fn create(
        parent: &Path,
        disk: &dyn Disk,
        faults: Option<&Faults>,
    ) -> io::Result<LockedDir> {
        let mut attempt = 1;
        loop {
            match LockedDir::create_once(parent, disk, faults) {
                Err(cause) if is_taken_for_abandoned(&cause) && attempt < MAX_CREATE_ATTEMPTS => {
                    attempt += 1;
                }
                created => return created,
            }
        }
    }

    fn create_once(
        parent: &Path,
        disk: &dyn Disk,
        faults: Option<&Faults>,
    ) -> io::Result<LockedDir> {
        let dir = create_dir(parent)?;
        hit(faults, FailPoint::ScratchDirCreated);
        let lock = create_lock(dir.path(), disk)?;
        hit(faults, FailPoint::ScratchDirLocked);
        let path = dir.path().to_path_buf();
        let owned = Mutex::new(Some(OwnedDir { dir, lock }));
        Ok(LockedDir { path, owned, recreating: Exclusive::default() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes the directory with all files, although there are users. If another program writes
    /// into it meanwhile, it is tried a second time.
    pub fn delete(&self, disk: &dyn Disk) {
        let owned = self.owned.lock().take();
        let Some(OwnedDir { dir, lock }) = owned else { return };
        let is_left = |cause: &io::Error| cause.kind() != io::ErrorKind::NotFound;
        if dir.close().is_err_and(|cause| is_left(&cause)) {
            // Without an owner it is an orphan, which the next context deletes.
            let _ = disk.remove_dir_all(&self.path);
        }
        drop(lock);
    }

    /// Recreates a directory that a cleaner of temporary files deleted.
    pub fn recreate(&self, disk: &dyn Disk) -> io::Result<()> {
        let recreated = self.recreating.run(|| {
            match disk.create_dir(self.path(), Access::Private) {
                // Another task was faster.
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
                created => created?,
            }
            let lock = create_lock(self.path(), disk)?;
            let older = match self.owned.lock().as_mut() {
                Some(owned) => std::mem::replace(&mut owned.lock, lock),
                None => return Err(ScratchClosed.into()),
            };
            drop(older);
            Ok(())
        });
        recreated.unwrap_or_else(|| Err(needs_itself()))
    }
}

/// Returns the error of a disk that calls the engine while it creates a scratch directory.
#[cold]
pub(super) fn needs_itself() -> io::Error {
    io::Error::other("a scratch directory was needed while the disk created it")
}

/// Returns the path of the lock file of a directory.
pub(super) fn lock_path(dir: &Path) -> PathBuf {
    dir.join(LOCK_FILE)
}

/// Returns true if a name is one that [`create_dir`] chooses. One in 30,000 of them has lower-case
/// letters only and is refused, since a user may have chosen it.
pub(super) fn is_random_name(name: &str) -> bool {
    let random = name.strip_prefix(DIR_PREFIX).unwrap_or_default();
    random.len() == RANDOM_LETTERS
        && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !random.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Creates a directory in `parent` and deletes it, unless a cleaner is faster.
pub(super) fn probe(parent: &Path) -> io::Result<()> {
    match create_dir(parent)?.close() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        closed => closed,
    }
}

/// Creates the directory. It is the only file operation outside [`Disk`]: tempfile chooses the
/// random name and deletes the directory again, also when this thread unwinds.
fn create_dir(parent: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(DIR_PREFIX).rand_bytes(RANDOM_LETTERS);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir_in(parent)
}

/// Creates and locks the lock file. Where files cannot be locked, a directory has no lock file and
/// is therefore never an orphan.
fn create_lock(dir: &Path, disk: &dyn Disk) -> io::Result<Option<Box<dyn DiskLock>>> {
    match disk.create_lock(&lock_path(dir)) {
        Err(cause) if cause.kind() == io::ErrorKind::Unsupported => Ok(None),
        lock => lock.map(Some),
    }
}
