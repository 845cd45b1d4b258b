//! Faults of tasks, map outputs and stored blocks, planned with `FaultPlan`.

use super::on_disk;
use crate::events::{Recorder, count_of};
use crate::support::noise;
use emberline::fault::{Damage, FaultPlan, Faults};
use emberline::prelude::*;
use emberline::{
    StorageLevel,
    event::Event,
    id::{RddId, ShuffleId, StageId},
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{DEADLINE, eventually, within};

const DAMAGES: [Damage; 3] = [Damage::Lost, Damage::Truncated, Damage::Corrupted];

/// Makes a shuffle of four map tasks of a hundred counted rows each and three reduce tasks.
fn sums(ctx: &Context, calls: &Arc<AtomicUsize>) -> Rdd<(u64, u64)> {
    let calls = Arc::clone(calls);
    let pairs = ctx.range_with(4, 0..400_u64).map(move |n| {
        calls.fetch_add(1, Ordering::SeqCst);
        (n % 10, n)
    });
    pairs.with_partitions(3).reduce_by_key(|a, b| a + b)
}

/// The outcome of a run with a fault plan: the rows, the calls of the map closure, and the events.
struct Ran {
    outcome: Result<Vec<(u64, u64)>>,
    calls: usize,
    events: Vec<Event>,
    faults: Faults,
}

fn run(plan: FaultPlan, to_files: bool, attempts: usize) -> Ran {
    let scratch = tempfile::tempdir().unwrap();
    let faults = plan.arm();
    let calls = Arc::default();
    let builder = Context::builder().threads(2).force_spill(to_files).max_attempts(attempts);
    let (ctx, recorder) = Recorder::on(builder.scratch_dir(scratch.path()).faults(&faults));
    let outcome = sums(&ctx, &calls).collect();
    let events = recorder.events(&ctx);
    let calls = calls.load(Ordering::SeqCst);
    Ran { outcome, calls, events, faults }
}

/// Returns the rows in the order that they have without a fault.
fn answer() -> Vec<(u64, u64)> {
    run(FaultPlan::new(), false, 1).outcome.unwrap()
}

#[test]
fn only_an_attempt_that_fails_after_its_work_is_retried() {
    within(DEADLINE, || {
        let plan = FaultPlan::new().fail_task(StageId(0), 2, 0).fail_task(StageId(1), 1, 0);
        let ran = run(plan, false, 1);
        assert_eq!(ran.outcome.unwrap(), answer());
        assert_eq!((ran.calls, ran.faults.fired()), (500, 2));
        assert_eq!(count_of(&ran.events, "TaskFailed"), 2);
    });
}

#[test]
fn a_task_that_always_fails_is_the_error_of_the_job_with_its_task_id() {
    within(DEADLINE, || {
        let plan = (0..4).fold(FaultPlan::new(), |plan, n| plan.fail_task(StageId(1), 1, n));
        let error = run(plan, false, 1).outcome.unwrap_err();
        assert_eq!((error.attempts(), error.task().unwrap().partition), (4, 1), "{error}");
        assert!(error.to_string().contains("injected fault"), "{error}");
    });
}

#[test]
fn a_stage_whose_first_attempts_panic_succeeds_if_retries_are_allowed() {
    within(DEADLINE, || {
        for stage in [0, 1] {
            let plan = || FaultPlan::new().panic_in_stage(StageId(stage));
            let ran = run(plan(), false, 2);
            assert_eq!(ran.outcome.unwrap(), answer(), "stage {stage}");
            assert_eq!(ran.faults.fired(), [4, 3][stage as usize]);
            let error = run(plan(), false, 1).outcome.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Panicked { .. }), "{error}");
        }
    });
}

#[test]
fn only_a_damaged_map_output_is_recomputed() {
    within(DEADLINE, || {
        for damage in DAMAGES {
            for to_files in [true, false] {
                let plan = FaultPlan::new().damage_map_output(ShuffleId(0), 2, damage);
                let ran = run(plan, to_files, 1);
                let what = format!("{damage:?}, in files: {to_files}");
                assert_eq!(ran.outcome.unwrap(), answer(), "{what}");
                assert_eq!((ran.calls, ran.faults.fired()), (500, 1), "{what}");
                assert_eq!(count_of(&ran.events, "OutputLost"), 1, "{what}");
            }
        }
    });
}

