//! Sources and narrow operations against iterators.

use crate::support::*;
use emberline::prelude::*;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn numbers() -> Vec<i64> {
    (0..300).map(|n| noise(n) as i64 % 100).collect()
}

/// Checks that an operation returns, for rows of every shape, those of the same iterator adaptor.
fn same_as_iterator<U, O, S>(oracle: O, step: S)
where
    U: PartialEq + std::fmt::Debug + Send + 'static,
    O: Fn(Vec<i64>) -> Vec<U>,
    S: Fn(&Rdd<i64>) -> Result<Vec<U>> + Clone + Send + 'static,
{
    for rows in [vec![], vec![5], numbers()] {
        let step = step.clone();
        check(oracle(rows.clone()), move |ctx, p| step(&spread(ctx, p, &rows)));
    }
}

#[test]
fn map_equals_an_iterators_map() {
    same_as_iterator(
        |rows| rows.iter().map(|n| n.to_string()).collect(),
        |rdd| rdd.map(|n| n.to_string()).collect(),
    );
}

#[test]
fn filter_equals_an_iterators_filter() {
    same_as_iterator(
        |rows| rows.into_iter().filter(|n| n % 3 == 0).collect(),
        |rdd| rdd.filter(|n| n % 3 == 0).collect(),
    );
}

#[test]
fn filter_map_equals_an_iterators_filter_map() {
    let halved = |n: i64| (n % 2 == 0).then_some(n / 2);
    same_as_iterator(
        move |rows| rows.into_iter().filter_map(halved).collect(),
        move |rdd| rdd.filter_map(halved).collect(),
    );
}

#[test]
fn flat_map_equals_an_iterators_flat_map() {
    same_as_iterator(
        |rows| rows.into_iter().flat_map(|n| 0..n.abs() % 5).collect(),
        |rdd| rdd.flat_map(|n| 0..n.abs() % 5).collect(),
    );
}

#[test]
fn flat_map_into_is_flat_map_whether_rows_are_pushed_or_pulled() {
    let oracle = |rows: Vec<i64>| rows.into_iter().flat_map(|n| vec![n; (n.abs() % 4) as usize]);
    let pushes = |rdd: &Rdd<i64>| {
        rdd.flat_map_into(|n: i64, out| (0..n.abs() % 4).for_each(|_| out.push(n))).boxed()
    };
    same_as_iterator(move |rows| oracle(rows).collect(), move |rdd| pushes(rdd).collect());
    same_as_iterator(move |rows| oracle(rows).take(40).collect(), move |rdd| pushes(rdd).take(40));
    same_as_iterator(
        move |rows| oracle(rows).skip(1).collect(),
        // The first row is pulled, the rest pushed, and the halves of one input row meet.
        |rdd| {
            let flat = rdd.flat_map_into(|n: i64, out| out.extend(vec![n; (n.abs() % 4) as usize]));
            let parts = flat.map_partitions(|mut rows| {
                let first = rows.next();
                [(
                    first,
                    rows.fold(Vec::new(), |mut all, n| {
                        all.push(n);
                        all
                    }),
                )]
            });
            let halves = parts
                .collect()?
                .into_iter()
                .flat_map(|(first, rest)| first.into_iter().chain(rest));
            Ok(halves.skip(1).collect())
        },
    );
}

#[test]
fn key_by_and_map_values_equal_maps_of_pairs() {
    same_as_iterator(
        |rows| rows.into_iter().map(|n| (n % 7, n * 2)).collect(),
        |rdd| rdd.key_by(|n| n % 7).map_values(|n| n * 2).collect(),
    );
}

#[test]
fn try_map_without_an_error_is_map() {
    same_as_iterator(
        |rows| rows.into_iter().map(|n| n + 1).collect(),
        |rdd| rdd.try_map(|n| Ok(n.to_string().parse::<i64>()? + 1)).collect(),
    );
}

