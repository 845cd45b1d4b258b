//! The rows that each operation shuffles: one per key and partition if it combines, all if it does not, none if its
//! inputs are co-partitioned or its outputs exist.

use super::by_tens;
use crate::support::*;
use emberline::Partitioning;
use emberline::prelude::*;
use std::cmp::Reverse;

type Numbers = Rdd<(u32, u32)>;

/// An operation on one RDD, or on that and another one.
type Run = fn(&Numbers, &Numbers) -> Numbers;
type RunWith = fn(&Numbers, &Numbers, Partitioning<u32>) -> Numbers;

/// An operation that may shuffle.
struct Wide {
    name: &'static str,
    /// The number of inputs; those after the first are the other RDD.
    inputs: u64,
    /// True if it combines before it shuffles.
    combines: bool,
    /// True if it does not shuffle co-partitioned rows.
    in_place: bool,
    run: Run,
}

fn combines(name: &'static str, run: Run) -> Wide {
    Wide { name, inputs: 1, combines: true, in_place: true, run }
}

fn gathers(name: &'static str, inputs: u64, run: Run) -> Wide {
    Wide { name, inputs, combines: false, in_place: true, run }
}

fn always_moves(name: &'static str, inputs: u64, run: Run) -> Wide {
    Wide { name, inputs, combines: false, in_place: false, run }
}

/// Returns the pairs of a keyed result, with a number in place of each value.
fn keys<V: Send + 'static>(rdd: Rdd<(u32, V)>) -> Numbers {
    rdd.map_values(|_| 0).boxed()
}

/// Returns every operation that may shuffle, with its default partitioner.
fn wide() -> Vec<Wide> {
    vec![
        combines("reduce_by_key", |a, _| a.reduce_by_key(|n, m| n + m)),
        combines("fold_by_key", |a, _| a.fold_by_key(0, |n, m| n + m)),
        combines("aggregate_by_key", |a, _| a.aggregate_by_key(0, |n, m| n + m, |n, m| n + m)),
        combines("combine_by_key", |a, _| a.combine_by_key(|n| n, |n, m| n + m, |n, m| n + m)),
        combines("distinct", |a, _| a.distinct()),
        gathers("group_by_key", 1, |a, _| keys(a.group_by_key())),
        gathers("group_by_key_iter", 1, |a, _| keys(a.group_by_key_iter())),
        gathers("group_sorted_by_key", 1, |a, _| keys(a.group_sorted_by_key(|n| *n))),
        gathers("join", 2, |a, b| keys(a.join(b))),
        gathers("left_outer_join", 2, |a, b| keys(a.left_outer_join(b))),
        gathers("right_outer_join", 2, |a, b| keys(a.right_outer_join(b))),
        gathers("full_outer_join", 2, |a, b| keys(a.full_outer_join(b))),
        gathers("cogroup", 2, |a, b| keys(a.cogroup(b))),
        gathers("cogroup_iter", 2, |a, b| keys(a.cogroup_iter(b))),
        gathers("cogroup3", 3, |a, b| keys(a.cogroup3(b, b))),
        gathers("subtract_by_key", 2, |a, b| a.subtract_by_key(b)),
        always_moves("subtract", 2, |a, b| a.subtract(b)),
        always_moves("intersection", 2, |a, b| a.intersection(b)),
        always_moves("group_by", 1, |a, _| keys(a.group_by(|row| row.0))),
        always_moves("repartition", 1, |a, _| a.repartition(4)),
        always_moves("sort_by_key", 1, |a, _| a.sort_by_key(|row| row.1)),
        always_moves("sort_by", 1, |a, _| a.sort_by(|a, b| Reverse(a).cmp(&Reverse(b)))),
        always_moves("sort_pairs", 1, |a, _| a.sort_pairs()),
    ]
}

