//! Partitioning of rows: co-partitioned rows are not shuffled again, which is counted from events.

mod defaults;
mod moves;
mod narrow;
mod ordered;

use crate::support::*;
use emberline::Partitioner;
use emberline::prelude::*;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{DEADLINE, within};

type Numbers = Rdd<(u32, u32)>;

/// Makes a hundred pairs with distinct keys in four partitions.
fn numbers(ctx: &Context) -> Numbers {
    ctx.range_with(4, 0..100_u32).map(|n| (n, n)).boxed()
}

/// Counts the stages that an action over a hundred rows ran, and the rows that they shuffled.
#[track_caller]
fn assert_moves<T: Send + 'static>(
    stages: usize,
    rows_written: u64,
    program: impl Fn(&Context) -> Rdd<T> + Send + 'static,
) {
    let (rows, counts) = within(DEADLINE, move || {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let rdd = program(&ctx);
        assert_eq!(counter.counts().jobs, 0, "a transformation ran a job");
        counter.during(|| rdd.count().unwrap())
    });
    assert_eq!((counts.stages, counts.rows_written), (stages, rows_written), "{counts:?}");
    assert!(rows > 0);
}

#[test]
fn each_keyed_operation_shuffles_its_rows_once() {
    assert_moves(2, 100, |ctx| numbers(ctx).reduce_by_key(|a, b| a + b));
    assert_moves(2, 100, |ctx| numbers(ctx).group_by_key());
    assert_moves(2, 100, |ctx| numbers(ctx).partition_by(3));
    assert_moves(2, 100, |ctx| numbers(ctx).distinct());
    assert_moves(2, 100, |ctx| numbers(ctx).repartition(3));
    assert_moves(3, 200, |ctx| numbers(ctx).join(&numbers(ctx)));
}

#[test]
fn reduce_by_key_shuffles_one_row_per_key_and_partition() {
    assert_moves(2, 12, |ctx| numbers(ctx).map(|(n, _)| (n % 3, 1)).reduce_by_key(|a, b| a + b));
    assert_moves(2, 12, |ctx| numbers(ctx).map(|(n, _)| n % 3).distinct());
}

#[test]
fn reduced_rows_are_reduced_grouped_and_sorted_again_without_a_shuffle() {
    assert_moves(2, 100, |ctx| {
        let reduced = numbers(ctx).reduce_by_key(|a, b| a + b);
        reduced
            .reduce_by_key(|a, b| a + b)
            .group_by_key()
            .map_values(|all| all.len())
            .aggregate_by_key(0, |a, b| a + b, |a, b| a + b)
            .group_by_key_iter()
    });
    assert_moves(2, 100, |ctx| {
        let placed = numbers(ctx).partition_by(4);
        placed.combine_by_key(|n| n, |a, b| a + b, |a, b| a + b)
    });
}

#[test]
fn co_partitioned_sides_join_without_a_shuffle() {
    assert_moves(3, 200, |ctx| {
        let left = numbers(ctx).reduce_by_key(|a, b| a + b);
        let right = numbers(ctx).group_by_key();
        left.join(&right).cogroup(&left)
    });
}

#[test]
fn only_the_side_partitioned_differently_is_shuffled() {
    assert_moves(3, 150, |ctx| {
        let placed = numbers(ctx).partition_by(3);
        placed.join(&ctx.range_with(7, 0..50_u32).map(|n| (n, 'x')))
    });
    assert_moves(3, 150, |ctx| {
        let placed = numbers(ctx).partition_by(3);
        ctx.range_with(7, 0..50_u32).map(|n| (n, 'x')).cogroup(&placed)
    });
}

#[test]
fn narrow_operations_that_keep_keys_keep_the_partitioner() {
    assert_moves(2, 100, |ctx| {
        let placed = numbers(ctx).partition_by(3);
        let filtered = placed.map_values(|n| n + 1).filter(|(key, _)| key % 2 == 0).inspect(|_| ());
        filtered
            .with(7_u32)
            .filter(|limit, (key, _)| key > limit)
            .boxed()
            .cache()
            .reduce_by_key(|a, b| a + b)
    });
}

