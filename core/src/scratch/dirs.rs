//! The scratch directories of a context, in the order in which a file tries them.

use super::closing::Closing;
use super::locked_dir::{LockedDir, needs_itself};
use super::quota::Quota;
use crate::config::Config;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::exclusive::Exclusive;
use crate::faults::Faults;
use crate::sync::{Mutex, MutexGuard};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// All scratch directories of a context.
pub(super) struct ScratchDirs {
    /// The process that owns the files. A forked process inherits this value and deletes nothing.
    pub owner_pid: u32,
    dirs: Vec<ScratchDir>,
    disk: Arc<dyn Disk>,
    faults: Option<Faults>,
    quota: Arc<Quota>,
    closing: Closing,
}

/// One configured directory, with the scratch directory in it.
struct ScratchDir {
    parent: PathBuf,
    locked: Mutex<Option<Arc<LockedDir>>>,
    creating: Exclusive,
    /// True if a write found the disk full, and not all other disks have been full since.
    full: AtomicBool,
}

/// The location of one file. It keeps the directory alive.
pub(super) struct FileLocation {
    /// The index of the configured directory.
    pub dir_index: usize,
    pub path: PathBuf,
    pub dir: Arc<LockedDir>,
}

impl ScratchDirs {
    pub fn new(config: &Config) -> Self {
        let new_dir = |parent: &PathBuf| ScratchDir {
            parent: parent.clone(),
            locked: Mutex::default(),
            creating: Exclusive::default(),
            full: AtomicBool::new(false),
        };
        let quota = Arc::new(Quota::new(config.scratch_quota_bytes));
        let dirs = config.scratch_dirs.iter().map(new_dir).collect();
        ScratchDirs {
            owner_pid: std::process::id(),
            dirs,
            disk: Arc::clone(&config.disk),
            faults: config.faults.clone(),
            quota,
            closing: Closing::default(),
        }
    }

    /// Returns the guard of the end of the context.
    pub fn closing(&self) -> &Closing {
        &self.closing
    }

    /// Deletes the scratch directories although files may be in use, and refuses further files.
    pub fn close(&self) {
        self.closing.close();
        for dir in &self.dirs {
            let locked = dir.lock().take();
            if let Some(locked) = locked {
                locked.delete(self.disk());
            }
        }
    }

    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Returns the faults to inject.
    pub fn faults(&self) -> Option<&Faults> {
        self.faults.as_ref()
    }

    pub fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// Returns the scratch directories that were created.
    pub fn paths(&self) -> Vec<PathBuf> {
        let created = self.dirs.iter().filter_map(|dir| dir.lock().clone());
        created.map(|dir| dir.path().to_path_buf()).collect()
    }

    /// Returns the directories in the order in which a file tries them: each file starts with the
    /// next one, and full ones come last.
    pub fn order(&self, number: usize) -> Vec<usize> {
        let count = self.dirs.len();
        let mut order: Vec<usize> = (0..count).map(|n| (number % count + n) % count).collect();
        order.sort_by_key(|index| self.dirs[*index].full.load(Ordering::Relaxed));
        order
    }

    /// Returns the location of a file in a directory, which is created if necessary.
    pub fn locate(&self, dir_index: usize, name: &str) -> io::Result<FileLocation> {
        let dir = match self.created(dir_index) {
            Some(dir) => dir,
            None => self.create(dir_index)?,
        };
        Ok(FileLocation { dir_index, path: dir.path().join(name), dir })
    }

    fn created(&self, dir_index: usize) -> Option<Arc<LockedDir>> {
        self.dirs[dir_index].lock().clone()
    }

    /// Creates a directory unless another thread does so first. No lock is held while the disk is
    /// called, which may be code of the user.
    fn create(&self, dir_index: usize) -> io::Result<Arc<LockedDir>> {
        let created = self.dirs[dir_index].creating.run(|| {
            if let Some(dir) = self.created(dir_index) {
                return Ok(dir);
            }
            let dir = LockedDir::create(self.parent(dir_index), self.disk(), self.faults())?;
            let dir = Arc::new(dir);
            *self.dirs[dir_index].lock() = Some(Arc::clone(&dir));
            Ok(dir)
        });
        created.unwrap_or_else(|| Err(needs_itself()))
    }

    /// Returns the configured directory, in which the scratch directory is or will be created.
    pub fn parent(&self, dir_index: usize) -> &Path {
        &self.dirs[dir_index].parent
    }

    /// Marks a directory as full, so that the others come first until all of them were full as
    /// well. Deleting a file does not clear the mark: the file that found the disk full is deleted
    /// at once, and the next attempt of its task must not return to this disk.
    pub fn mark_full(&self, dir_index: usize) {
        let set = |dir: &ScratchDir, full| dir.full.store(full, Ordering::Relaxed);
        set(&self.dirs[dir_index], true);
        if self.dirs.iter().all(|dir| dir.full.load(Ordering::Relaxed)) {
            let others = self.dirs.iter().enumerate().filter(|(other, _)| *other != dir_index);
            others.for_each(|(_, other)| set(other, false));
        }
    }
}

impl ScratchDir {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<LockedDir>>> {
        self.locked.lock()
    }
}

/// A failed attempt to use one directory: the operation and the cause.
pub(super) struct DirError {
    pub doing: String,
    pub cause: io::Error,
}

/// Tries the directories in order and returns the first success. The error names all failures.
pub(super) fn first_ok<A>(
    order: &[usize],
    mut attempt: impl FnMut(usize) -> Result<A, DirError>,
) -> Result<A> {
    let mut earlier = String::new();
    let mut error = Error::invalid_argument("scratch_dirs is empty; set at least one directory");
    for dir_index in order {
        match attempt(*dir_index) {
            Ok(created) => return Ok(created),
            Err(DirError { doing, cause }) => {
                let text = format!("{earlier}{doing}");
                earlier = format!("{text}: {cause}; ");
                error = Error::io(text, cause);
            }
        }
    }
    Err(error)
}
