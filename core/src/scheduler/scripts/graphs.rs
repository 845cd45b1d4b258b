//! Scripts about cutting the lineage into stages.

use super::*;

#[test]
fn a_job_without_a_shuffle_is_one_stage() {
    let mut it = Script::new();
    it.submit(0, &narrow(3, &[&source(3)])).expect(results(0, 3));
    it.succeed([result(0, 1), result(0, 0)]).expect_running(0);
    it.succeed([result(0, 2)]).expect_nothing().expect_done(0).expect_idle(&[]);
}

#[test]
fn only_the_requested_partitions_run() {
    let mut it = Script::new();
    it.submit_partitions(0, &source(9), vec![7, 2]).expect([result(0, 7), result(0, 2)]);
    it.succeed([result(0, 2), result(0, 7)]).expect_done(0).expect_idle(&[]);
}

#[test]
fn a_shuffle_waits_for_all_its_map_tasks() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(2));
    it.submit(0, &read(3, &[&pairs])).expect(maps(1, 2));
    it.succeed([map(1, 1)]).expect_nothing();
    it.succeed([map(1, 0)]).expect(results(0, 3));
    it.succeed(results(0, 3)).expect_done(0).expect_idle(&[1]);
    let stages = it.stages_of(0);
    assert_eq!(
        stages.iter().map(|stage| stage.shuffle).collect::<Vec<_>>(),
        [Some(ShuffleId(1)), None]
    );
    assert_eq!(stages[1].parents, [stages[0].stage]);
    assert!(stages[0].stage < stages[1].stage);
}

#[test]
fn events_are_emitted_in_order() {
    let mut it = Script::new();
    it.submit(0, &read(1, &[&shuffle(1, &source(1))]));
    it.start(map(1, 0)).succeed([map(1, 0)]).start(result(0, 0)).succeed([result(0, 0)]);
    let text = |event: &Event| format!("{event:?}").split(' ').next().unwrap_or("").to_string();
    assert_eq!(
        it.events.iter().map(text).collect::<Vec<_>>(),
        [
            "JobStarted",
            "StageStarted",
            "TaskStarted",
            "TaskFinished",
            "StageFinished",
            "StageStarted",
            "TaskStarted",
            "TaskFinished",
            "StageFinished",
            "JobFinished",
        ]
    );
}

#[test]
fn independent_shuffles_run_together() {
    let mut it = Script::new();
    let left = shuffle(1, &source(2));
    let right = shuffle(2, &source(1));
    it.submit(0, &read(1, &[&left, &right])).expect([map(1, 0), map(1, 1), map(2, 0)]);
    it.succeed([map(2, 0), map(1, 0)]).expect_nothing();
    it.succeed([map(1, 1)]).expect([result(0, 0)]);
}

#[test]
fn a_diamond_of_shuffles_runs_each_once() {
    let mut it = Script::new();
    let base = shuffle(1, &source(1));
    let left = shuffle(2, &read(1, &[&base]));
    let right = shuffle(3, &read(1, &[&base]));
    it.submit(0, &read(1, &[&left, &right])).expect([map(1, 0)]);
    it.succeed([map(1, 0)]).expect([map(2, 0), map(3, 0)]);
    it.succeed([map(2, 0), map(3, 0)]).expect([result(0, 0)]);
    it.succeed([result(0, 0)]).expect_done(0).expect_idle(&[1, 2, 3]);
    assert_eq!(it.stages_of(0).len(), 4);
}

#[test]
fn parents_have_lower_stage_numbers_than_children() {
    let mut it = Script::new();
    let a = shuffle(1, &source(1));
    let b = shuffle(2, &source(1));
    let c = shuffle(3, &read(1, &[&b, &a]));
    it.submit(0, &read(1, &[&a, &c, &b]));
    let stages = it.stages_of(0);
    assert_eq!(stages.len(), 4);
    for stage in &stages {
        assert!(stage.parents.iter().all(|parent| *parent < stage.stage), "{stage:?}");
    }
    assert!(stages.is_sorted_by_key(|stage| stage.stage));
}

#[test]
fn a_second_job_skips_a_stored_shuffle_and_does_not_visit_its_parents() {
    let mut it = Script::new();
    let first = shuffle(1, &source(2));
    let second = shuffle(2, &read(2, &[&first]));
    it.submit(0, &read(1, &[&second])).succeed(maps(1, 2)).succeed(maps(2, 2));
    it.succeed([result(0, 0)]).expect_done(0).launched.clear();
    it.submit(1, &read(1, &[&second])).expect([result(1, 0)]);
    let stages = it.stages_of(1);
    assert_eq!(stages.len(), 2);
    let skipped = Event::StageSkipped { job: JobId(1), stage: stages[0].stage };
    assert_eq!(it.count(|event| *event == skipped), 1);
    it.succeed([result(1, 0)]).expect_done(1).expect_idle(&[1, 2]);
}

