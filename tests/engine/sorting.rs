//! The sorts against `slice::sort`.

use crate::support::*;
use emberline::prelude::*;
use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};

type Pairs = Vec<(i64, i64)>;

fn stable_by<K: Ord>(rows: &Pairs, key_of: impl Fn(&(i64, i64)) -> K) -> Pairs {
    let mut rows = rows.clone();
    rows.sort_by_key(key_of);
    rows
}

#[test]
fn every_sort_equals_a_stable_sort_of_a_vec() {
    for rows in shapes() {
        check(stable_by(&rows, |row| row.0), {
            let rows = rows.clone();
            move |ctx, p| spread(ctx, p, &rows).sort_by_key(|row| row.0).collect()
        });
        check(stable_by(&rows, |row| row.0), {
            let rows = rows.clone();
            move |ctx, p| spread(ctx, 3, &rows).with_partitions(p).sort_pairs().collect()
        });
        check(stable_by(&rows, |row| row.1), move |ctx, p| {
            spread(ctx, p, &rows).sort_by(|a, b| a.1.cmp(&b.1)).collect()
        });
    }
}

#[test]
fn reverse_sorts_descending_and_stays_stable() {
    for rows in shapes() {
        check(stable_by(&rows, |row| Reverse(row.0 % 3)), move |ctx, p| {
            spread(ctx, 3, &rows).with_partitions(p).sort_by_key(|row| Reverse(row.0 % 3)).collect()
        });
    }
}

#[test]
fn floats_sort_by_total_cmp_with_nans_and_both_zeros() {
    let mut rows = vec![f64::NAN, 0.0, -0.0, f64::NEG_INFINITY, -f64::NAN, f64::INFINITY, 1e-300];
    rows.extend((0..200).map(|n| noise(n) as i64 as f64 / 1e15));
    let mut oracle = rows.clone();
    oracle.sort_by(f64::total_cmp);
    let bits = |rows: Vec<f64>| rows.into_iter().map(f64::to_bits).collect::<Vec<u64>>();
    check(bits(oracle), move |ctx, p| {
        Ok(bits(spread(ctx, p, &rows).sort_by(f64::total_cmp).collect()?))
    });
}

#[test]
fn equal_rows_beyond_the_memory_limit_keep_their_order() {
    check((0..3000).map(|n| (7, n)).collect::<Vec<(u8, u32)>>(), |ctx, p| {
        ctx.range_with(p, 0..3000_u32).map(|n| (7_u8, n)).sort_pairs().collect()
    });
}

#[test]
fn a_sort_larger_than_the_memory_limit_spills() {
    let rows = || (0..100_000_u64).map(noise);
    check_short_of_memory(rows().collect(), move |ctx, p| {
        let sorted =
            ctx.generate(p, move |i| rows().skip(i).step_by(p)).sort_by_key(|n| *n).collect()?;
        assert!(sorted.is_sorted());
        Ok(sorted)
    });
}

#[test]
fn a_sort_of_a_sort_and_of_a_shuffle_samples_each_in_turn() {
    let rows: Vec<i64> = (0..500).map(|n| noise(n) as i64 % 300).collect();
    let mut oracle = rows.clone();
    oracle.sort_by_key(|n| (n % 5, Reverse(*n)));
    check(oracle, move |ctx, p| {
        let downwards = spread(ctx, p, &rows).sort_by_key(|n| Reverse(*n));
        downwards
            .repartition(4)
            .with_partitions(3)
            .sort_by_key(|n| Reverse(*n))
            .sort_by_key(|n| n % 5)
            .collect()
    });
}

#[test]
fn take_and_first_of_a_sort_return_its_first_rows() {
    check((vec![0, 1, 2], Some(0)), |ctx, p| {
        let sorted = ctx.range_with(p, 0..1000_u32).map(|n| 999 - n).sort_by_key(|n| *n);
        Ok((sorted.take(3)?, sorted.first()?))
    });
}

