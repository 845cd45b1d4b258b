//! Handles of background jobs: results, futures, timeouts, progress, and dropping them.

use super::{endless, is_cancelled, until, until_let_go};
use crate::support::assert_kind;
use emberline::prelude::*;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;
use testkit::{DEADLINE, within};

/// An executor of one future: it sleeps until the future wakes it.
struct Unpark(Thread, AtomicUsize);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> (F::Output, usize) {
    let unpark = Arc::new(Unpark(thread::current(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            Poll::Ready(output) => return (output, unpark.1.load(Ordering::SeqCst)),
            Poll::Pending => thread::park(),
        }
    }
}

/// A gate at which closures wait.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

// Case E40 of tests/PROMISES.md.
#[test]
fn a_handle_is_a_future_that_wakes_any_executor_once() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let rows = ctx.range(0..1_000_u64);
        let gate = Gate::default();
        let gate_of_job = gate.clone();
        let handle = ctx.spawn(move || {
            gate_of_job.pass();
            rows.count()
        });
        let opener = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            gate.open();
        });
        let both = async move { (handle.await, 7) };
        let ((counted, seven), wakes) = block_on(both);
        assert_eq!((counted.unwrap(), seven, wakes), (1_000, 7, 1));
        opener.join().unwrap();
    });
}

// Case F106 of tests/PROMISES.md.
#[test]
fn thousands_of_pending_handles_need_no_thread_each() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let gate = Gate::default();
        let began = Arc::new(AtomicUsize::new(0));
        let spawn = |n: u64| {
            let ctx_of = ctx.clone();
            let gate = gate.clone();
            let began = Arc::clone(&began);
            ctx.spawn(move || {
                began.fetch_add(1, Ordering::SeqCst);
                gate.pass();
                ctx_of.range_with(1, 0..n).count()
            })
        };
        let handles: Vec<JobHandle<u64>> = (0..5_000).map(spawn).collect();
        until("the start", || began.load(Ordering::SeqCst) == 64);
        thread::sleep(Duration::from_millis(50));
        assert_eq!(began.load(Ordering::SeqCst), 64, "closures that wait have no thread");
        handles[4_000].cancel("this one");
        assert!(handles[4_000].is_finished(), "also if it never ran");
        gate.open();
        for (n, handle) in handles.into_iter().enumerate() {
            match n {
                4_000 => is_cancelled(handle.wait(), "this one"),
                _ => assert_eq!(handle.wait().unwrap(), n as u64),
            }
        }
        assert_eq!(began.load(Ordering::SeqCst), 4_999);
    });
}

#[test]
fn closures_that_wait_for_closures_never_wait_for_a_free_thread() {
    within(DEADLINE, || {
        /// Runs `depth` closures that each wait for the next, so that all are pending at the same time.
        fn chain(ctx: &Context, left: u64) -> JobHandle<u64> {
            let inner = ctx.clone();
            ctx.spawn(move || match left {
                0 => inner.range_with(1, 0..1_u64).count(),
                _ => Ok(chain(&inner, left - 1).wait()? + 1),
            })
        }
        let ctx = Context::builder().threads(1).build().unwrap();
        assert_eq!(chain(&ctx, 200).wait().unwrap(), 201);
    });
}

#[test]
fn a_handle_returns_the_panic_or_error_of_its_closure() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        let handle = ctx.spawn(|| -> Result<()> { panic!("boom") });
        let error = assert_kind(
            handle.wait(),
            |kind| matches!(kind, ErrorKind::Panicked { message } if message == "boom"),
        );
        assert_eq!(error.operation().unwrap().name, "spawn");
        assert!(error.to_string().contains("handles.rs"), "{error}");
        let rows = ctx.range_with(1, 0..1_u64).map(|n| 1 / n);
        let error = ctx.spawn(move || rows.collect()).wait().unwrap_err();
        assert_eq!(error.operation().unwrap().name, "map");
        assert_eq!(error.action().unwrap().name, "collect");
    });
}

#[test]
fn a_timeout_cancels_late_tasks_with_its_own_error() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let (rows, held) = endless(&ctx);
        let limit = Duration::from_millis(30);
        let handle = ctx.spawn(move || rows.count()).timeout(limit);
        let error = assert_kind(
            handle.wait(),
            |kind| matches!(kind, ErrorKind::TimedOut { limit: said } if *said == limit),
        );
        assert!(error.to_string().contains("timed out after 30ms"), "{error}");
        until_let_go(&held);
        let rows = ctx.range(0..10_u64);
        let handle = ctx.spawn(move || rows.count()).timeout(Duration::from_hours(1));
        assert_eq!(handle.wait().unwrap(), 10);
        let rows = ctx.range(0..10_u64);
        let handle = ctx.spawn(move || rows.count()).timeout(Duration::MAX);
        assert_eq!(handle.wait().unwrap(), 10);
    });
}

