//! Tests of scratch files, directories and the quota, on healthy, failing, full and missing disks.

mod orphans;

use super::*;
use crate::disk::{Access, DiskLock, DiskReader, DiskWriter, FaultyDisk, RealDisk};
use crate::error::ErrorKind;
use crate::faults::{FaultPlan, Faults};
use std::fs;
use std::io;
use std::path::Path;
use tempfile::TempDir;

fn scratch_in(dirs: &[&TempDir], disk: Arc<dyn Disk>) -> Scratch {
    let scratch_dirs = dirs.iter().map(|dir| dir.path().to_path_buf()).collect();
    Scratch::new(&Config { scratch_dirs, disk, ..Config::default() })
}

/// Returns a scratch on the real disk with the faults of a plan.
fn faulty_in(dirs: &[&TempDir], faults: impl Into<Faults>) -> Scratch {
    scratch_in(dirs, Arc::new(FaultyDisk::new(Arc::new(RealDisk), faults)))
}

fn with_quota(dir: &TempDir, quota: u64) -> Scratch {
    let scratch_dirs = vec![dir.path().to_path_buf()];
    let scratch_quota_bytes = Some(quota);
    Scratch::new(&Config { scratch_dirs, scratch_quota_bytes, ..Config::default() })
}

fn scratch() -> (TempDir, Scratch) {
    let dir = tempfile::tempdir().unwrap();
    let scratch = scratch_in(&[&dir], Arc::new(RealDisk));
    (dir, scratch)
}

fn entries(path: &Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

#[test]
fn no_directory_is_created_before_the_first_file() {
    let (dir, scratch) = scratch();
    assert_eq!((scratch.dir(), entries(dir.path())), (None, 0));
}

// Case E44 of tests/PROMISES.md.
#[test]
fn a_forked_process_deletes_no_scratch_file() {
    let (_dir, mut scratch) = scratch();
    Arc::get_mut(&mut scratch.dirs).unwrap().owner_pid += 1;
    let file = scratch.file("shuffle").unwrap();
    file.create().unwrap();
    let path = file.path().to_path_buf();
    drop(file);
    assert!(path.exists());
}

#[test]
fn files_have_unique_names_in_one_private_locked_directory() {
    let (dir, scratch) = scratch();
    let a = scratch.file("run").unwrap();
    let b = scratch.file("run").unwrap();
    assert_ne!(a.path(), b.path());
    assert_eq!((a.path().parent(), entries(dir.path())), (b.path().parent(), 1));
    let dir_path = scratch.dir().unwrap();
    assert!(dir_path.file_name().unwrap().to_str().unwrap().starts_with("emberline-"));
    let lock = dir_path.join("emberline-scratch.lock");
    assert!(RealDisk.try_lock(&lock).unwrap().is_none(), "it is locked");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(dir_path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_file_is_read_back_and_deleted_on_drop() {
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
fn the_directory_is_deleted_with_its_last_user() {
    let (dir, scratch) = scratch();
    let file = scratch.file("run").unwrap();
    file.create().unwrap();
    drop(scratch);
    assert!(file.open().is_ok(), "a file outlives the scratch");
    drop(file);
    assert_eq!(entries(dir.path()), 0);
}

// Case R-D2 of tests/PROMISES.md.
#[test]
fn a_closed_scratch_has_no_directory_and_refuses_every_use_of_a_file() {
    for deletes_first in [false, true] {
        let (dir, scratch) = scratch();
        let written = scratch.file("run").unwrap();
        let mut writer = written.create().unwrap();
        writer.append(b"abc").unwrap();
        let planned = scratch.file("run").unwrap();
        if deletes_first {
            fs::remove_dir_all(scratch.dir().unwrap()).unwrap();
        }
        scratch.close();
        scratch.close();
        assert_eq!((scratch.dir(), entries(dir.path())), (None, 0));
        let refused = [
            written.open().err().unwrap(),
            written.create().err().unwrap(),
            planned.create().err().unwrap(),
            planned.open().err().unwrap(),
            scratch.file("run").err().unwrap(),
            written.error("writing", writer.append(b"d").unwrap_err()),
        ];
        for error in refused {
            assert!(matches!(error.kind(), ErrorKind::Cancelled { .. }), "{error}");
            assert!(error.to_string().contains("the context was dropped"), "{error}");
        }
        drop((written, planned, writer, scratch));
        assert_eq!(entries(dir.path()), 0);
    }
}

#[test]
fn files_that_tasks_create_while_the_scratch_is_closed_are_deleted_or_refused() {
    testkit::within(testkit::DEADLINE, || {
        for _ in 0..testkit::scaled(20) {
            let (dir, scratch) = scratch();
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while scratch.file("run").and_then(|it| it.create().map(drop)).is_ok() {}
                    });
                }
                std::thread::yield_now();
                scratch.close();
            });
            assert_eq!(entries(dir.path()), 0);
        }
    });
}

