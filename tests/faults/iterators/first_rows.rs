//! `take`, `first` and `is_empty` compute the rows that they need, and no others.

use super::{context, test};
use emberline::pipeline::Pipeline;
use emberline::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::scaled;

// Case R-D4 of tests/PROMISES.md.
#[test]
fn take_of_a_boxed_rdd_fails_only_for_rows_that_it_returns() {
    test(|| {
        let ctx = context();
        for bad in 0..40_u64 {
            let rows = ctx.range_with(1, 0..100_u64).map(move |n| {
                assert!(n < bad);
                n
            });
            let boxed = rows.boxed().map(|n| n).boxed();
            for n in 0..40_usize {
                assert_eq!(rows.take(n).is_ok(), n as u64 <= bad, "{n} of {bad}");
                assert_eq!(boxed.take(n).is_ok(), n as u64 <= bad, "{n} of {bad}");
            }
            assert_eq!((boxed.first().is_ok(), boxed.is_empty().is_ok()), (bad > 0, bad > 0));
        }
        Ok(())
    });
}

/// Returns the rows of `take(n)`, and the number of rows that the source of `build` computed.
fn computed<P, F>(n: usize, build: F) -> (Vec<u64>, u64)
where
    P: Pipeline<Item = u64>,
    F: Fn(Rdd<u64>) -> Rdd<u64, P>,
{
    let ctx = context();
    let computed = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&computed);
    let source = ctx.range_with(2, 0..2_000_u64).map(move |n| {
        counter.fetch_add(1, Ordering::Relaxed);
        n
    });
    let rows = build(source.boxed()).take(n).unwrap();
    (rows, computed.load(Ordering::Relaxed))
}

// Case R-D4 of tests/PROMISES.md.
#[test]
fn take_computes_the_same_rows_of_any_chain_boxed_or_not() {
    test(|| {
        for n in [0, 1, 2, 3, 4, 5, 7, 64, 65, 100, 900].into_iter().take(scaled(11)) {
            macro_rules! same {
                ($rows:ident: $chain:expr) => {
                    let plain = computed(n, |$rows| $chain);
                    let boxed = computed(n, |$rows| $chain.boxed());
                    let twice = computed(n, |$rows| {
                        let $rows = $rows.filter(|_| true).boxed();
                        $chain.boxed().map(|n| n).boxed()
                    });
                    assert_eq!(plain, boxed, "{n} of {}", stringify!($chain));
                    assert_eq!(plain, twice, "{n} of {}", stringify!($chain));
                };
            }
            same!(rows: rows.map(|n| n + 1));
            same!(rows: rows.filter(|n| n % 3 == 0));
            same!(rows: rows.filter_map(|n| (n % 2 == 0).then_some(n)));
            same!(rows: rows.flat_map(|n| vec![n; n as usize % 4]));
            same!(rows: rows.flat_map_into(|n, out| (0..n % 3).for_each(|at| out.push(at))));
            same!(rows: rows.map_partitions(|rows| rows.skip(1).step_by(2)));
            same!(rows: rows.zip(&rows).map(|(a, b)| a + b));
            same!(rows: rows.union(&rows));
            same!(rows: rows.coalesce(1));
            same!(rows: rows.sample(0.3, 1));
            same!(rows: rows.sample_with_replacement(1.5, 1));
            same!(rows: rows.refs().map(|n| *n));
            same!(rows: rows.map(|n| (n, n)).map_values(|n| n + 1).keys());
        }
        assert_eq!(computed(4, |rows| rows.map(|n| n + 1)).1, 4);
        assert_eq!(computed(4, |rows| rows.filter(|n| n % 3 == 2)).1, 12);
        Ok(())
    });
}

// Case R-D4 of tests/PROMISES.md.
#[test]
fn rows_after_a_shuffle_are_computed_when_they_are_taken() {
    test(|| {
        let ctx = context();
        let pairs = ctx.range_with(2, 0..100_u64).map(|n| (n % 10, n));
        let joined = pairs.join(&pairs).map(|(_, (a, _))| a);
        let computed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&computed);
        let counted = joined.map(move |n| {
            counter.fetch_add(1, Ordering::Relaxed);
            n
        });
        assert_eq!(counted.boxed().take(7)?.len(), 7);
        assert_eq!(computed.load(Ordering::Relaxed), 7);
        // A cached partition is computed whole, boxed or not, and is then complete.
        let cached = counted.cache();
        assert_eq!((cached.take(3)?.len(), cached.count()?), (3, 1_000));
        Ok(())
    });
}

// Case R-D4 of tests/PROMISES.md.
#[test]
fn a_closure_that_pulls_rows_of_a_boxed_rdd_may_compute_a_few_more() {
    test(|| {
        let ctx = context();
        for pulls in [0_usize, 1, 2, 4, 9] {
            let computed = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&computed);
            let rows = ctx.range_with(1, 0..1_000_u64).map(move |n| {
                counter.fetch_add(1, Ordering::Relaxed);
                n
            });
            let pulled = rows.boxed().map_partitions(move |rows| rows.take(pulls));
            assert_eq!(pulled.count()?, pulls as u64);
            let computed = computed.load(Ordering::Relaxed) as usize;
            assert!((pulls..=2 * pulls).contains(&computed), "{computed} for {pulls}");
        }
        Ok(())
    });
}
