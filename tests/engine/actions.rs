//! Actions against iterators.

use crate::support::*;
use emberline::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

fn inputs() -> Vec<Vec<i64>> {
    let noisy = (0..400).map(|n| noise(n) as i64 % 50).collect();
    vec![vec![], vec![3], vec![2, 1], vec![4; 100], noisy]
}

/// Compares an action with its oracle over some inputs.
fn over_inputs<A, O, S>(oracle: O, action: S)
where
    A: PartialEq + std::fmt::Debug + Send + 'static,
    O: Fn(Vec<i64>) -> A,
    S: Fn(&Rdd<i64>) -> Result<A> + Clone + Send + 'static,
{
    for rows in inputs() {
        let action = action.clone();
        check(oracle(rows.clone()), move |ctx, p| action(&spread(ctx, p, &rows)));
    }
}

#[test]
fn collect_and_count_return_all_rows_in_order() {
    over_inputs(|rows| (rows.len() as u64, rows), |rdd| Ok((rdd.count()?, rdd.collect()?)));
}

#[test]
fn reduce_merges_from_the_left_and_is_none_without_rows() {
    over_inputs(
        |rows| rows.into_iter().map(|n| n.to_string()).reduce(|a, b| a + "," + &b),
        |rdd| rdd.map(|n| n.to_string()).reduce(|a, b| a + "," + &b),
    );
}

#[test]
fn fold_and_aggregate_from_a_neutral_zero_equal_a_fold_in_order() {
    over_inputs(|rows| rows.iter().sum::<i64>(), |rdd| rdd.fold(0, |a, b| a + b));
    over_inputs(
        |rows| rows.iter().map(|n| format!("{n};")).collect::<String>(),
        |rdd| rdd.aggregate(String::new(), |text, n| format!("{text}{n};"), |a, b| a + &b),
    );
}

#[test]
fn take_and_first_return_a_prefix() {
    for n in [0, 1, 2, 99, 100, 1000] {
        over_inputs(
            move |rows| (rows.first().copied(), rows.into_iter().take(n).collect::<Vec<_>>()),
            move |rdd| Ok((rdd.first()?, rdd.take(n)?)),
        );
    }
    check(vec![599, 1199, 1799], |ctx, p| {
        ctx.range_with(7 * p, 0..2000_u64).filter(|n| n % 600 == 599).take(9)
    });
}

#[test]
fn top_and_bottom_rows_are_the_ends_of_a_stable_sort() {
    for n in [0, 1, 5, 1000] {
        over_inputs(
            move |mut rows| {
                rows.sort_by_key(|n| Reverse(*n));
                rows.into_iter().take(n).collect::<Vec<_>>()
            },
            move |rdd| rdd.top(n),
        );
        over_inputs(
            move |rows| sorted(rows).into_iter().take(n).collect::<Vec<_>>(),
            move |rdd| rdd.take_ordered(n),
        );
        over_inputs(
            move |rows| {
                let mut numbered: Vec<_> = rows.into_iter().zip(0..).collect();
                numbered.sort_by_key(|row| Reverse(row.0 % 7));
                numbered.into_iter().take(n).map(|row: (i64, i64)| row.0).collect::<Vec<_>>()
            },
            move |rdd| rdd.top_by_key(n, |row| row % 7),
        );
        over_inputs(
            move |mut rows| {
                rows.sort_by_key(|row| row % 7);
                rows.into_iter().take(n).collect::<Vec<_>>()
            },
            move |rdd| rdd.bottom_by_key(n, |row| row % 7),
        );
    }
}

#[test]
fn count_by_value_equals_a_hash_map_of_counts() {
    over_inputs(
        |rows| {
            let mut counts = HashMap::new();
            rows.into_iter().for_each(|n| *counts.entry(n).or_insert(0_u64) += 1);
            counts
        },
        |rdd| rdd.count_by_value(),
    );
}

#[test]
fn for_each_sees_each_row_once_and_those_of_a_partition_in_order() {
    over_inputs(
        |rows| rows.iter().sum::<i64>(),
        |rdd| {
            let sum = Arc::new(AtomicI64::new(0));
            let adder = Arc::clone(&sum);
            rdd.for_each(move |n| {
                adder.fetch_add(n, Ordering::Relaxed);
            })?;
            Ok(sum.load(Ordering::Relaxed))
        },
    );
    test(|| {
        let seen = Arc::new(Mutex::new(BTreeMap::<usize, Vec<usize>>::new()));
        let log = Arc::clone(&seen);
        let rows = context().generate(5, |part| (0..1000).map(move |n| (part, n)));
        rows.for_each(move |(part, n)| log.lock().unwrap().entry(part).or_default().push(n))?;
        assert!(seen.lock().unwrap().values().all(|rows| rows.iter().copied().eq(0..1000)));
        Ok(())
    });
}

#[test]
fn save_as_text_file_writes_one_file_per_partition_and_a_marker() {
    over_inputs(
        |rows| rows.iter().map(|n| format!("{n}\n")).collect::<String>(),
        |rdd| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("deep/out");
            rdd.save_as_text_file(&path)?;
            assert!(path.join("_SUCCESS").exists());
            let part = |n| fs::read_to_string(path.join(format!("part-{n:05}"))).unwrap();
            let text = (0..rdd.num_partitions()).map(part).collect();
            let again = rdd.save_as_text_file(&path);
            assert_kind(again, |kind| matches!(kind, ErrorKind::OutputExists { .. }));
            let lines = rdd.context().text_file(path.as_path()).collect()?;
            assert_eq!(lines, rdd.map(|n| n.to_string()).collect()?);
            Ok(text)
        },
    );
}

