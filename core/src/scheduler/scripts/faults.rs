//! Scripts about failed tasks and lost outputs.

use super::*;

/// Starts a job of two map and three result partitions, whose result tasks run.
fn reading() -> (Script, Shuffle) {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(2));
    it.submit(0, &read(3, &[&pairs])).succeed(maps(1, 2)).launched.clear();
    (it, pairs)
}

#[test]
fn a_fetch_failure_reruns_the_lost_map_task_and_then_the_unfinished_results() {
    let (mut it, _) = reading();
    it.succeed([result(0, 0)]);
    it.fail(result(0, 1), lost(1, 1)).expect([map(1, 1)]);
    it.succeed([result(0, 2)]).expect_nothing();
    it.succeed([map(1, 1)]).expect([result(0, 1)]);
    it.succeed([result(0, 1)]).expect_done(0).expect_idle(&[1]);
    let lost = Event::OutputLost { shuffle: ShuffleId(1), map_partition: 1 };
    assert_eq!(it.count(|event| *event == lost), 1);
}

#[test]
fn after_one_loss_both_stages_have_attempts_0_and_1() {
    let (mut it, _) = reading();
    it.fail(result(0, 1), lost(1, 1)).succeed([map(1, 1)]);
    let started = |event: &Event| match event {
        Event::StageStarted { stage, attempt, tasks } => Some((stage.0, *attempt, *tasks)),
        _ => None,
    };
    let started: Vec<_> = it.events.iter().filter_map(started).collect();
    assert_eq!(started, [(0, 0, 2), (1, 0, 3), (0, 1, 1), (1, 1, 1)]);
}

#[test]
fn a_loss_two_shuffles_deep_is_recomputed_in_order() {
    let mut it = Script::new();
    let first = shuffle(1, &source(2));
    let second = shuffle(2, &read(2, &[&first]));
    it.submit(0, &read(1, &[&second])).succeed(maps(1, 2)).succeed(maps(2, 2)).launched.clear();
    it.fail(result(0, 0), lost(2, 1)).expect([map(2, 1)]);
    it.fail(map(2, 1), lost(1, 0)).expect([map(1, 0)]);
    it.succeed([map(1, 0)]).expect([map(2, 1)]);
    it.succeed([map(2, 1)]).expect([result(0, 0)]);
    it.succeed([result(0, 0)]).expect_done(0).expect_idle(&[1, 2]);
}

#[test]
fn a_loss_in_a_skipped_stage_is_recomputed_even_if_its_parent_was_dropped() {
    let mut it = Script::new();
    let first = shuffle(1, &source(2));
    let second = shuffle(2, &read(2, &[&first]));
    it.submit(0, &read(1, &[&second])).succeed(maps(1, 2)).succeed(maps(2, 2));
    it.succeed([result(0, 0)]).drop_shuffle(1).launched.clear();
    it.submit(1, &read(1, &[&second])).expect([result(1, 0)]);
    it.fail(result(1, 0), lost(2, 0)).expect(maps(1, 2));
    it.succeed(maps(1, 2)).expect([map(2, 0)]);
    it.succeed([map(2, 0)]).expect([result(1, 0)]);
    it.succeed([result(1, 0)]).expect_done(1).expect_idle(&[1, 2]);
}

#[test]
fn a_block_lost_after_planning_adds_its_shuffle_to_the_job() {
    let mut it = Script::new();
    let (node, blocks) = stored(1, &shuffle(1, &source(2)));
    it.submit(0, &narrow(1, &[&node])).expect([result(0, 0)]);
    blocks.set(false);
    it.fail(result(0, 0), lost(1, 0)).expect(maps(1, 2));
    it.succeed(maps(1, 2)).expect([result(0, 0)]);
    it.succeed([result(0, 0)]).expect_done(0).expect_idle(&[1]);
}

#[test]
fn a_second_job_reads_a_node_that_was_stored_meanwhile() {
    let mut it = Script::new();
    let (node, blocks) = stored(1, &shuffle(1, &source(1)));
    blocks.set(false);
    it.submit(0, &node).succeed([map(1, 0), result(0, 0)]).launched.clear();
    blocks.set(true);
    it.submit(1, &narrow(1, &[&node])).expect([result(1, 0)]);
    assert_eq!(it.stages_of(1).len(), 1);
}

#[test]
fn eight_fetch_failures_in_one_attempt_count_once() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(8));
    it.submit(0, &read(8, &[&pairs])).succeed(maps(1, 8)).launched.clear();
    for partition in 0..8 {
        it.fail(result(0, partition), lost(1, partition)).expect([map(1, partition)]);
    }
    it.expect_running(0).succeed(maps(1, 8)).expect(results(0, 8));
    it.succeed(results(0, 8)).expect_done(0);
}

