//! Scratch directories and scratch files of one context. A [`ScratchFile`] is deleted on drop, a
//! scratch directory with its last user. Orphans, the directories of dead processes, are deleted
//! when the next context starts; see [`Scratch::remove_orphans`]. The README of this directory
//! explains locks, orphans and the quota.
//!
//! - `closing`: the end of the context, after which nothing is created.
//! - `dirs`: chooses the directory of a file.
//! - `file`: one scratch file.
//! - `locked_dir`: one scratch directory and its lock.
//! - `orphans`: finds and deletes orphans.
//! - `quota`: the maximum size of all files.

mod closing;
mod dirs;
mod file;
mod locked_dir;
mod orphans;
mod quota;

pub use file::ScratchFile;

use crate::config::Config;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use dirs::ScratchDirs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Creates scratch files in turn in the scratch directories of a context. A directory is created
/// with its first file, so a run that fits in memory creates none.
pub struct Scratch {
    parents: Vec<PathBuf>,
    disk: Arc<dyn Disk>,
    dirs: Arc<ScratchDirs>,
    next_file: AtomicUsize,
}

impl Scratch {
    /// Returns a scratch in the configured directories. It creates nothing yet.
    pub fn new(config: &Config) -> Self {
        Scratch {
            parents: config.scratch_dirs.clone(),
            disk: Arc::clone(&config.disk),
            dirs: Arc::new(ScratchDirs::new(config)),
            next_file: AtomicUsize::new(0),
        }
    }

    /// Creates and deletes a directory in each configured directory. One that is not writable is
    /// thus detected when the context is built, and not hours later in the first job that spills. A
    /// full disk is accepted, because it may have space later.
    pub fn probe(&self) -> Result<()> {
        let problem_of = |parent: &PathBuf| match locked_dir::probe(parent) {
            Err(cause) if !file::is_full(&cause) => Some(format!(
                "scratch_dirs entry `{}` is not writable ({cause}); grant this user write access or \
                 choose another directory",
                parent.display()
            )),
            _ => None,
        };
        let problems: Vec<String> = self.parents.iter().filter_map(problem_of).collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::InvalidConfig { problems })),
        }
    }

    /// Returns a file with a unique name that starts with `prefix`. The file is not created yet.
    pub fn file(&self, prefix: &str) -> Result<ScratchFile> {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        ScratchFile::new(Arc::clone(&self.dirs), number, format!("{prefix}-{number}"))
    }

    /// Returns the first scratch directory, if one was created.
    pub fn dir(&self) -> Option<PathBuf> {
        self.dirs.paths().into_iter().next()
    }

    /// Returns the bytes of the quota that existing files use.
    pub fn used_bytes(&self) -> u64 {
        self.dirs.quota().used_bytes()
    }

    /// Deletes the scratch directories with all files. A task that still runs gets an error from
    /// each scratch file that it creates, opens or writes.
    pub fn close(&self) {
        self.dirs.close();
    }

    /// Deletes the scratch directories of dead processes, and returns an event for each directory
    /// that was deleted or could not be deleted. Failing to delete one is not an error.
    pub fn remove_orphans(&self) -> Vec<Event> {
        orphans::remove_in(&self.parents, &*self.disk)
    }
}

#[cfg(test)]
mod tests;
