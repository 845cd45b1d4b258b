//! Cancellation by handle, group, timeout and context, also of closures that never return.

mod ctrl_c;
mod handles;
mod stuck;

use crate::support::assert_kind;
use emberline::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{DEADLINE, within};

/// The time in which a task must notice its cancellation on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Makes four endless partitions, whose closure holds a value.
fn endless(ctx: &Context) -> (Rdd<u64>, Arc<()>) {
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let rows = ctx.range_with(4, 0..4_u64).flat_map(move |_| {
        let _ = &inside;
        0..u64::MAX
    });
    (rows.boxed(), held)
}

/// Waits until a condition holds.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "{what} took too long");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the tasks of a job have dropped their closures.
#[track_caller]
fn until_let_go(held: &Arc<()>) {
    until("letting go", || Arc::strong_count(held) == 1);
}

fn is_cancelled<A: std::fmt::Debug>(answer: Result<A>, wanted: &str) {
    assert_kind(answer, |kind| matches!(kind, ErrorKind::Cancelled { reason } if reason == wanted));
}

// Case F095 of tests/PROMISES.md.
#[test]
fn a_cancelled_action_ends_and_the_next_job_runs() {
    within(DEADLINE, || {
        for threads in [1, 4] {
            let ctx = Context::builder().threads(threads).build().unwrap();
            let (rows, held) = endless(&ctx);
            let all = rows.filter(|n| *n == u64::MAX);
            let count = ctx.spawn(move || rows.count());
            let take = ctx.spawn(move || all.take(1));
            until("the start", || count.progress().tasks > 0 && take.progress().tasks > 0);
            count.cancel("enough");
            take.cancel("enough");
            is_cancelled(count.wait(), "enough");
            is_cancelled(take.wait(), "enough");
            until_let_go(&held);
            assert_eq!(ctx.range(0..1_000_u64).count().unwrap(), 1_000);
        }
    });
}

/// Returns operations whose closures yield endless rows.
fn endless_operations(ctx: &Context, held: &Arc<()>) -> Vec<(&'static str, Rdd<u64>)> {
    let rows = ctx.range_with(2, 0..2_u64);
    let forever = |held: &Arc<()>| {
        let held = Arc::clone(held);
        move || {
            let held = Arc::clone(&held);
            std::iter::repeat_with(move || Arc::strong_count(&held) as u64)
        }
    };
    let one = forever(held);
    let two = forever(held);
    let three = forever(held);
    let four = forever(held);
    let five = forever(held);
    let six = forever(held);
    let seven = forever(held);
    let eight = forever(held);
    vec![
        ("flat_map", rows.flat_map(move |_| one()).boxed()),
        ("flat_map_into", rows.flat_map_into(move |_, out| out.extend(two())).boxed()),
        (
            "flat_map_values",
            rows.map(|n| (n, n)).flat_map_values(move |_| three()).values().boxed(),
        ),
        ("try_flat_map", rows.try_flat_map(move |_| Ok(four())).boxed()),
        ("map_partitions", rows.map_partitions(move |_| five()).boxed()),
        ("map_partitions_with_index", rows.map_partitions_with_index(move |_, _| six()).boxed()),
        ("zip_partitions", rows.zip_partitions(&rows, move |_, _| seven()).boxed()),
        ("generate", ctx.generate(2, move |_| eight()).boxed()),
    ]
}

// Case E29 of tests/PROMISES.md.
#[test]
fn tasks_notice_a_cancellation_inside_an_endless_iterator() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let held = Arc::new(());
        for (name, rows) in endless_operations(&ctx, &held) {
            for pulls in [false, true] {
                let rows = rows.clone();
                let before = ctx.abandoned_tasks();
                let job = ctx.spawn(move || match pulls {
                    false => rows.count(),
                    true => rows
                        .zip_partitions(&rows, |mut a, b| {
                            // One row at a time.
                            b.map(move |n| n + a.next().unwrap_or(0))
                        })
                        .count(),
                });
                until("the start", || job.progress().tasks > 0);
                thread::sleep(Duration::from_millis(5));
                job.cancel(name);
                is_cancelled(job.wait(), name);
                // One thread each: the next job runs only if the last one's tasks have ended.
                assert_eq!(ctx.range_with(2, 0..10_u64).count().unwrap(), 10);
                assert_eq!(ctx.abandoned_tasks(), before, "{name}");
            }
        }
        drop(held);
    });
}

