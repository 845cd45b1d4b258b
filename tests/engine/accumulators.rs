//! Accumulators: what tasks add is counted exactly once for each partition of a result, also if
//! tasks fail, are retried, lose their output or run concurrently.

use crate::cleanup::files;
use crate::storage::LEVELS;
use crate::support::*;
use emberline::prelude::*;
use emberline::{
    ErrorKind, StorageLevel,
    accumulator::{Accumulate, Accumulator, RunningStats},
};
use serde::{Deserialize, Serialize, Serializer};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::{fs, thread};

// Case B213 of tests/spark_cases.md.
#[test]
fn accumulator_adds_on_the_driver_and_merges() {
    test(|| {
        let ctx = context();
        let number = ctx.accumulator(9_i64);
        number.add(1);
        assert_eq!(number.value(), 10);
        number.add(5);
        assert_eq!(number.value(), 15);

        let empty = RunningStats::default().stats();
        assert_eq!(
            (empty.count(), empty.sum(), empty.mean()),
            (0, 0.0, 0.0),
            "Spark's mean is NaN"
        );
        let stats = ctx.accumulator(RunningStats::default());
        [0.0, 1.0, 2.0].into_iter().for_each(|n| stats.add(n));
        let of = |running: RunningStats| {
            let stats = running.stats();
            (stats.count(), stats.sum(), stats.mean())
        };
        assert_eq!(of(stats.value()), (3, 3.0, 1.0));
        let mut merged = stats.value();
        let mut other = RunningStats::default();
        other.add(2.0);
        merged.merge(other);
        assert_eq!(of(merged), (4, 5.0, 1.25));
        Ok(())
    });
}

#[test]
fn an_action_adds_each_row_once() {
    check((300, (0..300).collect::<Vec<i64>>(), 300), |ctx, p| {
        let (count, rows, floats) =
            (ctx.accumulator(0_u32), ctx.accumulator(Vec::new()), ctx.accumulator(0.0_f64));
        let counter = count.clone();
        let log = rows.clone();
        let sum = floats.clone();
        ctx.range_with(p, 0..300_i64).for_each(move |n| {
            counter.add(1);
            log.add(n);
            sum.add(1.0);
        })?;
        Ok((count.value(), rows.value(), floats.value() as u32))
    });
}

#[test]
fn operations_on_both_sides_of_a_shuffle_count_each_row_once() {
    check((120, 12, 12), |ctx, p| {
        let counts: [Accumulator<u64>; 3] = std::array::from_fn(|_| ctx.accumulator(0));
        let [before, between, after] = counts.clone();
        let pairs =
            ctx.range_with(p, 0..120_u64).inspect(move |_| before.add(1)).map(|n| (n % 12, n));
        let sums =
            pairs.with_partitions(3).reduce_by_key(|a, b| a + b).inspect(move |_| between.add(1));
        let again = sums.map(|(key, sum)| (sum % 5, key)).with_partitions(2).group_by_key();
        again.for_each(move |(_, keys)| after.add(keys.len() as u64))?;
        Ok(counts.map(|count| count.value()).into())
    });
}

#[test]
fn float_sums_have_the_same_bits_on_any_number_of_threads() {
    same_bytes(|ctx, p| {
        let result = ctx.accumulator(0.0_f64);
        let map = ctx.accumulator(0.0_f64);
        let in_result = result.clone();
        let in_map = map.clone();
        let noisy = |n: u64| 1.0 / (1 + noise(n) % 1000) as f64;
        let pairs = ctx.range_with(p, 0..500_u64).map(move |n| {
            in_map.add(noisy(n));
            (n % 70, n)
        });
        pairs.reduce_by_key(|a, b| a ^ b).for_each(move |(_, n)| in_result.add(noisy(n)))?;
        Ok((result.value().to_bits(), map.value().to_bits()))
    });
}

#[test]
fn a_failed_attempt_adds_nothing() {
    test(|| {
        let ctx = Context::builder().threads(2).max_attempts(3).build()?;
        let count = ctx.accumulator(0_u64);
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        let ran = Arc::clone(&calls);
        ctx.range_with(4, 0..40_u64).for_each(move |n| {
            counter.add(1);
            let fails = n % 10 == 9 && ran.fetch_add(1, Ordering::SeqCst) < 5;
            assert!(!fails, "at the last row of a partition");
        })?;
        assert_eq!((count.value(), calls.load(Ordering::SeqCst)), (40, 9));
        Ok(())
    });
}

