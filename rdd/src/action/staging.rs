//! The hidden folder in which an output is made, beside where it is to be.
//!
//! It holds the output itself, the files of attempts that have not ended well, and a lock that says
//! that its owner lives. Only the output moves to its final name. So an attempt that is still on its way
//! then has no file in it, and never makes one there.

use emberline_core::disk::{Access, Disk, DiskLock};
use std::ffi::OsStr;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The output in the making.
const OUT: &str = "out";
/// The files of attempts.
const ATTEMPTS: &str = "trials";
/// While its owner lives, whoever finds this file finds it held.
const LOCK: &str = "emberline-output.lock";
/// How often the removal of a folder is tried while tasks may still write into it.
const REMOVALS: usize = 16;

/// The folder of one output in the making. It goes when this drops, with all that is still in it.
pub(super) struct StagingDir {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Held until the folder is gone. Where files cannot be locked the folder has no lock file, and
    /// is never taken for one that a dead process left.
    _lock: Option<Box<dyn DiskLock>>,
}

impl StagingDir {
    /// Makes one for the output `name` in `parent`.
    pub fn make(parent: &Path, name: &OsStr, disk: &Arc<dyn Disk>) -> io::Result<StagingDir> {
        // Unlike any other: two runs may write beside each other.
        let unique = std::hash::RandomState::new().hash_one(std::process::id());
        let path = parent.join(format!("{}{unique:x}", prefix(name)));
        disk.create_dir(&path, Access::Shared)?;
        let lock = disk.create_lock(&path.join(LOCK)).ok();
        let aside = StagingDir { path, disk: Arc::clone(disk), _lock: lock };
        disk.create_dir(&out_in(&aside.path), Access::Shared)?;
        disk.create_dir(&trials_in(&aside.path), Access::Shared)?;
        Ok(aside)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The output in it.
    pub fn out(&self) -> PathBuf {
        out_in(&self.path)
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        remove(&self.path, &*self.disk);
    }
}

/// The output in such a folder.
pub(super) fn out_in(folder: &Path) -> PathBuf {
    folder.join(OUT)
}

/// Where attempts write in such a folder.
pub(super) fn trials_in(folder: &Path) -> PathBuf {
    folder.join(ATTEMPTS)
}

/// Removes what processes that died left of the output `name` in `parent`: folders of our name and of
/// this user whose lock nobody holds. What cannot be removed is in nobody's way.
pub(super) fn remove_stale(parent: &Path, name: &OsStr, disk: &dyn Disk) {
    let beside = disk.list(parent).unwrap_or_default();
    for folder in beside.iter().filter(|path| is_of(path, name)) {
        if disk.is_own_folder(folder).unwrap_or(false)
            && let Ok(Some(_held)) = disk.try_lock(&folder.join(LOCK))
        {
            remove(folder, disk);
        }
    }
}

fn prefix(name: &OsStr) -> String {
    format!(".{}.writing-", name.to_string_lossy())
}

/// Whether a path has the name of a folder for the output `name`, and not of one for an output whose
/// own name looks like that.
fn is_of(path: &Path, name: &OsStr) -> bool {
    let found = path.file_name().map(|found| found.to_string_lossy()).unwrap_or_default();
    let unique = found.strip_prefix(&prefix(name));
    unique.is_some_and(|unique| unique.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Removes such a folder. The lock file goes last: whoever dies in the middle leaves a folder that the
/// next one finds.
fn remove(folder: &Path, disk: &dyn Disk) {
    // Tasks of a job that has ended may still be on their way and make a file between a look into the
    // folder and its end. If all of this fails, the folder's name says what it is.
    let gone = |path: &Path| {
        (0..REMOVALS).any(|_| match disk.remove_dir_all(path) {
            Ok(()) => true,
            Err(cause) => cause.kind() == io::ErrorKind::NotFound,
        })
    };
    let _ = gone(&out_in(folder)) && gone(&trials_in(folder)) && gone(folder);
}