#[test]
fn eight_reports_of_one_loss_rerun_it_once() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(2));
    it.submit(0, &read(8, &[&pairs])).succeed(maps(1, 2)).launched.clear();
    for partition in 0..8 {
        it.start(result(0, partition));
    }
    it.fail(result(0, 0), lost(1, 0)).expect([map(1, 0)]).start(map(1, 0));
    it.fail(result(0, 1), lost(1, 0)).expect_nothing();
    it.succeed([map(1, 0)]).expect([result(0, 0), result(0, 1)]);
    for partition in 2..8 {
        // They started before the new output was finished, so they refer to the old one.
        it.fail(result(0, partition), lost(1, 0)).expect([result(0, partition)]);
    }
    it.succeed(results(0, 8)).expect_done(0);
    assert_eq!(it.count(|event| matches!(event, Event::OutputLost { .. })), 1);
}

#[test]
fn a_reader_that_started_after_the_recomputation_refers_to_the_new_output() {
    let (mut it, _) = reading();
    it.fail(result(0, 0), lost(1, 0)).succeed([map(1, 0)]).expect([map(1, 0), result(0, 0)]);
    // It was launched before the loss, but started after the new output was finished.
    it.start(result(0, 1)).fail(result(0, 1), lost(1, 0)).expect([map(1, 0)]);
}

#[test]
fn the_fourth_failed_attempt_of_one_stage_ends_the_job_with_the_last_cause() {
    let (mut it, pairs) = reading();
    for _ in 0..3 {
        it.fail(result(0, 1), lost(1, 0)).expect([map(1, 0)]);
        it.succeed([map(1, 0)]).expect([result(0, 1)]).expect_running(0);
    }
    it.fail(result(0, 1), lost(1, 0).caused_by("bad checksum")).expect_nothing();
    let error = it.expect_failed(0);
    assert_eq!(error.fetch_failure(), Some((ShuffleId(1), 0)));
    assert_eq!(error.task().map(|task| task.partition), Some(1));
    let text = error.to_string();
    assert!(text.contains("bad checksum") && text.contains("after 4 attempts"), "{text}");
    it.expect_cancelled([result(0, 0), result(0, 2)]).expect_idle(&[1]);
    it.submit(1, &read(1, &[&pairs])).expect([map(1, 0)]);
}

// Case R-B6 of tests/PROMISES.md.
#[test]
fn another_output_lost_in_each_attempt_is_progress_and_the_job_ends_well() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(30));
    it.submit(0, &read(1, &[&pairs])).succeed(maps(1, 30)).launched.clear();
    for round in 0..30 {
        it.fail(result(0, 0), lost(1, round)).expect([map(1, round)]);
        it.succeed([map(1, round)]).expect([result(0, 0)]).expect_running(0);
    }
    it.succeed([result(0, 0)]).expect_done(0).expect_idle(&[1]);
}

// Case R-B6 of tests/PROMISES.md.
#[test]
fn four_attempts_without_a_new_lost_output_end_the_job_whatever_was_lost_before() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(8));
    it.submit(0, &read(1, &[&pairs])).succeed(maps(1, 8)).launched.clear();
    for round in [0, 1, 0, 1, 2, 0, 1] {
        it.fail(result(0, 0), lost(1, round)).expect([map(1, round)]);
        it.succeed([map(1, round)]).expect([result(0, 0)]).expect_running(0);
    }
    let error = it.fail(result(0, 0), lost(1, 2)).expect_nothing().expect_failed(0);
    assert_eq!((error.attempts(), error.fetch_failure()), (4, Some((ShuffleId(1), 2))));
    let earlier = error.earlier().iter().map(|it| it.fetch_failure().map(|lost| lost.1));
    assert_eq!(earlier.collect::<Vec<_>>(), [Some(2), Some(0), Some(1)]);
    it.expect_idle(&[1]);
}

// Case R-B6 of tests/PROMISES.md.
#[test]
fn a_second_reader_of_the_same_attempt_may_report_the_new_lost_output() {
    let (mut it, _) = reading();
    it.succeed([result(0, 2)]);
    for round in 0..6 {
        for partition in 0..2 {
            let found = usize::from((round, partition) == (2, 1));
            if it.finished.is_empty() {
                it.fail(result(0, partition), lost(1, found));
            }
        }
        let lost = it.launched.drain(..).collect::<Vec<_>>();
        match round {
            0..5 => it.succeed(lost).expect(results(0, 2)).expect_running(0),
            _ => break,
        };
    }
    // The third of six attempts found something new, so the fourth after that ended the job.
    assert_eq!(it.expect_failed(0).attempts(), 4);
}

