//! The scratch folders of one context, and the files in them. Whoever drops a [`ScratchFile`]
//! removes it; whoever drops the last user of a folder removes that. What a process leaves behind
//! that dies before is removed by [`Scratch::remove_orphans`] of the next one.

mod dirs;
mod file;
mod folder;
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

/// Hands out files, in turn, in folders of the context's own. Each folder is made when its first
/// file is asked for: a run that fits in memory makes none.
pub struct Scratch {
    parents: Vec<PathBuf>,
    disk: Arc<dyn Disk>,
    places: Arc<ScratchDirs>,
    next_file: AtomicUsize,
}

impl Scratch {
    /// A scratch under the configured folders. It makes nothing yet.
    pub fn new(config: &Config) -> Self {
        Scratch {
            parents: config.scratch_dirs.clone(),
            disk: Arc::clone(&config.disk),
            places: Arc::new(ScratchDirs::new(config)),
            next_file: AtomicUsize::new(0),
        }
    }

    /// Makes a folder in each of the configured folders and removes it again: what does not allow that
    /// is found when the context is built, and not hours later in the first job that spills. A disk that
    /// is full now may have room by then.
    pub fn probe(&self) -> Result<()> {
        let refuse = |parent: &PathBuf| match folder::probe(parent) {
            Err(cause) if !file::is_full(&cause) => Some(format!(
                "`{}` of scratch_dirs takes no folder ({cause}); let this user write there, or choose \
                 another",
                parent.display()
            )),
            _ => None,
        };
        let problems: Vec<String> = self.parents.iter().filter_map(refuse).collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::InvalidConfig { problems })),
        }
    }

    /// A path no one else has, under a name that begins with `prefix`. The file itself is not made
    /// yet.
    pub fn file(&self, prefix: &str) -> Result<ScratchFile> {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        ScratchFile::new(Arc::clone(&self.places), number, format!("{prefix}-{number}"))
    }

    /// The first of the folders that was made, if a file was asked for already.
    pub fn folder(&self) -> Option<PathBuf> {
        self.places.folders().into_iter().next()
    }

    /// What the files that are alive take of the quota, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.places.quota().used_bytes()
    }

    /// Removes the scratch folders of processes that died before they could, and says which. What
    /// cannot be removed is said too, and is no error: it is in nobody's way.
    pub fn remove_orphans(&self) -> Vec<Event> {
        orphans::remove_in(&self.parents, &*self.disk)
    }
}

#[cfg(test)]
mod tests;