#[test]
fn an_operation_that_may_change_keys_drops_the_partitioner() {
    assert_moves(3, 200, |ctx| numbers(ctx).partition_by(3).map(|pair| pair).group_by_key());
    assert_moves(3, 200, |ctx| numbers(ctx).partition_by(3).filter_map(Some).group_by_key());
    assert_moves(3, 200, |ctx| numbers(ctx).partition_by(3).flat_map(|pair| [pair]).group_by_key());
    assert_moves(3, 200, |ctx| {
        numbers(ctx).partition_by(3).map_partitions(|rows| rows).group_by_key()
    });
    assert_moves(3, 200, |ctx| numbers(ctx).partition_by(3).key_by(|pair| pair.0).group_by_key());
    assert_moves(3, 200, |ctx| numbers(ctx).partition_by(3).try_map(Ok).group_by_key());
}

#[test]
fn another_number_of_partitions_is_another_partitioner() {
    assert_moves(2, 100, |ctx| numbers(ctx).partition_by(3).partition_by(3));
    assert_moves(3, 200, |ctx| numbers(ctx).partition_by(3).partition_by(4));
    assert_moves(3, 200, |ctx| {
        numbers(ctx).partition_by(3).with_partitions(4).reduce_by_key(|a, b| a + b)
    });
    assert_moves(2, 100, |ctx| {
        numbers(ctx).partition_by(3).with_partitions(3).reduce_by_key(|a, b| a + b)
    });
}

/// Keys in tens; two of these are alike if they have the same number of tens.
struct ByTens {
    tens: usize,
    says: bool,
}

impl Partitioner<u32> for ByTens {
    fn partitions(&self) -> usize {
        self.tens
    }

    fn partition_of(&self, key: &u32) -> usize {
        (*key as usize / 10).min(self.tens - 1)
    }

    fn same_as(&self, other: &dyn Any) -> bool {
        self.says && other.downcast_ref::<Self>().is_some_and(|other| other.tens == self.tens)
    }
}

fn by_tens(tens: usize, says: bool) -> Arc<ByTens> {
    Arc::new(ByTens { tens, says })
}

#[test]
fn a_custom_partitioner_equals_itself() {
    assert_moves(2, 100, |ctx| {
        let by = by_tens(5, false);
        let placed = numbers(ctx).partition_by(Arc::clone(&by));
        placed
            .with_partitions(Arc::clone(&by))
            .reduce_by_key(|a, b| a + b)
            .with_partitions(by)
            .join(&placed)
    });
    assert_moves(2, 100, |ctx| numbers(ctx).partition_by(by_tens(5, false)).group_by_key());
}

#[test]
fn two_custom_partitioners_are_equal_only_if_they_say_so() {
    let joined = |ctx: &Context, says, tens| {
        let left = numbers(ctx).partition_by(by_tens(5, says));
        left.partition_by(by_tens(tens, says))
    };
    assert_moves(2, 100, move |ctx| joined(ctx, true, 5));
    assert_moves(3, 200, move |ctx| joined(ctx, false, 5));
    assert_moves(3, 200, move |ctx| joined(ctx, true, 6));
}

#[test]
fn distinct_of_a_partitioned_rdd_does_not_shuffle() {
    assert_moves(2, 200, |ctx| {
        let twice = numbers(ctx).union(&numbers(ctx)).partition_by(3);
        twice.distinct().reduce_by_key(|a, b| a + b)
    });
    check_rows(
        (0..100)
            .map(|n| (n % 10, n / 20))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect(),
        |ctx, p| {
            let rows = ctx.range_with(p, 0..100).map(|n| (n % 10, n / 20));
            rows.partition_by(3).distinct().collect()
        },
    );
}

