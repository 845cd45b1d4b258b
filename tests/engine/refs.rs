//! `refs`: operations over `&T` return the rows of those over `T`, and stored rows are not cloned.

use crate::support::*;
use emberline::ErrorKind;
use emberline::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{DEADLINE, on_stack, within};

fn words() -> Vec<String> {
    (0..200).map(|n| "x".repeat((noise(n) % 9) as usize)).collect()
}

/// Returns RDDs that pass references in the three ways: to a collection, to a stored block, and to
/// computed rows.
fn lent(ctx: &Context, partitions: usize, rows: &[String]) -> [Rdd<String>; 3] {
    let rows = spread(ctx, partitions, rows);
    [rows.clone(), rows.map(|word| word).cache(), rows.map(|word| word).boxed()]
}

/// Checks that an operation over references returns the rows of the oracle from each kind of RDD,
/// twice.
fn same_as_oracle<U, S>(oracle: Vec<U>, step: S)
where
    U: PartialEq + std::fmt::Debug + Send + 'static,
    S: Fn(&Rdd<String>) -> Result<Vec<U>> + Send + 'static,
{
    within(DEADLINE, move || {
        grid(
            &grid_cells(),
            |ctx, partitions| {
                let kinds = lent(ctx, partitions, &words());
                kinds.iter().flat_map(|rdd| [step(rdd), step(rdd)]).collect::<Result<Vec<_>>>()
            },
            |partitions, answers| {
                for (cell, kinds) in answers {
                    for rows in kinds {
                        assert_eq!(rows, oracle, "in {partitions} partitions {cell}");
                    }
                }
            },
        );
    });
}

#[test]
fn map_over_references_equals_an_iterators_map() {
    same_as_oracle(words().iter().map(String::len).collect(), |rdd| {
        rdd.refs().map(|word| word.len()).collect()
    });
}

#[test]
fn filter_over_references_equals_an_iterators_filter() {
    same_as_oracle(words().into_iter().filter(|word| word.len() > 4).collect(), |rdd| {
        rdd.refs().filter(|word| word.len() > 4).collect()
    });
}

#[test]
fn filter_map_over_references_equals_an_iterators_filter_map() {
    same_as_oracle(
        words().iter().filter_map(|word| word.get(..4).map(str::len)).collect(),
        |rdd| rdd.refs().filter_map(|word| word.get(..4).map(str::len)).collect(),
    );
}

#[test]
fn flat_map_over_references_equals_an_iterators_flat_map() {
    same_as_oracle(words().iter().flat_map(|word| 0..word.len()).collect(), |rdd| {
        rdd.refs().flat_map(|word| 0..word.len()).collect()
    });
}

#[test]
fn with_and_refs_can_be_combined() {
    let oracle: Vec<usize> = words()
        .iter()
        .map(|word| word.len() + 1)
        .filter(|n| *n > 3)
        .filter_map(|n| n.checked_sub(4))
        .flat_map(|n| vec![n; 2])
        .collect();
    same_as_oracle(oracle, |rdd| {
        let longer = rdd.refs().with(1_usize).map(|by, word| word.len() + by);
        let long = longer.refs().with(3_usize).filter(|least, n| n > least);
        let less = long.refs().with(4_usize).filter_map(|by, n| n.checked_sub(*by));
        less.refs().with(2_usize).flat_map(|times, n| vec![*n; *times]).collect()
    });
}

#[test]
fn take_and_zip_pull_rows_by_reference_one_at_a_time() {
    same_as_oracle(words().iter().map(String::len).take(33).collect(), |rdd| {
        rdd.refs().map(|word| word.len()).take(33)
    });
    same_as_oracle(words().iter().map(|word| (word.len(), word.clone())).collect(), |rdd| {
        rdd.refs().map(|word| word.len()).zip(rdd).collect()
    });
}

static CLONES: AtomicUsize = AtomicUsize::new(0);

/// A row that counts its clones.
#[derive(Serialize, Deserialize)]
struct Costly(u64);

