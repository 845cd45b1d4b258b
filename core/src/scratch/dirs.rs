//! The scratch folders of a context, in the order in which a file tries them.

use super::folder::Folder;
use super::quota::Quota;
use crate::config::Config;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::faults::Faults;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All places where files may go.
pub(super) struct ScratchDirs {
    /// The process whose files they are. A fork of it has them in its memory too, and removes none.
    pub made_in: u32,
    places: Vec<ScratchDir>,
    disk: Arc<dyn Disk>,
    faults: Option<Faults>,
    quota: Arc<Quota>,
}

struct ScratchDir {
    parent: PathBuf,
    folder: Mutex<Option<Arc<Folder>>>,
    /// Whether a write found no room here, and not yet everywhere else too.
    full: AtomicBool,
}

/// Where one file is, or is to be. It keeps the folder there.
pub(super) struct FileLocation {
    pub place: usize,
    pub path: PathBuf,
    pub folder: Arc<Folder>,
}

impl ScratchDirs {
    pub fn new(config: &Config) -> Self {
        let place = |parent: &PathBuf| ScratchDir {
            parent: parent.clone(),
            folder: Mutex::default(),
            full: AtomicBool::new(false),
        };
        let quota = Arc::new(Quota::new(config.scratch_quota_bytes));
        let places = config.scratch_dirs.iter().map(place).collect();
        let (disk, faults) = (Arc::clone(&config.disk), config.faults.clone());
        ScratchDirs { made_in: std::process::id(), places, disk, faults, quota }
    }

    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// What goes wrong on purpose.
    pub fn faults(&self) -> Option<&Faults> {
        self.faults.as_ref()
    }

    pub fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// The folders that were made.
    pub fn folders(&self) -> Vec<PathBuf> {
        let made = self.places.iter().filter_map(|place| place.lock().clone());
        made.map(|folder| folder.path().to_path_buf()).collect()
    }

    /// The places in the order in which the file of this number tries them: each file begins one
    /// further, and those that are full come last.
    pub fn order(&self, number: usize) -> Vec<usize> {
        let count = self.places.len();
        let mut order: Vec<usize> = (0..count).map(|n| (number % count + n) % count).collect();
        order.sort_by_key(|place| self.places[*place].full.load(Ordering::Relaxed));
        order
    }

    /// Where a file of this name is to be in a place, whose folder is made if need be.
    pub fn home(&self, place: usize, name: &str) -> io::Result<FileLocation> {
        let mut folder = self.places[place].lock();
        let made = match &*folder {
            Some(made) => Arc::clone(made),
            None => {
                let made = Folder::make(self.parent(place), self.disk(), self.faults())?;
                Arc::clone(folder.insert(Arc::new(made)))
            }
        };
        Ok(FileLocation { place, path: made.path().join(name), folder: made })
    }

    /// Where the folder of a place is or would be made.
    pub fn parent(&self, place: usize) -> &Path {
        &self.places[place].parent
    }

    /// Notes that a write found no room, so that the others come first until all of them were full
    /// as well. A file that is removed changes nothing: the one that found no room goes at once,
    /// and its next attempt must not come back here.
    pub fn note_full(&self, place: usize) {
        let set = |place: &ScratchDir, full| place.full.store(full, Ordering::Relaxed);
        set(&self.places[place], true);
        if self.places.iter().all(|place| place.full.load(Ordering::Relaxed)) {
            let others = self.places.iter().enumerate().filter(|(other, _)| *other != place);
            others.for_each(|(_, other)| set(other, false));
        }
    }
}

impl ScratchDir {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Folder>>> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place that refused: what was being done there, and why it failed.
pub(super) struct Refusal {
    pub doing: String,
    pub cause: io::Error,
}

/// Tries the places in order and takes the first that works. The error names all that refused.
pub(super) fn first_ok<A>(
    order: &[usize],
    mut attempt: impl FnMut(usize) -> Result<A, Refusal>,
) -> Result<A> {
    let mut earlier = String::new();
    let mut error = Error::invalid_argument("scratch_dirs names no folder; give at least one");
    for place in order {
        match attempt(*place) {
            Ok(made) => return Ok(made),
            Err(Refusal { doing, cause }) => {
                let text = format!("{earlier}{doing}");
                earlier = format!("{text}: {cause}; ");
                error = Error::io(text, cause);
            }
        }
    }
    Err(error)
}
