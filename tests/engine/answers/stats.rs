//! `stats` against exact arithmetic, and for different partitionings of the same rows.

use crate::support::*;
use emberline::Stats;
use emberline::prelude::*;
use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;
use testkit::{DEADLINE, within};

/// Returns the bits of all values of `stats`.
fn bits(stats: &Stats) -> (u64, [u64; 8]) {
    let ends = [stats.min(), stats.max()];
    let moments = [stats.sum(), stats.mean(), stats.variance(), stats.sample_variance()];
    let roots = [stats.stdev(), stats.sample_stdev()];
    let all: Vec<f64> = [&ends[..], &moments, &roots].concat();
    (stats.count(), std::array::from_fn(|at| all[at].to_bits()))
}

fn stats_of(rows: &[f64]) -> Result<Stats> {
    let rows = rows.to_vec();
    within(DEADLINE, || context().parallelize_with(1, rows).stats())
}

/// Numbers of all sizes, whose sums cancel.
fn wild() -> Vec<f64> {
    let number = |n: u64| {
        let exponent = (noise(n) % 600) as i32 - 300;
        (noise(n + 1000) as f64 / u64::MAX as f64 - 0.5) * 10_f64.powi(exponent)
    };
    let mut rows: Vec<f64> = (0..300).map(number).collect();
    rows.extend((0..150).map(|n| -number(n)));
    rows
}

#[test]
fn stats_have_the_same_bits_in_every_cell_of_the_grid() {
    let mild = (0..1000).map(|n| 1e9 + (noise(n) % 1000) as f64 / 7.0).collect();
    for rows in [vec![], vec![0.1], vec![-0.0, 0.0], wild(), mild] {
        let oracle = bits(&stats_of(&rows).unwrap());
        let backward: Vec<f64> = rows.iter().rev().copied().collect();
        check((oracle, oracle), move |ctx, p| {
            let forth = spread(ctx, p, &rows).stats()?;
            Ok((bits(&forth), bits(&spread(ctx, p, &backward).stats()?)))
        });
    }
}

// Computes the exact answers for integers with 128-bit arithmetic and one division.
#[test]
fn stats_of_integers_are_exact() {
    for (count, most) in [(1, 9), (2, 1 << 20), (700, 1 << 20), (1000, 1 << 26)] {
        let rows: Vec<i64> = (0..count).map(|n| noise(n) as i64 % most).collect();
        let exact = |power| rows.iter().map(|n| i128::from(*n).pow(power)).sum::<i128>();
        let n = i128::from(count);
        let sum = exact(1);
        let spread_out = n * exact(2) - sum * sum;
        let stats = stats_of(&rows.iter().map(|n| *n as f64).collect::<Vec<_>>()).unwrap();
        assert_eq!((stats.count(), stats.sum()), (count, sum as f64));
        assert_eq!(stats.mean(), sum as f64 / n as f64);
        assert_eq!(stats.variance(), nearest(spread_out, n * n));
        if n > 1 {
            assert_eq!(stats.sample_variance(), nearest(spread_out, n * (n - 1)));
        }
        let ends = (rows.iter().min().copied(), rows.iter().max().copied());
        assert_eq!((Some(stats.min() as i64), Some(stats.max() as i64)), ends);
    }
}

/// Returns `top / bottom`, rounded once: the integer part and 60 fractional bits, the last one set
/// if more follow.
fn nearest(top: i128, bottom: i128) -> f64 {
    let whole = top / bottom;
    let mut rest = top % bottom;
    let mut digits = 0_i128;
    for _ in 0..60 {
        rest *= 2;
        digits = digits * 2 + rest / bottom;
        rest %= bottom;
    }
    let rounded = (whole << 60) | digits | i128::from(rest != 0);
    rounded as f64 / 2_f64.powi(60)
}

