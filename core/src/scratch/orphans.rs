//! What processes left behind that died: found by its name, its owner and its free lock.
//!
//! A folder is removed only while its lock is held here, so neither its owner nor another cleaner
//! can be at work in it. A folder without a lock file is left alone: its owner may be about to make
//! one. So a process that dies in the instant between leaves an empty folder behind for good, or one
//! with a lock file that has not got its name.

use super::folder::{PREFIX, lock_in};
use crate::disk::Disk;
use crate::event::Event;
use std::io;
use std::path::{Path, PathBuf};

/// Removes the orphans in `parents`; says what was removed and what could not be.
pub(super) fn remove_in(parents: &[PathBuf], disk: &dyn Disk) -> Vec<Event> {
    parents.iter().flat_map(|parent| remove_in_one(parent, disk)).collect()
}

fn remove_in_one(parent: &Path, disk: &dyn Disk) -> Vec<Event> {
    let mut found = match disk.list(parent) {
        Ok(paths) => paths,
        Err(cause) => return vec![failed(parent, &cause)],
    };
    found.retain(|path| has_our_name(path));
    found.sort();
    found.iter().filter_map(|folder| remove(folder, disk)).collect()
}

fn has_our_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(PREFIX))
}

/// Removes one folder if it is an orphan.
fn remove(folder: &Path, disk: &dyn Disk) -> Option<Event> {
    match remove_if_orphan(folder, disk) {
        Ok(true) => Some(Event::OrphanRemoved { folder: folder.display().to_string() }),
        Ok(false) => None,
        // It has no lock file, or it is gone: its owner or another cleaner was faster.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => Some(failed(folder, &cause)),
    }
}

fn failed(folder: &Path, cause: &io::Error) -> Event {
    Event::CleaningFailed { folder: folder.display().to_string(), error: cause.to_string() }
}

fn remove_if_orphan(folder: &Path, disk: &dyn Disk) -> io::Result<bool> {
    if !disk.is_own_folder(folder)? {
        return Ok(false);
    }
    let lock = lock_in(folder);
    let Some(_held) = disk.try_lock(&lock)? else { return Ok(false) };
    // The lock file goes last: a cleaner that dies in the middle leaves an orphan again. There are
    // no folders in ours; one that is there is not ours to remove, and an error.
    for path in disk.list(folder)?.iter().filter(|path| **path != lock) {
        disk.remove_file(path)?;
    }
    disk.remove_dir_all(folder)?;
    Ok(true)
}
