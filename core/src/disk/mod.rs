//! The one door to the disk. Every file of the engine is made, read and removed through [`Disk`],
//! so that a test can put a [`FaultyDisk`] in front of it and let any single operation fail.

mod faulty;
mod real;

pub use faulty::FaultyDisk;
pub use real::RealDisk;

use std::io;
use std::path::{Path, PathBuf};

/// Whether an error says that the process or the machine ran out of something, open files or memory:
/// the file it happened to may be as good as any.
pub fn says_nothing_of_the_file(cause: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let short_of = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
        if cause.raw_os_error().is_some_and(|code| short_of.contains(&code)) {
            return true;
        }
    }
    cause.kind() == io::ErrorKind::OutOfMemory
}

/// Who may read what is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The user of this process alone: folders 0700, files 0600. For files of the engine.
    Private,
    /// Whom the user's umask allows. For outputs.
    Shared,
}

/// What the engine asks of a disk. Errors are the system's own; who calls knows what it was doing
/// and says so.
pub trait Disk: Send + Sync {
    /// Makes one folder. Its parent must be there, and it must not.
    fn create_dir(&self, path: &Path, access: Access) -> io::Result<()>;

    /// Makes a file. A file that is already there is an error, never overwritten.
    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskWriter>>;

    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>>;

    /// Gives a file another name at once: a reader sees the old state or the new one. A file of
    /// the new name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with all that is in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder survive a power cut.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// What is in a folder, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Whether a path is a folder itself, not a link to one, and belongs to this process's user.
    /// Where folders have no such owner, every folder does.
    fn is_own_folder(&self, path: &Path) -> io::Result<bool>;

    /// Makes a lock file, private and held. It gets its name only once it is held, so nobody ever
    /// finds it free while its maker lives. `Unsupported` where files cannot be locked.
    fn create_lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;

    /// Takes a lock file that is there; nothing if someone else holds it, if it was just removed,
    /// or if it is not a plain file.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
}

/// A lock file that is held until this drops or the process dies, however it dies.
pub trait DiskLock: Send + Sync {}

/// A new file that grows at its end. It does not buffer: hand it whole frames.
pub trait DiskWriter: Send {
    /// Writes all of `bytes` at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was appended survive a power cut.
    fn sync(&mut self) -> io::Result<()>;
}

/// An open file. Several threads may read it at once.
pub trait DiskReader: Send + Sync {
    /// The length of the file now, in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` with the bytes from `offset` on; a file that ends earlier is `UnexpectedEof`.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}
