//! The sum of no rows, and the signs of zero.

use super::*;

// Case R-A9 of tests/PROMISES.md.
#[test]
fn the_sum_of_no_rows_is_zero_and_not_minus_zero() {
    test(|| {
        let ctx = context();
        for partitions in [0, 1, 2, 7] {
            let none = match partitions {
                0 => ctx.parallelize(Vec::<u32>::new()).boxed(),
                _ => ctx.range_with(partitions, 0..7_u32).filter(|_| false).boxed(),
            };
            let doubles = none.map(f64::from);
            let floats = none.map(|n| n as f32);
            assert_eq!(doubles.sum::<f64>()?.to_bits(), 0);
            assert_eq!(doubles.boxed().cache().sum::<f64>()?.to_bits(), 0);
            assert_eq!(floats.sum::<f32>()?.to_bits(), 0);
            assert_eq!(doubles.map(Some).sum::<Option<f64>>()?.map(f64::to_bits), Some(0));
            assert_eq!(floats.map(Some).sum::<Option<f32>>()?.map(f32::to_bits), Some(0));
            let stats = doubles.stats()?;
            assert_eq!((stats.sum().to_bits(), stats.mean().to_bits()), (0, 0));
            assert_eq!(doubles.fold(0.0, |a, b| a + b)?.to_bits(), 0);
            assert_eq!(doubles.reduce(|a, b| a + b)?, None);
        }
        assert_eq!(ctx.accumulator(0.0_f64).value().to_bits(), 0);
        assert_eq!(ctx.accumulator(1.0_f32).take().to_bits(), 1.0_f32.to_bits());
        let stats = ctx.accumulator(RunningStats::default()).value().stats();
        assert_eq!((stats.sum().to_bits(), stats.mean().to_bits()), (0, 0));
        Ok(())
    });
}

// Case R-A9 of tests/PROMISES.md.
#[test]
fn a_sum_of_floats_has_the_sign_that_std_gives_it() {
    test(|| {
        let ctx = context();
        for rows in
            [vec![-0.0_f64], vec![-0.0, -0.0, -0.0], vec![-0.0, 0.0], vec![1.0, -1.0], vec![0.0]]
        {
            let expected: f64 = rows.iter().sum();
            for partitions in [1, 2, 7] {
                let sum = ctx.parallelize_with(partitions, rows.clone()).sum::<f64>()?;
                assert_eq!(sum.to_bits(), expected.to_bits(), "{rows:?} in {partitions}");
            }
        }
        Ok(())
    });
}
