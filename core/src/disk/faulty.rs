//! A disk that goes wrong where a test wants it to.

use super::{Access, Disk, DiskLock, DiskReader, DiskWriter, RealDisk};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What goes wrong. Operations, creates and appends are counted from 0, over all files and threads
/// of one disk. An operation is one call of a method of [`Disk`], [`DiskWriter`] or [`DiskReader`].
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    /// This operation fails; the next ones work again.
    pub fail_operation: Option<u64>,
    /// This operation and all after it fail.
    pub fail_from: Option<u64>,
    /// The disk holds so many appended bytes and no more. Removing a file frees nothing.
    pub full_after_bytes: Option<u64>,
    /// One file silently loses its end.
    pub truncate: Option<Truncate>,
    /// This append silently writes one wrong bit, in its middle byte.
    pub flip_append: Option<u64>,
    /// This operation sleeps before it runs.
    pub stall: Option<(u64, Duration)>,
    /// The faulty disk is mounted here: what lies elsewhere always works and is not counted.
    pub under: Option<PathBuf>,
}

/// A file that silently loses its last bytes.
#[derive(Clone, Copy, Debug)]
pub struct Truncate {
    /// Which create makes the file.
    pub create: u64,
    /// How many bytes its end loses; a shorter file is left empty.
    pub bytes: usize,
}

/// The real disk, but for the faults of its [`FaultPlan`].
pub struct FaultyDisk {
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    plan: FaultPlan,
    operations: AtomicU64,
    creates: AtomicU64,
    appends: AtomicU64,
    bytes: AtomicU64,
    fired: AtomicU64,
}

impl FaultyDisk {
    /// The real disk with the faults of `plan`.
    pub fn new(plan: FaultPlan) -> Self {
        FaultyDisk { faults: Arc::new(Faults { plan, ..Faults::default() }) }
    }

    /// The operations so far. A run without faults tells how many places there are to fail at.
    pub fn operations(&self) -> u64 {
        self.faults.operations.load(Ordering::SeqCst)
    }

    /// The faults that happened so far: a test that saw none has tested nothing.
    pub fn faults_fired(&self) -> u64 {
        self.faults.fired.load(Ordering::SeqCst)
    }
}

impl Faults {
    fn covers(&self, path: &Path) -> bool {
        self.plan.under.as_ref().is_none_or(|under| path.starts_with(under))
    }

    /// Counts one operation on a file or folder, unless that lies elsewhere.
    fn begin_at(&self, path: &Path) -> io::Result<()> {
        if self.covers(path) { self.begin() } else { Ok(()) }
    }

    /// Counts one operation, and stalls or fails it if the plan says so.
    fn begin(&self) -> io::Result<()> {
        let operation = self.operations.fetch_add(1, Ordering::SeqCst);
        if let Some((stalled, pause)) = self.plan.stall
            && stalled == operation
        {
            self.fire();
            thread::sleep(pause);
        }
        let fails = self.plan.fail_operation == Some(operation)
            || self.plan.fail_from.is_some_and(|from| operation >= from);
        if fails {
            self.fire();
            return Err(io::Error::other("injected fault"));
        }
        Ok(())
    }

    fn fire(&self) {
        self.fired.fetch_add(1, Ordering::SeqCst);
    }

    /// How many of `wanted` bytes still fit.
    fn room_for(&self, wanted: usize) -> usize {
        let Some(limit) = self.plan.full_after_bytes else { return wanted };
        let before = self.bytes.fetch_add(wanted as u64, Ordering::SeqCst);
        usize::try_from(limit.saturating_sub(before)).map_or(wanted, |room| room.min(wanted))
    }

    /// The bytes as the disk will hold them.
    fn flipped(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let append = self.appends.fetch_add(1, Ordering::SeqCst);
        if self.plan.flip_append != Some(append) || bytes.is_empty() {
            return None;
        }
        self.fire();
        let mut wrong = bytes.to_vec();
        wrong[bytes.len() / 2] ^= 1;
        Some(wrong)
    }