#[test]
fn a_failed_action_adds_nothing_and_the_next_one_adds_everything() {
    test(|| {
        let ctx = context();
        let counts = [ctx.accumulator(0_u64), ctx.accumulator(0_u64)];
        let [before, after] = counts.clone();
        let fails = Arc::new(AtomicUsize::new(1));
        let failing = Arc::clone(&fails);
        let pairs = ctx.range_with(4, 0..40_u64).map(move |n| {
            before.add(1);
            (n % 4, n)
        });
        let groups = pairs.with_partitions(4).group_by_key().inspect(move |(key, _)| {
            after.add(1);
            assert!(*key != 3 || failing.swap(0, Ordering::SeqCst) == 0, "once");
        });
        assert_kind(groups.count(), |kind| matches!(kind, ErrorKind::Panicked { .. }));
        assert_eq!(counts.clone().map(|count| count.value()), [0, 0]);
        assert_eq!(groups.count()?, 4);
        assert_eq!(counts.clone().map(|count| count.value()), [40, 4], "the map tasks ran once");
        assert_eq!(groups.count()?, 4);
        assert_eq!(counts.map(|count| count.value()), [40, 8], "each action computes its stage");
        Ok(())
    });
}

#[test]
fn a_recomputed_map_output_counts_once() {
    test(|| {
        let folder = tempfile::tempdir().unwrap();
        let builder = Context::builder().threads(2).force_spill(true);
        let ctx = builder.scratch_dir(folder.path()).build()?;
        let count = ctx.accumulator(0_u64);
        let ran = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        let calls = Arc::clone(&ran);
        let sums = ctx.range_with(4, 0..40_u64).map(move |n| {
            counter.add(1);
            calls.fetch_add(1, Ordering::SeqCst);
            (n % 4, n)
        });
        let sums = sums.reduce_by_key(|a, b| a + b);
        assert_eq!(sums.count()?, 4);
        files(folder.path()).iter().for_each(|file| fs::remove_file(file).unwrap());
        assert_eq!(sums.count()?, 4);
        assert!(ran.load(Ordering::SeqCst) > 40, "nothing was computed again");
        assert_eq!(count.value(), 40);
        Ok(())
    });
}

#[test]
fn a_cached_operation_counts_once_over_all_actions() {
    test(|| {
        let ctx = context();
        let count = ctx.accumulator(0_u64);
        let counter = count.clone();
        let rows = ctx.range_with(3, 0..30_u64).inspect(move |_| counter.add(1));
        let cached = rows.cache();
        assert_eq!((cached.count()?, cached.sum::<u64>()?), (30, 435));
        assert_eq!(count.take(), 30);
        assert_eq!((rows.sum::<u64>()?, rows.sum::<u64>()?), (435, 435));
        assert_eq!(count.take(), 60, "without the cache each action counts");
        assert_eq!(count.value(), 0, "take leaves zero");
        Ok(())
    });
}

/// Makes an operation that counts its rows and fails at `row`, `failures` times.
fn counted_and_failing(
    rows: &Rdd<u64>,
    count: &Accumulator<u64>,
    row: u64,
    failures: usize,
) -> Rdd<u64> {
    stored_and_failing(rows, count, row, failures, StorageLevel::Memory)
}

fn stored_and_failing(
    rows: &Rdd<u64>,
    count: &Accumulator<u64>,
    row: u64,
    failures: usize,
    level: StorageLevel,
) -> Rdd<u64> {
    let counter = count.clone();
    let left = Arc::new(AtomicUsize::new(failures));
    let counted = rows.inspect(move |_| counter.add(1)).persist(level);
    let fails = move |n: &u64| {
        let take = |left: usize| left.checked_sub(1);
        let some = *n == row && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok();
        assert!(!some, "row {row}");
    };
    counted.inspect(fails).boxed()
}

// Case F016 of tests/PROMISES.md.
#[test]
fn a_cached_operation_counts_once_when_its_task_is_retried() {
    test(|| {
        for level in LEVELS {
            let ctx = Context::builder().threads(2).max_attempts(3).build()?;
            let count = ctx.accumulator(0);
            let computed = Arc::new(AtomicUsize::new(0));
            let ran = Arc::clone(&computed);
            let rows = ctx.range_with(4, 0..40_u64).inspect(move |_| {
                ran.fetch_add(1, Ordering::SeqCst);
            });
            let rows = stored_and_failing(&rows.boxed(), &count, 12, 2, level);
            assert_eq!((rows.count()?, count.value()), (40, 40), "{level}");
            assert_eq!((rows.count()?, count.value()), (40, 40), "{level}: a second action");
            // The second and the third attempt read the block of the first one.
            assert_eq!(computed.load(Ordering::SeqCst), 40, "{level}");
        }
        Ok(())
    });
}

