//! Scripts about jobs that run at the same time.

use super::*;

/// Starts two jobs over one shuffle of two map partitions, which runs.
fn two_jobs() -> Script {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(2));
    it.submit(0, &read(1, &[&pairs])).expect(maps(1, 2));
    it.submit(1, &read(1, &[&pairs])).expect_nothing();
    it
}

#[test]
fn two_jobs_share_a_running_stage() {
    let mut it = two_jobs();
    assert_eq!(it.stages_of(0)[0].stage, it.stages_of(1)[0].stage);
    it.succeed(maps(1, 2)).expect([result(0, 0), result(1, 0)]);
    it.succeed([result(1, 0)]).expect_done(1).expect_running(0);
    it.succeed([result(0, 0)]).expect_done(0).expect_idle(&[1]);
}

#[test]
fn a_shared_stage_that_fails_fails_both_jobs() {
    let mut it = two_jobs();
    it.fail(map(1, 0), panicked());
    it.expect_failed(0);
    it.expect_failed(1);
    it.expect_cancelled([map(1, 1)]).expect_idle(&[]);
}

#[test]
fn a_shared_stage_continues_when_one_job_is_cancelled() {
    for (cancelled, stays) in [(0, 1), (1, 0)] {
        let mut it = two_jobs();
        let error = it.cancel(cancelled).expect_cancelled([]).expect_failed(cancelled);
        assert!(error.to_string().contains("by the test"), "{error}");
        it.succeed(maps(1, 2)).expect([result(stays, 0)]);
        it.succeed([result(stays, 0)]).expect_done(stays).expect_idle(&[1]);
    }
}

#[test]
fn a_retry_in_a_shared_stage_belongs_to_a_running_job() {
    let mut it = two_jobs();
    it.cancel(0).expect_failed(0);
    for _ in 0..4 {
        it.fail(map(1, 0), disk_fault());
    }
    assert_eq!(it.expect_failed(1).task().map(|task| task.job), Some(JobId(1)));
}

#[test]
fn the_other_job_continues_when_one_fails() {
    let mut it = Script::new();
    let base = shuffle(1, &source(2));
    let own = shuffle(2, &source(1));
    it.submit(0, &read(1, &[&base])).submit(1, &read(1, &[&base, &own]));
    it.fail(map(2, 0), panicked()).expect_failed(1);
    it.expect_cancelled([]).expect_running(0);
    it.succeed(maps(1, 2)).succeed([result(0, 0)]).expect_done(0).expect_idle(&[1]);
}

#[test]
fn a_job_that_is_past_a_stage_does_not_fail_with_it() {
    let mut it = Script::new();
    let base = shuffle(1, &source(1));
    let next = shuffle(2, &read(1, &[&base]));
    it.submit(0, &read(1, &[&next])).succeed([map(1, 0), map(2, 0)]);
    it.submit(1, &read(1, &[&base])).fail(result(1, 0), lost(1, 0));
    it.fail(map(1, 0), panicked()).expect_failed(1);
    it.expect_running(0).succeed([result(0, 0)]).expect_done(0).expect_idle(&[2]);
}

#[test]
fn a_stage_that_no_job_needs_is_parked_and_runs_again_when_needed() {
    let mut it = Script::new();
    let base = shuffle(1, &source(2));
    let next = shuffle(2, &read(1, &[&base]));
    it.submit(0, &read(1, &[&next])).succeed(maps(1, 2)).succeed([map(2, 0)]);
    it.submit(1, &read(1, &[&base])).fail(result(1, 0), lost(1, 0)).launched.clear();
    it.cancel(1).expect_cancelled([map(1, 0)]).expect_failed(1);
    it.fail(result(0, 0), lost(2, 0)).expect([map(1, 0)]);
    it.succeed([map(1, 0)]).expect([map(2, 0)]);
    it.succeed([map(2, 0), result(0, 0)]).expect_done(0).expect_idle(&[1, 2]);
}