#[test]
fn outputs_of_a_failed_job_are_reused_by_the_next() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(3));
    it.submit(0, &read(1, &[&pairs])).succeed([map(1, 0), map(1, 2)]);
    it.fail(map(1, 1), panicked()).expect_failed(0);
    it.launched.clear();
    it.submit(1, &read(1, &[&pairs])).expect([map(1, 1)]);
}

#[test]
fn a_dropped_shuffle_is_forgotten() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(1));
    it.submit(0, &read(1, &[&pairs])).succeed([map(1, 0), result(0, 0)]).expect_done(0);
    it.drop_shuffle(1).expect_idle(&[]).launched.clear();
    it.submit(1, &read(1, &[&pairs])).expect([map(1, 0)]);
}

#[test]
fn a_stored_node_ends_the_walk() {
    let mut it = Script::new();
    let (node, _) = stored(2, &shuffle(1, &source(5)));
    it.submit(0, &narrow(2, &[&node])).expect(results(0, 2));
    assert_eq!(it.stages_of(0).len(), 1);
    it.succeed(results(0, 2)).expect_done(0).expect_idle(&[]);
}

#[test]
fn a_job_without_partitions_ends_at_once() {
    let mut it = Script::new();
    let node = read(3, &[&shuffle(1, &source(2))]);
    it.submit_partitions(0, &node, vec![]).expect_nothing().expect_done(0).expect_idle(&[]);
    assert_eq!(it.count(|event| matches!(event, Event::JobStarted { .. })), 1);
    assert_eq!(it.count(|event| matches!(event, Event::JobFinished { .. })), 1);
}

#[test]
fn a_shuffle_without_map_partitions_is_complete_at_once() {
    let mut it = Script::new();
    it.submit(0, &read(1, &[&shuffle(1, &source(0))])).expect([result(0, 0)]);
    it.succeed([result(0, 0)]).expect_done(0).expect_idle(&[]);
}

#[test]
fn a_partition_that_does_not_exist_is_refused_before_anything_runs() {
    let mut it = Script::new();
    let node = read(3, &[&shuffle(1, &source(2))]);
    it.submit_partitions(0, &node, vec![0, 3]).expect_nothing();
    let text = it.expect_failed(0).to_string();
    assert!(text.contains("partition 3") && text.contains("has 3"), "{text}");
    it.expect_idle(&[]);
}

/// Runs a script on a stack in which a deep recursion would overflow.
fn on_a_small_stack(script: impl FnOnce() + Send + 'static) {
    testkit::on_stack(256 << 10, script);
}

#[test]
fn a_chain_of_a_hundred_thousand_narrow_nodes_is_planned_on_a_small_stack() {
    let script = || {
        let mut node = read(1, &[&shuffle(1, &source(1))]);
        for _ in 0..100_000 {
            node = narrow(1, &[&node]);
        }
        let mut it = Script::new();
        it.submit(0, &node).expect([map(1, 0)]);
        it.succeed([map(1, 0), result(0, 0)]).expect_done(0);
        assert_eq!(super::super::parents_first(&node).len(), 100_002);
    };
    on_a_small_stack(script);
}

#[test]
fn a_chain_of_ten_thousand_shuffles_is_planned_on_a_small_stack() {
    let script = || {
        let mut node = source(1);
        for id in 0..10_000 {
            node = read(1, &[&shuffle(id, &node)]);
        }
        let mut it = Script::new();
        it.submit(0, &node).expect([map(0, 0)]);
        for id in 0..10_000 {
            it.succeed([map(id, 0)]);
        }
        it.succeed([result(0, 0)]).expect_done(0);
    };
    on_a_small_stack(script);
}

#[test]
fn forty_levels_of_diamonds_are_visited_once_each() {
    let mut flat = source(1);
    for _ in 0..40 {
        flat = narrow(1, &[&flat, &flat, &narrow(1, &[&flat])]);
    }
    let mut it = Script::new();
    it.submit(0, &flat).expect([result(0, 0)]);
    let mut tower = source(1);
    for level in 0..40 {
        let left = shuffle(2 * level, &tower);
        let right = shuffle(2 * level + 1, &tower);
        tower = read(1, &[&left, &right]);
    }
    it.submit(1, &tower).expect([map(0, 0), map(1, 0)]);
    assert_eq!(it.stages_of(1).len(), 81);
    for level in 0..40 {
        it.succeed([map(2 * level, 0), map(2 * level + 1, 0)]);
    }
    it.succeed([result(1, 0)]).expect_done(1);
}

#[test]
fn a_stage_of_a_hundred_thousand_tasks_ends_before_the_deadline_and_leaves_nothing() {
    let mut it = Script::new();
    it.submit(0, &source(100_000));
    it.fail(result(0, 5), lost(9, 9)); // an unknown shuffle ends the job
    assert!(matches!(it.expect_failed(0).kind(), ErrorKind::FetchFailed { .. }));
    assert_eq!(it.cancelled.len(), limits(1).window - 1);
    it.submit(1, &source(100_000)).succeed(results(1, 100_000)).expect_done(1).expect_idle(&[]);
}