#[test]
fn a_map_output_that_is_lost_every_time_fails_the_fourth_stage_attempt() {
    within(DEADLINE, || {
        let lose = |plan: FaultPlan, _| plan.damage_map_output(ShuffleId(0), 1, Damage::Lost);
        let ran = run((0..3).fold(FaultPlan::new(), lose), true, 1);
        assert_eq!((ran.outcome.unwrap(), ran.calls), (answer(), 700));
        let error = run((0..4).fold(FaultPlan::new(), lose), true, 1).outcome.unwrap_err();
        let fetch = matches!(error.kind(), ErrorKind::FetchFailed { map_partition: 1, .. });
        assert!(fetch && error.attempts() == 4, "{error}");
    });
}

// Case E04 of tests/PROMISES.md.
#[test]
fn only_a_map_output_on_a_bad_sector_is_recomputed() {
    within(DEADLINE, || {
        let ran = run(FaultPlan::new().fail_reads_of_map_output(ShuffleId(0), 2), true, 1);
        assert_eq!(ran.outcome.unwrap(), answer());
        assert_eq!((ran.calls, ran.faults.fired()), (500, 1));
        assert_eq!(count_of(&ran.events, "OutputLost"), 1);
        // Outputs in memory are not read from the disk.
        let ran = run(FaultPlan::new().fail_reads_of_map_output(ShuffleId(0), 2), false, 1);
        assert_eq!((ran.outcome.unwrap(), ran.calls, ran.faults.fired()), (answer(), 400, 0));
        let bad = |plan: FaultPlan, _| plan.fail_reads_of_map_output(ShuffleId(0), 1);
        let error = run((0..4).fold(FaultPlan::new(), bad), true, 1).outcome.unwrap_err();
        // Each of them was an error of the disk first, and a task has four of those.
        let typed = matches!(error.kind(), ErrorKind::Io { .. } | ErrorKind::FetchFailed { .. });
        assert!(typed && error.attempts() == 4, "{error}");
        assert!(error.to_string().contains("injected fault"), "{error}");
    });
}

#[test]
fn all_faults_together_do_not_change_the_answer() {
    within(DEADLINE, || {
        let plan = FaultPlan::new()
            .panic_in_stage(StageId(0))
            .fail_task(StageId(0), 0, 1)
            .fail_task(StageId(1), 2, 0)
            .damage_map_output(ShuffleId(0), 0, Damage::Corrupted)
            .damage_map_output(ShuffleId(0), 3, Damage::Truncated)
            .fail_disk_operation(5)
            .flip_append(1)
            .truncate_file(2, 3);
        let ran = run(plan, true, 3);
        assert_eq!(ran.outcome.unwrap(), answer());
        assert!(ran.faults.fired() >= 9, "{}", ran.faults.fired());
    });
}

const LEVELS: [StorageLevel; 3] =
    [StorageLevel::Memory, StorageLevel::Disk, StorageLevel::SerializedMemoryAndDisk];

// Case F063 of tests/PROMISES.md.
#[test]
fn only_a_damaged_block_is_recomputed() {
    within(DEADLINE, || {
        for (level, damage) in
            LEVELS.into_iter().flat_map(|level| DAMAGES.map(|damage| (level, damage)))
        {
            let scratch = tempfile::tempdir().unwrap();
            // The source is RDD 0, the map is 1, and the stored RDD is 2.
            let faults = FaultPlan::new().damage_block(RddId(2), 1, damage).arm();
            let builder = Context::builder().threads(2).scratch_dir(scratch.path());
            let (ctx, recorder) = Recorder::on(builder.faults(&faults));
            let calls = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&calls);
            let numbers = ctx.range_with(3, 0..3000_u64).map(move |n| {
                counter.fetch_add(1, Ordering::SeqCst);
                noise(n)
            });
            let persisted = numbers.persist(level);
            assert_eq!(persisted.id(), RddId(2));
            for _ in 0..3 {
                assert!(
                    persisted.collect().unwrap().into_iter().eq((0..3000).map(noise)),
                    "{level}"
                );
            }
            assert_eq!(calls.load(Ordering::SeqCst), 4000, "{level} {damage:?}");
            let events = recorder.events(&ctx);
            let lost = count_of(&events, "BlockLost");
            let stored = count_of(&events, "BlockStored");
            assert_eq!((lost, stored, faults.fired()), (1, 4, 1), "{level} {damage:?}");
        }
    });
}

#[test]
fn a_block_that_is_damaged_every_time_is_no_longer_stored() {
    within(DEADLINE, || {
        let scratch = tempfile::tempdir().unwrap();
        let damage = |plan: FaultPlan, n: usize| plan.damage_block(RddId(1), 0, DAMAGES[n % 3]);
        let plan = (0..20).fold(FaultPlan::new(), damage);
        let ctx = on_disk(scratch.path()).faults(plan).build().unwrap();
        let persisted = ctx.range_with(2, 0..5000_u64).persist(StorageLevel::Disk);
        for _ in 0..4 {
            assert_eq!(persisted.reduce(|a, b| a + b).unwrap(), Some(4999 * 2500));
        }
    });
}

