//! A disk that checks for locks in every method.

use super::*;

/// The disk, with a check for locks in every method.
pub(super) struct CheckedDisk(pub(super) RealDisk, pub(super) Found);

impl CheckedDisk {
    fn disk(&self, method: &str) -> &RealDisk {
        check(&self.1, method);
        &self.0
    }
}

impl Disk for CheckedDisk {
    fn create_dir(&self, path: &Path, access: Access) -> io::Result<()> {
        self.disk("create_dir").create_dir(path, access)
    }

    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskWriter>> {
        let writer = self.disk("create").create(path, access)?;
        Ok(Box::new(CheckedFile(writer, Arc::clone(&self.1))))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        let reader = self.disk("open").open(path)?;
        Ok(Box::new(CheckedFile(reader, Arc::clone(&self.1))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk("rename").rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk("remove_file").remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk("remove_dir").remove_dir(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk("remove_dir_all").remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk("sync_dir").sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk("list").list(path)
    }

    fn is_own_dir(&self, path: &Path) -> io::Result<bool> {
        self.disk("is_own_dir").is_own_dir(path)
    }

    fn create_lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk("create_lock").create_lock(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk("try_lock").try_lock(path)
    }
}

/// An open file, with a check for locks in every method.
struct CheckedFile<F>(F, Found);

impl<F> Drop for CheckedFile<F> {
    fn drop(&mut self) {
        check(&self.1, "drop of a file");
    }
}

impl DiskWriter for CheckedFile<Box<dyn DiskWriter>> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        check(&self.1, "append");
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        check(&self.1, "sync");
        self.0.sync()
    }
}

impl DiskReader for CheckedFile<Box<dyn DiskReader>> {
    fn len(&self) -> io::Result<u64> {
        check(&self.1, "len");
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check(&self.1, "read_at");
        self.0.read_at(offset, buf)
    }
}
