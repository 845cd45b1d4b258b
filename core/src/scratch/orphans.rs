//! Finds and deletes orphans: the scratch directories of dead processes, recognized by their name,
//! their owner and their free lock.
//!
//! A directory is deleted only while its lock is held here, so neither its owner nor another
//! cleaner can be using it. A directory without a lock file is deleted if it is empty: either its
//! owner died before it created the lock, or the owner is about to create it, finds the directory
//! missing, and creates another one.

use super::locked_dir::{DIR_PREFIX, is_random_name, lock_path};
use crate::disk::{Disk, remove_if_never_locked};
use crate::event::Event;
use std::io;
use std::path::{Path, PathBuf};

/// Deletes the orphans in `parents`, and returns an event for each that was deleted or could not be
/// deleted.
pub(super) fn remove_in(parents: &[PathBuf], disk: &dyn Disk) -> Vec<Event> {
    parents.iter().flat_map(|parent| remove_in_one(parent, disk)).collect()
}

fn remove_in_one(parent: &Path, disk: &dyn Disk) -> Vec<Event> {
    let mut found = match disk.list(parent) {
        Ok(paths) => paths,
        Err(cause) => return vec![failed(parent, &cause)],
    };
    found.retain(|path| has_dir_prefix(path));
    found.sort();
    found.iter().filter_map(|dir| remove(dir, disk)).collect()
}

fn has_dir_prefix(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(DIR_PREFIX))
}

fn has_random_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(is_random_name)
}

/// Deletes a directory if it is an orphan.
fn remove(dir: &Path, disk: &dyn Disk) -> Option<Event> {
    match remove_if_orphan(dir, disk) {
        Ok(true) => Some(Event::OrphanRemoved { folder: dir.display().to_string() }),
        Ok(false) => None,
        // It has no lock file or was deleted: its owner or another cleaner was faster.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => Some(failed(dir, &cause)),
    }
}

fn failed(dir: &Path, cause: &io::Error) -> Event {
    Event::CleaningFailed { folder: dir.display().to_string(), error: cause.to_string() }
}

/// Deletes a directory if it is an orphan, and returns true if it was.
fn remove_if_orphan(dir: &Path, disk: &dyn Disk) -> io::Result<bool> {
    if !disk.is_own_dir(dir)? {
        return Ok(false);
    }
    let lock = lock_path(dir);
    let locked = match disk.try_lock(&lock) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Ok(has_random_name(dir) && remove_if_never_locked(dir, &lock, disk)?);
        }
        locked => locked?,
    };
    let Some(_held) = locked else { return Ok(false) };
    // The lock file is deleted last, so that a cleaner that dies in the middle leaves an orphan.
    // Our directories contain no directories; one that does is not deleted, and an error is
    // reported.
    for path in disk.list(dir)?.iter().filter(|path| **path != lock) {
        disk.remove_file(path)?;
    }
    disk.remove_dir_all(dir)?;
    Ok(true)
}
