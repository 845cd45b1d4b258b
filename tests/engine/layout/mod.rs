//! Narrow operations that see partitions as a whole or combine partitions and RDDs, against plain Rust over
//! the grid.

mod sample;
mod union;
mod zip;

use crate::support::*;
use emberline::prelude::*;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{DEADLINE, within};

/// Checks that actions on an invalid RDD, and on what follows it, fail with an invalid argument
/// whose text has all of `words`, while the RDD itself can be made and explained.
#[track_caller]
fn refused<T: Send + Debug + 'static>(rdd: &Rdd<T>, words: &[&str]) {
    assert!(rdd.explain().to_string().contains("problem"), "{rdd:?}");
    for answer in [rdd.count(), rdd.map(|_| 1).count()] {
        let invalid = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument { .. });
        let text = assert_kind(answer, invalid).to_string();
        for word in words {
            assert!(text.contains(word), "{word:?} is missing in {text}");
        }
    }
}

fn one_to_four(ctx: &Context) -> Rdd<i64> {
    ctx.parallelize_with(2, 1..5_i64).boxed()
}

#[test]
fn keys_and_values_are_the_halves_of_the_pairs() {
    for rows in shapes() {
        check(rows.iter().copied().unzip::<i64, i64, Vec<_>, Vec<_>>(), move |ctx, p| {
            let pairs = spread(ctx, p, &rows);
            Ok((pairs.keys().collect()?, pairs.values().collect()?))
        });
    }
}

#[test]
fn keys_and_values_drop_the_partitioner_and_flat_map_values_keeps_it() {
    test(|| {
        let pairs = context().range_with(3, 0..9_i64).map(|n| (n % 4, n)).partition_by(3);
        let shuffles = |rdd: &Rdd<i64>| {
            rdd.map(|n| (n, n)).with_partitions(3).reduce_by_key(|a, _| a).explain().to_string()
        };
        assert!(shuffles(&pairs.keys()).contains("stage 2"));
        assert!(shuffles(&pairs.values()).contains("stage 2"));
        let repeated =
            pairs.flat_map_values(|n| vec![n; 2]).with_partitions(3).reduce_by_key(|a, b| a + b);
        let text = repeated.explain().to_string();
        assert!(text.contains("stage 1") && !text.contains("stage 2"), "{text}");
        assert_eq!(sorted(repeated.collect()?), [(0, 24), (1, 12), (2, 16), (3, 20)]);
        Ok(())
    });
}

#[test]
fn flat_map_values_repeats_the_key_for_each_value() {
    for rows in shapes() {
        let several = |n: i64| (0..n.abs() % 4).map(move |m| n.wrapping_add(m));
        let oracle = rows.iter().flat_map(|(key, n)| several(*n).map(|value| (*key, value)));
        check(oracle.collect::<Vec<_>>(), move |ctx, p| {
            spread(ctx, p, &rows).flat_map_values(several).collect()
        });
    }
}

#[test]
fn a_panic_inside_flat_map_values_is_blamed_on_it() {
    test(|| {
        let pairs = context().parallelize(vec![(1, 1_u8), (2, 0)]);
        let lazily =
            pairs.flat_map_values(|n| (0..2_u8).map(move |_| 1_u8.checked_div(n).unwrap()));
        let error = assert_kind(lazily.count(), |kind| matches!(kind, ErrorKind::Panicked { .. }));
        assert_eq!(error.operation().unwrap().name, "flat_map_values");
        Ok(())
    });
}

#[test]
fn glom_returns_each_partition_as_one_list() {
    for rows in shapes() {
        within(DEADLINE, move || {
            grid(
                &grid_cells(),
                |ctx, p| {
                    let rdd = spread(ctx, p, &rows);
                    Ok((rdd.glom().collect()?, glom(&rdd)?))
                },
                |partitions, answers| {
                    for (cell, (lists, by_hand)) in answers {
                        assert_eq!(lists.len(), partitions, "{cell}");
                        assert_eq!(lists, by_hand, "in {partitions} partitions {cell}");
                    }
                },
            );
        });
    }
}

// Cases B019 and B107 of tests/spark_cases.md.
#[test]
fn glom_of_four_numbers_in_two_partitions() {
    test(|| {
        assert_eq!(one_to_four(&context()).glom().collect()?, [[1, 2], [3, 4]]);
        Ok(())
    });
}

#[test]
fn glom_returns_an_empty_list_for_an_empty_partition() {
    test(|| {
        let none = context().parallelize_with(3, Vec::<u8>::new()).glom();
        assert_eq!(none.collect()?, [[0_u8; 0]; 3]);
        Ok(())
    });
}

