//! Directories of files that actions write: complete or missing, whichever attempt is late, is cancelled, fails or
//! dies.

use crate::events::{Recorder, count_of};
use crate::speculation::{self, Race, racing};
use crate::support::noise;
use emberline::fault::{FaultPlan, Faults};
use emberline::prelude::*;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use testkit::{DEADLINE, eventually, within};

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The two actions that write a folder, and the file that each writes last.
#[derive(Clone, Copy, Debug)]
enum Action {
    Save,
    Checkpoint,
}

impl Action {
    const ALL: [Action; 2] = [Action::Save, Action::Checkpoint];

    fn run(self, rows: &Rdd<u64>, path: &Path) -> Result<()> {
        match self {
            Action::Save => rows.save_as_text_file(path),
            Action::Checkpoint => rows.checkpoint(path).map(drop),
        }
    }

    /// Asserts that the output has the given number of files and nothing else.
    #[track_caller]
    fn assert_whole(self, path: &Path, parts: usize) {
        let last = match self {
            Action::Save => "_SUCCESS",
            Action::Checkpoint => "_manifest",
        };
        let mut names: Vec<String> = (0..parts).map(|part| format!("part-{part:05}")).collect();
        names.push(last.into());
        names.sort();
        assert_eq!(names_in(path), names, "{self:?}");
    }

    /// Counts the disk operations of a run without a failure.
    fn operations(self) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let faults = FaultPlan::new().under(folder.path()).arm();
        self.run(&rows(&on(&faults)), &folder.path().join("out")).unwrap();
        faults.disk_operations()
    }
}

/// Makes a context whose disk operations always have the same order.
fn on(faults: &Faults) -> Context {
    Context::builder().threads(1).faults(faults).build().unwrap()
}

fn rows(ctx: &Context) -> Rdd<u64> {
    ctx.range_with(2, 0..20_u64).boxed()
}

// Case F101 of tests/PROMISES.md.
#[test]
fn a_losing_attempt_still_stuck_after_the_action_leaves_nothing_in_its_output() {
    within(DEADLINE, || {
        for action in Action::ALL {
            let (ctx, recorder) = Recorder::on(speculation::builder());
            let folder = tempfile::tempdir().unwrap();
            let race = Race::default();
            let out = folder.path().join("out");
            action.run(&racing(&ctx, &race).boxed(), &out).unwrap();
            action.assert_whole(&out, 4);
            assert_eq!(count_of(&recorder.events(&ctx), "TaskCancelled"), 1);
            race.let_go();
            for _ in 0..10 {
                thread::sleep(Duration::from_millis(5));
                action.assert_whole(&out, 4);
                assert_eq!(names_in(folder.path()), ["out"], "{action:?}");
            }
        }
    });
}

#[test]
fn an_output_whose_last_sync_fails_is_rolled_back() {
    within(DEADLINE, || {
        for action in Action::ALL {
            let mut stayed = 0;
            for operation in 0..action.operations() {
                let folder = tempfile::tempdir().unwrap();
                let out = folder.path().join("out");
                let plan = FaultPlan::new()
                    .fail_disk_operation(operation)
                    .fail_disk_operation(operation + 1);
                let ctx = on(&plan.under(folder.path()).arm());
                match action.run(&rows(&ctx), &out) {
                    Ok(()) => action.assert_whole(&out, 2),
                    Err(error) if out.exists() => {
                        let text = error.to_string();
                        assert!(text.contains("could not be renamed back"), "{text}");
                        action.assert_whole(&out, 2);
                        is_moved_before_it_is_removed(action, operation);
                        stayed += 1;
                    }
                    Err(_) => assert_eq!(names_in(folder.path()), [""; 0], "{operation}"),
                }
            }
            assert_eq!(stayed, 1, "{action:?}: the sync and what undoes the name failed once");
        }
    });
}

/// Fails the last sync, and stalls the second operation after it, the first removal: the
/// output has no name by then, and all of its files still exist.
fn is_moved_before_it_is_removed(action: Action, sync: u64) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let plan = FaultPlan::new().fail_disk_operation(sync);
    let faults =
        plan.stall_disk_operation(sync + 2, Duration::from_secs(1)).under(folder.path()).arm();
    let ctx = on(&faults);
    let path = out.clone();
    let job = thread::spawn(move || action.run(&rows(&ctx), &path));
    eventually("the stall", || faults.fired() == 2);
    assert!(!out.exists(), "{action:?}");
    let hidden = folder.path().join(&names_in(folder.path())[0]);
    let inside = names_in(&hidden).into_iter().map(|name| hidden.join(name));
    let whole = inside.filter(|path| path.is_dir()).find(|path| !names_in(path).is_empty());
    action.assert_whole(&whole.unwrap(), 2);
    assert!(job.join().unwrap().is_err(), "{action:?}");
    assert_eq!(names_in(folder.path()), [""; 0], "{action:?}");
}

