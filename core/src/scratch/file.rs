//! One scratch file.

use super::dirs::{FileLocation, Refusal, ScratchDirs, first_ok};
use super::quota::{Account, OverQuota};
use crate::disk::{Access, DiskReader, DiskWriter};
use crate::error::{Error, Result};
use crate::faults::{FailPoint, hit};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A path in a scratch folder. The file behind it is removed when this drops; readers that are
/// open then may read on.
pub struct ScratchFile {
    places: Arc<ScratchDirs>,
    number: usize,
    name: String,
    /// Where the file is to be.
    planned: FileLocation,
    /// Where it is, once it was made: elsewhere if the planned place refused.
    made: OnceLock<FileLocation>,
    account: Arc<Account>,
}

impl ScratchFile {
    pub(super) fn new(places: Arc<ScratchDirs>, number: usize, name: String) -> Result<Self> {
        let planned = first_ok(&places.order(number), |place| {
            places.home(place, &name).map_err(|cause| no_folder(&places, place, &name, cause))
        })?;
        let account = Arc::new(Account::new(Arc::clone(places.quota())));
        Ok(ScratchFile { places, number, name, planned, made: OnceLock::new(), account })
    }

    /// Where the file is. Before it is made: where it is to be, if nothing refuses.
    pub fn path(&self) -> &Path {
        &self.home().path
    }

    /// Makes the file, empty, in the first scratch folder that takes it. If a cleaner of temporary
    /// files took a whole folder, that is made again, once; the files that went with it are lost
    /// and are computed again.
    pub fn create(&self) -> Result<Box<dyn DiskWriter>> {
        let first = self.home().place;
        let mut order = vec![first];
        if self.made.get().is_none() {
            let others = self.places.order(self.number);
            order.extend(others.into_iter().filter(|place| *place != first));
        }
        let inner = first_ok(&order, |place| self.create_in(place))?;
        let (places, account) = (Arc::clone(&self.places), Arc::clone(&self.account));
        let (place, has_begun) = (self.home().place, false);
        Ok(Box::new(ScratchWriter { inner, places, account, place, has_begun }))
    }

    /// Opens the file for reading.
    pub fn open(&self) -> Result<Box<dyn DiskReader>> {
        self.places.disk().open(self.path()).map_err(|cause| self.error("opening", cause))
    }

    /// The error of `doing` something to this file, such as `"writing"`, when `cause` happened.
    pub fn error(&self, doing: &str, cause: io::Error) -> Error {
        match OverQuota::of(&cause) {
            Some(over) => over.into(),
            None => Error::io(failed(doing, self.path(), &cause), cause),
        }
    }

    fn home(&self) -> &FileLocation {
        self.made.get().unwrap_or(&self.planned)
    }

    fn create_in(&self, place: usize) -> Result<Box<dyn DiskWriter>, Refusal> {
        let (places, name) = (&self.places, &self.name);
        let home = places.home(place, name);
        let home = home.map_err(|cause| no_folder(places, place, name, cause))?;
        let create = || places.disk().create(&home.path, Access::Private);
        let made = create().or_else(|cause| {
            if cause.kind() != io::ErrorKind::NotFound {
                return Err(cause);
            }
            home.folder.remake(places.disk())?;
            create()
        });
        let refuse = |cause| Refusal { doing: failed("creating", &home.path, &cause), cause };
        let writer = made.map_err(refuse)?;
        let _ = self.made.set(home);
        Ok(writer)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        let Some(FileLocation { path, .. }) = self.made.get() else { return };
        if self.places.made_in != std::process::id() {
            return;
        }
        let removed = self.places.disk().remove_file(path);
        if removed.is_err_and(|cause| cause.kind() != io::ErrorKind::NotFound) {
            // What stays behind goes with the folder.
            self.account.keep();
        }
    }
}

/// Counts what is written, and notes a place that has no more room.
struct ScratchWriter {
    inner: Box<dyn DiskWriter>,
    places: Arc<ScratchDirs>,
    account: Arc<Account>,
    place: usize,
    has_begun: bool,
}

impl DiskWriter for ScratchWriter {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.account.take(bytes.len())?;
        let appended = self.inner.append(bytes);
        if appended.as_ref().is_err_and(is_full) {
            self.places.note_full(self.place);
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            hit(self.places.faults(), FailPoint::SpillHalfWritten);
        }
        appended
    }

    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }
}

pub(super) fn is_full(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What failed, and what to do next.
fn failed(doing: &str, path: &Path, cause: &io::Error) -> String {
    let advice = match cause.kind() {
        _ if is_full(cause) => ": free some space there, or add a larger disk to scratch_dirs",
        io::ErrorKind::NotFound => ": something else removed it; keep temporary-file cleaners away",
        _ => "",
    };
    format!("{doing} the scratch file `{}` failed{advice}", path.display())
}

fn no_folder(places: &ScratchDirs, place: usize, name: &str, cause: io::Error) -> Refusal {
    let parent = places.parent(place).display();
    let doing = format!(
        "making a scratch folder for `{name}` in `{parent}` failed: set scratch_dirs to folders \
         this user may write to"
    );
    Refusal { doing, cause }
}
