//! The file system of the operating system.

use super::{Access, Disk, DiskLock, DiskReader, DiskWriter};
use crate::files;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path, access: Access) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        if access == Access::Private {
            owner_only_dir(&mut builder);
        }
        builder.create(path)
    }

    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskWriter>> {
        Ok(Box::new(RealWriter(create_new(path, access)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        Ok(Box::new(RealReader::new(files::open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        files::open_dir(path)?.sync_all()
    }

    /// Returns at once where a directory cannot be opened as a file; the system writes names back
    /// by itself.
    #[cfg(not(unix))]
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn is_own_dir(&self, path: &Path) -> io::Result<bool> {
        let found = fs::symlink_metadata(path)?;
        Ok(found.is_dir() && is_owned_by_user(&found))
    }

    fn create_lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let unnamed = path.with_added_extension("new");
        let file = create_new(&unnamed, Access::Private)?;
        file.try_lock().map_err(io::Error::from)?;
        fs::rename(&unnamed, path)?;
        Ok(Box::new(RealLock { _held: file }))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        if !fs::symlink_metadata(path)?.is_file() {
            return Ok(None);
        }
        let file = match files::open_with(OpenOptions::new().read(true).write(true), path) {
            Err(cause) if is_something_else(&cause) => return Ok(None),
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(cause)) => return Err(cause),
        }
        // The previous owner may have deleted the file, which would make this a lock without a
        // name.
        let same = is_same_file(&file.metadata()?, &fs::symlink_metadata(path)?);
        Ok(same.then(|| Box::new(RealLock { _held: file }) as Box<dyn DiskLock>))
    }
}

/// Returns true if a path that was a regular file a moment ago names something else now.
fn is_something_else(cause: &io::Error) -> bool {
    files::is_no_file(cause) && cause.kind() != io::ErrorKind::NotFound
}

struct RealLock {
    /// The system releases the lock when the file is closed.
    _held: File,
}

impl DiskLock for RealLock {}

fn create_new(path: &Path, access: Access) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if access == Access::Private {
        owner_only_file(&mut options);
    }
    options.open(path)
}

#[cfg(unix)]
fn is_owned_by_user(found: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(found) == rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
fn is_owned_by_user(_found: &Metadata) -> bool {
    true
}

#[cfg(unix)]
fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Returns true, because here a name cannot be reused while its file is open.
#[cfg(not(unix))]
fn is_same_file(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

#[cfg(unix)]
fn owner_only_dir(builder: &mut DirBuilder) {
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700);
}

#[cfg(not(unix))]
fn owner_only_dir(_builder: &mut DirBuilder) {}

#[cfg(unix)]
fn owner_only_file(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn owner_only_file(_options: &mut OpenOptions) {}

struct RealWriter(File);

impl DiskWriter for RealWriter {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

#[cfg(unix)]
struct RealReader(File);

#[cfg(unix)]
impl RealReader {
    fn new(file: File) -> Self {
        RealReader(file)
    }
}

#[cfg(unix)]
impl DiskReader for RealReader {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buf, offset)
    }
}

/// Without a positioned read the cursor is shared, so a lock holds seek and read together.
#[cfg(not(unix))]
struct RealReader(crate::sync::Mutex<File>);

#[cfg(not(unix))]
impl RealReader {
    fn new(file: File) -> Self {
        RealReader(crate::sync::Mutex::new(file))
    }

    fn file(&self) -> crate::sync::MutexGuard<'_, File> {
        self.0.lock()
    }
}

#[cfg(not(unix))]
impl DiskReader for RealReader {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file().metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.file();
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    fn temp_dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn appended_bytes_are_read_at_any_offset() {
        let dir = temp_dir();
        let path = dir.path().join("a");
        let mut writer = RealDisk.create(&path, Access::Private).unwrap();
        writer.append(b"hello ").unwrap();
        writer.append(b"world").unwrap();
        writer.sync().unwrap();
        let reader = RealDisk.open(&path).unwrap();
        let mut word = [0; 5];
        reader.read_at(6, &mut word).unwrap();
        assert_eq!((&word, reader.len().unwrap()), (b"world", 11));
        assert!(!reader.is_empty().unwrap());
    }

    #[test]
    fn reading_past_the_end_is_unexpected_eof() {
        let dir = temp_dir();
        let path = dir.path().join("a");
        RealDisk.create(&path, Access::Private).unwrap().append(b"abc").unwrap();
        let reader = RealDisk.open(&path).unwrap();
        for offset in [1, 3, 99] {
            let error = reader.read_at(offset, &mut [0; 3]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn existing_files_are_not_overwritten() {
        let dir = temp_dir();
        let file = dir.path().join("a");
        let sub = dir.path().join("b");
        RealDisk.create(&file, Access::Shared).unwrap();
        RealDisk.create_dir(&sub, Access::Shared).unwrap();
        let error = RealDisk.create(&file, Access::Shared).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let error = RealDisk.create_dir(&sub, Access::Shared).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_directory_needs_its_parent() {
        let dir = temp_dir();
        let deep = dir.path().join("no/such");
        let error = RealDisk.create_dir(&deep, Access::Private).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn files_are_renamed_and_removed() {
        let dir = temp_dir();
        let from = dir.path().join("a");
        let to = dir.path().join("b");
        RealDisk.create(&from, Access::Shared).unwrap();
        RealDisk.rename(&from, &to).unwrap();
        RealDisk.sync_dir(dir.path()).unwrap();
        assert!(RealDisk.open(&from).is_err() && RealDisk.open(&to).is_ok());
        RealDisk.remove_file(&to).unwrap();
        RealDisk.remove_dir_all(dir.path()).unwrap();
        assert!(!dir.path().exists());
    }

    #[test]
    fn a_lock_is_held_until_drop() {
        let dir = temp_dir();
        let path = dir.path().join("lock");
        let held = RealDisk.create_lock(&path).unwrap();
        assert_eq!(RealDisk.list(dir.path()).unwrap(), [path.as_path()]);
        assert!(RealDisk.try_lock(&path).unwrap().is_none());
        drop(held);
        let relocked = RealDisk.try_lock(&path).unwrap().unwrap();
        assert!(RealDisk.try_lock(&path).unwrap().is_none());
        drop(relocked);
        let missing = RealDisk.try_lock(&dir.path().join("no")).err().unwrap();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_replaced_lock_file_is_a_different_file() {
        let dir = temp_dir();
        let one = dir.path().join("one");
        let other = dir.path().join("other");
        let files = [&one, &other].map(|path| File::create(path).unwrap().metadata().unwrap());
        assert!(is_same_file(&files[0], &fs::symlink_metadata(&one).unwrap()));
        assert_eq!(is_same_file(&files[0], &files[1]), cfg!(not(unix)));
    }

    #[test]
    fn only_a_regular_file_is_a_lock() {
        let dir = temp_dir();
        let path = dir.path().join("lock");
        RealDisk.create_dir(&path, Access::Private).unwrap();
        assert!(RealDisk.try_lock(&path).unwrap().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_neither_a_lock_nor_an_own_directory() {
        let dir = temp_dir();
        let file = dir.path().join("f");
        let link = dir.path().join("l");
        RealDisk.create(&file, Access::Private).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(RealDisk.try_lock(&link).unwrap().is_none());
        assert!(RealDisk.is_own_dir(dir.path()).unwrap());
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(!RealDisk.is_own_dir(&link).unwrap());
        assert!(!RealDisk.is_own_dir(&file).unwrap());
    }

    // Only root can change the owner of a directory; other users have the root directory for this
    // test.
    #[cfg(unix)]
    #[test]
    fn a_directory_of_another_user_is_not_ours() {
        let dir = temp_dir();
        let root = Path::new("/");
        let given_away = std::os::unix::fs::chown(dir.path(), Some(12_345), None).is_ok();
        let others = if given_away { dir.path() } else { root };
        assert!(!RealDisk.is_own_dir(others).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn private_files_are_accessible_only_to_the_user() {
        use std::os::unix::fs::PermissionsExt;
        let dir = temp_dir();
        let [sub, file, lock] = ["d", "f", "l"].map(|name| dir.path().join(name));
        RealDisk.create_dir(&sub, Access::Private).unwrap();
        RealDisk.create(&file, Access::Private).unwrap();
        RealDisk.create_lock(&lock).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&sub), mode(&file), mode(&lock)), (0o700, 0o600, 0o600));
    }
}