// Case F035 of tests/PROMISES.md.
#[test]
fn losses_two_shuffles_deep_are_recomputed_in_order() {
    within(DEADLINE, || {
        let deep = |faults: FaultPlan| {
            let scratch = tempfile::tempdir().unwrap();
            let faults = faults.arm();
            let (ctx, calls) =
                (on_disk(scratch.path()).faults(&faults).build().unwrap(), Arc::default());
            let counts = sums(&ctx, &calls).map(|(key, sum)| (sum % 3, key));
            let rows = counts
                .with_partitions(2)
                .group_by_key()
                .map_values(|keys| keys.len())
                .collect()
                .unwrap();
            (rows, calls.load(Ordering::SeqCst), faults.fired())
        };
        let (rows, calls, _) = deep(FaultPlan::new());
        assert_eq!(calls, 400);
        // The second output of the first shuffle is damaged twice: the second time after it was
        // recomputed for a map task of the second shuffle, whose output is lost.
        let plan = FaultPlan::new()
            .damage_map_output(ShuffleId(0), 1, Damage::Lost)
            .damage_map_output(ShuffleId(0), 1, Damage::Corrupted)
            .damage_map_output(ShuffleId(1), 0, Damage::Lost);
        assert_eq!(deep(plan), (rows, 600, 3));
    });
}

// Case F070 of tests/PROMISES.md.
#[test]
fn a_checkpoint_is_complete_after_a_lost_output() {
    within(DEADLINE, || {
        for damage in DAMAGES {
            let folder = tempfile::tempdir().unwrap();
            let faults = FaultPlan::new().damage_map_output(ShuffleId(0), 3, damage).arm();
            let ctx = on_disk(folder.path()).faults(&faults).build().unwrap();
            let saved =
                sums(&ctx, &Arc::default()).checkpoint(folder.path().join("saved")).unwrap();
            assert_eq!((saved.collect().unwrap(), faults.fired()), (answer(), 1), "{damage:?}");
        }
    });
}

#[test]
fn a_stalled_disk_delays_only_the_jobs_that_wait_for_it() {
    within(DEADLINE, || {
        let scratch = tempfile::tempdir().unwrap();
        let faults = FaultPlan::new().stall_disk_operation(4, Duration::from_millis(1500)).arm();
        let ctx = on_disk(scratch.path()).faults(&faults).build().unwrap();
        let slow = ctx.clone();
        let calls = Arc::default();
        let slow = std::thread::spawn(move || sums(&slow, &calls).collect().unwrap());
        while faults.fired() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let jobs = (0..5).map(|_| ctx.range_with(2, 0..100_u64).count().unwrap());
        assert_eq!(jobs.sum::<u64>(), 500);
        assert!(!slow.is_finished(), "the other jobs waited for the stalled one");
        assert_eq!(slow.join().unwrap(), answer());
    });
}

// Case E12 of tests/PROMISES.md.
#[test]
fn a_job_on_a_stalled_disk_can_be_cancelled_and_timed_out() {
    within(DEADLINE, || {
        for times_out in [false, true] {
            let scratch = tempfile::tempdir().unwrap();
            let faults =
                FaultPlan::new().stall_disk_operation(4, Duration::from_millis(2500)).arm();
            let ctx = on_disk(scratch.path()).threads(1).faults(&faults).build().unwrap();
            let rows = sums(&ctx, &Arc::default());
            let mut handle = ctx.spawn(move || rows.count());
            eventually("the stall", || faults.fired() == 1);
            match times_out {
                true => handle = handle.timeout(Duration::from_millis(1)),
                false => handle.cancel("the disk is asleep"),
            }
            let error = handle.wait().unwrap_err();
            let given_up =
                matches!(error.kind(), ErrorKind::Cancelled { .. } | ErrorKind::TimedOut { .. });
            assert!(given_up && ctx.abandoned_tasks().is_empty(), "{error}");
            // Half a second later its thread is abandoned and replaced.
            eventually("a report", || ctx.abandoned_tasks().len() == 1);
            assert_eq!(ctx.range_with(2, 0..100_u64).count().unwrap(), 100);
            assert_eq!(ctx.abandoned_tasks().len(), 1, "it stalls still");
            until_no_task_is_abandoned(&ctx);
        }
    });
}

fn until_no_task_is_abandoned(ctx: &Context) {
    while !ctx.abandoned_tasks().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
}