impl Clone for Costly {
    fn clone(&self) -> Self {
        CLONES.fetch_add(1, Ordering::SeqCst);
        Costly(self.0)
    }
}

#[test]
fn rows_in_memory_are_read_without_a_clone() {
    test(|| {
        let ctx = context();
        let sum =
            |rows: &Rdd<Costly>| rows.refs().with(1_u64).map(|by, row| row.0 + by).sum::<u64>();
        let listed = ctx.parallelize((0..100).map(Costly)).boxed();
        assert_eq!(sum(&listed)?, 5050_u64);
        let cached = ctx.range(0..100_u64).map(Costly).cache();
        for _ in 0..3 {
            assert_eq!(sum(&cached)?, 5050);
        }
        assert_eq!(CLONES.load(Ordering::SeqCst), 0, "the round that fills the cache included");
        assert_eq!(sum(&listed.union(&cached))?, 2 * 5050);
        assert_eq!(sum(&ctx.union([cached.clone(), listed, cached.clone()]))?, 3 * 5050);
        assert_eq!(sum(&cached.coalesce(99))?, 5050);
        assert_eq!(CLONES.load(Ordering::SeqCst), 0, "partitions of one partition each");
        assert_eq!(sum(&cached.coalesce(1))?, 5050, "read as clones, end to end");
        assert_eq!(CLONES.swap(0, Ordering::SeqCst), 100);
        assert_eq!(cached.refs().filter(|row| row.0 < 7).count()?, 7);
        assert_eq!(CLONES.load(Ordering::SeqCst), 7, "only what is kept");
        assert_eq!(cached.map(|row| row.0).count()?, 100);
        assert_eq!(CLONES.load(Ordering::SeqCst), 107, "steps over rows clone each");
        Ok(())
    });
}

#[test]
fn references_to_uncached_rows_recompute_them() {
    test(|| {
        let computed = context().accumulator(0_u32);
        let counter = computed.clone();
        let rows = context().range_with(2, 0..10_u32).inspect(move |_| counter.add(1)).cache();
        let doubled = rows.refs().map(|n| n * 2);
        assert_eq!((doubled.sum::<u32>()?, doubled.sum::<u32>()?), (90, 90));
        assert_eq!(computed.take(), 10);
        rows.unpersist();
        assert_eq!((doubled.sum::<u32>()?, doubled.sum::<u32>()?), (90, 90));
        assert_eq!(computed.take(), 20);
        Ok(())
    });
}

#[test]
fn a_filter_over_references_keeps_the_partitioner_and_a_map_does_not() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let pairs = ctx.range_with(3, 0..90_u64).map(|n| (n % 9, n)).partition_by(4).cache();
        pairs.count()?;
        let shuffled = |rows: &Rdd<(u64, u64)>| {
            counter.during(|| rows.with_partitions(4).group_by_key().count()).1.rows_written
        };
        assert_eq!(shuffled(&pairs.refs().filter(|(_, n)| *n < 50).boxed()), 0);
        assert_eq!(shuffled(&pairs.refs().map(|(key, n)| (*key, *n)).boxed()), 90);
        Ok(())
    });
}

#[test]
fn a_panic_over_references_names_its_operation() {
    test(|| {
        let rows = context().parallelize(vec![1, 0]).cache();
        let failed = rows.refs().map(|n| 10 / n).collect();
        let error = assert_kind(failed, |kind| matches!(kind, ErrorKind::Panicked { .. }));
        let text = error.to_string();
        assert!(text.contains("map at tests/engine/refs.rs"), "{text}");
        Ok(())
    });
}

#[test]
fn ten_thousand_boxed_operations_over_references_need_no_more_stack() {
    on_stack(2 << 20, || {
        let mut rows = context().range_with(1, 0..3_u64).cache();
        for _ in 0..10_000 {
            rows = rows.refs().map(|n| n + 1).boxed();
        }
        assert_eq!(rows.collect().unwrap(), [10_000, 10_001, 10_002]);
    });
}