#[test]
fn try_map_fails_the_action_with_the_cause_and_the_line() {
    test(|| {
        let rows = context().parallelize_with(3, vec!["1", "2", "three"]);
        let line = line!() + 1;
        let parsed = rows.try_map(|text| Ok(text.parse::<u8>()?));
        let error = assert_kind(parsed.collect(), |kind| matches!(kind, ErrorKind::ClosureFailed));
        let text = error.to_string();
        assert!(text.contains("try_map") && text.contains("invalid digit"), "{text}");
        assert!(text.contains(&format!("{}:{line}", file!())), "{text}");
        assert_eq!(error.task().unwrap().partition, 2);
        Ok(())
    });
}

#[test]
fn with_passes_its_value_to_each_of_its_four_operations() {
    let names: HashMap<i64, String> = (0..50).map(|n| (n, format!("n{n}"))).collect();
    let known = names.clone();
    same_as_iterator(
        move |rows| rows.into_iter().filter_map(|n| known.get(&n).cloned()).collect(),
        move |rdd| rdd.with(names.clone()).filter_map(|names, n| names.get(&n).cloned()).collect(),
    );
    same_as_iterator(
        |rows| {
            let filtered = rows.into_iter().map(|n| n + 10).filter(|n| n % 3 == 0);
            filtered.flat_map(|n| [n, 5]).collect()
        },
        |rdd| {
            let moved = rdd.with(10_i64).map(|by, n| n + by);
            let filtered = moved.with(3_i64).filter(|step, n| n % step == 0);
            filtered.with(5_i64).flat_map(|more, n| [n, *more]).collect()
        },
    );
}

#[test]
fn inspect_sees_each_row_once_and_changes_nothing() {
    test(|| {
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let rows = context().range_with(4, 0..1000_u32);
        let looked = rows.inspect(move |n| {
            counter.fetch_add(*n as usize, Ordering::Relaxed);
        });
        assert_eq!(looked.collect()?, (0..1000).collect::<Vec<u32>>());
        assert_eq!(seen.load(Ordering::Relaxed), 499_500);
        Ok(())
    });
}

#[test]
fn a_chain_of_every_narrow_operation_equals_one_iterator_chain() {
    let oracle = |rows: Vec<i64>| {
        let rows = rows.into_iter().map(|n| n * 3).filter(|n| n % 2 == 0).flat_map(|n| [n, n + 1]);
        rows.filter_map(|n| (n % 5 != 0).then_some(n - 1)).collect()
    };
    same_as_iterator(oracle, |rdd| {
        let rows = rdd.map(|n| n * 3).filter(|n| n % 2 == 0).flat_map(|n| [n, n + 1]);
        rows.filter_map(|n| (n % 5 != 0).then_some(n - 1)).collect()
    });
    same_as_iterator(oracle, |rdd| {
        let rows = rdd.map(|n| n * 3).boxed().filter(|n| n % 2 == 0).boxed();
        let rows = rows.flat_map(|n| [n, n + 1]).boxed();
        rows.filter_map(|n| (n % 5 != 0).then_some(n - 1)).boxed().collect()
    });
}

#[test]
fn union_equals_chain_and_adds_the_partitions() {
    same_as_iterator(
        |rows| rows.iter().chain(&[]).chain(&rows[rows.len() / 2..]).copied().collect(),
        |rdd| {
            let ctx = rdd.context();
            let half = rdd.collect()?;
            let nothing = ctx.parallelize_with(2, Vec::<i64>::new());
            let more = ctx.parallelize_with(3, half[half.len() / 2..].to_vec());
            let all = rdd.union(&nothing).union(&more);
            assert_eq!(all.num_partitions(), rdd.num_partitions() + 5);
            all.collect()
        },
    );
}

#[test]
fn map_partitions_runs_once_per_partition_even_if_empty() {
    test(|| {
        let rows = context().parallelize_with(5, vec![1, 2]);
        let counts = rows.map_partitions(|rows| [rows.count()]).collect()?;
        assert_eq!((counts.len(), counts.iter().sum::<usize>()), (5, 2));
        let nothing = context().parallelize_with(3, Vec::<u8>::new());
        assert_eq!(nothing.map_partitions(|rows| [rows.count(), 7]).collect()?, [0, 7, 0, 7, 0, 7]);
        Ok(())
    });
}

