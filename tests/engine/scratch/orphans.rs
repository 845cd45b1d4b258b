//! A process is killed, and the next start deletes its scratch directory.

use super::{files_in, sums, to_files};
use crate::events::{Recorder, count_of};
use emberline::event::Event;
use emberline::prelude::*;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use testkit::{DEADLINE, within};

/// The variable with the parent of the scratch directory of the child; unset in all other runs of the tests.
const CHILD_FOLDER: &str = "EMBERLINE_TEST_CHILD_FOLDER";
const CHILD_READY: &str = "the child has its files";

/// Another process with a context whose shuffle files are in a scratch directory.
struct OtherProcess {
    child: Child,
    folder: PathBuf,
}

impl OtherProcess {
    fn start(parent: &Path) -> OtherProcess {
        let before = entries(parent);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["scratch::orphans::child_process_with_a_scratch_directory", "--exact"])
            .args(["--ignored", "--nocapture"])
            .env(CHILD_FOLDER, parent)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map(Result::unwrap).any(|line| line.contains(CHILD_READY));
        assert!(ready, "the other process ended");
        let new = entries(parent).into_iter().filter(|path| !before.contains(path));
        let [folder] = new.collect::<Vec<_>>().try_into().unwrap();
        OtherProcess { child, folder }
    }

    /// Kills the process, which cannot clean up, and returns its scratch directory.
    fn kill(mut self) -> PathBuf {
        self.child.kill().unwrap();
        assert!(!self.child.wait().unwrap().success());
        assert!(self.folder.exists(), "it has not been removed yet");
        self.folder.clone()
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// The other tests run this in a child process. It ends when its parent kills it, or dies, which
// closes its standard input.
#[test]
#[ignore = "the other tests here start it"]
fn child_process_with_a_scratch_directory() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    within(DEADLINE, move || wait_in(&folder));
}

fn wait_in(folder: &OsStr) {
    let builder = Context::builder().threads(2).force_spill(true).scratch_dir(folder);
    let ctx = builder.build().unwrap();
    let rows = sums(&ctx);
    assert_eq!(rows.count().unwrap(), 1_000);
    println!("{CHILD_READY}");
    let input = std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(input, 0);
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

fn orphans_said(events: &[Event]) -> Vec<PathBuf> {
    let said = events.iter().filter_map(|event| match event {
        Event::OrphanRemoved { folder } => Some(PathBuf::from(folder)),
        _ => None,
    });
    said.collect()
}

#[test]
fn orphans_of_a_killed_process_are_deleted_by_the_next_start() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let orphan = OtherProcess::start(folder.path()).kill();
        assert_eq!(files_in(folder.path()), 8);
        let (ctx, recorder) = Recorder::on(Context::builder().scratch_dir(folder.path()));
        assert_eq!(entries(folder.path()), Vec::<PathBuf>::new());
        assert_eq!(orphans_said(&recorder.events(&ctx)), [orphan]);
    });
}

#[test]
fn scratch_directories_of_live_processes_are_not_deleted() {
    within(DEADLINE, || {
        let folders = [tempfile::tempdir().unwrap()];
        let folder = folders[0].path();
        let ctx = to_files(&folders).build().unwrap();
        let rows = sums(&ctx);
        rows.count().unwrap();
        let living = OtherProcess::start(folder);
        let dying = OtherProcess::start(folder);
        assert_eq!(entries(folder).len(), 3, "no start has removed what another uses");
        let orphan = dying.kill();
        let (next, recorder) = Recorder::on(Context::builder().scratch_dir(folder));
        assert_eq!(orphans_said(&recorder.events(&next)), [orphan]);
        assert_eq!(entries(folder).len(), 2);
        assert_eq!(fs::read_dir(&living.folder).unwrap().count(), 9);
        assert_eq!(rows.count().unwrap(), 1_000);
    });
}

/// Makes files and directories that differ from an orphan in one property each.
fn lookalikes(folder: &Path) {
    let lookalike = |name: &str, lock: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join(lock), b"").unwrap();
        fs::write(folder.join(name).join("shuffle-0"), b"mine").unwrap();
    };
    lookalike("other-Ab12cd", "emberline-scratch.lock");
    lookalike("emberline-Ab12cd", "Cargo.lock");
    fs::write(folder.join("emberline-notes"), b"mine").unwrap();
}

/// Returns all files in a directory with their contents, and links with their targets.
fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for path in entries(folder) {
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_dir() {
            all.extend(everything(&path));
        } else if found.is_symlink() {
            let to = fs::read_link(&path).unwrap().into_os_string();
            all.push((path, to.into_encoded_bytes()));
        } else {
            all.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    all
}

#[test]
fn only_orphans_are_deleted_at_start() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        lookalikes(folder.path());
        let orphan = OtherProcess::start(elsewhere.path()).kill();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&orphan, folder.path().join("emberline-link")).unwrap();
        let of = |dirs: [&TempDir; 2]| dirs.map(|dir| everything(dir.path()));
        let before = of([&folder, &elsewhere]);
        assert!(before[0].len() >= 5 && before[1].len() == 9, "{before:?}");
        let (ctx, recorder) = Recorder::on(Context::builder().scratch_dir(folder.path()));
        let events = recorder.events(&ctx);
        assert_eq!(of([&folder, &elsewhere]), before);
        assert_eq!(orphans_said(&events), Vec::<PathBuf>::new());
        assert_eq!(count_of(&events, "CleaningFailed"), 0);
    });
}

// Root can read every directory, so the test skips it.
#[cfg(unix)]
#[test]
fn an_unreadable_directory_does_not_prevent_a_start() {
    use std::os::unix::fs::PermissionsExt;
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let closed = OtherProcess::start(folder.path()).kill();
        let other = OtherProcess::start(folder.path());
        assert!(!closed.exists(), "the other process was a start, too");
        let closed = other.kill();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let is_root = fs::read_dir(&closed).is_ok();
        let (ctx, recorder) = Recorder::on(Context::builder().scratch_dir(folder.path()));
        let events = recorder.events(&ctx);
        assert_eq!(count_of(&events, "CleaningFailed"), usize::from(!is_root));
        assert_eq!(closed.exists(), !is_root);
        assert_eq!(sums(&ctx).count().unwrap(), 1_000);
        if !is_root {
            fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        }
    });
}

#[test]
fn a_disk_error_while_cleaning_fails_no_job() {
    use emberline::fault::FaultPlan;
    within(DEADLINE, || {
        let folders = [tempfile::tempdir().unwrap()];
        let orphan = OtherProcess::start(folders[0].path()).kill();
        let plan = FaultPlan::new().fail_disk_operation(3);
        let faults = plan.arm();
        let builder = to_files(&folders).faults(&faults);
        let (ctx, recorder) = Recorder::on(builder);
        assert_eq!(sums(&ctx).count().unwrap(), 1_000);
        let events = recorder.events(&ctx);
        assert_eq!((count_of(&events, "CleaningFailed"), faults.fired()), (1, 1));
        assert!(orphan.exists());
        drop(ctx);
        to_files(&folders).build().unwrap();
        assert!(!orphan.exists(), "the next one finds it again");
    });
}