#[test]
fn map_partitions_with_index_passes_each_index_even_of_empty_partitions() {
    for rows in shapes() {
        within(DEADLINE, move || {
            grid(
                &grid_cells(),
                |ctx, p| {
                    let rdd = spread(ctx, p, &rows);
                    let counted = rdd.map_partitions_with_index(|at, rows| [(at, rows.count())]);
                    Ok((counted.collect()?, sizes(&rdd)?))
                },
                |_, answers| {
                    for (cell, (counted, sizes)) in answers {
                        let oracle: Vec<_> = sizes.into_iter().enumerate().collect();
                        assert_eq!(counted, oracle, "{cell}");
                    }
                },
            );
        });
    }
}

// Case B023 of tests/spark_cases.md.
#[test]
fn sums_of_partitions_with_their_indexes() {
    test(|| {
        let numbers = one_to_four(&context());
        let sums = numbers.map_partitions_with_index(|at, rows| [(at, rows.sum::<i64>())]);
        assert_eq!(sums.collect()?, [(0, 3), (1, 7)]);
        Ok(())
    });
}

// Case B027 of tests/spark_cases.md.
#[test]
fn the_indexes_of_four_partitions_sum_to_six() {
    test(|| {
        let numbers = context().parallelize_with(4, vec![1, 2, 3, 4]);
        let indices = numbers.map_partitions_with_index(|at, _| [at]);
        assert_eq!(indices.reduce(|a, b| a + b)?, Some(6));
        Ok(())
    });
}

#[test]
fn a_partition_index_is_that_of_its_own_rdd_and_not_of_the_task() {
    test(|| {
        let ctx = context();
        let indexed = ctx.range_with(3, 0..3_u8).map_partitions_with_index(|at, _| [at]);
        assert_eq!(indexed.union(&indexed).collect()?, [0, 1, 2, 0, 1, 2]);
        assert_eq!(indexed.coalesce(1).collect()?, [0, 1, 2]);
        let after = indexed.coalesce(2).map_partitions_with_index(|at, rows| [(at, rows.count())]);
        assert_eq!(after.collect()?, [(0, 1), (1, 2)]);
        Ok(())
    });
}

#[test]
fn coalesce_keeps_all_rows_in_order_for_any_number_of_partitions() {
    for rows in shapes() {
        for target in [1, 2, 5, 100] {
            let rows = rows.clone();
            check(rows.clone(), move |ctx, p| {
                let fewer = spread(ctx, p, &rows).coalesce(target);
                assert_eq!(fewer.num_partitions(), p.min(target));
                fewer.collect()
            });
        }
    }
}

#[test]
fn coalesce_joins_neighbours_and_moves_no_row() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let seven = ctx.parallelize_with(7, 0..14).coalesce(3);
        let (lists, counts) = counter.during(|| seven.glom().collect());
        assert_eq!(lists?, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9, 10, 11, 12, 13]]);
        assert_eq!((counts.stages, counts.tasks, counts.rows_written), (1, 3, 0));
        Ok(())
    });
}

#[test]
fn coalesce_opens_a_partition_only_when_its_rows_are_needed() {
    test(|| {
        let seen = Arc::new(AtomicUsize::new(0));
        let opened = Arc::clone(&seen);
        let numbers = context().range_with(10, 0..10_u32).map_partitions(move |rows| {
            opened.fetch_add(1, Ordering::Relaxed);
            rows
        });
        assert_eq!(numbers.coalesce(1).take(2)?, [0, 1]);
        assert_eq!(seen.load(Ordering::Relaxed), 2);
        Ok(())
    });
}

// Case B113 of tests/spark_cases.md.
// Spark's cases B117 and B119 ask that `coalesce` puts partitions of one machine together. They do
// not apply: all partitions are on this machine, and neighbours are joined, so that the order stays.
#[test]
fn coalesce_never_increases_the_number_of_partitions() {
    test(|| {
        let ten = context().parallelize_with(10, 1..11_i64);
        for target in [10, 20] {
            let lists = ten.coalesce(target).glom().collect()?;
            assert_eq!(lists, (1..11).map(|n| vec![n]).collect::<Vec<_>>());
        }
        Ok(())
    });
}

