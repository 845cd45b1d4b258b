//! Directories whose owner was killed between creating them and locking their lock file.

use super::Disk;
use std::io;
use std::path::{Path, PathBuf};

/// The number of attempts to create a directory, if cleaners of other processes delete it before it
/// is locked.
pub const MAX_CREATE_ATTEMPTS: u32 = 100;

/// Returns the path of a lock file before it is locked; see [`Disk::create_lock`].
pub fn unlocked_path(lock: &Path) -> PathBuf {
    lock.with_added_extension("new")
}

/// Deletes a directory without a lock file, if it is empty or has a lock file that was not renamed
/// yet. Returns true if it was deleted. Only an empty directory is removed, so files are never
/// lost; an owner that lives gets an error that [`is_taken_for_abandoned`], and creates another one.
pub fn remove_if_never_locked(dir: &Path, lock: &Path, disk: &dyn Disk) -> io::Result<bool> {
    let unlocked = unlocked_path(lock);
    let files = disk.list(dir)?;
    if files == [unlocked.clone()] {
        let Some(_held) = disk.try_lock(&unlocked)? else { return Ok(false) };
        disk.remove_file(&unlocked)?;
    } else if !files.is_empty() {
        return Ok(false);
    }
    match disk.remove_dir(dir) {
        // Its owner has just created the lock file.
        Err(cause) if cause.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// Returns true if a new directory, or its lock file, was deleted or locked by a cleaner.
pub fn is_taken_for_abandoned(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock)
}