// Case B087 of tests/spark_cases.md.
#[test]
fn union_of_co_partitioned_rdds_keeps_their_partitions() {
    test(|| {
        let ctx = context();
        let plain = numbers(&ctx);
        let placed = numbers(&ctx).partition_by(3);
        assert_eq!(plain.union(&placed).num_partitions(), 7);
        assert_eq!(placed.union(&plain).num_partitions(), 7);
        assert_eq!(placed.union(&numbers(&ctx).partition_by(2)).num_partitions(), 5);
        let both = placed.union(&numbers(&ctx).with_partitions(3).reduce_by_key(|a, b| a + b));
        assert_eq!((both.num_partitions(), both.count()?), (3, 200));
        let parts = glom(&placed)?;
        let both = glom(&both)?;
        assert!(parts.iter().zip(&both).all(|(part, both)| both.starts_with(part)));
        Ok(())
    });
    assert_moves(3, 200, |ctx| {
        let a = numbers(ctx).partition_by(3);
        let b = numbers(ctx).partition_by(3);
        a.union(&b).reduce_by_key(|a, b| a + b)
    });
}

#[test]
fn union_of_differently_partitioned_rdds_drops_the_partitioner() {
    check_rows((0..100).map(|n| (n, 3)).collect(), |ctx, p| {
        let ones = ctx.range_with(p, 0..100).map(|n| (n, 1));
        let apart = ones.partition_by(2).union(&ones.partition_by(3)).union(&ones);
        apart.reduce_by_key(|a, b| a + b).collect()
    });
}

#[test]
fn sort_pairs_leaves_its_range_partitioner_to_the_next_operation() {
    // The sample reads the rows in a stage of its own and moves none.
    assert_moves(3, 100, |ctx| numbers(ctx).sort_pairs().reduce_by_key(|a, b| a + b));
    assert_moves(4, 200, |ctx| numbers(ctx).sort_by_key(|pair| pair.0).reduce_by_key(|a, b| a + b));
    assert_moves(4, 200, |ctx| {
        let ranged = numbers(ctx).sort_pairs();
        ranged.join(&numbers(ctx))
    });
}

#[test]
fn a_finished_shuffle_is_not_repeated() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let sums = numbers(&ctx).reduce_by_key(|a, b| a + b);
        sums.count()?;
        let (_, counts) = counter.during(|| sums.map_values(|n| n + 1).join(&sums).count());
        assert_eq!((counts.stages, counts.skipped, counts.rows_written), (1, 1, 0));
        Ok(())
    });
}

/// A partitioner whose keys are their partitions.
struct Literal(usize);

impl Partitioner<i64> for Literal {
    fn partitions(&self) -> usize {
        self.0
    }

    fn partition_of(&self, key: &i64) -> usize {
        *key as usize
    }
}

#[test]
fn a_custom_partitioner_decides_the_partition_of_a_key() {
    check(vec![vec![(0, 9)], vec![(1, 12)], vec![(2, 15)]], |ctx, p| {
        let pairs = ctx.range_with(p, 0..9_i64).map(|n| (n % 3, n));
        let by = Arc::new(Literal(3));
        let placed = glom(&pairs.partition_by(Arc::clone(&by)))?;
        let oracle = (0..3).map(|key| vec![(key, key), (key, key + 3), (key, key + 6)]);
        assert_eq!(placed, oracle.collect::<Vec<_>>());
        let group_by_key_iter = pairs
            .with_partitions(Arc::clone(&by))
            .group_by_key()
            .map_values(|all| all.iter().sum());
        let reduced = glom(&pairs.with_partitions(by).reduce_by_key(|a, b| a + b))?;
        assert_eq!(glom(&group_by_key_iter)?, reduced);
        Ok(reduced)
    });
}