/// Returns every operation that accepts a partitioner of its keys, with the number of its inputs.
fn wide_with() -> Vec<(&'static str, u64, RunWith)> {
    vec![
        ("partition_by", 1, |a, _, by| a.partition_by(by)),
        ("repartition_and_sort", 1, |a, _, by| a.repartition_and_sort_within_partitions(by)),
        ("reduce_by_key", 1, |a, _, by| a.with_partitions(by).reduce_by_key(|n, m| n + m)),
        ("fold_by_key", 1, |a, _, by| a.with_partitions(by).fold_by_key(0, |n, m| n + m)),
        ("aggregate_by_key", 1, |a, _, by| {
            a.with_partitions(by).aggregate_by_key(0, |n, m| n + m, |n, m| n + m)
        }),
        ("combine_by_key", 1, |a, _, by| {
            a.with_partitions(by).combine_by_key(|n| n, |n, m| n + m, |n, m| n + m)
        }),
        ("group_by_key", 1, |a, _, by| keys(a.with_partitions(by).group_by_key())),
        ("group_by_key_iter", 1, |a, _, by| keys(a.with_partitions(by).group_by_key_iter())),
        ("group_sorted_by_key", 1, |a, _, by| {
            keys(a.with_partitions(by).group_sorted_by_key(|n| *n))
        }),
        ("join", 2, |a, b, by| keys(a.with_partitions(by).join(b))),
        ("left_outer_join", 2, |a, b, by| keys(a.with_partitions(by).left_outer_join(b))),
        ("right_outer_join", 2, |a, b, by| keys(a.with_partitions(by).right_outer_join(b))),
        ("full_outer_join", 2, |a, b, by| keys(a.with_partitions(by).full_outer_join(b))),
        ("cogroup", 2, |a, b, by| keys(a.with_partitions(by).cogroup(b))),
        ("cogroup_iter", 2, |a, b, by| keys(a.with_partitions(by).cogroup_iter(b))),
        ("cogroup3", 3, |a, b, by| keys(a.with_partitions(by).cogroup3(b, b))),
        ("subtract_by_key", 2, |a, b, by| a.with_partitions(by).subtract_by_key(b)),
    ]
}

/// Makes a hundred pairs in four partitions, each with five copies of the same five pairs.
fn plain(ctx: &Context) -> Numbers {
    ctx.range_with(4, 0..100_u32).map(|n| (n % 5, n % 5 * 10)).boxed()
}

fn counted() -> (Counter, Context) {
    let counter = Counter::default();
    let ctx = counter.listen(Context::builder().threads(2));
    (counter, ctx)
}

/// Counts the rows that an action on `rdd` shuffles.
fn moved(counter: &Counter, rdd: &Numbers) -> Result<u64> {
    let (answer, counts) = counter.during(|| rdd.count());
    answer.map(|_| counts.rows_written)
}

/// Checks that the result is partitioned by key, so that the next operation shuffles nothing.
#[track_caller]
fn assert_partitioned(name: &str, counter: &Counter, result: &Numbers, partitions: usize) {
    assert_eq!(result.num_partitions(), partitions, "{name}");
    assert_eq!(moved(counter, &keys(result.group_by_key())).unwrap(), 0, "after {name}");
}

#[test]
fn combining_shuffles_one_row_per_key_and_partition_and_others_shuffle_all_rows() {
    test(|| {
        let (counter, ctx) = counted();
        for Wide { name, inputs, combines, run, .. } in wide() {
            let result = run(&plain(&ctx), &plain(&ctx));
            let first = if combines { 20 } else { 100 * inputs };
            assert_eq!(moved(&counter, &result)?, first, "{name}");
            assert_eq!(moved(&counter, &result)?, 0, "{name} again");
            assert_eq!(
                moved(&counter, &result.filter(|_| true).boxed())?,
                0,
                "after a filter of {name}"
            );
        }
        Ok(())
    });
}

#[test]
fn given_partitioners_shuffle_as_many_rows_as_the_default_one() {
    test(|| {
        let (counter, ctx) = counted();
        for (name, inputs, run) in wide_with() {
            for by in [Partitioning::from(3), by_tens(5, false).into()] {
                let result = run(&plain(&ctx), &plain(&ctx), by);
                let combines = wide().iter().any(|wide| wide.name == name && wide.combines);
                let first = if combines { 20 } else { 100 * inputs };
                assert_eq!(moved(&counter, &result)?, first, "{name}");
                assert_eq!(moved(&counter, &result)?, 0, "{name} again");
                assert_partitioned(name, &counter, &result, result.num_partitions());
            }
        }
        Ok(())
    });
}

