//! Scripts about stragglers and their speculative attempts.

use super::*;
use crate::config::Speculation;
use crate::error::superseded;
use std::time::Duration;

/// Returns a scheduler that speculates: half of the tasks must have finished, and a straggler runs
/// twice as long as their median and at least 10 ms.
fn speculating() -> Script {
    let min_runtime = Duration::from_millis(10);
    let speculation = Some(Speculation { quantile: 0.5, multiplier: 2.0, min_runtime });
    Script::with(Limits { speculation, ..limits(1) })
}

impl Script {
    /// Ends tasks that ran for `ms` milliseconds each.
    #[track_caller]
    fn succeed_after(&mut self, ms: u64, keys: impl IntoIterator<Item = TaskKey>) -> &mut Self {
        for key in keys {
            self.end(key, Ok(TaskMetrics { run_us: ms * 1_000, ..TaskMetrics::default() }));
        }
        self
    }

    /// Reports how many milliseconds these tasks have been running.
    #[track_caller]
    fn tick(&mut self, running: &[(TaskKey, u64)]) -> &mut Self {
        let running = running.iter().map(|(key, ms)| (self.task(*key), ms * 1_000)).collect();
        self.on(Input::Tick { running })
    }

    #[track_caller]
    fn second_attempt_of(&self, key: TaskKey) -> TaskId {
        *self.speculative.get(&key).unwrap_or_else(|| panic!("{key:?} has no speculative attempt"))
    }
}

/// Starts four results: two finish after 20 ms, the third has a speculative attempt, the fourth
/// runs.
fn with_a_straggler() -> Script {
    let mut it = speculating();
    it.submit(0, &source(4)).expect(results(0, 4));
    for key in results(0, 4) {
        it.start(key);
    }
    it.succeed_after(20, results(0, 2));
    it.tick(&[(result(0, 2), 41), (result(0, 3), 39)]).expect([result(0, 2)]);
    it
}

// Case F099 of tests/PROMISES.md.
#[test]
fn only_a_straggler_gets_a_speculative_attempt_and_only_one() {
    let mut it = with_a_straggler();
    it.tick(&[(result(0, 2), 900), (result(0, 3), 40)]).expect_nothing();
    it.tick(&[(result(0, 3), 41)]).expect([result(0, 3)]);
    let copied = |event: &Event| match event {
        Event::TaskSpeculated { partition, attempt, ran_us, median_us, .. } => {
            Some((*partition, *attempt, *ran_us, *median_us))
        }
        _ => None,
    };
    let copied: Vec<_> = it.events.iter().filter_map(copied).collect();
    assert_eq!(copied, [(2, 1, 41_000, 20_000), (3, 1, 41_000, 20_000)]);
}

// Case F099 of tests/PROMISES.md.
#[test]
fn no_task_is_speculated_before_the_quantile_or_the_minimum_time_or_when_disabled() {
    let mut it = speculating();
    it.submit(0, &source(4)).expect(results(0, 4));
    it.tick(&[(result(0, 3), 900)]).expect_nothing();
    it.succeed_after(1, [result(0, 0)]).tick(&[(result(0, 3), 900)]).expect_nothing();
    it.succeed_after(1, [result(0, 1)]).tick(&[(result(0, 3), 10)]).expect_nothing();
    it.tick(&[(result(0, 3), 11)]).expect([result(0, 3)]);
    let mut it = Script::new();
    it.submit(0, &source(2)).succeed_after(1, [result(0, 0)]).launched.clear();
    it.tick(&[(result(0, 1), 900)]).expect_nothing();
}

// Case F099 of tests/PROMISES.md.
#[test]
fn the_first_attempt_to_finish_wins_and_the_other_is_cancelled() {
    for second_wins in [false, true] {
        let mut it = with_a_straggler();
        let first = it.task(result(0, 2));
        let second = it.second_attempt_of(result(0, 2));
        it.on(Input::TaskStarted { task: second });
        let (winner, loser) = if second_wins { (second, first) } else { (first, second) };
        it.end_task(winner, Ok(TaskMetrics::default())).expect_cancelled([result(0, 2)]);
        for late in [Ok(TaskMetrics::default()), Err(superseded()), Err(panicked())] {
            it.on(Input::TaskEnded { task: loser, result: late }).expect_nothing();
        }
        it.succeed([result(0, 3)]).expect_done(0).expect_idle(&[]);
        let cancelled = |event: &Event| match event {
            Event::TaskCancelled { task, .. } => *task == loser,
            _ => false,
        };
        assert_eq!(it.count(cancelled), 1);
        assert_eq!(it.count(|event| matches!(event, Event::TaskFailed { .. })), 0);
    }
}

#[test]
fn either_attempt_continues_when_the_other_fails() {
    for first_fails in [true, false] {
        let mut it = with_a_straggler();
        let first = it.task(result(0, 2));
        let second = it.second_attempt_of(result(0, 2));
        let (fails, wins) = if first_fails { (first, second) } else { (second, first) };
        it.end_task(fails, Err(disk_fault())).expect_nothing().expect_running(0);
        it.end_task(wins, Ok(TaskMetrics::default())).expect_nothing();
        it.succeed([result(0, 3)]).expect_done(0).expect_idle(&[]);
    }
}