    /// How many bytes the file that is being created will lose.
    fn bytes_to_lose(&self) -> usize {
        let create = self.creates.fetch_add(1, Ordering::SeqCst);
        self.plan.truncate.filter(|truncate| truncate.create == create).map_or(0, |t| t.bytes)
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path, access: Access) -> io::Result<()> {
        self.faults.begin_at(path)?;
        RealDisk.create_dir(path, access)
    }

    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskWriter>> {
        if !self.faults.covers(path) {
            return RealDisk.create(path, access);
        }
        let loses = self.faults.bytes_to_lose();
        self.faults.begin()?;
        let inner = RealDisk.create(path, access)?;
        let faults = Arc::clone(&self.faults);
        Ok(Box::new(FaultyWriter { inner, faults, loses, held_back: Vec::new() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        if !self.faults.covers(path) {
            return RealDisk.open(path);
        }
        self.faults.begin()?;
        let inner = RealDisk.open(path)?;
        Ok(Box::new(FaultyReader { inner, faults: Arc::clone(&self.faults) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.begin_at(from)?;
        RealDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.faults.begin_at(path)?;
        RealDisk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.faults.begin_at(path)?;
        RealDisk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.faults.begin_at(path)?;
        RealDisk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.faults.begin_at(path)?;
        RealDisk.list(path)
    }

    fn is_own_folder(&self, path: &Path) -> io::Result<bool> {
        self.faults.begin_at(path)?;
        RealDisk.is_own_folder(path)
    }

    fn create_lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.faults.begin_at(path)?;
        RealDisk.create_lock(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.faults.begin_at(path)?;
        RealDisk.try_lock(path)
    }
}

struct FaultyWriter {
    inner: Box<dyn DiskWriter>,
    faults: Arc<Faults>,
    /// The bytes this file loses at its end, wherever that will be.
    loses: usize,
    /// The last bytes so far: written only when enough others follow.
    held_back: Vec<u8>,
}

impl FaultyWriter {
    fn append_but_the_end(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.loses == 0 {
            return self.inner.append(bytes);
        }
        if self.held_back.is_empty() && !bytes.is_empty() {
            self.faults.fire();
        }
        self.held_back.extend_from_slice(bytes);
        let kept = self.held_back.len().saturating_sub(self.loses);
        self.inner.append(&self.held_back[..kept])?;
        self.held_back.drain(..kept);
        Ok(())
    }
}

impl DiskWriter for FaultyWriter {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.faults.begin()?;
        let wrong = self.faults.flipped(bytes);
        let bytes = wrong.as_deref().unwrap_or(bytes);
        let room = self.faults.room_for(bytes.len());
        self.append_but_the_end(&bytes[..room])?;
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
    faults: Arc<Faults>,
}

impl DiskReader for FaultyReader {
    fn len(&self) -> io::Result<u64> {
        self.faults.begin()?;
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.faults.begin()?;
        self.inner.read_at(offset, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Seven operations: one create, three appends of four bytes, sync, open, read.
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

    fn run(plan: FaultPlan) -> (FaultyDisk, io::Result<Vec<u8>>, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (FaultyDisk::new(plan), dir.path().join("f"));
        let outcome = write_and_read(&disk, &path);
        let on_disk = std::fs::read(&path).unwrap_or_default();
        (disk, outcome, on_disk)
    }

    #[test]
    fn without_a_plan_it_is_the_real_disk_and_counts() {
        let (disk, outcome, _) = run(FaultPlan::default());
        assert_eq!(outcome.unwrap(), b"aaaabbbbcccc");
        assert_eq!((disk.operations(), disk.faults_fired()), (7, 0));
    }

    #[test]
    fn every_single_operation_can_fail_once() {
        for operation in 0..7 {
            let plan = FaultPlan { fail_operation: Some(operation), ..FaultPlan::default() };
            let (disk, outcome, _) = run(plan);
            assert_eq!(outcome.unwrap_err().to_string(), "injected fault");
            assert_eq!((disk.operations(), disk.faults_fired()), (operation + 1, 1));
            let again = write_and_read(&disk, &tempfile::tempdir().unwrap().path().join("again"));
            again.unwrap();
        }
    }

    #[test]
    fn a_disk_can_fail_for_ever() {
        let (disk, outcome, _) = run(FaultPlan { fail_from: Some(3), ..FaultPlan::default() });
        outcome.unwrap_err();
        for _ in 0..3 {
            disk.open(Path::new("/")).err().unwrap();
        }
        assert_eq!(disk.faults_fired(), 4);
    }

    #[test]
    fn a_full_disk_keeps_what_fitted_and_stays_full() {
        let plan = FaultPlan { full_after_bytes: Some(6), ..FaultPlan::default() };
        let (disk, outcome, on_disk) = run(plan);
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(on_disk, b"aaaabb");
        let dir = tempfile::tempdir().unwrap();
        let mut writer = disk.create(&dir.path().join("g"), Access::Private).unwrap();
        writer.append(b"x").unwrap_err();
        assert_eq!(disk.faults_fired(), 2);
    }

    #[test]
    fn a_truncated_file_loses_its_end_without_an_error() {
        for (bytes, left) in [(1, 11), (5, 7), (12, 0), (99, 0)] {
            let truncate = Some(Truncate { create: 0, bytes });
            let (disk, outcome, on_disk) = run(FaultPlan { truncate, ..FaultPlan::default() });
            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!((on_disk.as_slice(), disk.faults_fired()), (&b"aaaabbbbcccc"[..left], 1));
        }
    }

    #[test]
    fn only_the_chosen_file_is_truncated() {
        let truncate = Some(Truncate { create: 1, bytes: 3 });
        let (disk, outcome, _) = run(FaultPlan { truncate, ..FaultPlan::default() });
        assert_eq!((outcome.is_ok(), disk.faults_fired()), (true, 0));
    }

    #[test]
    fn a_flipped_bit_is_written_without_an_error() {
        let (disk, outcome, _) = run(FaultPlan { flip_append: Some(1), ..FaultPlan::default() });
        assert_eq!(outcome.unwrap(), b"aaaabbcbcccc");
        assert_eq!(disk.faults_fired(), 1);
    }

    #[test]
    fn a_stalled_operation_takes_its_time_and_works() {
        let pause = Duration::from_millis(30);
        let started = Instant::now();
        let (disk, outcome, _) = run(FaultPlan { stall: Some((2, pause)), ..FaultPlan::default() });
        assert!(outcome.is_ok() && started.elapsed() >= pause);
        assert_eq!(disk.faults_fired(), 1);
    }

    #[test]
    fn folders_renames_removals_and_locks_can_fail_too() {
        let disk = FaultyDisk::new(FaultPlan { fail_from: Some(0), ..FaultPlan::default() });
        let path = Path::new("/no/such");
        disk.create_dir(path, Access::Private).unwrap_err();
        disk.rename(path, path).unwrap_err();
        disk.remove_file(path).unwrap_err();
        disk.remove_dir_all(path).unwrap_err();
        disk.sync_dir(path).unwrap_err();
        disk.list(path).unwrap_err();
        disk.is_own_folder(path).unwrap_err();
        disk.create_lock(path).err().unwrap();
        disk.try_lock(path).err().unwrap();
        assert_eq!((disk.operations(), disk.faults_fired()), (9, 9));
    }

    #[test]
    fn one_faulty_disk_beside_good_ones_fails_alone() {
        let (bad, good) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let under = Some(bad.path().to_path_buf());
        let plan = FaultPlan { fail_from: Some(0), under, ..FaultPlan::default() };
        let disk = FaultyDisk::new(plan);
        write_and_read(&disk, &good.path().join("f")).unwrap();
        assert_eq!((disk.operations(), disk.faults_fired()), (0, 0));
        write_and_read(&disk, &bad.path().join("f")).unwrap_err();
        assert_eq!((disk.operations(), disk.faults_fired()), (1, 1));
    }
}