#[test]
fn co_partitioned_rows_are_not_shuffled_by_hash_custom_or_range_partitioner() {
    test(|| {
        let (counter, ctx) = counted();
        let by_user = by_tens(5, true);
        let ranges = plain(&ctx).with_partitions(3).sort_pairs();
        let sides = [
            (plain(&ctx).partition_by(3), plain(&ctx).with_partitions(3).reduce_by_key(|n, _| n)),
            (plain(&ctx).partition_by(by_user), plain(&ctx).partition_by(by_tens(5, true))),
            (ranges.clone(), ranges.map_values(|n| n + 1).boxed()),
        ];
        for (left, right) in &sides {
            moved(&counter, left)?;
            moved(&counter, right)?;
            for Wide { name, run, .. } in wide().iter().filter(|wide| wide.in_place) {
                let result = run(left, right);
                assert_eq!(moved(&counter, &result)?, 0, "{name}");
                assert_partitioned(name, &counter, &result, left.num_partitions());
            }
        }
        Ok(())
    });
}

#[test]
fn rows_already_partitioned_by_the_given_partitioner_are_not_shuffled() {
    test(|| {
        let (counter, ctx) = counted();
        for by in [Partitioning::from(3), by_tens(5, false).into()] {
            let left = plain(&ctx).partition_by(by.clone());
            let right = plain(&ctx);
            let right = right.partition_by(by.clone());
            moved(&counter, &left)?;
            moved(&counter, &right)?;
            for (name, _, run) in wide_with() {
                let result = run(&left, &right, by.clone());
                assert_eq!(moved(&counter, &result)?, 0, "{name}");
                assert_partitioned(name, &counter, &result, by.partitions());
            }
        }
        Ok(())
    });
}

#[test]
fn of_several_inputs_only_those_partitioned_differently_are_shuffled() {
    test(|| {
        let (counter, ctx) = counted();
        // As many partitions as `plain`, so that both inputs have the same default number.
        let placed = plain(&ctx).partition_by(4);
        moved(&counter, &placed)?;
        for Wide { name, inputs, run, .. } in wide().iter().filter(|wide| wide.in_place) {
            if *inputs == 1 {
                continue;
            }
            let others = 100 * (inputs - 1);
            assert_eq!(moved(&counter, &run(&placed, &plain(&ctx)))?, others, "{name}");
            assert_eq!(moved(&counter, &run(&plain(&ctx), &placed))?, 100, "{name}");
        }
        let third = placed.cogroup3(&placed, &plain(&ctx));
        assert_eq!(moved(&counter, &keys(third))?, 100);
        Ok(())
    });
}

#[test]
fn operations_that_always_shuffle_do_so_for_co_partitioned_rows() {
    test(|| {
        let (counter, ctx) = counted();
        let placed = plain(&ctx).partition_by(4);
        moved(&counter, &placed)?;
        for Wide { name, inputs, run, .. } in wide().iter().filter(|wide| !wide.in_place) {
            assert_eq!(moved(&counter, &run(&placed, &placed))?, 100 * inputs, "{name}");
        }
        Ok(())
    });
}

#[test]
fn counts_by_key_and_value_shuffle_one_row_per_distinct_one_and_partition() {
    test(|| {
        let (counter, ctx) = counted();
        let rows = plain(&ctx);
        let placed = plain(&ctx).partition_by(4);
        moved(&counter, &placed)?;
        let (counts, events) = counter.during(|| rows.count_by_key());
        assert_eq!((counts?.len(), events.rows_written), (5, 20));
        let (counts, events) = counter.during(|| rows.count_by_value());
        assert_eq!((counts?.len(), events.rows_written), (5, 20));
        let (counts, events) = counter.during(|| placed.count_by_key());
        assert_eq!((counts?.len(), events.rows_written), (5, 0));
        Ok(())
    });
}
