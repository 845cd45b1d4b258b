//! Closures that never return: no caller waits for them, and their threads are replaced.

use super::{is_cancelled, until};
use crate::events::Recorder;
use emberline::event::{Event, EventRecord};
use emberline::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use testkit::{DEADLINE, within};

/// Rows whose first one blocks its thread until it is released.
struct Stuck {
    rows: Rdd<u64>,
    stuck: Arc<AtomicUsize>,
    free: Arc<AtomicBool>,
}

fn stuck(ctx: &Context) -> Stuck {
    let stuck = Arc::new(AtomicUsize::new(0));
    let free = Arc::new(AtomicBool::new(false));
    let counter = Arc::clone(&stuck);
    let freed = Arc::clone(&free);
    let rows = ctx.range_with(1, 0..1_u64).map(move |n| {
        counter.fetch_add(1, Ordering::SeqCst);
        while !freed.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        counter.fetch_sub(1, Ordering::SeqCst);
        n
    });
    Stuck { rows: rows.boxed(), stuck, free }
}

// Case E24 of tests/PROMISES.md.
#[test]
fn a_closure_that_never_returns_is_listed_and_blocks_nothing() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(1));
        let Stuck { rows, stuck, free } = stuck(&ctx);
        let handle = ctx.spawn(move || rows.count());
        until("the start", || stuck.load(Ordering::SeqCst) == 1);
        // A job that is queued after it for the only thread.
        let waiting = ctx.range(0..1_000_u64);
        let waiting = ctx.spawn(move || waiting.count());
        handle.cancel("give up");
        is_cancelled(handle.wait(), "give up");
        assert_eq!(waiting.wait().unwrap(), 1_000);
        let [left] = ctx.abandoned_tasks().try_into().unwrap();
        assert_eq!((left.operation.name, left.attempt_id.partition), ("count", 0));
        assert_eq!(ctx.range(0..10_u64).count().unwrap(), 10);
        let is_abandoned =
            |event: &Event| matches!(event, Event::ThreadAbandoned { partition: 0, .. });
        assert_eq!(recorder.events(&ctx).iter().filter(|event| is_abandoned(event)).count(), 1);
        free.store(true, Ordering::SeqCst);
        until("coming back", || ctx.abandoned_tasks().is_empty());
        assert_eq!(ctx.range(0..10_u64).count().unwrap(), 10);
    });
}

// Case E24 of tests/PROMISES.md.
#[test]
fn a_context_drops_at_once_while_a_closure_never_returns() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let Stuck { rows, stuck, free } = stuck(&ctx);
        let handle = ctx.spawn(move || rows.count());
        until("the start", || stuck.load(Ordering::SeqCst) == 1);
        assert!(handle.timeout(Duration::from_millis(1)).wait().is_err());
        drop(ctx);
        assert_eq!(stuck.load(Ordering::SeqCst), 1, "it is still there");
        free.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_spawned_closure_that_never_returns_is_abandoned_and_others_run() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        let free = Arc::new(AtomicBool::new(false));
        let spin = |_| {
            let free = Arc::clone(&free);
            ctx.spawn(move || {
                while !free.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            })
        };
        // The most closures that may run at the same time.
        let handles: Vec<JobHandle<()>> = (0..64).map(spin).collect();
        let rows = ctx.range(0..10_u64);
        let waiting = ctx.spawn(move || rows.count());
        assert!(waiting.wait_timeout(Duration::from_millis(20)).is_none());
        handles[0].cancel("give up");
        assert_eq!(waiting.wait().unwrap(), 10);
        free.store(true, Ordering::SeqCst);
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.wait().is_ok(), n > 0);
        }
    });
}

#[test]
fn a_listener_that_never_returns_delays_neither_flush_nor_shutdown() {
    within(DEADLINE, || {
        let free = Arc::new(AtomicBool::new(false));
        let stuck = Arc::new(AtomicUsize::new(0));
        let freed = Arc::clone(&free);
        let counter = Arc::clone(&stuck);
        let listener = move |_: &EventRecord| {
            counter.fetch_add(1, Ordering::SeqCst);
            while !freed.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
        };
        let ctx = Context::builder().threads(1).listener(listener).build().unwrap();
        assert_eq!(ctx.range(0..10_u64).count().unwrap(), 10);
        ctx.flush_listeners();
        drop(ctx);
        assert_eq!(stuck.load(Ordering::SeqCst), 1, "it is still there");
        free.store(true, Ordering::SeqCst);
        until("hearing the others", || stuck.load(Ordering::SeqCst) > 5);
    });
}

#[test]
fn a_slow_listener_receives_every_event_before_the_context_ends() {
    within(DEADLINE, || {
        let heard = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&heard);
        let listener = move |_: &EventRecord| {
            thread::sleep(Duration::from_millis(20));
            counter.fetch_add(1, Ordering::SeqCst);
        };
        // A scratch directory of its own, since orphans of other tests would be events too.
        let scratch = tempfile::tempdir().unwrap();
        let builder = Context::builder().threads(1).scratch_dir(scratch.path());
        let ctx = builder.listener(listener).build().unwrap();
        assert_eq!(ctx.range_with(9, 0..10_u64).count().unwrap(), 10);
        drop(ctx);
        // Two of the context, four of job and stage, two of each task.
        assert_eq!(heard.load(Ordering::SeqCst), 2 + 4 + 18);
    });
}