#[test]
fn a_directory_that_a_cleaner_deleted_is_recreated() {
    let (dir, scratch) = scratch();
    let lost = scratch.file("run").unwrap();
    lost.create().unwrap();
    let dir_path = scratch.dir().unwrap();
    fs::remove_dir_all(&dir_path).unwrap();
    let file = scratch.file("run").unwrap();
    file.create().unwrap();
    let lock = dir_path.join("emberline-scratch.lock");
    assert!(RealDisk.try_lock(&lock).unwrap().is_none(), "it is locked again");
    assert!(file.open().is_ok());
    let text = lost.open().err().unwrap().to_string();
    assert!(text.contains("opening") && text.contains("removed"), "{text}");
    drop((lost, file, scratch));
    assert_eq!(entries(dir.path()), 0);
}

#[test]
fn an_error_names_the_file_and_the_operation() {
    let dir = tempfile::tempdir().unwrap();
    let plan = FaultPlan::new().fail_disk_operation(1);
    let scratch = faulty_in(&[&dir], plan);
    let file = scratch.file("run").unwrap();
    let error = file.create().err().unwrap();
    let text = error.to_string();
    assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error}");
    assert!(text.contains("creating") && text.contains("injected fault"), "{text}");
    assert!(text.contains(&file.path().display().to_string()), "{text}");
}

#[test]
fn the_error_of_a_full_disk_has_advice() {
    let (_dir, scratch) = scratch();
    let file = scratch.file("run").unwrap();
    let text = file.error("writing", io::ErrorKind::StorageFull.into()).to_string();
    assert!(text.contains("writing") && text.contains("scratch_dir"), "{text}");
}

#[test]
fn the_error_of_a_missing_directory_names_the_setting() {
    let (dir, scratch) = scratch();
    drop(dir);
    let text = scratch.file("run").err().unwrap().to_string();
    assert!(text.contains("scratch_dir"), "{text}");
}

#[test]
fn files_use_the_scratch_directories_in_turn() {
    let dirs = [0; 3].map(|_| tempfile::tempdir().unwrap());
    let scratch = scratch_in(&dirs.each_ref(), Arc::new(RealDisk));
    let files: Vec<ScratchFile> = (0..6).map(|_| scratch.file("run").unwrap()).collect();
    for (number, file) in files.iter().enumerate() {
        file.create().unwrap();
        assert!(file.path().starts_with(dirs[number % 3].path()), "file {number}");
    }
    drop((scratch, files));
    assert_eq!(dirs.each_ref().map(|dir| entries(dir.path())), [0; 3]);
}

#[test]
fn a_failing_scratch_directory_is_skipped() {
    let bad = tempfile::tempdir().unwrap();
    let good = tempfile::tempdir().unwrap();
    // Operation 0 locks the directory, operation 1 creates the first file.
    for fail_from in [0, 1] {
        let faults = FaultPlan::new().fail_from(fail_from).under(bad.path()).arm();
        let scratch = faulty_in(&[&bad, &good], &faults);
        for _ in 0..4 {
            let file = scratch.file("run").unwrap();
            file.create().unwrap().append(b"abc").unwrap();
            assert!(file.path().starts_with(good.path()), "{}", file.path().display());
            assert_eq!(file.open().unwrap().len().unwrap(), 3);
        }
        assert!(faults.fired() >= 2);
    }
}

#[test]
fn a_missing_scratch_directory_is_skipped() {
    let missing = tempfile::tempdir().unwrap();
    let good = tempfile::tempdir().unwrap();
    let scratch = scratch_in(&[&missing, &good], Arc::new(RealDisk));
    let before = scratch.file("run").unwrap();
    assert!(before.path().starts_with(missing.path()));
    drop(missing);
    before.create().unwrap();
    assert!(before.path().starts_with(good.path()), "it was not created before, so it may move");
}

#[test]
fn a_full_disk_comes_last_until_the_others_are_full_too() {
    let dirs = [0; 3].map(|_| tempfile::tempdir().unwrap());
    let plan = FaultPlan::new().full_after(5);
    let scratch = faulty_in(&dirs.each_ref(), plan);
    let next_file_is_in = |dir: usize| {
        let file = scratch.file("run").unwrap();
        let writer = file.create().unwrap();
        assert!(file.path().starts_with(dirs[dir].path()), "{}", file.path().display());
        (file, writer)
    };
    let finds_no_room_in = |dir: usize| {
        let (file, mut writer) = next_file_is_in(dir);
        let text = file.error("writing", writer.append(b"too long").unwrap_err()).to_string();
        assert!(text.contains("scratch_dirs"), "{text}");
    };
    finds_no_room_in(0);
    for dir in [1, 2, 1, 1, 2, 1] {
        next_file_is_in(dir);
    }
    finds_no_room_in(1);
    for _ in 0..3 {
        next_file_is_in(2);
    }
    finds_no_room_in(2);
    for dir in [0, 1, 0, 0, 1, 0] {
        next_file_is_in(dir);
    }
}

