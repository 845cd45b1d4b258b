//! Threads that the system refuses to start.

use super::*;

/// Runs a job whose tasks never return until the sender is dropped, cancels it, and waits until its threads are
/// abandoned.
fn block_all_threads(ctx: &Context, threads: usize) -> Sender<()> {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let met = Arc::new(Barrier::new(threads + 1));
    let meet = Arc::clone(&met);
    let stuck = ctx.range_with(threads, 0..threads as u64);
    let stuck = ctx.spawn(move || {
        stuck.for_each(move |_| {
            meet.wait();
            let _ = wait.lock().map(|wait| wait.recv());
        })
    });
    met.wait();
    stuck.cancel("stuck");
    eventually("all threads are abandoned", || ctx.abandoned_tasks().len() == threads);
    release
}

pub(super) fn is_of_the_system(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io { .. })
        && error.to_string().contains("starting a thread for")
}

/// Returns the number of threads that a context with a number of threads for tasks starts when it is built.
pub(super) fn threads_of(threads: usize) -> u64 {
    2 * threads as u64 + 2
}

// Case R-B2 of tests/PROMISES.md.
#[test]
fn jobs_fail_while_stuck_threads_cannot_be_replaced_and_succeed_afterwards() {
    within(DEADLINE, || {
        for threads in 1..=3 {
            let faults = FaultPlan::new().refuse_threads(threads_of(threads) + 1, 20).arm();
            let ctx = Context::builder().threads(threads).faults(&faults).build().unwrap();
            let release = block_all_threads(&ctx, threads);
            let error = ctx.range_with(4, 0..9_u64).count().unwrap_err();
            assert!(is_of_the_system(&error), "{error}");
            assert!(error.to_string().contains("no more threads"), "{error}");
            let works = || ctx.range_with(4, 0..9_u64).count().is_ok_and(|rows| rows == 9);
            eventually("the limit is lifted", works);
            assert!(faults.fired() >= 4, "{}", faults.fired());
            let all_meet = Arc::new(Barrier::new(threads));
            let meet = move |_| {
                all_meet.wait();
            };
            ctx.range_with(threads, 0..threads as u64).for_each(meet).unwrap();
            drop(release);
        }
    });
}

// Case R-B2 of tests/PROMISES.md.
#[test]
fn tasks_that_wait_when_their_thread_cannot_be_replaced_fail() {
    within(DEADLINE, || {
        let faults = FaultPlan::new().refuse_threads(threads_of(1) + 2, 8).arm();
        let ctx = Context::builder().threads(1).faults(&faults).build().unwrap();
        let (release, wait) = channel::<()>();
        let (began, has_begun) = channel();
        let wait = Mutex::new(wait);
        let stuck = ctx.range_with(1, 0..1_u64);
        let stuck = ctx.spawn(move || {
            stuck.for_each(move |_| {
                began.send(()).unwrap();
                let _ = wait.lock().map(|wait| wait.recv());
            })
        });
        has_begun.recv().unwrap();
        let waiting = ctx.range_with(3, 0..9_u64);
        let waiting = ctx.spawn(move || waiting.count());
        thread::sleep(Duration::from_millis(20));
        stuck.cancel("stuck");
        let error = waiting.wait().unwrap_err();
        assert!(is_of_the_system(&error), "{error}");
        eventually("the limit is lifted", || ctx.range(0..9_u64).count().is_ok());
        drop(release);
    });
}

// Case R-B2 of tests/PROMISES.md.
#[test]
fn a_spawned_closure_that_waits_for_another_ends_though_a_thread_was_refused() {
    within(DEADLINE, || {
        for refused in 1..5 {
            let faults = FaultPlan::new().refuse_threads(threads_of(1) + 1, refused).arm();
            let ctx = Context::builder().threads(1).faults(&faults).build().unwrap();
            let (send, receive) = channel();
            let waits = ctx.spawn(move || Ok(receive.recv().unwrap()));
            let sends = ctx.spawn(move || {
                send.send(7).unwrap();
                Ok(8)
            });
            assert_eq!((waits.wait().unwrap(), sends.wait().unwrap()), (7, 8));
            assert_eq!(faults.fired(), refused);
        }
    });
}

// Case R-B2 of tests/PROMISES.md.
#[test]
fn a_spawned_closure_for_which_there_is_no_thread_gets_the_error_of_the_system() {
    within(DEADLINE, || {
        let faults = FaultPlan::new()
            .refuse_threads(threads_of(1), 1)
            .refuse_threads(threads_of(1) + 2, 3)
            .arm();
        let ctx = Context::builder().threads(1).faults(&faults).build().unwrap();
        let error = ctx.spawn(|| Ok(1)).wait().unwrap_err();
        assert!(is_of_the_system(&error), "{error}");
        let (release, wait) = channel::<()>();
        let (began, has_begun) = channel();
        let stuck = ctx.spawn(move || {
            began.send(()).unwrap();
            Ok(wait.recv().is_ok())
        });
        has_begun.recv().unwrap();
        let waiting = ctx.spawn(|| Ok(2));
        stuck.cancel("stuck");
        let error = waiting.wait().unwrap_err();
        assert!(is_of_the_system(&error), "{error}");
        assert!(error.to_string().contains("spawn at tests/faults/threads/refused.rs"), "{error}");
        eventually("the limit is lifted", || ctx.spawn(|| Ok(3)).wait().is_ok());
        drop(release);
    });
}

// Case R-B2 of tests/PROMISES.md.
#[test]
fn whatever_threads_are_refused_every_job_and_closure_ends() {
    within(DEADLINE, || {
        let mut failed = 0;
        for round in 0..scaled(12) as u64 {
            let threads = 1 + round as usize % 3;
            let first = threads_of(threads) + round % 5;
            let plan = FaultPlan::new().refuse_threads(first, 1 + round % 4);
            let faults = plan.refuse_threads(first + 6 + round % 3, round % 6).arm();
            let ctx = Context::builder().threads(threads).faults(&faults).build().unwrap();
            let closures = (0..6_u64).map(|n| {
                let rows = ctx.range_with(4, 0..n).map(|n| (n % 3, n)).reduce_by_key(|a, b| a + b);
                ctx.spawn(move || rows.count())
            });
            let closures: Vec<_> = closures.collect();
            let release = (round % 2 == 0).then(|| {
                let (release, wait) = channel::<()>();
                let wait = Mutex::new(wait);
                let stuck = ctx.range_with(threads, 0..3_u64);
                let stuck = ctx.spawn(move || {
                    stuck.for_each(move |_| {
                        let _ = wait.lock().map(|wait| wait.recv());
                    })
                });
                thread::sleep(Duration::from_millis(30));
                stuck.cancel("stuck");
                release
            });
            for (n, closure) in closures.into_iter().enumerate() {
                match closure.wait() {
                    Ok(keys) => assert_eq!(keys, n.min(3) as u64),
                    Err(error) => {
                        failed += 1;
                        assert!(is_of_the_system(&error), "{error}");
                    }
                }
            }
            eventually("jobs succeed again", || ctx.range(0..9_u64).count().is_ok());
            drop(release);
        }
        println!("{failed} closures failed");
    });
}
