//! The disk as the system offers it.

use super::{Access, Disk, DiskReader, DiskWriter};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// The system's own disk.
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
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        if access == Access::Private {
            owner_only_file(&mut options);
        }
        Ok(Box::new(RealWriter(options.open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        Ok(Box::new(RealReader::new(File::open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Elsewhere a folder cannot be opened as a file; the system writes names back by itself.
    #[cfg(not(unix))]
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
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

/// Without a positioned read the cursor is shared, so a lock keeps seek and read together.
#[cfg(not(unix))]
struct RealReader(std::sync::Mutex<File>);

#[cfg(not(unix))]
impl RealReader {
    fn new(file: File) -> Self {
        RealReader(std::sync::Mutex::new(file))
    }

    fn file(&self) -> std::sync::MutexGuard<'_, File> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn what_was_appended_is_read_at_any_offset() {
        let dir = folder();
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
        let dir = folder();
        let path = dir.path().join("a");
        RealDisk.create(&path, Access::Private).unwrap().append(b"abc").unwrap();
        let reader = RealDisk.open(&path).unwrap();
        for offset in [1, 3, 99] {
            let error = reader.read_at(offset, &mut [0; 3]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let dir = folder();
        let (file, sub) = (dir.path().join("a"), dir.path().join("b"));
        RealDisk.create(&file, Access::Shared).unwrap();
        RealDisk.create_dir(&sub, Access::Shared).unwrap();
        let again = RealDisk.create(&file, Access::Shared).err().unwrap();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        let again = RealDisk.create_dir(&sub, Access::Shared).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_folder_needs_its_parent() {
        let dir = folder();
        let deep = dir.path().join("no/such");
        let error = RealDisk.create_dir(&deep, Access::Private).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn files_are_renamed_and_removed() {
        let dir = folder();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        RealDisk.create(&from, Access::Shared).unwrap();
        RealDisk.rename(&from, &to).unwrap();
        RealDisk.sync_dir(dir.path()).unwrap();
        assert!(RealDisk.open(&from).is_err() && RealDisk.open(&to).is_ok());
        RealDisk.remove_file(&to).unwrap();
        RealDisk.remove_dir_all(dir.path()).unwrap();
        assert!(!dir.path().exists());
    }

    #[cfg(unix)]
    #[test]
    fn private_things_belong_to_the_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = folder();
        let (sub, file) = (dir.path().join("d"), dir.path().join("f"));
        RealDisk.create_dir(&sub, Access::Private).unwrap();
        RealDisk.create(&file, Access::Private).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&sub), mode(&file)), (0o700, 0o600));
    }
}