#[test]
fn a_cached_operation_counts_with_the_first_successful_action() {
    test(|| {
        let ctx = context();
        let count = ctx.accumulator(0);
        let rows = counted_and_failing(&ctx.range_with(4, 0..40_u64).boxed(), &count, 39, 1);
        assert_kind(rows.count(), |kind| matches!(kind, ErrorKind::Panicked { .. }));
        assert_eq!(count.value(), 0);
        assert_eq!((rows.count()?, count.value()), (40, 40));
        Ok(())
    });
}

#[test]
fn a_cached_operation_computed_twice_concurrently_counts_once() {
    test(|| {
        for _ in 0..20 {
            let ctx = Context::builder().threads(4).build()?;
            let count = ctx.accumulator(0);
            let rows = counted_and_failing(&ctx.range_with(4, 0..40_u64).boxed(), &count, 99, 0);
            assert_eq!((rows.union(&rows).count()?, count.take()), (80, 40));
            let more = counted_and_failing(&ctx.range_with(4, 0..80_u64).boxed(), &count, 99, 0);
            let action = || {
                let more = more.clone();
                thread::spawn(move || more.count())
            };
            let actions = [action(), action(), action(), action()];
            let counts = actions.map(|action| action.join().unwrap().unwrap());
            assert_eq!((counts, count.value()), ([80; 4], 80));
        }
        Ok(())
    });
}

#[test]
fn a_partition_that_did_not_fit_the_cache_counts_each_time_it_is_computed() {
    test(|| {
        let ctx =
            Context::builder().threads(2).memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES).build()?;
        let count = ctx.accumulator(0_u64);
        let counter = count.clone();
        let rows = ctx.range_with(1, 0..500_000_u64).inspect(move |_| counter.add(1)).cache();
        assert_eq!((rows.count()?, count.take()), (500_000, 500_000));
        assert_eq!((rows.count()?, count.take()), (500_000, 500_000));
        Ok(())
    });
}

/// Makes counted rows of which one fails.
fn failing_at(ctx: &Context, row: u64) -> (Rdd<u64>, Accumulator<u64>) {
    let count = ctx.accumulator(0_u64);
    let counter = count.clone();
    let rows = ctx.range_with(8, 0..80_u64).map(move |n| {
        counter.add(1);
        assert_ne!(n, row, "this one fails");
        n
    });
    (rows.boxed(), count)
}

#[test]
fn an_action_whose_second_job_fails_adds_nothing() {
    test(|| {
        let (rows, count) = failing_at(&context(), 45);
        assert!(rows.take(60).is_err());
        assert_eq!(count.value(), 0, "the jobs before were well");
        assert_eq!((rows.take(5)?.len(), count.take()), (5, 5), "no further row is computed");
        let (rows, count) = failing_at(&context(), 99);
        let sorted = rows.sort_by_key(|n| *n).map(|n| assert_ne!(n, 7));
        assert!(sorted.count().is_err());
        assert_eq!(count.value(), 0, "the sample was well");
        Ok(())
    });
}

#[test]
fn an_action_whose_merge_fails_on_the_driver_adds_nothing() {
    test(|| {
        let (rows, count) = failing_at(&context(), 99);
        let reduced = rows.reduce(|a, b| if a % 10 == 9 { panic!("merging") } else { a.max(b) });
        assert!(reduced.is_err());
        assert_eq!(count.value(), 0);
        let folder = tempfile::tempdir().unwrap();
        let saved = rows.inspect(|_| ()).save_as_text_file(folder.path().join("a"));
        assert_eq!((saved.is_ok(), count.take()), (true, 80));
        assert!(rows.save_as_text_file(folder.path().join("a")).is_err(), "it is there already");
        assert_eq!(count.value(), 0);
        Ok(())
    });
}

/// A sum that counts its additions in another accumulator.
#[derive(Clone)]
struct Watched(u64, Accumulator<u64>);

impl Accumulate for Watched {
    type Input = u64;

    fn zero(&self) -> Self {
        Watched(0, self.1.clone())
    }

    fn add(&mut self, n: u64) {
        self.0 += n;
        self.1.add(1);
    }

    fn merge(&mut self, later: Self) {
        self.0 += later.0;
    }
}

#[test]
fn an_accumulator_may_add_to_another() {
    check((4950, 100), |ctx, p| {
        let calls = ctx.accumulator(0_u64);
        let sum = ctx.accumulator(Watched(0, calls.clone()));
        let adder = sum.clone();
        ctx.range_with(p, 0..100_u64).for_each(move |n| adder.add(n))?;
        Ok((sum.value().0, calls.value()))
    });
}