#[test]
fn an_out_of_range_partitioner_is_an_error_of_the_operation() {
    test(|| {
        let ctx = context();
        let pairs = ctx.range_with(2, 0..4_i64).map(|n| (n, n));
        let by = || Arc::new(Literal(3));
        let out = |kind: &ErrorKind| {
            matches!(kind, ErrorKind::PartitionOutOfRange { partition: 3, partitions: 3 })
        };
        let named = |name: &str, error: Error| {
            let text = error.to_string();
            assert!(
                text.contains(name) && text.contains(file!()) && error.task().is_some(),
                "{text}"
            );
        };
        named("partition_by", assert_kind(pairs.partition_by(by()).count(), out));
        named(
            "reduce_by_key",
            assert_kind(pairs.with_partitions(by()).reduce_by_key(|a, _| a).count(), out),
        );
        named("group_by_key", assert_kind(pairs.with_partitions(by()).group_by_key().count(), out));
        named("join", assert_kind(pairs.with_partitions(by()).join(&pairs).count(), out));
        named("cogroup", assert_kind(pairs.with_partitions(by()).cogroup(&pairs).count(), out));
        Ok(())
    });
}

// Case B109 of tests/spark_cases.md.
#[test]
fn repartition_grows_and_shrinks_to_the_exact_number() {
    for partitions in [2, 20] {
        check((1..=1000).collect::<Vec<u32>>(), move |ctx, _| {
            let spread = ctx.parallelize_with(10, 1..=1000_u32).repartition(partitions);
            let sizes = sizes(&spread)?;
            assert!(sizes.len() == partitions && !sizes.contains(&0), "{sizes:?}");
            Ok(sorted(spread.collect()?))
        });
    }
}

// Case B111 of tests/spark_cases.md.
#[test]
fn repartition_is_even_to_one_row_per_input_partition() {
    test(|| {
        let ctx = context();
        for (rows, before, after) in [(100, 10, 20), (20_000, 20, 100), (1000, 250, 128)] {
            let sizes = sizes(&ctx.range_with(before, 0..rows).repartition(after))?;
            let most = rows as usize / after + before;
            assert!(sizes.iter().all(|size| (1..=most).contains(size)), "{sizes:?}");
        }
        Ok(())
    });
}

// Case B115 of tests/spark_cases.md.
#[test]
fn repartition_of_seven_rows() {
    test(|| {
        let rows = context().parallelize_with(4, 1..=7);
        assert_eq!(glom(&rows)?, [vec![1], vec![2, 3], vec![4, 5], vec![6, 7]]);
        assert_eq!(rows.repartition(2).num_partitions(), 2);
        let ten = rows.repartition(10);
        assert_eq!((glom(&ten)?.len(), sorted(ten.collect()?)), (10, (1..=7).collect()));
        Ok(())
    });
}

// Case B121 of tests/spark_cases.md.
#[test]
fn repartition_from_two_to_twenty_leaves_none_empty() {
    same_bytes(|ctx, _| {
        let spread = ctx.range_with(2, 0..1000_u32).repartition(20);
        assert!(sizes(&spread)?.iter().all(|size| (48..=52).contains(size)));
        spread.collect()
    });
}

/// A partitioner that returns another partition at each call.
struct Fickle(AtomicUsize);

impl Partitioner<u64> for Fickle {
    fn partitions(&self) -> usize {
        4
    }

    fn partition_of(&self, _: &u64) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) % 4
    }
}

#[test]
fn an_inconsistent_partitioner_loses_no_rows() {
    test(|| {
        let ctx = context();
        let placed = ctx.range(0..1_001_u64).map(|n| (n, n));
        let placed = placed.partition_by(Arc::new(Fickle(AtomicUsize::new(0))));
        let group_by_key_iter = placed.group_by_key().flat_map(|(_, values)| values);
        let mut rows = group_by_key_iter.collect()?;
        rows.sort_unstable();
        assert_eq!(rows, (0..1_001).collect::<Vec<u64>>());
        Ok(())
    });
}
