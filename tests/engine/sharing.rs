//! Stages that jobs and threads share are computed once, and answers are in order.

use crate::events::{Recorder, count_of};
use emberline::fault::{Damage, FaultPlan};
use emberline::prelude::*;
use emberline::{
    StorageLevel,
    config::Compression,
    event::{Event, EventRecord},
    id::RddId,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;
use testkit::{DEADLINE, within};

/// The number of calls of a closure.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn note(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns the number of calls since the last check.
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

/// Makes sixty pairs of six keys whose closure calls are counted.
fn counted_pairs(ctx: &Context, calls: &Calls) -> Rdd<(u64, u64)> {
    let calls = calls.clone();
    let pair = move |n| {
        calls.note();
        (n % 6, n)
    };
    ctx.range_with(4, 0..60_u64).map(pair).boxed()
}

fn contexts() -> [Context; 3] {
    let build = |threads: usize, files: bool| {
        Context::builder().threads(threads).force_spill(files).build().unwrap()
    };
    [build(1, false), build(4, false), build(2, true)]
}

// Case F050 of tests/PROMISES.md.
#[test]
fn a_parent_shared_by_two_branches_runs_once() {
    within(DEADLINE, || {
        for ctx in contexts() {
            let calls = Calls::default();
            let sums = counted_pairs(&ctx, &calls).with_partitions(3).reduce_by_key(|a, b| a + b);
            let left = sums
                .map(|(key, sum)| (key % 2, sum))
                .with_partitions(2)
                .reduce_by_key(|a, b| a + b);
            let right =
                sums.map(|(key, sum)| (key % 2, sum)).with_partitions(5).reduce_by_key(u64::max);
            let mut rows = left.join(&right).collect().unwrap();
            rows.sort_unstable();
            let sum = |key: u64| (0..60).filter(|n| n % 6 == key).sum::<u64>();
            let odd = |odd| [odd, odd + 2, odd + 4].map(sum);
            let want = [0, 1].map(|n| (n, (odd(n).iter().sum(), *odd(n).iter().max().unwrap())));
            assert_eq!(rows, want);
            assert_eq!(calls.take(), 60);
        }
    });
}

// Case F048 of tests/PROMISES.md.
#[test]
fn a_finished_shuffle_is_reused_by_later_jobs_and_handles() {
    within(DEADLINE, || {
        for ctx in contexts() {
            let calls = Calls::default();
            let sums = counted_pairs(&ctx, &calls).with_partitions(3).reduce_by_key(|a, b| a + b);
            assert_eq!(sums.count().unwrap(), 6);
            assert_eq!(calls.take(), 60);
            assert_eq!(sums.clone().map(|(key, _)| key).reduce(|a, b| a + b).unwrap(), Some(15));
            assert_eq!(sums.sort_pairs().first().unwrap().unwrap().0, 0);
            assert_eq!(calls.take(), 0);
        }
    });
}

#[test]
fn two_concurrent_actions_on_one_shuffle_run_its_map_side_once() {
    within(DEADLINE, || {
        for ctx in contexts() {
            let calls = Calls::default();
            let sums = counted_pairs(&ctx, &calls).with_partitions(3).reduce_by_key(|a, b| a + b);
            let start = Arc::new(std::sync::Barrier::new(4));
            let actions = (0..4).map(|_| {
                let sums = sums.clone();
                let start = Arc::clone(&start);
                thread::spawn(move || {
                    start.wait();
                    sums.count().unwrap()
                })
            });
            for action in actions.collect::<Vec<_>>() {
                assert_eq!(action.join().unwrap(), 6);
            }
            assert_eq!(calls.take(), 60);
        }
    });
}

/// A rendezvous of two tasks.
#[derive(Clone, Default)]
struct Rendezvous(Arc<(Mutex<usize>, Condvar)>);

impl Rendezvous {
    /// Returns true if the other job arrived in time.
    fn meet(&self) -> bool {
        let (arrived, changed) = &*self.0;
        let mut arrived = arrived.lock().unwrap();
        *arrived += 1;
        changed.notify_all();
        let limit = Duration::from_secs(10);
        let (arrived, _) = changed.wait_timeout_while(arrived, limit, |n| *n < 2).unwrap();
        *arrived >= 2
    }
}

#[test]
fn independent_stages_run_at_the_same_time() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let rendezvous = Rendezvous::default();
        let side = |at: u64| {
            let rendezvous = rendezvous.clone();
            let pairs = ctx.range_with(1, 0..1_u64).map(move |n| (n, rendezvous.meet()));
            pairs.partition_by(at as usize + 1)
        };
        let left = side(1);
        let right = side(2);
        assert_eq!(left.with_partitions(4).join(&right).collect().unwrap(), [(0, (true, true))]);
    });
}

// Case F098 of tests/PROMISES.md.
#[test]
fn jobs_of_two_threads_run_at_the_same_time() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let rendezvous = Rendezvous::default();
        let jobs = [0, 1].map(|_| {
            let ctx = ctx.clone();
            let rendezvous = rendezvous.clone();
            thread::spawn(move || {
                ctx.range_with(1, 0..1_u8).map(move |_| rendezvous.meet()).collect()
            })
        });
        for job in jobs {
            assert_eq!(job.join().unwrap().unwrap(), [true]);
        }
    });
}

