//! The scratch folder of one context, and the files in it. Whoever drops a [`ScratchFile`] removes
//! it; whoever drops the last user of the folder removes that.

use crate::config::Config;
use crate::disk::{Access, Disk, DiskReader, DiskWriter};
use crate::error::{Error, Result};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// Hands out files in a folder of the context's own, which is made when the first is asked for: a
/// run that fits in memory touches no disk.
pub struct Scratch {
    parent: PathBuf,
    disk: Arc<dyn Disk>,
    folder: Mutex<Option<Arc<TempDir>>>,
    next_file: AtomicU64,
}

impl Scratch {
    /// A scratch under the configured folder. It makes nothing yet.
    pub fn new(config: &Config) -> Self {
        Scratch {
            parent: config.scratch_dir.clone(),
            disk: Arc::clone(&config.disk),
            folder: Mutex::new(None),
            next_file: AtomicU64::new(0),
        }
    }

    /// A path no one else has, under a name that begins with `prefix`. The file itself is not made
    /// yet.
    pub fn file(&self, prefix: &str) -> Result<ScratchFile> {
        let folder = self.made_folder()?;
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        let path = folder.path().join(format!("{prefix}-{number}"));
        Ok(ScratchFile { path, disk: Arc::clone(&self.disk), folder })
    }

    /// The folder, if a file was asked for already.
    pub fn folder(&self) -> Option<PathBuf> {
        self.lock().as_ref().map(|folder| folder.path().to_path_buf())
    }

    fn made_folder(&self) -> Result<Arc<TempDir>> {
        let mut folder = self.lock();
        if let Some(made) = &*folder {
            return Ok(Arc::clone(made));
        }
        let made = make_folder(&self.parent).map_err(|cause| {
            let parent = self.parent.display();
            let what = format!(
                "making a scratch folder in `{parent}` failed: set scratch_dir to a folder this \
                 user may write to"
            );
            Error::io(what, cause)
        })?;
        Ok(Arc::clone(folder.insert(Arc::new(made))))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<TempDir>>> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one thing not made through the disk's door: tempfile picks the random name and removes the
/// folder again, also when this thread unwinds.
fn make_folder(parent: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("emberline-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir_in(parent)
}

/// A path in the scratch folder. The file behind it is removed when this drops; readers that are
/// open then may read on.
pub struct ScratchFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// The folder lives as long as anyone has a file in it.
    folder: Arc<TempDir>,
}

impl ScratchFile {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file, empty. If a cleaner of temporary files took the whole folder, that is made
    /// again, once; the files that went with it are lost and are computed again.
    pub fn create(&self) -> Result<Box<dyn DiskWriter>> {
        let create = || self.disk.create(&self.path, Access::Private);
        let made = create().or_else(|cause| {
            if cause.kind() != io::ErrorKind::NotFound {
                return Err(cause);
            }
            self.remake_folder()?;
            create()
        });
        made.map_err(|cause| self.error("creating", cause))
    }

    /// Opens the file for reading.
    pub fn open(&self) -> Result<Box<dyn DiskReader>> {
        self.disk.open(&self.path).map_err(|cause| self.error("opening", cause))
    }

    /// The error of `doing` something to this file, such as `"writing"`, when `cause` happened.
    pub fn error(&self, doing: &str, cause: io::Error) -> Error {
        let path = self.path.display();
        let advice = match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                ": free some space there, or set scratch_dir to a larger disk"
            }
            io::ErrorKind::NotFound => {
                ": something else removed it; keep temporary-file cleaners away"
            }
            _ => "",
        };
        Error::io(format!("{doing} the scratch file `{path}` failed{advice}"), cause)
    }

    fn remake_folder(&self) -> io::Result<()> {
        match self.disk.create_dir(self.folder.path(), Access::Private) {
            // Another task was faster.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // It may never have been made, and what stays behind goes with the folder.
        let _ = self.disk.remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{FaultPlan, FaultyDisk};
    use crate::error::ErrorKind;
    use std::fs;

    fn scratch_in(dir: &TempDir, disk: Arc<dyn Disk>) -> Scratch {
        let scratch_dir = dir.path().to_path_buf();
        Scratch::new(&Config { scratch_dir, disk, ..Config::default() })
    }

    fn scratch() -> (TempDir, Scratch) {
        let dir = tempfile::tempdir().unwrap();
        let scratch = scratch_in(&dir, Config::default().disk);
        (dir, scratch)
    }

    fn entries(path: &Path) -> usize {
        fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn nothing_is_made_before_the_first_file() {
        let (dir, scratch) = scratch();
        assert_eq!((scratch.folder(), entries(dir.path())), (None, 0));
    }

    #[test]
    fn files_have_names_of_their_own_in_one_private_folder() {
        let (dir, scratch) = scratch();
        let (a, b) = (scratch.file("run").unwrap(), scratch.file("run").unwrap());
        assert_ne!(a.path(), b.path());
        assert_eq!((a.path().parent(), entries(dir.path())), (b.path().parent(), 1));
        let folder = scratch.folder().unwrap();
        assert!(folder.file_name().unwrap().to_str().unwrap().starts_with("emberline-"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_file_is_read_back_and_goes_when_it_drops() {
        let (_dir, scratch) = scratch();
        let file = scratch.file("run").unwrap();
        file.create().unwrap().append(b"abc").unwrap();
        let mut bytes = [0; 3];
        file.open().unwrap().read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"abc");
        let path = file.path().to_path_buf();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn the_folder_goes_with_the_scratch_and_its_last_file() {
        let (dir, scratch) = scratch();
        let file = scratch.file("run").unwrap();
        file.create().unwrap();
        drop(scratch);
        assert!(file.open().is_ok(), "a file outlives the scratch");
        drop(file);
        assert_eq!(entries(dir.path()), 0);
    }

    #[test]
    fn a_folder_that_was_cleaned_away_is_made_again() {
        let (dir, scratch) = scratch();
        let lost = scratch.file("run").unwrap();
        lost.create().unwrap();
        fs::remove_dir_all(scratch.folder().unwrap()).unwrap();
        let file = scratch.file("run").unwrap();
        file.create().unwrap();
        assert!(file.open().is_ok());
        let text = lost.open().err().unwrap().to_string();
        assert!(text.contains("opening") && text.contains("removed"), "{text}");
        drop((lost, file, scratch));
        assert_eq!(entries(dir.path()), 0);
    }

    #[test]
    fn an_error_names_the_file_and_what_was_being_done() {
        let dir = tempfile::tempdir().unwrap();
        let plan = FaultPlan { fail_operation: Some(0), ..FaultPlan::default() };
        let scratch = scratch_in(&dir, Arc::new(FaultyDisk::new(plan)));
        let file = scratch.file("run").unwrap();
        let error = file.create().err().unwrap();
        let text = error.to_string();
        assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error}");
        assert!(text.contains("creating") && text.contains("injected fault"), "{text}");
        assert!(text.contains(&file.path().display().to_string()), "{text}");
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let (_dir, scratch) = scratch();
        let file = scratch.file("run").unwrap();
        let text = file.error("writing", io::ErrorKind::StorageFull.into()).to_string();
        assert!(text.contains("writing") && text.contains("scratch_dir"), "{text}");
    }

    #[test]
    fn a_parent_that_is_missing_is_named() {
        let (dir, scratch) = scratch();
        drop(dir);
        let text = scratch.file("run").err().unwrap().to_string();
        assert!(text.contains("scratch_dir"), "{text}");
    }
}
