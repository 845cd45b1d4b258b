//! One scratch file.

use super::closing::ScratchClosed;
use super::dirs::{DirError, FileLocation, ScratchDirs, first_ok};
use super::quota::{OverQuota, QuotaAccount};
use crate::disk::{Access, DiskReader, DiskWriter};
use crate::error::{Error, Result};
use crate::faults::{FailPoint, hit};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A scratch file. It is deleted on drop; readers that are open then may continue to read.
pub struct ScratchFile {
    dirs: Arc<ScratchDirs>,
    number: usize,
    name: String,
    /// The location where the file will be created.
    planned: FileLocation,
    /// Its location once it was created, which differs if the planned directory failed.
    created: OnceLock<FileLocation>,
    account: Arc<QuotaAccount>,
}

impl ScratchFile {
    pub(super) fn new(dirs: Arc<ScratchDirs>, number: usize, name: String) -> Result<Self> {
        let creating = dirs.closing().begin_create()?;
        let planned = first_ok(&dirs.order(number), |dir_index| {
            let location = dirs.locate(dir_index, &name);
            location.map_err(|cause| no_dir(&dirs, dir_index, &name, cause))
        })?;
        drop(creating);
        let account = Arc::new(QuotaAccount::new(Arc::clone(dirs.quota())));
        Ok(ScratchFile { dirs, number, name, planned, created: OnceLock::new(), account })
    }

    /// Returns the path of the file, or its planned path if it has not been created.
    pub fn path(&self) -> &Path {
        &self.location().path
    }

    /// Creates the file, empty, in the first scratch directory that accepts it. If a cleaner of
    /// temporary files deleted a whole directory, it is recreated once; its files are lost and
    /// recomputed.
    pub fn create(&self) -> Result<Box<dyn DiskWriter>> {
        let _creating = self.dirs.closing().begin_create()?;
        let first = self.location().dir_index;
        let mut order = vec![first];
        if self.created.get().is_none() {
            let others = self.dirs.order(self.number);
            order.extend(others.into_iter().filter(|dir_index| *dir_index != first));
        }
        let inner = first_ok(&order, |dir_index| self.create_in(dir_index))?;
        Ok(Box::new(ScratchWriter {
            inner,
            dirs: Arc::clone(&self.dirs),
            account: Arc::clone(&self.account),
            dir_index: self.location().dir_index,
            has_appended: false,
        }))
    }

    /// Opens the file for reading.
    pub fn open(&self) -> Result<Box<dyn DiskReader>> {
        if self.dirs.closing().is_closed() {
            return Err(ScratchClosed.into());
        }
        self.dirs.disk().open(self.path()).map_err(|cause| self.error("opening", cause))
    }

    /// Returns the error of `doing` something with this file, such as `"writing"`, when `cause`
    /// happened.
    pub fn error(&self, doing: &str, cause: io::Error) -> Error {
        if ScratchClosed::is_cause_of(&cause) {
            return ScratchClosed.into();
        }
        match OverQuota::of(&cause) {
            Some(over) => over.into(),
            None => Error::io(failed(doing, self.path(), &cause), cause),
        }
    }

    fn location(&self) -> &FileLocation {
        self.created.get().unwrap_or(&self.planned)
    }

    fn create_in(&self, dir_index: usize) -> Result<Box<dyn DiskWriter>, DirError> {
        let location = self.dirs.locate(dir_index, &self.name);
        let location =
            location.map_err(|cause| no_dir(&self.dirs, dir_index, &self.name, cause))?;
        let create = || self.dirs.disk().create(&location.path, Access::Private);
        let created = create().or_else(|cause| {
            if cause.kind() != io::ErrorKind::NotFound {
                return Err(cause);
            }
            location.dir.recreate(self.dirs.disk())?;
            create()
        });
        let dir_error =
            |cause| DirError { doing: failed("creating", &location.path, &cause), cause };
        let writer = created.map_err(dir_error)?;
        let _ = self.created.set(location);
        Ok(writer)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        let Some(FileLocation { path, .. }) = self.created.get() else { return };
        let is_deleted = self.dirs.closing().is_closed();
        if is_deleted || self.dirs.owner_pid != std::process::id() {
            return;
        }
        let removed = self.dirs.disk().remove_file(path);
        if removed.is_err_and(|cause| cause.kind() != io::ErrorKind::NotFound) {
            // The file is deleted with the directory.
            self.account.leak();
        }
    }
}

/// Counts the bytes written, and marks a directory as full.
struct ScratchWriter {
    inner: Box<dyn DiskWriter>,
    dirs: Arc<ScratchDirs>,
    account: Arc<QuotaAccount>,
    dir_index: usize,
    has_appended: bool,
}

impl DiskWriter for ScratchWriter {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.dirs.closing().is_closed() {
            return Err(ScratchClosed.into());
        }
        self.account.take(bytes.len())?;
        let appended = self.inner.append(bytes);
        if appended.as_ref().is_err_and(is_full) {
            self.dirs.mark_full(self.dir_index);
        }
        if !std::mem::replace(&mut self.has_appended, true) {
            hit(self.dirs.faults(), FailPoint::SpillHalfWritten);
        }
        appended
    }

    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }
}

/// Returns true if the disk or a quota is full.
pub(super) fn is_full(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Describes the failure and what to do.
fn failed(doing: &str, path: &Path, cause: &io::Error) -> String {
    let advice = match cause.kind() {
        _ if is_full(cause) => " (free space there, or add a larger disk to scratch_dirs)",
        io::ErrorKind::NotFound => {
            " (another program removed it; exclude scratch_dirs from cleaners of temporary files)"
        }
        _ => "",
    };
    format!("{doing} the scratch file `{}` failed{advice}", path.display())
}

fn no_dir(dirs: &ScratchDirs, dir_index: usize, name: &str, cause: io::Error) -> DirError {
    let parent = dirs.parent(dir_index).display();
    let doing = format!(
        "creating a scratch directory for `{name}` in `{parent}` failed (set scratch_dirs \
         to directories that this user may write to)"
    );
    DirError { doing, cause }
}