#[test]
fn a_job_that_skipped_a_stage_gets_it_recomputed_after_another_job_ends() {
    let mut it = Script::new();
    let base = shuffle(1, &source(1));
    let next = shuffle(2, &read(1, &[&base]));
    it.submit(0, &read(1, &[&next])).succeed([map(1, 0), map(2, 0)]);
    it.submit(1, &read(1, &[&next])).launched.clear();
    it.fail(result(0, 0), lost(2, 0)).expect([map(2, 0)]);
    it.fail(map(2, 0), lost(1, 0)).expect([map(1, 0)]);
    it.fail(result(1, 0), lost(2, 0)).expect_nothing();
    it.cancel(0).expect_cancelled([]).expect_failed(0);
    it.succeed([map(1, 0)]).expect([map(2, 0)]).succeed([map(2, 0)]).expect([result(1, 0)]);
    it.succeed([result(1, 0)]).expect_done(1).expect_idle(&[1, 2]);
}

#[test]
fn a_parked_stage_does_not_start_when_its_input_is_complete() {
    let mut it = Script::new();
    let first = shuffle(1, &source(1));
    let second = shuffle(2, &read(1, &[&first]));
    let third = shuffle(3, &read(1, &[&second]));
    it.submit(0, &read(1, &[&third])).succeed([map(1, 0), map(2, 0), map(3, 0)]);
    it.submit(1, &read(1, &[&second])).submit(2, &read(1, &[&first])).launched.clear();
    it.fail(result(1, 0), lost(2, 0)).expect([map(2, 0)]);
    it.fail(map(2, 0), lost(1, 0)).expect([map(1, 0)]);
    it.fail(result(2, 0), lost(1, 0)).cancel(1).expect_failed(1);
    it.expect_cancelled([]).succeed([map(1, 0)]).expect([result(2, 0)]);
    it.fail(result(0, 0), lost(3, 0)).expect([map(2, 0)]);
    it.succeed([map(2, 0), map(3, 0), result(0, 0), result(2, 0)]);
    it.expect_done(0).expect_done(2).expect_idle(&[1, 2, 3]);
}

#[test]
fn a_loss_found_by_one_job_is_recomputed_for_another_that_waits() {
    let mut it = Script::new();
    let left = shuffle(1, &source(1));
    let right = shuffle(2, &source(1));
    let both = shuffle(3, &read(1, &[&left, &right]));
    it.submit(0, &read(1, &[&both])).succeed([map(1, 0), map(2, 0), map(3, 0), result(0, 0)]);
    it.submit(1, &read(1, &[&left])).submit(2, &read(1, &[&both])).launched.clear();
    it.fail(result(2, 0), lost(3, 0)).fail(map(3, 0), lost(2, 0));
    it.expect([map(3, 0), map(2, 0)]);
    // Job 2 waits for shuffle 2 when job 1 finds shuffle 1 lost and is then cancelled.
    it.fail(result(1, 0), lost(1, 0)).expect([map(1, 0)]).cancel(1).expect_failed(1);
    it.expect_cancelled([]).succeed([map(2, 0), map(1, 0)]).expect([map(3, 0)]);
    it.succeed([map(3, 0), result(2, 0)]).expect_done(2).expect_idle(&[1, 2, 3]);
}

#[test]
fn the_state_does_not_grow_with_the_number_of_jobs() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(2));
    it.submit(0, &read(2, &[&pairs])).succeed(maps(1, 2)).succeed(results(0, 2));
    for job in 1..200 {
        it.submit(job, &read(2, &[&pairs])).succeed([result(job, 0)]);
        match job % 3 {
            0 => it.fail(result(job, 1), panicked()),
            1 => it.cancel(job),
            _ => it.succeed([result(job, 1)]),
        };
        it.expect_idle(&[1]);
    }
    drop(pairs);
    it.drop_shuffle(1).expect_idle(&[]);
}

#[test]
fn no_lineage_is_held_after_the_job_has_ended() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(1));
    let node = read(1, &[&pairs]);
    it.submit(0, &node).succeed([map(1, 0), result(0, 0)]).expect_done(0);
    assert_eq!((Arc::strong_count(&node), Arc::strong_count(&pairs)), (1, 2));
}