// Case B111 of tests/spark_cases.md.
#[test]
fn repartition_fills_partitions_evenly() {
    test(|| {
        let ctx = context();
        for (rows, from, to) in [(100, 10, 20), (20_000, 20, 100), (1000, 250, 128)] {
            let sizes = sizes(&ctx.range_with(from, 0..rows as u64).repartition(to))?;
            assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (to, rows));
            assert!(sizes.iter().all(|size| (1..=rows / to + from).contains(size)), "{sizes:?}");
        }
        Ok(())
    });
}

// Case B115 of tests/spark_cases.md.
#[test]
fn seven_numbers_in_four_partitions_are_repartitioned() {
    test(|| {
        let seven = context().parallelize_with(4, 1..8_i64);
        assert_eq!(seven.glom().collect()?, [vec![1], vec![2, 3], vec![4, 5], vec![6, 7]]);
        assert_eq!(seven.repartition(2).glom().count()?, 2);
        assert_eq!(seven.repartition(10).glom().count()?, 10);
        assert_eq!(seven.coalesce(2).glom().collect()?, [vec![1, 2, 3], vec![4, 5, 6, 7]]);
        Ok(())
    });
}

#[test]
fn coalesce_to_zero_partitions_fails_the_first_action() {
    test(|| {
        refused(&one_to_four(&context()).coalesce(0), &["coalesce at", "at least 1"]);
        Ok(())
    });
}

fn parsed(text: &str) -> std::result::Result<i64, BoxError> {
    Ok(text.parse::<i64>()?)
}

#[test]
fn try_filter_and_try_flat_map_without_an_error_are_filter_and_flat_map() {
    let texts: Vec<String> = (0..200).map(|n| (noise(n) % 10).to_string()).collect();
    let number = |text: &String| text.parse::<i64>().unwrap();
    let filtered: Vec<String> = texts.iter().filter(|text| number(text) > 4).cloned().collect();
    let flat: Vec<i64> = texts.iter().flat_map(|text| 0..number(text)).collect();
    check((filtered, flat), move |ctx, p| {
        let rows = spread(ctx, p, &texts);
        let filtered = rows.try_filter(|text| Ok(parsed(text)? > 4)).collect()?;
        Ok((filtered, rows.try_flat_map(|text| Ok(0..parsed(&text)?)).collect()?))
    });
}

#[test]
fn try_filter_and_try_flat_map_fail_with_the_cause_and_the_line() {
    test(|| {
        let rows = context().parallelize_with(3, vec!["1", "2", "three"]);
        let line = line!() + 1;
        let filtered = rows.try_filter(|text| Ok(parsed(text)? > 1)).count();
        let flat = rows.try_flat_map(|text| Ok(0..parsed(text)?)).count();
        for (answer, operation, line) in
            [(filtered, "try_filter", line), (flat, "try_flat_map", line + 1)]
        {
            let error = assert_kind(answer, |kind| matches!(kind, ErrorKind::ClosureFailed));
            let text = error.to_string();
            assert!(text.contains(operation) && text.contains("invalid digit"), "{text}");
            assert!(text.contains(&format!("{}:{line}", file!())), "{text}");
            assert_eq!(error.task().unwrap().partition, 2);
        }
        Ok(())
    });
}

#[test]
fn try_filter_keeps_the_partitioner() {
    test(|| {
        let pairs = context().range_with(3, 0..9_i64).map(|n| (n, n)).partition_by(3);
        let sums =
            pairs.try_filter(|pair| Ok(pair.0 > 2)).with_partitions(3).reduce_by_key(|a, b| a + b);
        assert!(!sums.explain().to_string().contains("stage 2"));
        assert_eq!(sums.count()?, 6);
        Ok(())
    });
}

#[test]
fn every_layout_operation_accepts_an_empty_input() {
    test(|| {
        let ctx = context();
        for empty in
            [ctx.parallelize(Vec::<(u8, u8)>::new()).boxed(), ctx.union([] as [Rdd<_>; 0]).boxed()]
        {
            assert_eq!((empty.keys().count()?, empty.values().count()?), (0, 0));
            assert_eq!(empty.flat_map_values(|_| [1, 2]).count()?, 0);
            assert_eq!(empty.coalesce(3).count()?, 0);
            assert_eq!(empty.zip(&empty).count()?, 0);
            assert_eq!(empty.sample(1.0, 1).count()?, 0);
            assert_eq!(empty.sample_with_replacement(9.0, 1).count()?, 0);
            assert_eq!(empty.try_filter(|_| Ok(true)).count()?, 0);
            assert_eq!(empty.try_flat_map(|pair| Ok([pair])).count()?, 0);
            assert_eq!(empty.glom().count()?, empty.num_partitions() as u64);
        }
        Ok(())
    });
}