#[test]
fn dropping_the_context_cancels_jobs_and_dropping_a_handle_does_not() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let rows = ctx.range(0..10_u64);
        let gate = Gate::default();
        let done = Gate::default();
        let gate_of_job = gate.clone();
        let done_of_job = done.clone();
        drop(ctx.spawn(move || {
            gate_of_job.pass();
            assert_eq!(rows.count()?, 10);
            done_of_job.open();
            Ok(())
        }));
        gate.open();
        done.pass();
        let (rows, held) = endless(&ctx);
        let other_handle = rows.clone();
        let handle = ctx.spawn(move || rows.count());
        until("the start", || handle.progress().tasks > 0);
        drop(ctx.clone());
        assert!(!handle.is_finished(), "a handle to the context is left");
        drop(ctx);
        is_cancelled(handle.wait(), "the context was dropped");
        // RDDs that still have a handle work.
        assert_eq!(other_handle.take(2).unwrap(), [0, 1]);
        drop(other_handle);
        until_let_go(&held);
    });
}

#[test]
fn a_result_can_be_taken_once_and_waiting_can_time_out() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        let rows = ctx.range(0..10_u64);
        let gate = Gate::default();
        let gate_of_job = gate.clone();
        let handle = ctx.spawn(move || {
            gate_of_job.pass();
            rows.count()
        });
        assert!(handle.wait_timeout(Duration::from_millis(5)).is_none());
        assert!(!handle.is_finished());
        gate.open();
        let first = handle.wait_timeout(DEADLINE).unwrap();
        assert_eq!((first.unwrap(), handle.is_finished()), (10, true));
        handle.cancel("too late");
        assert!(handle.wait().unwrap_err().to_string().contains("result already taken"));
    });
}

#[test]
fn progress_counts_tasks_over_the_jobs_of_the_closure() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        let gate = Gate::default();
        let rows = ctx.range_with(5, 0..5_u64);
        let gate_of_job = gate.clone();
        let rows = rows.map(move |n| {
            if n == 3 {
                gate_of_job.pass();
            }
            (n, n)
        });
        let sums = rows.with_partitions(2).reduce_by_key(|a, b| a + b);
        let handle = ctx.spawn(move || Ok(sums.count()? + sums.count()?));
        let at = |done, all| {
            let progress = handle.progress();
            (progress.tasks_done, progress.tasks) == (done, all)
        };
        until("three tasks", || at(3, 7));
        gate.open();
        // The second job needs no map task.
        until("the end", || at(9, 9));
        assert_eq!(handle.wait().unwrap(), 10);
    });
}

#[test]
fn spawning_and_waiting_inside_a_task_are_refused() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        let inside = ctx.clone();
        let spawns = ctx.range_with(1, 0..1_u64).try_map(move |_| {
            let rows = inside.range(0..3_u64);
            inside.spawn(move || rows.count()).wait().map_err(BoxError::from)
        });
        assert_kind(spawns.collect(), |kind| matches!(kind, ErrorKind::NestedAction { .. }));
        let rows = ctx.range(0..3_u64);
        let handle = Arc::new(Mutex::new(Some(ctx.spawn(move || rows.count()))));
        let waits = ctx.range_with(1, 0..1_u64).try_map(move |_| {
            let handle = handle.lock().unwrap().take().unwrap();
            handle.wait().map_err(BoxError::from)
        });
        assert_kind(waits.collect(), |kind| matches!(kind, ErrorKind::NestedAction { .. }));
    });
}

#[test]
fn accumulators_count_a_spawned_closure_unless_it_is_cancelled() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let seen = ctx.accumulator(0_u64);
        let adds = seen.clone();
        let forever = seen.clone();
        let rows = ctx.range(0..10_u64).inspect(move |_| adds.add(1)).boxed();
        assert_eq!(ctx.spawn(move || rows.count()).wait().unwrap(), 10);
        let rows = endless(&ctx).0.inspect(move |_| forever.add(1)).boxed();
        let handle = ctx.spawn(move || rows.count());
        until("the start", || handle.progress().tasks > 0);
        handle.cancel("no more");
        is_cancelled(handle.wait(), "no more");
        assert_eq!(seen.value(), 10);
    });
}
