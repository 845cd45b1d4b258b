//! Scripts about stages with more tasks than are launched at a time.

use super::*;

/// Returns a scheduler that launches at most four tasks of a stage.
fn windowed() -> Script {
    Script::with(Limits { window: 4, ..limits(2) })
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn a_stage_launches_a_window_and_more_when_half_of_it_has_ended() {
    let mut it = windowed();
    it.submit(0, &source(9)).expect(results(0, 4));
    it.succeed([result(0, 2)]).expect_nothing();
    it.succeed([result(0, 0)]).expect([result(0, 4), result(0, 5)]);
    it.succeed([result(0, 4), result(0, 5)]).expect([result(0, 6), result(0, 7)]);
    it.succeed([result(0, 1), result(0, 3)]).expect([result(0, 8)]);
    it.succeed((6..9).map(|partition| result(0, partition))).expect_done(0).expect_idle(&[]);
    let started = |event: &Event| matches!(event, Event::StageStarted { tasks: 9, .. });
    assert_eq!(it.count(started), 1, "all tasks belong to one attempt of the stage");
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn each_of_two_jobs_has_a_window_of_its_own() {
    let mut it = windowed();
    it.submit(0, &source(100)).expect(results(0, 4));
    it.submit(1, &source(2)).expect(results(1, 2));
    it.succeed(results(1, 2)).expect_done(1).expect_running(0);
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn a_failed_task_runs_again_before_tasks_that_were_never_launched() {
    let mut it = windowed();
    it.submit(0, &source(9)).expect(results(0, 4));
    it.fail(result(0, 1), panicked()).expect([result(0, 1)]);
    it.succeed([result(0, 0), result(0, 2)]).expect([result(0, 4), result(0, 5)]);
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn nothing_is_launched_between_a_loss_and_its_recomputation() {
    let mut it = windowed();
    let pairs = shuffle(1, &source(6));
    it.submit(0, &read(9, &[&pairs])).expect(maps(1, 4)).succeed(maps(1, 4));
    it.expect([map(1, 4), map(1, 5)]).succeed([map(1, 4), map(1, 5)]).expect(results(0, 4));
    it.fail(result(0, 1), lost(1, 5)).expect([map(1, 5)]);
    it.succeed([result(0, 0), result(0, 2), result(0, 3)]).expect_nothing();
    it.succeed([map(1, 5)]).expect([1, 4, 5, 6].map(|partition| result(0, partition)));
    it.succeed([1, 4, 5, 6].map(|partition| result(0, partition)));
    it.succeed([7, 8].map(|partition| result(0, partition))).expect_done(0).expect_idle(&[1]);
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn a_block_lost_while_tasks_wait_to_be_launched_is_one_failed_attempt() {
    let mut it = windowed();
    let (node, blocks) = stored(9, &shuffle(1, &source(1)));
    it.submit(0, &node).expect(results(0, 4));
    blocks.set(false);
    for partition in 0..4 {
        it.fail(result(0, partition), lost(1, 0));
    }
    it.expect([map(1, 0)]).succeed([map(1, 0)]).expect(results(0, 4));
    it.succeed(results(0, 4)).succeed(results(0, 9).split_off(4)).expect_done(0).expect_idle(&[1]);
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn a_cancelled_job_leaves_no_task_that_waits_to_be_launched() {
    let mut it = windowed();
    it.submit(0, &source(1000)).expect(results(0, 4));
    it.cancel(0).expect_cancelled(results(0, 4)).expect_failed(0);
    it.expect_idle(&[]);
    let pairs = shuffle(1, &source(100));
    it.submit(1, &read(1, &[&pairs])).submit(2, &read(1, &[&pairs])).expect(maps(1, 4));
    it.cancel(1).expect_failed(1);
    it.succeed(maps(1, 100)).expect_running(2).succeed([result(2, 0)]).expect_done(2);
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn progress_counts_tasks_that_were_not_launched_yet() {
    let mut it = windowed();
    it.submit(0, &source(50)).succeed(results(0, 4));
    let progress = it.scheduler.progress(JobId(0));
    assert_eq!(progress, Progress { tasks_done: 4, tasks: 50 });
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn a_straggler_in_the_window_is_speculated_and_the_others_continue() {
    let speculation = Some(crate::config::Speculation {
        quantile: 0.1,
        multiplier: 1.0,
        min_runtime: std::time::Duration::ZERO,
    });
    let mut it = Script::with(Limits { window: 2, speculation, ..limits(1) });
    it.submit(0, &source(6)).expect(results(0, 2)).start(result(0, 0));
    it.succeed([result(0, 1)]).expect([result(0, 2)]);
    let slow = it.task(result(0, 0));
    it.on(Input::Tick { running: vec![(slow, 900)] }).expect([result(0, 0)]);
    it.succeed([2, 3, 4, 5].map(|partition| result(0, partition))).expect_running(0);
    it.succeed([result(0, 0)]).expect_done(0).expect_idle(&[]);
}