/// Spawns the action in a directory and cancels it when `when` returns. Asserts that the result of the
/// handle agrees with the output, and returns true if there is an output.
fn cancelled_when(action: Action, ctx: &Context, folder: &Path, when: impl FnOnce()) -> bool {
    let out = folder.join("out");
    let held = Arc::new(());
    let rows = rows(ctx);
    let path = out.clone();
    let inside = Arc::clone(&held);
    let handle = ctx.spawn(move || {
        let _ = &inside;
        action.run(&rows, &path)
    });
    when();
    handle.cancel("now");
    let outcome = handle.wait();
    // The handle does not wait for a cancelled closure.
    eventually("the end of the closure", || Arc::strong_count(&held) == 1);
    match &outcome {
        Ok(()) => action.assert_whole(&out, 2),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Cancelled { .. }), "{error}");
            assert_eq!(names_in(folder), [""; 0]);
        }
    }
    outcome.is_ok()
}

// Case E42 of tests/PROMISES.md.
#[test]
fn a_cancellation_at_any_disk_operation_of_an_output_has_one_outcome() {
    within(DEADLINE, || {
        for action in Action::ALL {
            let mut there = Vec::new();
            for operation in 0..action.operations() {
                let folder = tempfile::tempdir().unwrap();
                let plan =
                    FaultPlan::new().stall_disk_operation(operation, Duration::from_millis(50));
                let faults = plan.under(folder.path()).arm();
                there.push(cancelled_when(action, &on(&faults), folder.path(), || {
                    eventually("the stall", || faults.fired() == 1);
                }));
            }
            // After the rename a cancellation is too late.
            assert!(!there[0] && there[there.len() - 1], "{action:?}: {there:?}");
            assert!(there.is_sorted(), "{action:?}: {there:?}");
        }
    });
}

// Case E42 of tests/PROMISES.md.
#[test]
fn a_cancellation_at_any_time_of_an_output_has_one_outcome() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        for round in 0..200_u64 {
            let folder = tempfile::tempdir().unwrap();
            let action = Action::ALL[round as usize % 2];
            cancelled_when(action, &ctx, folder.path(), || {
                thread::sleep(Duration::from_micros(noise(round) % 2_000));
            });
        }
    });
}

// Case E42 of tests/PROMISES.md.
#[test]
fn cancel_after_commit_takes_effect_at_the_next_action() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let (ctx, out) =
            (Context::builder().threads(2).build().unwrap(), folder.path().join("out"));
        let few = rows(&ctx);
        let endless = ctx.range_with(2, 0..2_u64).flat_map(|_| 0..u64::MAX);
        let path = out.clone();
        let handle = ctx.spawn(move || {
            few.save_as_text_file(&path)?;
            endless.count()
        });
        eventually("the second job", || out.exists() && handle.progress().tasks > 2);
        handle.cancel("enough");
        assert!(handle.is_finished(), "it has its error before `cancel` returns");
        assert!(handle.wait().unwrap_err().to_string().contains("enough"));
        Action::Save.assert_whole(&out, 2);
    });
}

#[test]
fn the_next_output_deletes_only_the_staging_directories_of_dead_processes() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        // The directory of a context that is still writing.
        let ctx = Context::builder().threads(6).build().unwrap();
        let race = Race::default();
        let slow = racing(&ctx, &race);
        let path = folder.path().join("out");
        let slow = thread::spawn(move || slow.save_as_text_file(path));
        eventually("the slow one", || names_in(folder.path()).len() == 1);
        let make = |name: &str, files: &[&str]| {
            for file in files {
                let path = folder.path().join(name).join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "text").unwrap();
            }
        };
        const LOCK: &str = "emberline-output.lock";
        // The staging directory of the slow one, which begins as those of all outputs of this name.
        let slow_one = names_in(folder.path()).pop().unwrap();
        let of_out = slow_one.rsplit_once('-').unwrap().0;
        let orphan = format!("{of_out}-0123456789abcdef");
        make(&orphan, &[LOCK, "out/part-00000", "attempts/part-00001"]);
        make(&format!("{of_out}-0123456789abcdee"), &["no lock"]);
        make(&format!("{of_out}-mine"), &[LOCK]);
        make(&format!("{of_out}-0-1f"), &[LOCK]);
        make(".emberline-writing-0123456789abcdef-0123456789abcdef", &[LOCK]);
        let before = names_in(folder.path());
        rows(&ctx).save_as_text_file(folder.path().join("out")).unwrap();
        let mut wanted: Vec<String> = before.into_iter().filter(|name| *name != orphan).collect();
        wanted.push("out".into());
        assert_eq!(names_in(folder.path()), wanted);
        race.let_go();
        let late = slow.join().unwrap().unwrap_err();
        assert!(matches!(late.kind(), ErrorKind::OutputExists { .. }), "{late}");
        Action::Save.assert_whole(&folder.path().join("out"), 2);
    });
}
