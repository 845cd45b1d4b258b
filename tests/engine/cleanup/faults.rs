//! Shuffle files that are lost or damaged, and a disk that fails.

use super::{files, scratch, sums};
use crate::events::{Recorder, count_of};
use crate::support::TINY_TASK_MEMORY_BYTES;
use emberline::fault::{Damage, FaultPlan};
use emberline::prelude::*;
use emberline::{
    event::{Event, StageInfo},
    id::ShuffleId,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::{DEADLINE, eventually, within};

fn collected(rows: &Rdd<(u64, u64)>) -> Result<Vec<(u64, u64)>> {
    let mut rows = rows.collect()?;
    rows.sort_unstable();
    Ok(rows)
}

fn wanted() -> Vec<(u64, u64)> {
    (0..10).map(|key| (key, (0..400).filter(|n| n % 10 == key).sum())).collect()
}

/// Returns the map partitions that the events report as lost.
fn lost(events: &[Event]) -> Vec<usize> {
    let lost = events.iter().filter_map(|event| match event {
        Event::OutputLost { map_partition, .. } => Some(*map_partition),
        _ => None,
    });
    let mut lost: Vec<usize> = lost.collect();
    lost.sort_unstable();
    lost.dedup();
    lost
}

/// Counts the successful map tasks, which are those that read the range of numbers.
fn map_tasks(events: &[Event]) -> usize {
    let of_map = |event: &&Event| matches!(event, Event::TaskFinished { metrics, .. } if metrics.rows_written > 0);
    events.iter().filter(of_map).count()
}

/// Damages some of the files between two jobs. Checks that the second job returns the same rows and
/// recomputes only lost outputs. Returns the number of map tasks that ran again.
fn recovers(what: &str, damage: impl Fn(&[PathBuf]) + Send + 'static) -> usize {
    let what = what.to_string();
    within(DEADLINE, move || {
        let (folder, builder) = scratch();
        let (ctx, recorder) = Recorder::on(builder);
        let rows = sums(&ctx);
        assert_eq!(collected(&rows).unwrap(), wanted());
        assert_eq!(map_tasks(&recorder.events(&ctx)), 4);
        damage(&files(folder.path()));
        assert_eq!(collected(&rows).unwrap(), wanted(), "{what}");
        let events = recorder.events(&ctx);
        let lost = lost(&events);
        let again = map_tasks(&events);
        assert_eq!(lost.len(), again, "{what}: only the lost ones run again: {events:#?}");
        assert_eq!(collected(&rows).unwrap(), wanted(), "{what}");
        assert_eq!(map_tasks(&recorder.events(&ctx)), 0, "{what}: what was recovered stays");
        drop((rows, ctx));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{what}");
        again
    })
}

fn change(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    edit(&mut bytes);
    fs::write(path, bytes).unwrap();
}

// Case F037 of tests/PROMISES.md.
#[test]
fn only_a_deleted_shuffle_file_is_recomputed() {
    let again = recovers("deleted", |files| fs::remove_file(&files[0]).unwrap());
    assert_eq!(again, 1);
}

#[test]
fn deleting_all_shuffle_files_recomputes_all() {
    let again = recovers("all deleted", |files| {
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
    });
    assert_eq!(again, 4);
    let again = recovers("folder deleted", |files| {
        fs::remove_dir_all(files[0].parent().unwrap()).unwrap();
    });
    assert_eq!(again, 4);
}

#[test]
fn all_missing_outputs_are_recomputed_in_one_stage_attempt() {
    within(DEADLINE, || {
        let (folder, builder) = scratch();
        // They are lost while their job runs, and again before the next job.
        let lose = |plan: FaultPlan, map| plan.damage_map_output(ShuffleId(0), map, Damage::Lost);
        let plan = (0..40).fold(FaultPlan::new(), lose);
        let (ctx, recorder) = Recorder::on(builder.threads(1).faults(plan));
        let rows = ctx.range_with(40, 0..400_u64).map(|n| (n % 10, n));
        let rows = rows.with_partitions(3).reduce_by_key(|a, b| a + b);
        assert_eq!(collected(&rows).unwrap(), wanted());
        let events = recorder.events(&ctx);
        assert_eq!(attempts(&events, 40), [(0, 40), (1, 40)], "{events:#?}");
        assert_eq!(attempts(&events, 3), [(0, 3), (1, 3)]);
        files(folder.path()).iter().for_each(|file| fs::remove_file(file).unwrap());
        assert_eq!(collected(&rows).unwrap(), wanted());
        let events = recorder.events(&ctx);
        assert_eq!(attempts(&events, 40), [(0, 40)], "{events:#?}");
        assert_eq!(attempts(&events, 3), [(0, 3), (1, 3)]);
        assert_eq!(lost(&events), (0..40).collect::<Vec<_>>());
    });
}

#[test]
fn a_group_whose_shuffle_was_lost_is_an_error_with_advice() {
    within(DEADLINE, || {
        let (folder, builder) = scratch();
        let ctx = builder.task_memory_bytes(TINY_TASK_MEMORY_BYTES).build().unwrap();
        let pairs = ctx.range_with(2, 0..20_000_u64).map(|n| (n % 2, n));
        let group_by_key_iter = pairs.with_partitions(1).group_by_key_iter();
        let groups = group_by_key_iter.collect().unwrap();
        assert!(groups.iter().all(|(_, group)| group.len() == 10_000));
        files(folder.path()).iter().for_each(|file| fs::remove_file(file).unwrap());
        let groups = Arc::new(groups);
        let read = ctx.range_with(1, 0..1_u64).map(move |_| groups[0].1.iter().sum::<u64>());
        let error = read.collect().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::FetchFailed { .. }), "{error}");
        let text = error.to_string();
        for part in ["Group", "run the earlier action again", "removed", "tests/engine/cleanup"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        // That advice works: the lost output is recomputed by its own action.
        let groups =
            group_by_key_iter.map(|(_, group)| group.iter().sum::<u64>()).collect().unwrap();
        assert_eq!(groups.iter().sum::<u64>(), 19_999 * 10_000);
    });
}

