//! The number of attempts of a task, and the error that is reported.

use emberline::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{DEADLINE, within};

fn context(attempts: usize) -> Context {
    Context::builder().threads(2).max_attempts(attempts).build().unwrap()
}

/// Returns a counter, and a closure that counts its calls for row 1 and fails the first `failures`
/// of them.
fn flaky(
    failures: usize,
) -> (Arc<AtomicUsize>, impl Fn(u64) -> u64 + Clone + Send + Sync + 'static) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let square = move |n| {
        if n == 1 {
            let call = counter.fetch_add(1, Ordering::SeqCst);
            assert!(call >= failures, "boom {call}");
        }
        n * n
    };
    (calls, square)
}

#[test]
fn a_failed_closure_is_not_retried_by_default() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let (calls, square) = flaky(1);
        let error = ctx.range_with(3, 0..3_u64).map(square).count().unwrap_err();
        assert_eq!((calls.load(Ordering::SeqCst), error.attempts()), (1, 1), "{error}");
        assert!(!error.to_string().contains("attempts"), "{error}");
    });
}

// Case F001 of tests/PROMISES.md.
#[test]
fn only_the_task_that_failed_is_retried() {
    within(DEADLINE, || {
        let ran = Arc::new(AtomicUsize::new(0));
        let (counter, (_, square)) = (Arc::clone(&ran), flaky(1));
        let squares = context(2).range_with(3, 0..3_u64).map(move |n| {
            counter.fetch_add(1, Ordering::SeqCst);
            square(n)
        });
        assert_eq!(squares.collect().unwrap(), [0, 1, 4]);
        assert_eq!(ran.load(Ordering::SeqCst), 4);
    });
}

// Case F002 of tests/PROMISES.md.
#[test]
fn only_the_reduce_task_that_failed_is_retried() {
    within(DEADLINE, || {
        let (mapped, (calls, square)) = (Arc::new(AtomicUsize::new(0)), flaky(1));
        let counter = Arc::clone(&mapped);
        let pairs = context(2).range_with(3, 0..9_u64).map(move |n| {
            counter.fetch_add(1, Ordering::SeqCst);
            (n % 3, n)
        });
        let groups = pairs.with_partitions(3).group_by_key();
        let mut keys = groups.map(move |(key, _)| square(key)).collect().unwrap();
        keys.sort_unstable();
        assert_eq!(keys, [0, 1, 4]);
        assert_eq!((mapped.load(Ordering::SeqCst), calls.load(Ordering::SeqCst)), (9, 2));
    });
}

// Case F003 of tests/PROMISES.md.
#[test]
fn a_map_stage_that_always_fails_fails_every_action() {
    within(DEADLINE, || {
        let sums = context(1)
            .range_with(3, 0..9_u64)
            .map(|n| if n == 5 { panic!("boom") } else { (n % 2, n) })
            .reduce_by_key(|a, b| a + b);
        for _ in 0..3 {
            let error = sums.collect().unwrap_err();
            assert_eq!(error.operation().unwrap().name, "map", "{error}");
        }
    });
}

// Case F004 of tests/PROMISES.md.
#[test]
fn the_error_is_that_of_the_last_attempt() {
    within(DEADLINE, || {
        let (calls, square) = flaky(3);
        let error = context(3).range_with(3, 0..3_u64).map(square).count().unwrap_err();
        let text = error.to_string();
        assert_eq!((calls.load(Ordering::SeqCst), error.attempts()), (3, 3), "{text}");
        assert!(text.contains("boom 2") && text.contains("attempt 2"), "{text}");
        assert!(text.contains("after 3 attempts"), "{text}");
    });
}

#[test]
fn an_error_of_try_map_is_retried_as_often_as_a_panic() {
    within(DEADLINE, || {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let rows = context(3).range_with(1, 0..1_u64).try_map(move |n| {
            match counter.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => Err("not yet".into()),
                _ => Ok(n),
            }
        });
        assert_eq!(rows.collect().unwrap(), [0]);
        assert_eq!(calls.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn a_flaky_map_side_yields_correct_sums() {
    within(DEADLINE, || {
        for files in [false, true] {
            let builder = Context::builder().threads(4).max_attempts(4).force_spill(files);
            let (calls, square) = flaky(3);
            let squares = builder.build().unwrap().range_with(4, 0..40_u64).map(square);
            let sums = squares.map(|n| (n % 2, n)).reduce_by_key(|a, b| a + b);
            let mut rows = sums.collect().unwrap();
            rows.sort_unstable();
            let want = |odd| (0..40_u64).map(|n| n * n).filter(|n| n % 2 == odd).sum::<u64>();
            assert_eq!(rows, [(0, want(0)), (1, want(1))]);
            assert_eq!(calls.load(Ordering::SeqCst), 4);
        }
    });
}
