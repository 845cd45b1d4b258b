//! A `Disk` wrapper that injects the faults of a [`FaultPlan`](crate::faults::FaultPlan).

use super::{Access, Disk, DiskLock, DiskReader, DiskWriter};
use crate::faults::{Fault, Faults};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

/// A wrapper around another disk that injects faults. An operation is one call of a method of
/// [`Disk`], [`DiskWriter`] or [`DiskReader`].
pub struct FaultyDisk {
    inner: Arc<dyn Disk>,
    faults: Faults,
}

impl FaultyDisk {
    /// Wraps `inner` with the disk faults of a plan.
    pub fn new(inner: Arc<dyn Disk>, faults: impl Into<Faults>) -> Self {
        FaultyDisk { inner, faults: faults.into() }
    }
}

fn injected() -> io::Error {
    io::Error::other("injected fault")
}

impl Faults {
    /// Returns true if the plan covers the path.
    fn covers(&self, path: &Path) -> bool {
        self.plan().under.as_ref().is_none_or(|under| path.starts_with(under))
    }

    /// Counts one operation on a path, unless the plan does not cover the path.
    fn begin_at(&self, path: &Path) -> io::Result<()> {
        if self.covers(path) { self.begin() } else { Ok(()) }
    }

    /// Counts one operation, and stalls or fails it if the plan contains that.
    fn begin(&self) -> io::Result<()> {
        let operation = self.disk().operations.fetch_add(1, Ordering::SeqCst);
        let mut fails = false;
        for fault in &self.plan().faults {
            match *fault {
                Fault::Stall(stalled, pause) if stalled == operation => {
                    self.fire();
                    thread::sleep(pause);
                }
                Fault::FailOperation(failing) => fails |= failing == operation,
                Fault::FailFrom(from) => fails |= operation >= from,
                _ => {}
            }
        }
        if fails {
            self.fire();
            return Err(injected());
        }
        Ok(())
    }

    /// Returns how many of `wanted` bytes fit on the disk.
    fn bytes_that_fit(&self, wanted: usize) -> usize {
        let limits = self.plan().faults.iter().filter_map(|fault| match fault {
            Fault::FullAfter(limit) => Some(*limit),
            _ => None,
        });
        let Some(limit) = limits.min() else { return wanted };
        let before = self.disk().bytes.fetch_add(wanted as u64, Ordering::SeqCst);
        usize::try_from(limit.saturating_sub(before)).map_or(wanted, |room| room.min(wanted))
    }

    /// Returns the corrupted bytes if the plan corrupts this append.
    fn corrupted(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let append = self.disk().appends.fetch_add(1, Ordering::SeqCst);
        let flips = |fault: &Fault| matches!(*fault, Fault::FlipAppend(wrong) if wrong == append);
        if bytes.is_empty() || !self.plan().faults.iter().any(flips) {
            return None;
        }
        self.fire();
        let mut wrong = bytes.to_vec();
        wrong[bytes.len() / 2] ^= 1;
        Some(wrong)
    }