#[test]
fn generate_makes_each_partition_from_its_index() {
    check((0..5).flat_map(|n| vec![n; n]).collect::<Vec<usize>>(), |ctx, _| {
        ctx.generate(5, |n| std::iter::repeat_n(n, n)).collect()
    });
}

#[test]
fn cache_returns_the_same_rows_and_computes_each_once() {
    same_as_iterator(
        |rows| rows.into_iter().map(|n| n + 1).collect(),
        |rdd| {
            let computed = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&computed);
            let cached = rdd
                .map(move |n| {
                    counter.fetch_add(1, Ordering::Relaxed);
                    n + 1
                })
                .cache();
            let rows = cached.collect()?;
            assert_eq!(cached.filter(|_| true).collect()?, rows);
            assert_eq!(cached.count()?, rows.len() as u64);
            assert_eq!(computed.load(Ordering::Relaxed), rows.len());
            cached.unpersist();
            assert_eq!(cached.collect()?, rows);
            assert_eq!(computed.load(Ordering::Relaxed), 2 * rows.len());
            Ok(rows)
        },
    );
}

#[test]
fn an_action_that_stops_early_does_not_cache_half_a_partition() {
    test(|| {
        let cached = context().range_with(1, 0..10_000_u32).map(|n| n + 1).cache();
        assert_eq!(cached.take(2)?, [1, 2]);
        assert_eq!(cached.count()?, 10_000);
        Ok(())
    });
}

// Case B001 of tests/spark_cases.md.
#[test]
fn three_rows_in_three_partitions_are_one_each() {
    test(|| {
        assert_eq!(glom(&context().parallelize_with(3, vec![1, 2, 3]))?, [[1], [2], [3]]);
        Ok(())
    });
}

// Case B003 of tests/spark_cases.md.
#[test]
fn a_hundred_rows_in_three_partitions_are_split_like_spark() {
    test(|| {
        let ctx = context();
        let ends = |rows: Vec<Vec<i32>>| -> Vec<Range<i32>> {
            rows.iter().map(|part| part[0]..part[part.len() - 1] + 1).collect()
        };
        for (rows, cut) in [(100, [0..33, 33..66, 66..100]), (101, [0..33, 33..67, 67..101])] {
            assert_eq!(ends(glom(&ctx.range_with(3, 0..rows))?), cut);
            assert_eq!(ends(glom(&ctx.parallelize_with(3, 0..rows))?), cut);
        }
        Ok(())
    });
}

// Case B005 of tests/spark_cases.md.
#[test]
fn zero_partitions_fail_the_first_action() {
    test(|| {
        let ctx = context();
        let invalid = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument { .. });
        let error = assert_kind(ctx.parallelize_with(0, vec![1]).collect(), invalid);
        assert!(error.to_string().contains("parallelize"), "{error}");
        assert_kind(ctx.range_with(0, 0..9_u8).map(|n| n + 1).count(), invalid);
        assert_kind(ctx.generate(0, |_| [1]).first(), invalid);
        assert_kind(ctx.range(0..9_u8).repartition(0).first(), invalid);
        let pairs = ctx.range(0..9_u8).map(|n| (n, n));
        assert_kind(
            pairs.with_partitions(0).reduce_by_key(|a, _| a).filter(|_| true).count(),
            invalid,
        );
        assert_kind(pairs.with_partitions(0).group_by_key().map(|_| ()).count(), invalid);
        assert_kind(pairs.with_partitions(0).join(&pairs).distinct().count(), invalid);
        assert_kind(pairs.partition_by(0).sort_by_key(|pair| *pair).count(), invalid);
        assert_kind(pairs.with_partitions(0).sort_by_key(|pair| *pair).count(), invalid);
        assert_kind(pairs.with_partitions(0).distinct().count_by_value(), invalid);
        Ok(())
    });
}

