//! The staging directory of an output. It holds the output, the files of attempts that have not
//! committed, and a lock file. See the README of this folder.

use emberline_core::disk::{
    Access, Disk, DiskLock, MAX_CREATE_ATTEMPTS, is_taken_for_abandoned, remove_if_never_locked,
};
use std::ffi::OsStr;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The beginning of the names of all staging directories.
const STAGING: &str = ".emberline-writing-";
/// Directory of the output, which is renamed to its final path.
const OUTPUT: &str = "out";
const ATTEMPTS: &str = "attempts";
/// Lock file, held by the process that writes the output.
const LOCK: &str = "emberline-output.lock";
/// Number of attempts to remove a directory into which tasks may still write.
const MAX_REMOVALS: usize = 16;

/// The staging directory of one output. It is deleted with all its contents on drop.
pub(super) struct StagingDir {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Held until the directory is deleted. On filesystems without locks there is no lock file, and
    /// the directory is never taken for a stale one.
    _lock: Option<Box<dyn DiskLock>>,
}

impl StagingDir {
    /// Creates the staging directory of the output `name` in `parent`. Another process that writes
    /// the same output may take it for abandoned before it is locked, and delete it; then another one
    /// is created.
    pub fn create(parent: &Path, name: &OsStr, disk: &Arc<dyn Disk>) -> io::Result<StagingDir> {
        let mut attempt = 1;
        loop {
            // A random suffix, since two runs may write the same output at the same time.
            let unique = std::hash::RandomState::new().hash_one(std::process::id());
            let path = parent.join(format!("{}{unique:016x}", prefix(name)));
            disk.create_dir(&path, Access::Shared)?;
            match disk.create_lock(&path.join(LOCK)) {
                Err(cause) if is_taken_for_abandoned(&cause) && attempt < MAX_CREATE_ATTEMPTS => {
                    attempt += 1;
                }
                lock => return StagingDir::locked(path, lock.ok(), disk),
            }
        }
    }

    fn locked(
        path: PathBuf,
        lock: Option<Box<dyn DiskLock>>,
        disk: &Arc<dyn Disk>,
    ) -> io::Result<StagingDir> {
        let staging = StagingDir { path, disk: Arc::clone(disk), _lock: lock };
        disk.create_dir(&output_dir(&staging.path), Access::Shared)?;
        disk.create_dir(&attempts_dir(&staging.path), Access::Shared)?;
        Ok(staging)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
    pub fn output(&self) -> PathBuf {
        output_dir(&self.path)
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        remove(&self.path, &*self.disk);
    }
}

pub(super) fn output_dir(staging: &Path) -> PathBuf {
    staging.join(OUTPUT)
}

pub(super) fn attempts_dir(staging: &Path) -> PathBuf {
    staging.join(ATTEMPTS)
}

/// Removes stale staging directories of the output `name`: those of this user whose lock is free.
/// Ignores what cannot be removed, since the new directory has another name.
pub(super) fn remove_stale(parent: &Path, name: &OsStr, disk: &dyn Disk) {
    let entries = disk.list(parent).unwrap_or_default();
    for staging in entries.iter().filter(|path| is_staging_dir_of(path, name)) {
        if !disk.is_own_dir(staging).unwrap_or(false) {
            continue;
        }
        let lock = staging.join(LOCK);
        match disk.try_lock(&lock) {
            Ok(Some(_held)) => remove(staging, disk),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                let _ = remove_if_never_locked(staging, &lock, disk);
            }
            _ => {}
        }
    }
}

/// Returns the beginning of the names of all staging directories of the output `name`. It has a hash
/// in place of the name, so that its length is fixed and any name that the file system allows is
/// possible. Outputs with equal hashes, if there ever are two in one directory, remove each other's
/// stale directories.
fn prefix(name: &OsStr) -> String {
    format!("{STAGING}{:016x}-", name_hash(name.as_encoded_bytes()))
}

/// Returns the FNV-1a hash of a name. The next version of emberline must compute the same one.
fn name_hash(name: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    name.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Returns true if a path is named like a staging directory of exactly the output `name`.
fn is_staging_dir_of(path: &Path, name: &OsStr) -> bool {
    let found = path.file_name().map(|found| found.to_string_lossy()).unwrap_or_default();
    let unique = found.strip_prefix(&prefix(name));
    unique.is_some_and(|unique| unique.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Removes a staging directory. The lock file is removed last, so that a directory whose removal
/// was interrupted is still recognized as stale.
fn remove(staging: &Path, disk: &dyn Disk) {
    // Tasks of a job that has ended may still create files, so removing the contents and then the
    // directory can fail. If all attempts fail, the directory can be recognized by its name.
    let removed = |path: &Path| {
        (0..MAX_REMOVALS).any(|_| match disk.remove_dir_all(path) {
            Ok(()) => true,
            Err(cause) => cause.kind() == io::ErrorKind::NotFound,
        })
    };
    let _ = removed(&output_dir(staging)) && removed(&attempts_dir(staging)) && removed(staging);
}