    /// Returns the number of bytes by which the file being created will be truncated.
    fn truncated_bytes(&self) -> usize {
        let number = self.disk().creates.fetch_add(1, Ordering::SeqCst);
        let lost = self.plan().faults.iter().filter_map(|fault| match *fault {
            Fault::TruncateFile { create, bytes } => (create == number).then_some(bytes),
            _ => None,
        });
        lost.sum()
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path, access: Access) -> io::Result<()> {
        self.faults.begin_at(path)?;
        self.inner.create_dir(path, access)
    }

    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskWriter>> {
        if !self.faults.covers(path) {
            return self.inner.create(path, access);
        }
        let truncated_bytes = self.faults.truncated_bytes();
        self.faults.begin()?;
        let inner = self.inner.create(path, access)?;
        let faults = self.faults.clone();
        Ok(Box::new(FaultyWriter { inner, faults, truncated_bytes, held_back: Vec::new() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        if !self.faults.covers(path) {
            return self.inner.open(path);
        }
        self.faults.begin()?;
        let inner = self.inner.open(path)?;
        let reads_fail = self.faults.reads_fail(path);
        Ok(Box::new(FaultyReader { inner, faults: self.faults.clone(), reads_fail }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.begin_at(from)?;
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.faults.begin_at(path)?;
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.faults.begin_at(path)?;
        self.inner.remove_dir(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.faults.begin_at(path)?;
        self.inner.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.faults.begin_at(path)?;
        self.inner.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.faults.begin_at(path)?;
        self.inner.list(path)
    }

    fn is_own_dir(&self, path: &Path) -> io::Result<bool> {
        self.faults.begin_at(path)?;
        self.inner.is_own_dir(path)
    }

    fn create_lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.faults.begin_at(path)?;
        self.inner.create_lock(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.faults.begin_at(path)?;
        self.inner.try_lock(path)
    }
}

struct FaultyWriter {
    inner: Box<dyn DiskWriter>,
    faults: Faults,
    /// The number of bytes dropped from the end of the file.
    truncated_bytes: usize,
    /// The last bytes so far, which are written only when enough others follow.
    held_back: Vec<u8>,
}

impl FaultyWriter {
    fn append_truncated(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.truncated_bytes == 0 {
            return self.inner.append(bytes);
        }
        if self.held_back.is_empty() && !bytes.is_empty() {
            self.faults.fire();
        }
        self.held_back.extend_from_slice(bytes);
        let writable = self.held_back.len().saturating_sub(self.truncated_bytes);
        self.inner.append(&self.held_back[..writable])?;
        self.held_back.drain(..writable);
        Ok(())
    }
}

impl DiskWriter for FaultyWriter {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.faults.begin()?;
        let wrong = self.faults.corrupted(bytes);
        let bytes = wrong.as_deref().unwrap_or(bytes);
        let room = self.faults.bytes_that_fit(bytes.len());
        self.append_truncated(&bytes[..room])?;
        if room < bytes.len() {
            self.faults.fire();
            return Err(io::Error::new(io::ErrorKind::StorageFull, "injected fault: disk full"));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.faults.begin()?;
        self.inner.sync()
    }
}

struct FaultyReader {
    inner: Box<dyn DiskReader>,
    faults: Faults,
    /// True if every read fails, as on bad sectors. The length is still known.
    reads_fail: bool,
}

impl DiskReader for FaultyReader {
    fn len(&self) -> io::Result<u64> {
        self.faults.begin()?;
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.faults.begin()?;
        if self.reads_fail {
            return Err(injected());
        }
        self.inner.read_at(offset, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::faults::FaultPlan;
    use std::time::{Duration, Instant};

    /// Performs seven operations: one create, three appends of four bytes, sync, open, read.
    fn write_and_read(disk: &FaultyDisk, path: &Path) -> io::Result<Vec<u8>> {
        let mut writer = disk.create(path, Access::Private)?;
        for word in [b"aaaa", b"bbbb", b"cccc"] {
            writer.append(word)?;
        }
        writer.sync()?;
        let mut bytes = vec![0; 12];
        disk.open(path)?.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    fn disk_with(plan: FaultPlan) -> FaultyDisk {
        FaultyDisk::new(Arc::new(RealDisk), plan)
    }

    fn counts(disk: &FaultyDisk) -> (u64, u64) {
        (disk.faults.disk_operations(), disk.faults.fired())
    }

    fn run(plan: FaultPlan) -> (FaultyDisk, io::Result<Vec<u8>>, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk_with(plan);
        let path = dir.path().join("f");
        let outcome = write_and_read(&disk, &path);
        let on_disk = std::fs::read(&path).unwrap_or_default();
        (disk, outcome, on_disk)
    }

    #[test]
    fn without_faults_it_only_counts_operations() {
        let (disk, outcome, _) = run(FaultPlan::new());
        assert_eq!(outcome.unwrap(), b"aaaabbbbcccc");
        assert_eq!(counts(&disk), (7, 0));
    }

    #[test]
    fn every_single_operation_can_fail_once() {
        for operation in 0..7 {
            let plan = FaultPlan::new().fail_disk_operation(operation);
            let (disk, outcome, _) = run(plan);
            assert_eq!(outcome.unwrap_err().to_string(), "injected fault");
            assert_eq!(counts(&disk), (operation + 1, 1));
            let second = write_and_read(&disk, &tempfile::tempdir().unwrap().path().join("second"));
            second.unwrap();
        }
    }

    #[test]
    fn a_disk_can_fail_forever() {
        let (disk, outcome, _) = run(FaultPlan::new().fail_from(3));
        outcome.unwrap_err();
        for _ in 0..3 {
            disk.open(Path::new("/")).err().unwrap();
        }
        assert_eq!(disk.faults.fired(), 4);
    }

    #[test]
    fn a_full_disk_contains_the_bytes_that_fit_and_stays_full() {
        let plan = FaultPlan::new().full_after(6);
        let (disk, outcome, on_disk) = run(plan);
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(on_disk, b"aaaabb");
        let dir = tempfile::tempdir().unwrap();
        let mut writer = disk.create(&dir.path().join("g"), Access::Private).unwrap();
        writer.append(b"x").unwrap_err();
        assert_eq!(disk.faults.fired(), 2);
    }

    #[test]
    fn a_truncated_file_loses_its_end_without_an_error() {
        for (bytes, left) in [(1, 11), (5, 7), (12, 0), (99, 0)] {
            let (disk, outcome, on_disk) = run(FaultPlan::new().truncate_file(0, bytes));
            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!((on_disk.as_slice(), disk.faults.fired()), (&b"aaaabbbbcccc"[..left], 1));
        }
    }

    #[test]
    fn only_the_chosen_file_is_truncated() {
        let (disk, outcome, _) = run(FaultPlan::new().truncate_file(1, 3));
        assert_eq!((outcome.is_ok(), disk.faults.fired()), (true, 0));
    }

    #[test]
    fn a_flipped_bit_is_written_without_an_error() {
        let (disk, outcome, _) = run(FaultPlan::new().flip_append(1));
        assert_eq!(outcome.unwrap(), b"aaaabbcbcccc");
        assert_eq!(disk.faults.fired(), 1);
    }

    #[test]
    fn a_stalled_operation_is_delayed_and_succeeds() {
        let pause = Duration::from_millis(30);
        let started = Instant::now();
        let (disk, outcome, _) = run(FaultPlan::new().stall_disk_operation(2, pause));
        assert!(outcome.is_ok() && started.elapsed() >= pause);
        assert_eq!(disk.faults.fired(), 1);
    }

    #[test]
    fn every_operation_on_paths_can_fail() {
        let disk = disk_with(FaultPlan::new().fail_from(0));
        let path = Path::new("/no/such");
        disk.create_dir(path, Access::Private).unwrap_err();
        disk.rename(path, path).unwrap_err();
        disk.remove_file(path).unwrap_err();
        disk.remove_dir(path).unwrap_err();
        disk.remove_dir_all(path).unwrap_err();
        disk.sync_dir(path).unwrap_err();
        disk.list(path).unwrap_err();
        disk.is_own_dir(path).unwrap_err();
        disk.create_lock(path).err().unwrap();
        disk.try_lock(path).err().unwrap();
        assert_eq!(counts(&disk), (10, 10));
    }

    #[test]
    fn faults_are_restricted_to_a_directory() {
        let bad = tempfile::tempdir().unwrap();
        let good = tempfile::tempdir().unwrap();
        let disk = disk_with(FaultPlan::new().fail_from(0).under(bad.path()));
        write_and_read(&disk, &good.path().join("f")).unwrap();
        assert_eq!(counts(&disk), (0, 0));
        write_and_read(&disk, &bad.path().join("f")).unwrap_err();
        assert_eq!(counts(&disk), (1, 1));
    }
}