// Case B007 of tests/spark_cases.md.
#[test]
fn ranges_near_the_integer_limits_are_split_without_overflow() {
    test(|| {
        let ctx = context();
        let ends =
            |rdd: &Rdd<i64>| rdd.map_partitions(|mut rows| [rows.next(), rows.next()]).collect();
        let all = ends(&ctx.range_with(4, i64::MIN..i64::MAX))?;
        assert_eq!(all[..2], [Some(i64::MIN), Some(i64::MIN + 1)]);
        assert!(all.iter().flatten().is_sorted() && all.len() == 8);
        let top = ctx.range_with(3, u64::MAX - 4..u64::MAX);
        assert_eq!(top.collect()?, (u64::MAX - 4..u64::MAX).collect::<Vec<u64>>());
        assert_eq!(ctx.range_with(7, i8::MIN..i8::MAX).count()?, 255);
        Ok(())
    });
}

// Case B009 of tests/spark_cases.md.
#[test]
fn empty_partitions_appear_between_rows() {
    test(|| {
        let rows = context().parallelize_with(5, (0..6).step_by(2));
        assert_eq!(glom(&rows)?, [vec![], vec![0], vec![], vec![2], vec![4]]);
        Ok(())
    });
}

// Case B011 of tests/spark_cases.md.
// Ranges increment by one; the other cases use `parallelize`, which takes any iterator.
#[test]
fn ranges_are_half_open_and_empty_if_reversed() {
    check(vec![2, 3], |ctx, p| ctx.range_with(p, 2..4).collect());
    check(vec![0, 1, 2, 3, 4], |ctx, p| ctx.range_with(p, 0..5).collect());
    check(vec![], |ctx, p| ctx.range_with(p, Range { start: 5, end: 0 }).collect());
    check(vec![1, 3, 5], |ctx, p| ctx.parallelize_with(p, (1..7).step_by(2)).collect());
    check(vec![5, 4, 3, 2, 1], |ctx, p| ctx.parallelize_with(p, (1..6).rev()).collect());
}

// Case B013 of tests/spark_cases.md.
#[test]
fn ten_rows_in_a_thousand_partitions_are_repartitioned_to_two_thousand_and_one() {
    test(|| {
        let spread = context().parallelize_with(1000, 0..10).repartition(2001);
        assert_eq!((spread.num_partitions(), spread.count()?), (2001, 10));
        Ok(())
    });
}

fn one_to_four(ctx: &Context) -> Rdd<i32> {
    ctx.parallelize_with(2, vec![1, 2, 3, 4]).boxed()
}

// Case B015 of tests/spark_cases.md.
#[test]
fn collect_keeps_the_order() {
    check(vec![1, 2, 3, 4], |ctx, _| one_to_four(ctx).collect());
}

// Case B017 of tests/spark_cases.md.
#[test]
fn flat_map_keeps_source_order() {
    check(vec![1, 1, 2, 1, 2, 3, 1, 2, 3, 4], |ctx, _| {
        one_to_four(ctx).flat_map(|n| 1..=n).collect()
    });
}

// Case B021 of tests/spark_cases.md.
#[test]
fn key_by_puts_the_key_before_the_row() {
    let oracle = (1..5).map(|n| (n.to_string(), n)).collect::<Vec<_>>();
    check(oracle, |ctx, _| one_to_four(ctx).key_by(|n| n.to_string()).collect());
}

// Cases B019 and B023 of tests/spark_cases.md.
#[test]
fn map_partitions_receives_whole_partitions() {
    check(vec![vec![1, 2], vec![3, 4]], |ctx, _| glom(&one_to_four(ctx)));
    check(vec![3, 7], |ctx, _| {
        one_to_four(ctx).map_partitions(|rows| [rows.sum::<i32>()]).collect()
    });
}

// Case B085 of tests/spark_cases.md.
#[test]
fn union_concatenates_in_argument_order() {
    check(vec![1, 2, 3, 4, 1, 2, 3, 4, 9], |ctx, p| {
        let nums = one_to_four(ctx);
        let nine = ctx.parallelize_with(p, vec![9]);
        nums.union(&nums).union(&nine).collect()
    });
}

// Case B089 of tests/spark_cases.md.
// `map` makes the pairs that Spark's case makes with `zip`.
#[test]
fn union_of_an_rdd_with_itself_has_each_row_twice() {
    check(vec![(1, 1), (2, 2), (1, 1), (2, 2)], |ctx, p| {
        let pairs = ctx.parallelize_with(p, vec![1, 2]).map(|n| (n, n));
        pairs.union(&pairs).collect()
    });
}