#[test]
fn sorted_pairs_are_reduced_grouped_and_joined_without_a_shuffle() {
    let rows: Vec<(u64, u64)> = (0..600).map(|n| (noise(n) % 200, n)).collect();
    let (keys, matches) = {
        let mut counts = std::collections::BTreeMap::<u64, u64>::new();
        rows.iter().for_each(|(key, _)| *counts.entry(*key).or_default() += 1);
        let of_even = counts.iter().filter(|(key, _)| *key % 2 == 0).map(|(_, n)| *n).sum::<u64>();
        (counts.into_iter().collect::<Vec<_>>(), of_even)
    };
    check_rows(keys, move |ctx, p| {
        let ranged = spread(ctx, p, &rows).with_partitions(5).sort_pairs();
        // The other side is shuffled by the ranges, which the first action computes.
        let evens =
            ctx.range_with(2, 0..100_u64).map(|n| (2 * n, n)).with_partitions(3).sort_pairs();
        let plain = ctx.range_with(2, 0..100_u64).map(|n| (2 * n, n));
        assert_eq!(plain.join(&ranged).map_values(|_| ()).join(&plain).count()?, matches);
        assert_eq!(ranged.join(&plain).count()?, matches);
        assert_eq!(ranged.join(&evens).count()?, matches);
        assert_eq!(ranged.cogroup(&evens).filter(|(key, _)| key % 2 == 1).join(&evens).count()?, 0);
        let ones = ranged.map_values(|_| 1_u64);
        assert_eq!(sizes(&ones.group_by_key())?.len(), 5);
        ones.reduce_by_key(|a, b| a + b).collect()
    });
}

#[test]
fn one_long_partition_does_not_unbalance_the_sample() {
    test(|| {
        // One partition of ten holds nearly all rows.
        let rows = context().generate(10, |i| {
            let rows = if i == 3 { 20_000 } else { 200 };
            (0..rows).map(move |n| noise(n * 10 + i as u64))
        });
        let sizes = sizes(&rows.with_partitions(8).sort_by_key(|n| *n))?;
        let least = sizes.iter().min().unwrap();
        let most = sizes.iter().max().unwrap();
        assert!(*most < 3 * least, "B171: {sizes:?}");
        Ok(())
    });
}

fn random_pairs() -> Pairs {
    (0..1000).map(|n| (noise(n) as i64, noise(n + 5000) as i64)).collect()
}

// Case B179 of tests/spark_cases.md.
#[test]
fn a_thousand_random_pairs_sort_into_1_2_and_20_partitions() {
    let rows = random_pairs();
    for partitions in [2, 1, 20] {
        let up = rows.clone();
        check(stable_by(&rows, |row| row.0), move |ctx, p| {
            let sorted = spread(ctx, p, &up).with_partitions(partitions).sort_pairs();
            assert_eq!(sorted.num_partitions(), partitions);
            sorted.collect()
        });
        let down = rows.clone();
        check(stable_by(&rows, |row| Reverse(row.0)), move |ctx, p| {
            spread(ctx, p, &down)
                .with_partitions(partitions)
                .sort_by_key(|row| Reverse(row.0))
                .collect()
        });
    }
}

// Case B181 of tests/spark_cases.md.
#[test]
fn sort_ranges_do_not_overlap_and_are_even() {
    let even = |parts: &[Vec<u64>]| parts.iter().all(|part| (100..=400).contains(&part.len()));
    let numbers = || sorted((1..=1000_u64).map(|n| (noise(n), n)).collect());
    same_bytes(move |ctx, _| {
        let shuffled = ctx.parallelize_with(4, numbers()).map(|(_, n)| n);
        let up = glom(&shuffled.sort_by_key(|n| *n))?;
        let down = glom(&shuffled.sort_by_key(|n| Reverse(*n)))?;
        assert!(even(&up) && even(&down), "{up:?}");
        assert!(up.windows(2).all(|w| w[0].iter().max() < w[1].iter().min()));
        assert!(down.windows(2).all(|w| w[0].iter().min() > w[1].iter().max()));
        Ok((up, down))
    });
}

