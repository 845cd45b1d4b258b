//! `zip` and `zip_partitions` of two RDDs.

use super::{one_to_four, refused};
use crate::support::*;
use emberline::prelude::*;

#[test]
fn zip_pairs_rows_at_equal_positions() {
    for rows in shapes() {
        let oracle: Vec<_> = rows.iter().map(|pair| (*pair, pair.0.wrapping_add(pair.1))).collect();
        check(oracle, move |ctx, p| {
            let rdd = spread(ctx, p, &rows);
            rdd.zip(&rdd.map(|(a, b)| a.wrapping_add(b))).collect()
        });
    }
}

#[test]
fn zip_is_the_same_whether_rows_are_pushed_or_pulled() {
    let oracle: Vec<(u64, u64)> = (0..500).map(|n| (n, 2 * n)).collect();
    check((oracle[..40].to_vec(), oracle.clone(), 500), move |ctx, p| {
        let numbers = ctx.range_with(p, 0..500_u64);
        let zipped = numbers.zip(&numbers.map(|n| 2 * n));
        Ok((zipped.take(40)?, zipped.boxed().collect()?, zipped.count()?))
    });
}

// Case B099 of tests/spark_cases.md.
#[test]
fn zip_of_different_partition_counts_fails_the_first_action() {
    test(|| {
        let ctx = context();
        let two = one_to_four(&ctx);
        let one = ctx.parallelize_with(1, 1..5_i64).boxed();
        refused(&two.zip(&one), &["zip at", "2 partitions", "right one 1"]);
        refused(&two.zip_partitions(&one, |a, _| a), &["zip_partitions at", "2 partitions"]);
        Ok(())
    });
}

/// Checks that every way to read the zip of two RDDs to its end fails with both words.
#[track_caller]
fn torn(left: &Rdd<i64>, right: &Rdd<i64>, longer: &str) {
    let zipped = left.zip(right);
    let answers = [
        zipped.count(),
        zipped.collect().map(|rows| rows.len() as u64),
        zipped.take(100).map(|rows| rows.len() as u64),
        zipped.boxed().map(|_| 1).reduce(|a, b| a + b).map(Option::unwrap_or_default),
    ];
    for answer in answers {
        let invalid = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument { .. });
        let error = assert_kind(answer, invalid);
        let text = error.to_string();
        let task = error.task().unwrap();
        assert_eq!((error.operation().unwrap().name, task.partition), ("zip", 1), "{text}");
        assert!(text.contains(&format!("the {longer} RDD has more rows in partition 1")), "{text}");
    }
}

// Case B099 of tests/spark_cases.md.
#[test]
fn zip_of_different_row_counts_is_an_error_that_names_the_partition() {
    test(|| {
        let ctx = context();
        let four = one_to_four(&ctx);
        let five = ctx.parallelize_with(2, 1..6_i64).boxed();
        assert_eq!(five.glom().collect()?, [vec![1, 2], vec![3, 4, 5]]);
        torn(&four, &five, "right");
        torn(&five, &four, "left");
        torn(&four, &four.filter(|n| *n < 3), "left");
        torn(&four.filter(|n| *n < 3), &four, "right");
        Ok(())
    });
}

#[test]
fn a_closure_that_catches_an_uneven_zip_still_fails_the_action() {
    test(|| {
        let ctx = context();
        let zipped = one_to_four(&ctx).zip(&ctx.parallelize_with(2, 1..6_i64));
        let caught = zipped.map_partitions(|rows| {
            let count = std::panic::AssertUnwindSafe(move || rows.count());
            [std::panic::catch_unwind(count).unwrap_or(0)]
        });
        assert!(caught.collect().is_err());
        Ok(())
    });
}

#[test]
fn panics_on_either_side_of_a_zip_are_blamed_on_their_own_operation() {
    test(|| {
        let numbers = one_to_four(&context());
        let bad = numbers.map(|n| 6 / (n - 3));
        let blamed = |answer: Result<u64>| {
            let error = assert_kind(answer, |kind| matches!(kind, ErrorKind::Panicked { .. }));
            error.operation().unwrap().name
        };
        assert_eq!(blamed(numbers.zip(&bad).count()), "map");
        assert_eq!(blamed(bad.zip(&numbers).count()), "map");
        assert_eq!(blamed(numbers.zip(&numbers).filter(|_| panic!("no")).count()), "filter");
        let both = numbers.zip_partitions(&numbers, |_, _| -> [u8; 0] { panic!("no") });
        assert_eq!(blamed(both.count()), "zip_partitions");
        Ok(())
    });
}

#[test]
fn zip_partitions_passes_both_partitions_even_if_one_is_empty() {
    for rows in shapes() {
        let even = |pair: &(i64, i64)| pair.1 % 2 == 0;
        let odd: Vec<_> = rows.iter().copied().filter(|pair| !even(pair)).collect();
        check_rows(rows.clone(), move |ctx, p| {
            let rdd = spread(ctx, p, &rows);
            let odd = spread(ctx, p, &odd);
            rdd.filter(even).zip_partitions(&odd, |left, right| left.chain(right)).collect()
        });
    }
}

// Case B101 of tests/spark_cases.md.
#[test]
fn zip_partitions_of_three_rdds_returns_their_sizes() {
    test(|| {
        let ctx = context();
        let words = ctx.parallelize_with(2, vec!["1", "2", "3", "4", "5", "6"]);
        let floats = ctx.parallelize_with(2, vec![1.0, 2.0]);
        let two =
            one_to_four(&ctx).zip_partitions(&words, |left, right| [left.count(), right.count()]);
        let three = two.zip_partitions(&floats, |sizes, rows| sizes.chain([rows.count()]));
        assert_eq!(three.collect()?, [2, 3, 1, 2, 3, 1]);
        Ok(())
    });
}

#[test]
fn two_contexts_cannot_be_zipped() {
    test(|| {
        let left = one_to_four(&context());
        let right = one_to_four(&context());
        refused(&left.zip(&right), &["zip at", "two contexts"]);
        refused(&left.zip_partitions(&right, |a, _| a), &["zip_partitions at", "two contexts"]);
        Ok(())
    });
}

#[test]
fn zip_of_a_shuffle_and_a_cache() {
    let oracle = (0..100_i64).map(|n| (n, -n)).collect();
    check_rows(oracle, |ctx, p| {
        let shuffled = ctx.range_with(p, 0..100_i64).repartition(3).cache();
        let other = shuffled.map(|n| -n).cache();
        let rows = shuffled.zip(&other).collect()?;
        assert_eq!(shuffled.zip(&other).collect()?, rows);
        Ok(rows)
    });
}