#[test]
fn adding_from_rayon_work_outside_a_task_is_refused() {
    test(|| {
        let ctx = Context::builder().threads(4).build()?;
        let count = ctx.accumulator(0_u64);
        let counter = count.clone();
        // One task, so that the other threads of the pool have none; each piece waits for another.
        let met = Arc::new(std::sync::Barrier::new(2));
        let spread = ctx.range_with(1, 0..1_u64).map(move |_| {
            let piece = || {
                met.wait();
                counter.add(1);
            };
            rayon::join(piece, piece);
        });
        let text = spread.count().unwrap_err().to_string();
        assert!(text.contains("rayon work inside a closure"), "{text}");
        assert_eq!(count.value(), 0);
        Ok(())
    });
}

#[test]
fn take_counts_only_the_rows_it_read() {
    test(|| {
        let ctx = context();
        let count = ctx.accumulator(0_u64);
        let counter = count.clone();
        let rows = ctx.range_with(8, 0..80_u64).inspect(move |_| counter.add(1));
        assert_eq!(rows.take(3)?, [0, 1, 2]);
        assert_eq!(count.value(), 3);
        Ok(())
    });
}

#[test]
fn accumulators_of_one_type_and_of_several_are_distinct() {
    test(|| {
        let ctx = context();
        let by_digit: Vec<Accumulator<u64>> = (0..10).map(|_| ctx.accumulator(0)).collect();
        let odd = ctx.accumulator(Vec::new());
        let digits = by_digit.clone();
        let log = odd.clone();
        ctx.range_with(7, 0..1000_u64).for_each(move |n| {
            digits[(n % 10) as usize].add(1);
            if n % 500 == 1 {
                log.add(n);
            }
        })?;
        assert!(by_digit.iter().all(|digit| digit.value() == 100));
        assert_eq!(odd.value(), [1, 501]);
        Ok(())
    });
}

#[test]
fn actions_on_many_threads_add_to_one_accumulator() {
    test(|| {
        let ctx = context();
        let count = ctx.accumulator(0_u64);
        let shared = ctx.range_with(4, 0..100_u64).map(|n| (n % 3, n)).reduce_by_key(|a, b| a + b);
        let actions = (0..8).map(|_| {
            let rows = shared.clone();
            let counter = count.clone();
            thread::spawn(move || rows.for_each(move |_| counter.add(1)))
        });
        let actions: Vec<_> = actions.collect();
        actions.into_iter().try_for_each(|action| action.join().unwrap())?;
        assert_eq!(count.value(), 24);
        Ok(())
    });
}

/// A value whose merge panics.
#[derive(Clone, Debug)]
struct Refuses;

impl Accumulate for Refuses {
    type Input = ();

    fn zero(&self) -> Self {
        Refuses
    }

    fn add(&mut self, (): ()) {}

    fn merge(&mut self, _: Self) {
        panic!("will not merge");
    }
}

#[test]
fn a_sum_overflow_and_a_panicking_merge_are_errors_of_the_action() {
    test(|| {
        let ctx = context();
        let small = ctx.accumulator(250_u8);
        let refuses = ctx.accumulator(Refuses);
        let counter = small.clone();
        let refused = refuses.clone();
        let error = ctx.range(0..300_u32).for_each(move |_| counter.add(100)).unwrap_err();
        assert!(error.to_string().contains("overflowed u8"), "{error}");
        assert_eq!(small.value(), 250);
        let error = ctx.range(0..3_u32).for_each(move |_| refused.add(())).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("will not merge") && text.contains("for_each at"), "{text}");
        assert_eq!(ctx.range(0..3_u32).count()?, 3, "and the context still works");
        Ok(())
    });
}

/// The number of times that a [`Counted`] key was serialized.
static SERIALIZED: OnceLock<Accumulator<u64>> = OnceLock::new();

/// A key that updates an accumulator when it is serialized. It owns no heap memory, so that it is serialized only
/// where it is written to a file.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, Hash)]
struct Counted(u32);

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SERIALIZED.get().expect("the test sets it").add(1);
        self.0.serialize(serializer)
    }
}

#[test]
fn an_addition_while_the_last_rows_of_a_map_task_are_written_is_an_error() {
    test(|| {
        let ctx = Context::builder().threads(2).force_spill(true).build()?;
        let serialized = SERIALIZED.get_or_init(|| ctx.accumulator(0));
        let rows = ctx.range(0..100_u32).map(|n| (Counted(n), 1));
        let error = rows.reduce_by_key(|a, b| a + b).count().unwrap_err();
        assert!(error.to_string().contains("accumulator updated from"), "{error}");
        assert_eq!(serialized.value(), 0, "a failed action adds nothing");
        Ok(())
    });
}
