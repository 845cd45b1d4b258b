//! Stragglers and their speculative attempts: one of the two commits. The closures here return the number
//! of their attempt, which a correct closure never does, so that a test can see which attempt produced a result.

use crate::events::{Recorder, count_of};
use crate::support::sorted;
use emberline::prelude::*;
use emberline::{config::Speculation, event::Event, pipeline::Pipeline};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use testkit::{DEADLINE, within};

/// The synchronization between the attempts of the last partition.
#[derive(Clone, Default)]
pub struct Race(Arc<(Mutex<Seen>, Condvar)>);

#[derive(Default)]
struct Seen {
    began: usize,
    /// The first attempt may continue.
    is_free: bool,
    /// The first attempt has ended.
    is_over: bool,
}

impl Race {
    /// Returns the number of the calling attempt. The first one waits until it is released.
    pub fn run(&self) -> u64 {
        let (seen, changed) = &*self.0;
        let mut seen = seen.lock().unwrap();
        seen.began += 1;
        if seen.began > 1 {
            return seen.began as u64;
        }
        drop(changed.wait_while(seen, |seen| !seen.is_free).unwrap());
        1
    }

    pub fn let_go(&self) {
        self.0.0.lock().unwrap().is_free = true;
        self.0.1.notify_all();
    }

    fn is_over(&self) {
        self.0.0.lock().unwrap().is_over = true;
        self.0.1.notify_all();
    }

    fn wait_for_its_end(&self) {
        let seen = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(seen, |seen| !seen.is_over).unwrap());
    }
}

/// A guard that is dropped with the task, and then records that the first attempt has ended.
struct AtTheEnd(Race, u64);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        if self.1 == 1 {
            self.0.is_over();
        }
    }
}

/// Makes a context that starts speculative attempts early.
pub fn builder() -> emberline::ContextBuilder {
    let min_runtime = Duration::from_millis(20);
    let speculation = Speculation { quantile: 0.5, multiplier: 2.0, min_runtime };
    Context::builder().threads(6).speculation(speculation)
}

/// Makes four partitions, of which the last has the number of its attempt as its only row.
///
/// It is not boxed, because a boxed operation would stop a losing attempt early.
pub fn racing(ctx: &Context, race: &Race) -> Rdd<u64, impl Pipeline<Item = u64> + use<>> {
    let race = race.clone();
    ctx.generate(4, move |partition| {
        let race = race.clone();
        let mut left = 1;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            left -= 1;
            Some(if partition == 3 { race.run() } else { 100 + partition as u64 })
        })
    })
}

// Case F099 of tests/PROMISES.md.
#[test]
fn speculative_attempt_wins_and_the_straggler_is_cancelled() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(builder());
        let race = Race::default();
        assert_eq!(racing(&ctx, &race).collect().unwrap(), [100, 101, 102, 2]);
        let events = recorder.events(&ctx);
        let times = |name| count_of(&events, name);
        assert_eq!(
            (times("TaskSpeculated"), times("TaskCancelled"), times("TaskFailed")),
            (1, 1, 0)
        );
        assert_eq!((times("TaskStarted"), times("TaskFinished"), times("StageStarted")), (5, 4, 1));
        race.let_go();
        assert_eq!(ctx.last_job().unwrap().stages()[0].attempts(), 5);
    });
}

#[test]
fn without_the_setting_there_is_no_speculative_attempt() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(6));
        let race = Race::default();
        let rows = racing(&ctx, &race);
        let handle = ctx.spawn(move || rows.collect());
        assert!(handle.wait_timeout(Duration::from_millis(300)).is_none());
        race.let_go();
        assert_eq!(handle.wait().unwrap(), [100, 101, 102, 1]);
        assert_eq!(count_of(&recorder.events(&ctx), "TaskSpeculated"), 0);
    });
}

// Case F099 of tests/PROMISES.md.
#[test]
fn the_map_output_of_a_losing_attempt_does_not_replace_the_winning_one() {
    within(DEADLINE, || {
        for to_files in [false, true] {
            let ctx = builder().force_spill(to_files).build().unwrap();
            let race = Race::default();
            let inside = race.clone();
            let pairs = racing(&ctx, &race).map_partitions(move |rows| {
                let race = inside.clone();
                rows.map(move |n| {
                    // Dropped once the row is in the shuffle, which is nearly the end.
                    let _end = AtTheEnd(race.clone(), n);
                    (n, 1_u64)
                })
            });
            let sums = pairs.reduce_by_key(|a, b| a + b);
            assert_eq!(sorted(sums.keys().collect().unwrap()), [2, 100, 101, 102]);
            race.let_go();
            race.wait_for_its_end();
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(5));
                assert_eq!(sorted(sums.keys().collect().unwrap()), [2, 100, 101, 102]);
            }
        }
    });
}