#[test]
fn a_failure_of_a_speculative_attempt_counts_like_any_other() {
    let mut it = with_a_straggler();
    let second = it.second_attempt_of(result(0, 2));
    it.end_task(second, Err(panicked()));
    it.expect_cancelled(vec![result(0, 2), result(0, 3)]).expect_failed(0);
    it.expect_idle(&[]);
}

#[test]
fn a_superseded_attempt_is_no_failure_and_runs_again_only_if_the_other_one_failed() {
    let mut it = with_a_straggler();
    let first = it.task(result(0, 2));
    let second = it.second_attempt_of(result(0, 2));
    // The second attempt has committed, but the end of the first is reported before.
    it.end_task(first, Err(superseded())).expect_nothing();
    it.end_task(second, Err(disk_fault())).expect([result(0, 2)]);
    it.succeed(vec![result(0, 2), result(0, 3)]).expect_done(0).expect_idle(&[]);
    let mut it = with_a_straggler();
    let first = it.task(result(0, 2));
    let second = it.second_attempt_of(result(0, 2));
    it.end_task(second, Err(disk_fault())).expect_nothing();
    it.end_task(first, Err(superseded())).expect([result(0, 2)]);
    it.succeed(vec![result(0, 2), result(0, 3)]).expect_done(0).expect_idle(&[]);
}

#[test]
fn a_speculated_map_task_gives_one_output_whose_loss_is_recomputed_once() {
    let mut it = speculating();
    let pairs = shuffle(1, &source(2));
    it.submit(0, &read(1, &[&pairs])).succeed_after(20, [map(1, 0)]).launched.clear();
    it.tick(&[(map(1, 1), 50)]).expect([map(1, 1)]);
    let second = it.second_attempt_of(map(1, 1));
    it.end_task(second, Ok(TaskMetrics::default())).expect([result(0, 0)]);
    it.expect_cancelled([map(1, 1)]);
    it.start(result(0, 0)).fail(result(0, 0), lost(1, 1)).expect([map(1, 1)]);
    it.succeed([map(1, 1)]).expect([result(0, 0)]);
    it.succeed([result(0, 0)]).expect_done(0).expect_idle(&[1]);
}

#[test]
fn a_cancelled_job_cancels_the_speculative_attempt_as_well() {
    let mut it = with_a_straggler();
    it.cancel(0).expect_cancelled(vec![result(0, 2), result(0, 2), result(0, 3)]);
    it.expect_failed(0);
    it.expect_idle(&[]);
}

#[test]
fn a_speculative_attempt_shares_the_commit_right_and_a_later_attempt_has_another() {
    let mut scheduler = Scheduler::new(speculating().scheduler.limits);
    let request = Arc::new(JobRequest {
        action: Operation::new("collect"),
        lineage: source(2),
        partitions: vec![0, 1],
        task: Quiet::new(Arc::new(|_| panic!("computed"))),
    });
    let launched = |commands: Vec<Command>| {
        let tasks = commands.into_iter().filter_map(|command| match command {
            Command::Launch(task) => Some((task.id, task.right)),
            _ => None,
        });
        tasks.collect::<Vec<_>>()
    };
    let first = launched(scheduler.on(Input::JobSubmitted { job: JobId(0), request }));
    let done = Input::TaskEnded { task: first[0].0, result: Ok(TaskMetrics::default()) };
    scheduler.on(done);
    let second = launched(scheduler.on(Input::Tick { running: vec![(first[1].0, 1_000_000)] }));
    assert!(Arc::ptr_eq(&first[1].1, &second[0].1));
    scheduler.on(Input::TaskEnded { task: second[0].0, result: Err(disk_fault()) });
    let last =
        launched(scheduler.on(Input::TaskEnded { task: first[1].0, result: Err(disk_fault()) }));
    assert!(!Arc::ptr_eq(&first[1].1, &last[0].1));
}

#[test]
fn progress_counts_the_tasks_that_run_for_a_job_and_none_that_were_skipped() {
    let mut it = Script::new();
    let pairs = shuffle(1, &source(2));
    let of = |it: &Script, job| it.scheduler.progress(JobId(job));
    it.submit(0, &read(3, &[&pairs]));
    assert_eq!(of(&it, 0), Progress { tasks_done: 0, tasks: 5 });
    it.succeed(maps(1, 2)).succeed([result(0, 0)]);
    assert_eq!(of(&it, 0), Progress { tasks_done: 3, tasks: 5 });
    it.succeed(vec![result(0, 1), result(0, 2)]).expect_done(0);
    it.submit(1, &read(3, &[&pairs]));
    assert_eq!(of(&it, 1), Progress { tasks_done: 0, tasks: 3 });
    it.fail(result(1, 0), lost(1, 1));
    assert_eq!(of(&it, 1), Progress { tasks_done: 0, tasks: 4 });
}