// Moments of numbers near 1e9 lose all digits when the squares are summed as floats.
#[test]
fn stats_are_numerically_stable() {
    let stats = stats_of(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]).unwrap();
    assert_eq!((stats.mean(), stats.variance(), stats.sample_variance()), (1e9 + 10.0, 22.5, 30.0));
    let huge = stats_of(&[f64::MAX, f64::MAX]).unwrap();
    assert_eq!((huge.sum(), huge.mean(), huge.variance()), (f64::INFINITY, f64::MAX, 0.0));
    let tiny = stats_of(&[5e-324, 1.5e-323]).unwrap();
    assert_eq!((tiny.sum(), tiny.mean(), tiny.variance()), (2e-323, 1e-323, 0.0));
}

// Case B063 of tests/spark_cases.md.
#[test]
fn stats_of_one_two_three() {
    check((2.0, 0.667, 0.816, 1.0, 1.0), |ctx, p| {
        let stats = ctx.parallelize_with(p, vec![1.0, 2.0, 3.0]).stats()?;
        let short = |number: f64| (number * 1000.0).round() / 1000.0;
        let population = (stats.mean(), short(stats.variance()), short(stats.stdev()));
        let (mean, variance, stdev) = population;
        Ok((mean, variance, stdev, stats.sample_stdev(), stats.sample_variance()))
    });
}

// Case B065 of tests/spark_cases.md.
#[test]
fn stats_of_no_rows() {
    check((0, 0.0, 0.0, true, f64::NEG_INFINITY, f64::INFINITY), |ctx, p| {
        let stats = ctx.parallelize_with(p, Vec::<f64>::new()).stats()?;
        let nan = [stats.variance(), stats.stdev(), stats.sample_variance(), stats.sample_stdev()];
        let none = nan.iter().all(|number| number.is_nan());
        Ok((stats.count(), stats.sum(), stats.mean(), none, stats.max(), stats.min()))
    });
}

#[test]
fn stats_of_infinities_and_nan() {
    let inf = f64::INFINITY;
    let nan = f64::NAN;
    // Rows, then the sum, the least and the largest.
    let cases = [
        (vec![1.0, inf], inf, 1.0, inf),
        (vec![-inf, 2.0, -inf], -inf, -inf, 2.0),
        (vec![inf, 0.0, -inf], nan, -inf, inf),
        (vec![1.0, nan, inf], nan, nan, nan),
        (vec![-nan, 1.0], nan, nan, nan),
    ];
    for (rows, sum, min, max) in cases {
        let oracle = [sum, sum, nan, nan, min, max].map(f64::to_bits);
        check((rows.len() as u64, oracle), move |ctx, p| {
            let stats = spread(ctx, p, &rows).stats()?;
            let moments = (stats.variance(), stats.sample_variance());
            let all = [stats.sum(), stats.mean(), moments.0, moments.1, stats.min(), stats.max()];
            Ok((stats.count(), all.map(f64::to_bits)))
        });
    }
}

#[test]
fn stats_can_be_printed_and_serialized() {
    let stats = stats_of(&[1.0, 3.0]).unwrap();
    assert_eq!(stats.to_string(), "count 2, sum 4, mean 2, stdev 1, min 1, max 3");
    let sent = serde_json::to_string(&stats).unwrap();
    assert_eq!(serde_json::from_str::<Stats>(&sent).unwrap(), stats);
}

fn finite() -> impl Strategy<Value = f64> {
    let any_bits = any::<u64>().prop_map(f64::from_bits);
    let any_size = any_bits.prop_filter("not finite", |number| number.is_finite());
    prop_oneof![any_size, -1000.0..1000.0, (-9_i32..9).prop_map(f64::from)]
}

proptest! {
    #![proptest_config(Config::with_cases(64))]

    #[test]
    fn stats_have_the_same_bits_for_any_partitioning(
        rows in proptest::collection::vec(finite(), 0..60),
        pieces in 1_usize..20,
        turn in 0_usize..60,
    ) {
        let whole = bits(&stats_of(&rows).unwrap());
        let mut turned = rows.clone();
        turned.rotate_left(turn.min(rows.len()));
        let cut = move || context().parallelize_with(pieces, turned).stats().unwrap();
        let cut = within(DEADLINE, cut);
        prop_assert_eq!(bits(&cut), whole);
    }
}
