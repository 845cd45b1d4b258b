//! File system access. Every file of the engine is created, read and deleted through [`Disk`], so
//! that a test can wrap it in a [`FaultyDisk`] and fail any single operation. The only exception is
//! the creation of scratch directories, where tempfile chooses the name. Files are opened only if
//! they are regular, and without waiting ([`crate::files::open()`]).
//!
//! - `real`: the file system of the operating system.
//! - `faulty`: a wrapper that injects faults.
//! - `never_locked`: directories of processes that were killed before they locked them.
//!
//! A disk error is retried by running the task again, since disks may recover. A file that cannot
//! be read twice counts as lost and is recomputed, since a bad sector stays bad. Running out of
//! open files or memory is not an error of the file and never counts against it
//! ([`is_resource_exhaustion`]).

mod faulty;
mod never_locked;
mod real;

pub use faulty::FaultyDisk;
pub use never_locked::{MAX_CREATE_ATTEMPTS, is_taken_for_abandoned, remove_if_never_locked};
pub use real::RealDisk;

use std::io;
use std::path::{Path, PathBuf};

/// Returns true if the process or the machine ran out of open files or memory. Such an error does
/// not mean that the file is damaged.
pub fn is_resource_exhaustion(cause: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
        if cause.raw_os_error().is_some_and(|code| exhausted.contains(&code)) {
            return true;
        }
    }
    cause.kind() == io::ErrorKind::OutOfMemory
}

/// The access rights of a new file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only the user of this process: directories 0700, files 0600. For files of the engine.
    Private,
    /// The access rights that the umask of the user allows. For outputs.
    Shared,
}

/// The file operations of the engine. Errors are those of the operating system; the caller adds the
/// operation and the file.
pub trait Disk: Send + Sync {
    /// Creates a directory. Its parent must exist, and the directory must not.
    fn create_dir(&self, path: &Path, access: Access) -> io::Result<()>;

    /// Creates a file. An existing file is an error and is never overwritten.
    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskWriter>>;

    /// Opens a regular file for reading. For anything else the error is one of
    /// [`is_no_file`](crate::files::is_no_file).
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>>;

    /// Renames a file atomically: a reader sees the old state or the new one. An existing file of
    /// the new name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Deletes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Deletes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Deletes a directory with its contents.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Lists a directory, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Returns true if a path is a directory, not a link to one, and belongs to the user of this
    /// process. Where directories have no owner, every directory counts.
    fn is_own_dir(&self, path: &Path) -> io::Result<bool>;

    /// Creates a lock file, private and locked. It gets its name only after it is locked, so a lock
    /// file is never free while its creator lives. Fails with `Unsupported` where files cannot be
    /// locked.
    fn create_lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;

    /// Locks an existing lock file. Returns `None` if it is locked, if it was just deleted, or if
    /// it is not a regular file.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
}

/// A lock file that is locked until this drops or the process dies in any way.
pub trait DiskLock: Send + Sync {}

/// A new file that grows at its end. It does not buffer, so pass whole frames.
pub trait DiskWriter: Send {
    /// Appends all of `bytes`.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the appended bytes durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// An open file. Several threads may read it at the same time.
pub trait DiskReader: Send + Sync {
    /// Returns the current length of the file in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Returns true if the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` with the bytes from `offset` on. A file that ends earlier is `UnexpectedEof`.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}