// Case B183 of tests/spark_cases.md.
#[test]
fn sort_by_a_column_of_text() {
    let rows = ["5|50|A", "4|60|C", "6|40|B"];
    let column = |row: &String, n: usize| row.split('|').nth(n).unwrap().to_string();
    let by_column =
        [[rows[1], rows[0], rows[2]], [rows[2], rows[0], rows[1]], [rows[0], rows[2], rows[1]]];
    for (n, oracle) in by_column.into_iter().enumerate() {
        let text = |rows: &[&str]| rows.iter().map(|row| row.to_string()).collect::<Vec<_>>();
        let mut mirrored = text(&oracle);
        mirrored.reverse();
        let all = text(&rows);
        check((text(&oracle), mirrored), move |ctx, p| {
            let rdd = ctx.parallelize_with(p, all.clone());
            let down = rdd.sort_by_key(move |row| Reverse(column(row, n))).collect()?;
            Ok((rdd.sort_by_key(move |row| column(row, n)).collect()?, down))
        });
    }
}

// Case B185 of tests/spark_cases.md.
#[test]
fn text_keys_sort_as_text_and_by_a_function() {
    let pairs =
        || [("a", 1), ("b", 2), ("1", 3), ("d", 4), ("2", 5)].map(|(k, n)| (k.to_string(), n));
    check(["1", "2", "a", "b", "d"].map(String::from).to_vec(), move |ctx, p| {
        ctx.parallelize_with(p, pairs()).sort_pairs().map(|(key, _)| key).collect()
    });
    let words = ["Mary", "had", "a", "little", "lamb", "whose", "Fleece"].map(String::from);
    let mut oracle = words.to_vec();
    oracle.sort_by_key(|word| word.to_lowercase());
    check(oracle, move |ctx, p| {
        ctx.parallelize_with(p, words.clone()).sort_by_key(|word| word.to_lowercase()).collect()
    });
}

#[test]
fn equal_seeds_make_equal_ranges_and_nothing_runs_before_the_action() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2).seed(9));
        let (rdd, counts) =
            counter.during(|| ctx.range_with(4, 0..5000_u64).map(noise).sort_by_key(|n| *n));
        assert_eq!(counts.jobs, 0);
        let (parts, counts) = counter.during(|| glom(&rdd));
        assert_eq!(counts.jobs, 2, "one to sample, one to sort");
        let parts = parts?;
        let (again, counts) = counter.during(|| glom(&rdd));
        assert_eq!((again? == parts, counts.jobs, counts.skipped), (true, 1, 1));
        Ok(())
    });
}

/// A key on the heap, which counts the bytes of all keys that are alive and their peak.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Counted(Vec<u8>);

static ALIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

impl Counted {
    fn new(bytes: Vec<u8>) -> Self {
        let alive = ALIVE.fetch_add(bytes.len(), Ordering::SeqCst) + bytes.len();
        PEAK.fetch_max(alive, Ordering::SeqCst);
        Counted(bytes)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Counted::new(self.0.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(self.0.len(), Ordering::SeqCst);
    }
}

#[test]
fn the_sample_of_a_sort_of_large_rows_stays_within_the_task_memory_limit() {
    test(|| {
        let ctx =
            Context::builder().threads(2).memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES).build()?;
        let task_limit = MIN_MEMORY_LIMIT_BYTES as usize / 8;
        let row = |n: u64| {
            let mut row = vec![0; 4 << 10];
            row[..8].copy_from_slice(&noise(n).to_be_bytes());
            row
        };
        let rows = ctx.range_with(8, 0..400_u64).map(row);
        let sorted = rows.sort_by_key(|row| Counted::new(row.clone()));
        let sizes = sorted.map(|row| row[..8].to_vec()).glom().collect()?;
        let peak = PEAK.load(Ordering::SeqCst);
        // The bounds are clones of sampled keys; each task makes some more while it compares rows.
        assert!(peak < 3 * task_limit, "{peak} bytes of keys at once");
        assert!(sizes.concat().is_sorted());
        let lengths: Vec<usize> = sizes.iter().map(Vec::len).collect();
        // A few sampled keys for each range are few, but enough that no range has most rows.
        assert!(lengths.iter().all(|rows| *rows < 150), "{lengths:?}");
        assert_eq!(lengths.iter().sum::<usize>(), 400);
        Ok(())
    });
}