#[test]
fn an_action_returns_the_same_answer_twice() {
    over_inputs(
        |rows| {
            sorted(rows).into_iter().map(|n| n % 5).fold([0_u64; 5], |mut counts, n| {
                counts[n.unsigned_abs() as usize] += 1;
                counts
            })
        },
        |rdd| {
            let counts = rdd.map(|n| ((n % 5).unsigned_abs(), 1_u64)).reduce_by_key(|a, b| a + b);
            let first = counts.collect()?;
            let second = counts.collect()?;
            assert_eq!(first, second);
            let mut answer = [0; 5];
            second.into_iter().for_each(|(class, n)| answer[class as usize] = n);
            Ok(answer)
        },
    );
}

// Case B031 of tests/spark_cases.md.
#[test]
fn fold_uses_zero_once_per_partition_and_once_for_the_result() {
    check(40, |ctx, _| ctx.parallelize_with(2, 1..=4).fold(10, |a, b| a + b));
}

// Case B033 of tests/spark_cases.md.
#[test]
fn aggregate_counts_and_sums() {
    let add = |(sum, n): (i32, i32), row: i32| (sum + row, n + 1);
    let join = |a: (i32, i32), b: (i32, i32)| (a.0 + b.0, a.1 + b.1);
    check((10, 4), move |ctx, p| ctx.parallelize_with(p, 1..=4).aggregate((0, 0), add, join));
    check((0, 0), move |ctx, p| ctx.parallelize_with(p, 0..0).aggregate((0, 0), add, join));
}

// Case B039 of tests/spark_cases.md.
// Spark fails on an empty RDD; here the result is `None`.
#[test]
fn reduce_sums_and_is_none_without_rows() {
    check(Some(15), |ctx, p| ctx.parallelize_with(p, 1..=5).reduce(|a, b| a + b));
    check(Some(10), |ctx, _| ctx.parallelize_with(10, [2; 10]).map(|_| 1).reduce(|a, b| a + b));
    check(None, |ctx, p| ctx.parallelize_with(p, Vec::<i32>::new()).reduce(|a, b| a + b));
}

// Case B049 of tests/spark_cases.md.
#[test]
fn take_returns_the_prefix_of_any_number_of_partitions() {
    test(|| {
        let ctx = context();
        for partitions in [1, 2, 100, 1000] {
            let rows = ctx.parallelize_with(partitions, 1..1000_usize);
            for n in [0, 1, 3, 500, 501, 999, 1000] {
                assert_eq!(rows.take(n)?, (1..=n.min(999)).collect::<Vec<_>>(), "{partitions}");
            }
        }
        Ok(())
    });
}

// Case B051 of tests/spark_cases.md.
#[test]
fn take_scans_1_4_20_and_38_partitions() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let rows = ctx.parallelize_with(100, 0..101);
        let (taken, counts) = counter.during(|| rows.take(50));
        assert_eq!(taken?, (0..50).collect::<Vec<_>>());
        assert_eq!((counts.jobs, counts.tasks), (4, 63));
        let (nothing, counts) = counter.during(|| rows.take(0));
        assert_eq!((nothing?.len(), counts.jobs), (0, 0));
        Ok(())
    });
}

// Case B053 of tests/spark_cases.md.
// Spark fails on an empty RDD; here the result is `None`.
#[test]
fn first_is_the_first_row_or_none() {
    check(Some(2), |ctx, p| ctx.parallelize_with(p, vec![2, 3, 4]).first());
    check(None, |ctx, p| ctx.parallelize_with(p, Vec::<i32>::new()).first());
}

// Case B055 of tests/spark_cases.md.
#[test]
fn top_of_five_numbers() {
    check(vec![12], |ctx, p| ctx.parallelize_with(p, vec![10, 4, 2, 12, 3]).top(1));
    check(vec![6, 5], |ctx, p| ctx.parallelize_with(p, 2..=6).top(2));
    check(vec![4, 3, 2], |ctx, p| {
        ctx.parallelize_with(p, vec![10, 4, 2, 12, 3]).top_by_key(3, |n: &i32| n.to_string())
    });
}

// Case B057 of tests/spark_cases.md.
#[test]
fn take_ordered_and_bottom_by_key_of_ten_numbers() {
    check(vec![1, 2, 3, 4, 5], |ctx, _| ctx.parallelize_with(2, 1..=10).take_ordered(5));
    check(vec![10, 9, 8, 7, 6], |ctx, _| {
        let backward = ctx.parallelize_with(2, 1..=10).map(Reverse).take_ordered(5)?;
        Ok(backward.into_iter().map(|Reverse(n)| n).collect())
    });
    check(vec![], |ctx, p| ctx.parallelize_with(p, 1..=10).take_ordered(0));
    check(vec![], |ctx, p| ctx.parallelize_with(p, Vec::<i32>::new()).take_ordered(5));
    check(vec![], |ctx, p| ctx.parallelize_with(p, 1..=10).filter(|n| *n > 10).take_ordered(5));
    check(vec![10, 12, 2], |ctx, p| {
        ctx.parallelize_with(p, vec![10, 4, 2, 12, 3]).bottom_by_key(3, |n: &i32| n.to_string())
    });
    check(vec![], |ctx, p| ctx.parallelize_with(p, Vec::<i32>::new()).bottom_by_key(5, |n| *n));
}