#[test]
fn all_outputs_that_a_reader_reports_lost_are_recomputed_in_one_attempt() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(9));
    it.submit(0, &read(2, &[&pairs])).succeed(maps(1, 9)).launched.clear();
    it.fail(result(0, 0), all_lost(1, 0, [3, 4, 8])).expect([0, 3, 4, 8].map(|it| map(1, it)));
    // The other reader found the same outputs lost, and one more.
    it.fail(result(0, 1), all_lost(1, 0, [3, 4, 5, 8])).expect([map(1, 5)]);
    it.succeed([0, 3, 4, 5, 8].map(|it| map(1, it))).expect(results(0, 2));
    it.succeed(results(0, 2)).expect_done(0).expect_idle(&[1]);
    assert_eq!(it.count(|event| matches!(event, Event::OutputLost { .. })), 5);
    let again = |event: &Event| matches!(event, Event::StageStarted { stage, attempt: 1, tasks: 4 } if stage.0 == 0);
    assert_eq!(it.count(again), 1);
}

#[test]
fn a_task_that_reads_a_shuffle_of_another_job_fails_with_the_loss_and_advice() {
    let (mut it, _) = reading();
    let loss = lost(9, 9).caused_by("no such file");
    let error = it.fail(result(0, 1), loss).expect_nothing().expect_failed(0);
    assert_eq!((error.fetch_failure(), error.attempts()), (Some((ShuffleId(9), 9)), 1));
    let text = error.to_string();
    for part in ["Group", "run the earlier action again", "no such file", "partition 1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn losses_with_a_success_in_between_do_not_add_up() {
    let mut it = Script::new();
    let first = shuffle(1, &source(1));
    let second = shuffle(2, &read(1, &[&first]));
    it.submit(0, &read(1, &[&second])).succeed([map(1, 0), map(2, 0)]);
    for _ in 0..3 {
        it.fail(result(0, 0), lost(2, 0));
        for _ in 0..3 {
            it.fail(map(2, 0), lost(1, 0)).succeed([map(1, 0)]);
        }
        it.succeed([map(2, 0)]);
    }
    it.expect_running(0).succeed([result(0, 0)]).expect_done(0);
}

#[test]
fn late_fetch_failures_of_an_older_attempt_do_not_count() {
    let (mut it, _) = reading();
    for round in 0..2 {
        it.fail(result(0, 0), lost(1, round)).expect([map(1, round)]);
        it.succeed([map(1, round)]).expect([result(0, 0)]);
    }
    // Both started in attempt 0; attempt 2 runs.
    it.fail(result(0, 1), lost(1, 0)).fail(result(0, 2), lost(1, 1));
    it.expect([result(0, 1), result(0, 2)]);
    it.fail(result(0, 0), lost(1, 0)).expect([map(1, 0)]).expect_running(0);
    it.succeed([map(1, 0)]).expect([result(0, 0)]).succeed(results(0, 3)).expect_done(0);
}

#[test]
fn a_late_success_of_a_cancelled_map_task_does_not_count() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(1));
    it.submit(0, &read(1, &[&pairs])).expect([map(1, 0)]).start(map(1, 0));
    let late = it.task(map(1, 0));
    it.cancel(0).expect_failed(0);
    it.submit(1, &read(1, &[&pairs])).expect([map(1, 0)]);
    it.on(Input::TaskEnded { task: late, result: Ok(TaskMetrics::default()) }).expect_nothing();
    it.succeed([map(1, 0)]).expect([result(1, 0)]);
}

#[test]
fn a_reader_of_an_output_that_is_being_recomputed_waits_for_it() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(1));
    let (node, blocks) = stored(1, &pairs);
    it.submit(0, &read(1, &[&pairs])).expect([map(1, 0)]).start(map(1, 0));
    it.submit(1, &node).expect([result(1, 0)]).start(result(1, 0));
    blocks.set(false);
    it.fail(result(1, 0), lost(1, 0)).expect_nothing();
    it.succeed([map(1, 0)]).expect([result(0, 0), result(1, 0)]);
}

#[test]
fn a_shuffle_dropped_while_a_reader_waits_runs_again() {
    let mut it = Script::new();
    let left = shuffle(1, &source(1));
    let right = shuffle(2, &source(1));
    it.submit(0, &read(1, &[&left, &right])).succeed([map(1, 0)]).launched.clear();
    it.drop_shuffle(1).expect([map(1, 0)]);
    it.succeed([map(2, 0)]).expect_nothing().succeed([map(1, 0)]).expect([result(0, 0)]);
    it.succeed([result(0, 0)]).expect_done(0);
}