#[test]
fn a_cached_rdd_is_computed_once() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(4));
        let calls = Calls::default();
        let cached = counted_pairs(&ctx, &calls).cache();
        for _ in 0..3 {
            assert_eq!(cached.count().unwrap(), 60);
        }
        assert_eq!(calls.take(), 60);
        assert_eq!(cached.map(|(_, n)| n).reduce(|a, b| a + b).unwrap(), Some(1770));
        assert_eq!(calls.take(), 0);
        assert_eq!(count_of(&recorder.events(&ctx), "BlockStored"), 4);
    });
}

// Case F049 of tests/PROMISES.md.
#[test]
fn nothing_upstream_of_a_complete_cache_runs() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        let calls = Calls::default();
        let cached =
            counted_pairs(&ctx, &calls).with_partitions(3).reduce_by_key(|a, b| a + b).cache();
        cached.count().unwrap();
        recorder.events(&ctx);
        assert_eq!(cached.map(|(key, _)| key).reduce(|a, b| a + b).unwrap(), Some(15));
        let events = recorder.events(&ctx);
        assert_eq!(count_of(&events, "StageStarted"), 1, "{events:#?}");
        assert_eq!(recorder.tasks_started(&ctx), 0);
    });
}

#[test]
fn a_cache_under_concurrent_actions_is_computed_at_most_once_by_each() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(4).build().unwrap();
        let calls = Calls::default();
        let cached = counted_pairs(&ctx, &calls).cache();
        let actions = (0..4).map(|_| {
            let cached = cached.clone();
            thread::spawn(move || cached.collect().unwrap())
        });
        for action in actions.collect::<Vec<_>>() {
            assert!(action.join().unwrap().into_iter().eq((0..60).map(|n| (n % 6, n))));
        }
        let computed = calls.take();
        assert!((60..=240).contains(&computed), "{computed} calls");
        assert_eq!(cached.count().unwrap(), 60);
        assert_eq!(calls.take(), 0);
    });
}

#[test]
fn results_are_in_partition_order_when_tasks_end_out_of_order() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(4).build().unwrap();
        let rows = ctx.generate(8, |partition| {
            thread::sleep(Duration::from_millis(5 * (8 - partition as u64)));
            [partition, partition + 100]
        });
        let want: Vec<usize> = (0..8).flat_map(|n| [n, n + 100]).collect();
        assert_eq!(rows.collect().unwrap(), want);
        assert_eq!(rows.take(16).unwrap(), want);
        let text = rows.map(|n| format!("{n} "));
        let joined = text.fold(String::new(), |a, b| a + &b).unwrap();
        assert_eq!(joined, want.iter().map(|n| format!("{n} ")).collect::<String>());
    });
}

// Case F098 of tests/PROMISES.md.
#[test]
fn many_threads_run_many_jobs_on_one_context() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(4).build().unwrap();
        let shared =
            counted_pairs(&ctx, &Calls::default()).with_partitions(3).reduce_by_key(|a, b| a + b);
        let threads = (0..12_u64).map(|thread| {
            let ctx = ctx.clone();
            let shared = shared.clone();
            thread::spawn(move || {
                for job in 0..12_u64 {
                    let own = ctx.range_with(3, 0..90_u64).map(move |n| (n % (thread + 1), job));
                    let sums = own.with_partitions(2).reduce_by_key(|a, b| a + b);
                    assert_eq!(sums.count().unwrap(), thread + 1);
                    assert_eq!(shared.count().unwrap(), 6);
                    let total = sums.map(|(_, sum)| sum).reduce(|a, b| a + b).unwrap();
                    assert_eq!(total, Some(90 * job));
                }
            })
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    });
}

// Case F054 of tests/PROMISES.md.
#[test]
fn two_jobs_that_share_a_failing_stage_both_fail() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let broken = ctx.range_with(4, 0..40_u64).map(|n| {
            thread::sleep(Duration::from_millis(1));
            assert!(n != 35, "boom");
            (n % 3, n)
        });
        let sums = broken.reduce_by_key(|a, b| a + b);
        let jobs = [0, 1].map(|_| {
            let sums = sums.clone();
            thread::spawn(move || sums.count())
        });
        for job in jobs {
            let error = job.join().unwrap().unwrap_err();
            assert!(error.to_string().contains("boom"), "{error}");
        }
    });
}

#[test]
fn an_action_that_reads_a_block_sees_the_accumulators_of_its_computation() {
    within(DEADLINE, || {
        let (sender, receiver) = std::sync::mpsc::channel();
        let listener = move |record: &EventRecord| {
            if matches!(record.event, Event::BlockStored { .. }) {
                let _ = sender.send(());
            }
        };
        // Damaging a large file takes the thread that stored it a while, in which other threads find the file.
        let plan = FaultPlan::new().damage_block(RddId(2), 0, Damage::Corrupted);
        let builder = Context::builder().threads(2).spill_compression(Compression::None);
        let ctx = builder.faults(plan).listener(listener).build().unwrap();
        let count = ctx.accumulator(0_u64);
        let counter = count.clone();
        let rows = ctx.range_with(1, 0..400_u64).map(move |n| {
            counter.add(1);
            format!("{n}{}", "0".repeat(100_000))
        });
        let persisted = rows.persist(StorageLevel::Disk);
        assert_eq!(persisted.id(), RddId(2));
        let first = persisted.clone();
        let first = thread::spawn(move || first.count());
        receiver.recv().unwrap();
        assert_eq!(persisted.take(1).unwrap().len(), 1);
        assert_eq!(count.value(), 400);
        assert_eq!((first.join().unwrap().unwrap(), count.value()), (400, 400));
    });
}