/// Returns operations that hold many rows in one partition before they yield the first.
fn buffered_rows(ctx: &Context) -> Vec<(&'static str, Rdd<u64>)> {
    let many = ctx.range_with(1, 0..300_000_u64);
    let pairs = many.map(|n| (n, n));
    let hot = ctx.range_with(1, 0..3_000_u64).map(|n| (0, n));
    let listed = many.map_partitions(Iterator::collect::<Vec<_>>);
    vec![
        ("join", hot.join(&hot).map(|(_, (n, _))| n).boxed()),
        ("full_outer_join", hot.full_outer_join(&hot).map(|(key, _)| key).boxed()),
        ("group_by_key", pairs.group_by_key().keys().boxed()),
        ("reduce_by_key", pairs.reduce_by_key(|a, _| a).keys().boxed()),
        ("sort_pairs", pairs.sort_pairs().keys().boxed()),
        ("map_partitions", listed.boxed()),
        ("flat_map", many.flat_map(|n| vec![n; 1_000]).boxed()),
    ]
}

// Case E29 of tests/PROMISES.md.
#[test]
fn tasks_notice_a_cancellation_within_a_few_thousand_rows() {
    const AT: usize = 50_000;
    const MOST: usize = 10_000;
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        for (name, rows) in buffered_rows(&ctx) {
            let seen = Arc::default();
            let is_cancelled_now = Arc::new(AtomicBool::new(false));
            let (reached, until_reached) = mpsc::channel();
            let (counted, waits): (Arc<AtomicUsize>, _) =
                (Arc::clone(&seen), Arc::clone(&is_cancelled_now));
            let job = ctx.spawn(move || {
                rows.for_each(move |_| {
                    if counted.fetch_add(1, Ordering::Relaxed) == AT {
                        let _ = reached.send(());
                        while !waits.load(Ordering::Relaxed) {
                            thread::yield_now();
                        }
                    }
                })
            });
            until_reached.recv().unwrap();
            job.cancel(name);
            is_cancelled(job.wait(), name);
            until("its flag", || !ctx.abandoned_tasks().is_empty());
            is_cancelled_now.store(true, Ordering::Relaxed);
            until("its end", || ctx.abandoned_tasks().is_empty());
            let more = seen.load(Ordering::Relaxed) - AT;
            assert!(more < MOST, "{name}: {more} rows after the cancellation");
        }
    });
}

// Case E29 of tests/PROMISES.md.
#[test]
fn counting_the_rows_of_a_skewed_key_can_be_cancelled() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        // A thousand billion rows.
        let hot = ctx.range_with(1, 0..1_000_000_u64).map(|n| ((), n));
        let job = ctx.spawn(move || hot.join(&hot).count());
        until("the last stage", || job.progress().tasks_done >= 2);
        job.cancel("too many");
        is_cancelled(job.wait(), "too many");
        assert_eq!(ctx.range(0..10_u64).count().unwrap(), 10);
    });
}

// Case F096 of tests/PROMISES.md.
#[test]
fn cancelling_a_group_reports_the_reason_and_spares_other_groups() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(9).build().unwrap();
        let ((slow, _), (other, _)) = (endless(&ctx), endless(&ctx));
        let (entered, inside) = mpsc::channel();
        let nightly = {
            let ctx = ctx.clone();
            thread::spawn(move || {
                ctx.job_group("nightly", || {
                    entered.send(()).unwrap();
                    let first = slow.count();
                    // An action after the cancellation fails with the same reason.
                    (first, ctx.range(0..10_u64).count())
                })
            })
        };
        let daily = ctx.job_group("daily", || ctx.spawn(move || other.count()));
        inside.recv().unwrap();
        until("the start", || daily.progress().tasks > 0);
        ctx.cancel_group("nightly", "the morning has come");
        ctx.cancel_group("there is no such group", "why not");
        let (first, second) = nightly.join().unwrap();
        is_cancelled(first, "the morning has come");
        is_cancelled(second, "the morning has come");
        assert!(!daily.is_finished());
        let again = ctx.job_group("nightly", || ctx.range(0..10_u64).count());
        assert_eq!(again.unwrap(), 10);
        ctx.cancel_group("daily", "closing");
        is_cancelled(daily.wait(), "closing");
    });
}