// Case F099 of tests/PROMISES.md.
#[test]
fn the_result_of_a_losing_attempt_is_dropped_and_accumulators_count_once() {
    within(DEADLINE, || {
        let ctx = builder().build().unwrap();
        let race = Race::default();
        let ended = Arc::new(AtomicUsize::new(0));
        let total = ctx.accumulator(0_u64);
        let adder = total.clone();
        let after = race.clone();
        let ends = Arc::clone(&ended);
        let rows = racing(&ctx, &race).map(move |n| {
            adder.add(n);
            if n == 1 {
                after.is_over();
            } else if n == 2 {
                // The winner does not wait; the loser reaches this line after the winner has committed.
                ends.fetch_add(1, Ordering::SeqCst);
            }
            n
        });
        let last = {
            let race = race.clone();
            let ended = Arc::clone(&ended);
            ctx.generate(1, move |_| {
                while ended.load(Ordering::SeqCst) == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                std::thread::sleep(Duration::from_millis(50));
                race.let_go();
                race.wait_for_its_end();
                std::thread::sleep(Duration::from_millis(50));
                [7_u64]
            })
        };
        assert_eq!(rows.union(&last).collect().unwrap(), [100, 101, 102, 2, 7]);
        assert_eq!(total.value(), 305);
    });
}

// Case F101 of tests/PROMISES.md.
#[test]
fn the_file_of_a_losing_attempt_is_deleted() {
    within(DEADLINE, || {
        let (ctx, folder, race) =
            (builder().build().unwrap(), tempfile::tempdir().unwrap(), Race::default());
        let out = folder.path().join("out");
        let inside = race.clone();
        let rows = racing(&ctx, &race).map(move |n| {
            if n == 1 {
                inside.is_over();
            } else if n == 2 {
                // Releases the loser after the winner has had time to write its file.
                let race = inside.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(60));
                    race.let_go();
                });
            }
            n
        });
        let wait = race.clone();
        let last = ctx.generate(1, move |_| {
            wait.wait_for_its_end();
            std::thread::sleep(Duration::from_millis(50));
            [7_u64]
        });
        rows.union(&last).save_as_text_file(&out).unwrap();
        let text = |part: &str| std::fs::read_to_string(out.join(part)).unwrap();
        assert_eq!((text("part-00003"), text("part-00004")), ("2\n".into(), "7\n".into()));
        let mut names: Vec<String> = std::fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let parts = (0..5).map(|part| format!("part-0000{part}"));
        let expected: Vec<String> = std::iter::once("_SUCCESS".into()).chain(parts).collect();
        assert_eq!(names, expected);
    });
}

#[test]
fn a_straggler_that_never_returns_costs_its_thread_and_not_the_job() {
    within(DEADLINE, || {
        let ctx = builder().build().unwrap();
        let race = Race::default();
        let rows = racing(&ctx, &race);
        assert_eq!(rows.count().unwrap(), 4);
        while ctx.abandoned_tasks().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(rows.collect().unwrap().len(), 4);
        race.let_go();
    });
}

#[test]
fn speculative_attempts_change_no_answer_of_a_longer_program() {
    within(DEADLINE, || {
        let slow = Arc::new(AtomicUsize::new(0));
        let (ctx, recorder) = Recorder::on(builder());
        let rows = ctx.range_with(8, 0..8_000_u64).map(move |n| {
            // One row in each second partition, the first time.
            if n % 2_000 == 1_500 && slow.fetch_add(1, Ordering::SeqCst) < 4 {
                std::thread::sleep(Duration::from_millis(150));
            }
            (n % 100, n)
        });
        let sums = rows.with_partitions(4).reduce_by_key(|a, b| a + b).sort_pairs();
        let expected: Vec<(u64, u64)> =
            (0..100).map(|key| (key, (0..80).map(|n| n * 100 + key).sum())).collect();
        assert_eq!(sums.collect().unwrap(), expected);
        let copied = recorder.events(&ctx);
        let copies = copied.iter().filter(|it| matches!(it, Event::TaskSpeculated { .. })).count();
        assert!(copies > 0, "no task was speculated");
    });
}