#[test]
fn the_end_of_a_task_that_is_not_live_is_ignored() {
    let (mut it, pairs) = reading();
    let old = it.task(result(0, 0));
    it.cancel(0).expect_cancelled(results(0, 3)).expect_failed(0);
    it.submit(1, &read(3, &[&pairs])).expect(results(1, 3));
    for result in [Ok(TaskMetrics::default()), Err(panicked()), Err(lost(1, 0))] {
        it.on(Input::TaskStarted { task: old }).on(Input::TaskEnded { task: old, result });
    }
    it.expect_nothing().succeed(results(1, 3)).expect_done(1).expect_idle(&[1]);
}

#[test]
fn a_closure_that_fails_is_tried_once_by_default() {
    let (mut it, _) = reading();
    it.fail(result(0, 2), panicked()).expect_nothing();
    let error = it.expect_failed(0);
    assert_eq!((error.attempts(), error.task().map(|it| it.partition)), (1, Some(2)));
    it.expect_cancelled([result(0, 0), result(0, 1)]).expect_idle(&[1]);
}

#[test]
fn a_closure_gets_the_configured_attempts() {
    let mut it = Script::with(limits(3));
    it.submit(0, &source(1)).expect([result(0, 0)]);
    it.fail(result(0, 0), panicked()).expect([result(0, 0)]);
    it.fail(result(0, 0), panicked()).expect([result(0, 0)]);
    let text = it.fail(result(0, 0), panicked()).expect_failed(0).to_string();
    assert!(text.contains("boom") && text.contains("attempt 2) after 3 attempts"), "{text}");
}

// Case F011 of tests/PROMISES.md.
#[test]
fn a_success_resets_the_failure_count_of_its_task() {
    let mut it = Script::with(limits(2));
    let pairs = shuffle(1, &source(1));
    it.submit(0, &read(1, &[&pairs])).expect([map(1, 0)]);
    for _ in 0..2 {
        it.fail(map(1, 0), panicked()).expect([map(1, 0)]);
        it.succeed([map(1, 0)]).expect([result(0, 0)]);
        // The map task runs again. If success did not reset the count, the next failure would be
        // the third.
        it.fail(result(0, 0), lost(1, 0)).expect([map(1, 0)]);
    }
    it.fail(map(1, 0), panicked()).fail(map(1, 0), panicked());
    let error = it.expect_failed(0);
    assert_eq!((error.attempts(), error.earlier().len()), (2, 1), "{error}");
}

// Case F011 of tests/PROMISES.md.
#[test]
fn a_success_leaves_the_failure_counts_of_other_tasks_unchanged() {
    let mut it = Script::with(limits(2));
    it.submit(0, &source(3)).expect(results(0, 3));
    it.fail(result(0, 0), panicked()).fail(result(0, 1), panicked());
    it.expect([result(0, 0), result(0, 1)]).succeed([result(0, 0)]);
    // Each task has its own count, and the success of one does not reset the count of another.
    it.fail(result(0, 2), panicked()).expect([result(0, 2)]).expect_running(0);
    it.fail(result(0, 1), panicked()).expect_nothing();
    let error = it.expect_failed(0);
    assert_eq!((error.attempts(), error.task().unwrap().partition), (2, 1), "{error}");
}

#[test]
fn a_disk_error_is_tried_four_times_and_reported_with_its_cause() {
    let (mut it, _) = reading();
    for _ in 0..3 {
        it.fail(result(0, 1), disk_fault()).expect([result(0, 1)]);
    }
    it.fail(result(0, 1), disk_fault()).expect_nothing();
    let text = it.expect_failed(0).to_string();
    assert!(text.contains("no space") && text.contains("after 4 attempts"), "{text}");
}

#[test]
fn fetch_failures_do_not_count_towards_the_attempts_of_a_task() {
    let (mut it, _) = reading();
    for _ in 0..3 {
        it.fail(result(0, 1), disk_fault()).fail(result(0, 1), lost(1, 0)).succeed([map(1, 0)]);
    }
    it.expect_running(0).succeed(results(0, 3)).expect_done(0);
}

#[test]
fn a_map_stage_that_fails_for_good_fails_the_job_and_the_results_never_start() {
    let mut it = Script::new();
    it.submit(0, &read(3, &[&shuffle(1, &source(2))])).expect(maps(1, 2));
    let error = it.fail(map(1, 0), panicked()).expect_failed(0);
    assert!(error.to_string().contains("boom"));
    it.expect_nothing().expect_cancelled([map(1, 1)]).expect_idle(&[]);
}
