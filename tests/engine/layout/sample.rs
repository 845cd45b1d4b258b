//! `sample` and `sample_with_replacement`: reproducible random samples.

use super::refused;
use crate::support::*;

#[test]
fn a_sample_is_reproducible_and_has_about_the_expected_size() {
    same_bytes(|ctx, p| {
        let numbers = ctx.range_with(p, 0..2000_u64);
        let once = numbers.sample(0.3, 7);
        let often = numbers.sample_with_replacement(2.5, 7);
        let once = once.collect()?;
        let often = often.collect()?;
        assert!((500..700).contains(&once.len()), "{} rows", once.len());
        assert!((4700..5300).contains(&often.len()), "{} rows", often.len());
        assert!(once.is_sorted_by(|a, b| a < b), "a row came twice, or rows moved");
        assert!(often.is_sorted() && often.windows(2).any(|two| two[0] == two[1]));
        Ok((once, often))
    });
}

#[test]
fn a_sample_is_the_same_whether_rows_are_pushed_or_pulled() {
    test(|| {
        let numbers = context().range_with(1, 0..2000_u64);
        let once = numbers.sample(0.3, 7);
        let often = numbers.sample_with_replacement(0.8, 7);
        assert_eq!(once.take(5000)?, once.collect()?);
        assert_eq!(often.take(5000)?, often.collect()?);
        assert_eq!(once.boxed().take(5000)?, once.collect()?);
        Ok(())
    });
}

#[test]
fn a_fraction_of_one_keeps_all_rows_and_zero_keeps_none() {
    let rows: Vec<i64> = (0..100).collect();
    check((rows.clone(), vec![], vec![]), move |ctx, p| {
        let rdd = spread(ctx, p, &rows);
        let none = rdd.sample_with_replacement(0.0, 3).collect()?;
        Ok((rdd.sample(1.0, 3).collect()?, rdd.sample(0.0, 3).collect()?, none))
    });
}

// Case B123 of tests/spark_cases.md.
#[test]
fn a_tenth_of_a_hundred_numbers_is_six_to_fourteen() {
    test(|| {
        let count = context().parallelize_with(4, 0..100).sample(0.1, 81).count()?;
        assert!((6..=14).contains(&count), "{count} rows");
        Ok(())
    });
}

// Case B125 of tests/spark_cases.md.
#[test]
fn partitions_are_sampled_with_different_seeds() {
    test(|| {
        // Both partitions hold the same rows.
        let twice = context().generate(2, |_| 0..1000_u32);
        let lists = twice.sample(0.5, 1).glom().collect()?;
        assert_ne!(lists[0], lists[1]);
        let lists = twice.sample_with_replacement(0.5, 1).glom().collect()?;
        assert_ne!(lists[0], lists[1]);
        Ok(())
    });
}

// Case B125 of tests/spark_cases.md.
#[test]
fn a_sample_zipped_with_itself_agrees() {
    test(|| {
        let numbers = context().range_with(2, 0..1000_u32);
        let once = numbers.sample(0.5, 1);
        let often = numbers.sample_with_replacement(0.5, 1);
        assert!(once.zip(&once).collect()?.into_iter().all(|(a, b)| a == b));
        assert!(often.zip(&often).collect()?.into_iter().all(|(a, b)| a == b));
        // Two samples on two lines, and one with other numbers of partitions around it, agree too.
        let again = numbers.sample(0.5, 1);
        assert!(once.zip(&again).collect()?.into_iter().all(|(a, b)| a == b));
        assert_eq!(numbers.union(&numbers).sample(0.5, 1).take(100)?, once.take(100)?);
        Ok(())
    });
}

#[test]
fn samples_of_different_seeds_are_independent() {
    test(|| {
        let numbers = context().range_with(4, 0..10_000_u32);
        // Another seed keeps about half of the rows that one seed keeps.
        for seed in [0, 1, 2, 1 << 32, u64::MAX] {
            let both = numbers.sample(0.5, seed).filter(|_| true).collect()?;
            let other = numbers.sample(0.5, seed.wrapping_add(1)).collect()?;
            let shared = both.iter().filter(|n| other.binary_search(n).is_ok()).count();
            assert!((2300..2700).contains(&shared), "{shared} shared with seed {seed}");
        }
        Ok(())
    });
}

#[test]
fn a_sample_keeps_the_partitioner() {
    test(|| {
        let pairs = context().range_with(3, 0..90_u64).map(|n| (n % 9, n)).partition_by(3);
        let sampled = [pairs.sample(0.5, 1).boxed(), pairs.sample_with_replacement(0.5, 1).boxed()];
        for sample in sampled {
            let sums = sample.with_partitions(3).reduce_by_key(|a, b| a + b);
            assert!(!sums.explain().to_string().contains("stage 2"), "{}", sums.explain());
            assert!(sums.count()? <= 9);
        }
        Ok(())
    });
}

#[test]
fn invalid_fractions_and_rates_fail_the_first_action() {
    test(|| {
        let numbers = context().range_with(2, 0..9_u64);
        for fraction in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            refused(&numbers.sample(fraction, 1), &["sample at", "from 0 to 1"]);
        }
        for rate in [-0.1, f64::NAN, f64::INFINITY] {
            let sample = numbers.sample_with_replacement(rate, 1);
            refused(&sample, &["sample_with_replacement at", "from 0 to 1000000"]);
        }
        Ok(())
    });
}