// Case F097 of tests/PROMISES.md.
#[test]
fn spawned_closures_and_inner_groups_belong_to_the_enclosing_group() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let inside = ctx.clone();
        let (handle, deeper) = ctx.job_group("outer", || {
            let nested = ctx.clone();
            let deeper = ctx.job_group("inner", || ctx.spawn(move || endless(&nested).0.count()));
            let spawned = ctx.spawn(move || {
                let deep = inside.clone();
                inside.spawn(move || endless(&deep).0.count()).wait()
            });
            (spawned, deeper)
        });
        until("the start", || deeper.progress().tasks > 0);
        ctx.cancel_group("outer", "all of it");
        is_cancelled(handle.wait(), "all of it");
        is_cancelled(deeper.wait(), "all of it");
        assert_eq!(ctx.range(0..10_u64).count().unwrap(), 10);
    });
}

#[test]
fn groups_of_the_same_name_in_two_contexts_are_independent() {
    within(DEADLINE, || {
        let one = Context::local().unwrap();
        let two = Context::local().unwrap();
        let rows = endless(&one).0;
        let handle = one.job_group("jobs", || one.spawn(move || rows.count()));
        two.cancel_group("jobs", "not yours");
        two.cancel_all("not yours");
        assert!(handle.wait_timeout(Duration::from_millis(30)).is_none());
        one.cancel_group("jobs", "yours");
        is_cancelled(handle.wait(), "yours");
    });
}

#[test]
fn cancel_all_ends_actions_groups_and_spawned_closures_but_no_later_ones() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let ((plain, held), (spawned, others)) = (endless(&ctx), endless(&ctx));
        let action = thread::spawn(move || plain.count());
        let handle = ctx.spawn(move || spawned.count());
        let began = || {
            ctx.spawn({
                let ctx = ctx.clone();
                move || ctx.range(0..1_u64).count()
            })
        };
        // A job after both: the scheduler takes messages in turn.
        until("the start", || handle.progress().tasks > 0);
        let probe = began();
        thread::sleep(Duration::from_millis(100));
        ctx.cancel_all("closing");
        is_cancelled(action.join().unwrap(), "closing");
        is_cancelled(handle.wait(), "closing");
        is_cancelled(probe.wait(), "closing");
        until_let_go(&held);
        until_let_go(&others);
        assert_eq!(ctx.range(0..10_u64).count().unwrap(), 10);
    });
}

#[test]
fn a_cancelled_save_or_shuffle_leaves_no_file() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let builder = Context::builder().threads(8).scratch_dir(scratch.path());
        let ctx = builder.task_memory_bytes(64 << 10).force_spill(true).build().unwrap();
        let out = folder.path().join("out");
        let (rows, held) = endless(&ctx);
        let saving = rows.clone();
        let save = ctx.spawn(move || saving.save_as_text_file(out));
        let pairs = rows.map(|n| (n, n)).group_by_key();
        let shuffle = ctx.spawn(move || pairs.count());
        until("the start", || save.progress().tasks > 0 && shuffle.progress().tasks > 0);
        thread::sleep(Duration::from_millis(50));
        save.cancel("no");
        shuffle.cancel("no");
        is_cancelled(save.wait(), "no");
        is_cancelled(shuffle.wait(), "no");
        drop(rows);
        until_let_go(&held);
        let files = |path: &std::path::Path| std::fs::read_dir(path).unwrap().count();
        until("cleaning", || files(folder.path()) == 0);
        // One folder of the context, and in it the lock alone.
        let own = std::fs::read_dir(scratch.path()).unwrap().next();
        let own = own.map(|entry| entry.unwrap().path());
        until("cleaning", || own.as_ref().is_none_or(|own| files(own) <= 1));
    });
}

// Case E42 of tests/PROMISES.md.
#[test]
fn a_cancellation_racing_with_the_end_of_a_job_has_one_correct_outcome() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let sums = ctx.range_with(4, 0..400_u64).map(|n| (n % 7, n)).reduce_by_key(|a, b| a + b);
        let mut done = 0;
        let mut cancelled = 0;
        for round in 0..200_u64 {
            let sums = sums.clone();
            let handle = ctx.spawn(move || sums.count());
            thread::sleep(Duration::from_micros(round % 20 * 50));
            handle.cancel("now");
            match handle.wait() {
                Ok(7) => done += 1,
                Ok(other) => panic!("{other} keys"),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Cancelled { .. }), "{error}");
                    cancelled += 1;
                }
            }
        }
        assert_eq!(done + cancelled, 200);
        assert_eq!(sums.count().unwrap(), 7);
    });
}