/// Returns the attempts of stages with `partitions` partitions: their numbers and their counts of
/// tasks.
fn attempts(events: &[Event], partitions: usize) -> Vec<(usize, usize)> {
    let of_size = |info: &&StageInfo| info.partitions == partitions;
    let started = |event: &Event| match event {
        Event::JobStarted { stages, .. } => stages.iter().find(of_size).map(|info| info.stage),
        _ => None,
    };
    let wanted = events.iter().find_map(started);
    let attempts = events.iter().filter_map(|event| match event {
        Event::StageStarted { stage, attempt, tasks } if Some(*stage) == wanted => {
            Some((*attempt, *tasks))
        }
        _ => None,
    });
    attempts.collect()
}

#[test]
fn a_truncated_shuffle_file_is_detected_and_recomputed() {
    for keep in [0.0, 0.5, 0.99] {
        let again = recovers("truncated", move |files| {
            change(&files[1], |bytes| bytes.truncate((bytes.len() as f64 * keep) as usize));
        });
        assert_eq!(again, 1, "kept {keep}");
    }
}

// Case F038 of tests/PROMISES.md.
#[test]
fn a_flipped_bit_anywhere_in_a_shuffle_file_is_detected_and_recomputed() {
    for fraction in [0.0, 0.2, 0.4, 0.6, 0.8, 0.999] {
        let again = recovers("flipped", move |files| {
            change(&files[2], |bytes| {
                let at = (bytes.len() as f64 * fraction) as usize;
                bytes[at] ^= 0x10;
            });
        });
        assert_eq!(again, 1, "at {fraction}");
    }
}

type Sums = Vec<(u64, u64)>;

