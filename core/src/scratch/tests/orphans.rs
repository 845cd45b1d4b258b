//! Tests of which directories are deleted as orphans and which never are.

use super::*;

/// Creates the directory of a dead process: an unlocked lock file and two files.
fn orphan(parent: &Path, name: &str) -> PathBuf {
    let dir = parent.join(name);
    RealDisk.create_dir(&dir, Access::Private).unwrap();
    for file in ["emberline-scratch.lock", "shuffle-0", "shuffle-1"] {
        fs::write(dir.join(file), b"").unwrap();
    }
    dir
}

fn removed(folder: &Path) -> Event {
    Event::OrphanRemoved { folder: folder.display().to_string() }
}

fn failed(events: &[Event]) -> bool {
    matches!(events, [Event::CleaningFailed { .. }])
}

fn clean(dir: &TempDir) -> Vec<Event> {
    scratch_in(&[dir], Arc::new(RealDisk)).remove_orphans()
}

#[test]
fn orphans_in_every_scratch_directory_are_deleted_and_reported() {
    let dirs = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let orphans = dirs.each_ref().map(|dir| orphan(dir.path(), "emberline-Ab12cd"));
    let scratch = scratch_in(&dirs.each_ref(), Arc::new(RealDisk));
    assert_eq!(scratch.remove_orphans(), orphans.each_ref().map(|folder| removed(folder)));
    assert_eq!(dirs.each_ref().map(|dir| entries(dir.path())), [0; 2]);
    assert_eq!(scratch.remove_orphans(), []);
}

#[test]
fn the_directory_of_a_live_scratch_is_kept() {
    let (dir, scratch) = scratch();
    let file = scratch.file("run").unwrap();
    file.create().unwrap();
    assert_eq!((clean(&dir), scratch.remove_orphans()), (vec![], vec![]));
    fs::remove_dir_all(scratch.dir().unwrap()).unwrap();
    let second = scratch.file("run").unwrap();
    second.create().unwrap();
    assert_eq!(clean(&dir), [], "a recreated directory is locked again");
    assert!(second.open().is_ok());
}

#[test]
fn entries_with_other_names_without_lock_file_or_that_are_files_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    orphan(dir.path(), "Emberline-Ab12cd");
    orphan(dir.path(), "my-emberline-Ab12cd");
    orphan(dir.path(), "ember");
    fs::write(dir.path().join("emberline-file"), b"").unwrap();
    fs::create_dir(dir.path().join("emberline-empty")).unwrap();
    let no_lock = orphan(dir.path(), "emberline-no-lock");
    fs::remove_file(no_lock.join("emberline-scratch.lock")).unwrap();
    let before = entries(dir.path());
    assert_eq!(clean(&dir), []);
    assert_eq!((entries(dir.path()), entries(&no_lock)), (before, 2));
}

#[test]
fn a_directory_whose_owner_died_before_it_was_locked_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("emberline-Ab12cd34Ef56");
    fs::create_dir(&empty).unwrap();
    assert_eq!(clean(&dir), [removed(&empty)]);
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("emberline-scratch.lock.new"), b"").unwrap();
    assert_eq!(clean(&dir), [removed(&empty)]);
    // A file of anyone else stays, and so does a directory whose lock file is being created.
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("a"), b"mine").unwrap();
    assert_eq!((clean(&dir), entries(&empty)), (vec![], 1));
    fs::remove_file(empty.join("a")).unwrap();
    let lock = fs::File::create(empty.join("emberline-scratch.lock.new")).unwrap();
    lock.lock().unwrap();
    assert_eq!((clean(&dir), entries(&empty)), (vec![], 1));
}

#[test]
fn a_scratch_directory_that_a_cleaner_deletes_before_it_is_locked_is_created_again() {
    testkit::within(testkit::DEADLINE, || {
        let dir = tempfile::tempdir().unwrap();
        let is_done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                    let events = clean(&dir);
                    assert!(!failed(&events), "{events:?}");
                }
            });
            for _ in 0..300 {
                let scratch = scratch_in(&[&dir], Arc::new(RealDisk));
                let file = scratch.file("run").unwrap();
                file.create().unwrap();
                assert!(file.open().is_ok());
            }
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(clean(&dir).len() + entries(dir.path()), 0);
    });
}

#[cfg(unix)]
#[test]
fn links_are_kept_and_never_followed() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = orphan(elsewhere.path(), "emberline-Ab12cd");
    symlink(&target, dir.path().join("emberline-link")).unwrap();
    let fake_lock = orphan(dir.path(), "emberline-fake-lock");
    let lock = fake_lock.join("emberline-scratch.lock");
    fs::remove_file(&lock).unwrap();
    symlink(target.join("emberline-scratch.lock"), &lock).unwrap();
    assert_eq!(clean(&dir), []);
    assert_eq!((entries(dir.path()), entries(&fake_lock), entries(&target)), (2, 3, 3));
    // A link in a real orphan is deleted, and its target stays.
    let orphan = orphan(dir.path(), "emberline-Ab12cd");
    symlink(target.join("shuffle-0"), orphan.join("shuffle-2")).unwrap();
    symlink(&target, orphan.join("shuffle-3")).unwrap();
    assert_eq!(clean(&dir), [removed(&orphan)]);
    assert_eq!((entries(dir.path()), entries(&target)), (2, 3));
}

#[test]
fn a_directory_inside_an_orphan_is_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let orphan = orphan(dir.path(), "emberline-Ab12cd");
    fs::create_dir(orphan.join("notes")).unwrap();
    fs::write(orphan.join("notes/a"), b"mine").unwrap();
    assert!(failed(&clean(&dir)));
    assert_eq!(fs::read(orphan.join("notes/a")).unwrap(), b"mine");
}

// Root may read everything, so a fault plan denies the access.
#[test]
fn a_directory_that_cannot_be_read_is_kept_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let closed = orphan(dir.path(), "emberline-closed");
    let open = orphan(dir.path(), "emberline-open");
    let plan = FaultPlan::new().fail_from(1).under(&closed);
    let events = faulty_in(&[&dir], plan).remove_orphans();
    assert!(failed(&events[..1]) && events[1..] == [removed(&open)], "{events:?}");
    assert_eq!((entries(dir.path()), entries(&closed)), (1, 3));
}

#[test]
fn a_cleaner_that_fails_leaves_an_orphan_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    // The operations: list, is_own_dir, lock, list, two files, directory.
    for operation in 0..7 {
        let orphan = orphan(dir.path(), "emberline-Ab12cd");
        let faults = FaultPlan::new().fail_disk_operation(operation).arm();
        let events = faulty_in(&[&dir], &faults).remove_orphans();
        assert!(failed(&events) && faults.fired() == 1, "operation {operation}: {events:?}");
        assert_eq!(clean(&dir), [removed(&orphan)], "operation {operation}");
    }
}

#[test]
fn concurrent_cleaners_delete_each_orphan_once() {
    testkit::within(testkit::DEADLINE, cleaners_at_once);
}

fn cleaners_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..20 {
        orphan(dir.path(), &format!("emberline-{n}"));
    }
    let events = std::thread::scope(|scope| {
        let cleaners = [0; 4].map(|_| scope.spawn(|| clean(&dir)));
        cleaners.map(|cleaner| cleaner.join().unwrap()).concat()
    });
    let is_removed = |event: &Event| matches!(event, Event::OrphanRemoved { .. });
    assert_eq!(events.iter().filter(|event| is_removed(event)).count(), 20, "{events:?}");
    assert_eq!((events.len(), entries(dir.path())), (20, 0));
}