#[test]
fn if_every_scratch_directory_fails_the_error_names_all() {
    let dirs = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let plan = FaultPlan::new().fail_from(2);
    let scratch = faulty_in(&dirs.each_ref(), plan);
    let files = [scratch.file("run").unwrap(), scratch.file("run").unwrap()];
    let not_created = files[0].create().err().unwrap().to_string();
    let paths = dirs.each_ref().map(|dir| dir.path().display().to_string());
    drop(files);
    drop(dirs);
    let scratch = Scratch::new(&Config {
        scratch_dirs: paths.iter().map(PathBuf::from).collect(),
        ..Config::default()
    });
    let no_dir = scratch.file("run").err().unwrap().to_string();
    for text in [not_created, no_dir] {
        assert!(paths.iter().all(|path| text.contains(path)), "{text}");
    }
}

#[test]
fn a_write_beyond_the_quota_fails_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = with_quota(&dir, 10);
    let one = scratch.file("run").unwrap();
    let two = scratch.file("run").unwrap();
    one.create().unwrap().append(b"seven b").unwrap();
    let mut writer = two.create().unwrap();
    let error = two.error("writing", writer.append(b"four").unwrap_err());
    let wanted = |kind: &ErrorKind| match *kind {
        ErrorKind::ScratchQuotaExceeded { quota_bytes, used_bytes, bytes } => {
            (quota_bytes, used_bytes, bytes) == (10, 7, 4)
        }
        _ => false,
    };
    assert!(wanted(error.kind()) && !error.is_transient(), "{error}");
    assert!(error.to_string().contains("scratch_quota_bytes"), "{error}");
    assert_eq!(two.open().unwrap().len().unwrap(), 0);
    writer.append(b"3 b").unwrap();
    assert_eq!(scratch.used_bytes(), 10);
}

#[test]
fn the_bytes_of_a_file_return_to_the_quota_on_drop() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = with_quota(&dir, 10);
    for _ in 0..5 {
        let file = scratch.file("run").unwrap();
        file.create().unwrap().append(b"ten bytes.").unwrap();
        assert_eq!(scratch.used_bytes(), 10);
    }
    assert_eq!(scratch.used_bytes(), 0);
}

#[test]
fn a_file_that_cannot_be_deleted_still_counts() {
    let dir = tempfile::tempdir().unwrap();
    // Lock, create, append, remove.
    let plan = FaultPlan::new().fail_disk_operation(3);
    let scratch = faulty_in(&[&dir], plan);
    let file = scratch.file("run").unwrap();
    file.create().unwrap().append(b"abc").unwrap();
    let path = file.path().to_path_buf();
    drop(file);
    assert_eq!((path.exists(), scratch.used_bytes()), (true, 3));
}

#[test]
fn a_file_is_created_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let scratch = scratch_in(&[&dir, &other], Arc::new(RealDisk));
    let file = scratch.file("run").unwrap();
    file.create().unwrap().append(b"abc").unwrap();
    let text = file.create().err().unwrap().to_string();
    assert!(text.contains("creating"), "{text}");
    assert_eq!(file.open().unwrap().len().unwrap(), 3);
}

/// A disk without file locks, as some network file systems are.
struct Lockless;

#[test]
fn without_file_locks_a_scratch_works_and_is_never_an_orphan() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = scratch_in(&[&dir], Arc::new(Lockless));
    let file = scratch.file("run").unwrap();
    file.create().unwrap();
    assert_eq!(entries(&scratch.dir().unwrap()), 1);
    let cleaner = scratch_in(&[&dir], Arc::new(RealDisk));
    assert_eq!(cleaner.remove_orphans(), []);
    assert!(file.open().is_ok());
}

impl Disk for Lockless {
    fn create_dir(&self, path: &Path, access: Access) -> io::Result<()> {
        RealDisk.create_dir(path, access)
    }

    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskWriter>> {
        RealDisk.create(path, access)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        RealDisk.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(path)
    }

    fn is_own_dir(&self, path: &Path) -> io::Result<bool> {
        RealDisk.is_own_dir(path)
    }

    fn create_lock(&self, _path: &Path) -> io::Result<Box<dyn DiskLock>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn try_lock(&self, _path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