/// Runs the sums on a faulty disk, after which the scratch directory must be empty. Returns the answer and
/// the numbers of faults that fired, of disk operations and of failed tasks.
fn on_faulty_disk(plan: FaultPlan) -> (Result<Sums>, u64, u64, usize) {
    within(DEADLINE, move || {
        let (folder, builder) = scratch();
        let faults = plan.arm();
        let (ctx, recorder) = Recorder::on(builder.faults(&faults));
        let rows = sums(&ctx);
        let outcome = collected(&rows);
        let failed = count_of(&recorder.events(&ctx), "TaskFailed");
        let fired = faults.fired();
        let operations = faults.disk_operations();
        drop((rows, ctx));
        eventually("an empty folder", || fs::read_dir(folder.path()).unwrap().count() == 0);
        (outcome, fired, operations, failed)
    })
}

#[test]
fn any_single_disk_operation_may_fail_without_changing_the_answer() {
    let (outcome, _, operations, _) = on_faulty_disk(FaultPlan::new());
    assert_eq!(outcome.unwrap(), wanted());
    assert!(operations >= 12, "{operations} operations");
    let mut failed_tasks = 0;
    for operation in 0..operations {
        let plan = FaultPlan::new().fail_disk_operation(operation);
        let (outcome, fired, _, failed) = on_faulty_disk(plan);
        assert_eq!((outcome.unwrap(), fired), (wanted(), 1), "operation {operation}");
        failed_tasks += failed;
    }
    assert!(failed_tasks > 0);
}

#[test]
fn a_permanently_failing_disk_is_a_typed_error_that_names_the_operation() {
    for from in [0, 3, 9] {
        let plan = FaultPlan::new().fail_from(from);
        let (outcome, fired, ..) = on_faulty_disk(plan);
        let error = outcome.unwrap_err();
        let typed = matches!(error.kind(), ErrorKind::Io { .. } | ErrorKind::FetchFailed { .. });
        assert!(typed && fired > 0, "{error}");
        assert!(error.attempts() >= 4, "{error}");
        assert!(error.to_string().contains("injected fault"), "{error}");
        assert!(error.to_string().contains("tests/engine/cleanup"), "{error}");
    }
}

#[test]
fn a_full_disk_is_an_error_with_advice() {
    let plan = FaultPlan::new().full_after(100);
    let (outcome, fired, ..) = on_faulty_disk(plan);
    let error = outcome.unwrap_err();
    assert!(fired > 0 && matches!(error.kind(), ErrorKind::Io { .. }), "{error}");
    assert!(error.to_string().contains("scratch_dir"), "{error}");
}

#[test]
fn a_write_that_silently_loses_or_changes_bytes_is_detected_by_the_reader() {
    for number in 0..4 {
        let (outcome, fired, ..) = on_faulty_disk(FaultPlan::new().truncate_file(number, 5));
        assert_eq!((outcome.unwrap(), fired), (wanted(), 1), "create {number} truncated");
        let (outcome, fired, ..) = on_faulty_disk(FaultPlan::new().flip_append(number));
        assert_eq!((outcome.unwrap(), fired), (wanted(), 1), "append {number} flipped");
    }
}

#[test]
fn an_unwritable_output_is_an_error_and_leaves_nothing() {
    within(DEADLINE, || {
        for operation in 0..9 {
            let folder = tempfile::tempdir().unwrap();
            let plan = FaultPlan::new().fail_disk_operation(operation);
            let faults = plan.arm();
            let ctx = Context::builder().threads(1).faults(&faults).build().unwrap();
            let path = folder.path().join("out");
            match ctx.range_with(2, 0..6_u32).save_as_text_file(&path) {
                Ok(()) => {
                    let lines = ctx.text_file(&path).collect().unwrap();
                    assert_eq!(lines, ["0", "1", "2", "3", "4", "5"], "operation {operation}");
                    assert_eq!(fs::read_dir(&path).unwrap().count(), 3, "operation {operation}");
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error}");
                    let left = fs::read_dir(folder.path()).unwrap().count();
                    assert_eq!(left, 0, "operation {operation}: {error}");
                }
            }
            assert_eq!(faults.fired(), 1, "operation {operation}");
        }
    });
}
