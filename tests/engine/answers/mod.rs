//! The smaller actions: minima, maxima, sums, statistics, maps, lookups and local iterators.

mod stats;

use crate::support::*;
use emberline::Partitioner;
use emberline::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Compares an action on pairs with its oracle, over all shapes of pairs.
fn over_shapes<A, O, S>(oracle: O, action: S)
where
    A: PartialEq + std::fmt::Debug + Send + 'static,
    O: Fn(Vec<(i64, i64)>) -> A,
    S: Fn(&Rdd<(i64, i64)>) -> Result<A> + Clone + Send + 'static,
{
    for rows in shapes() {
        let action = action.clone();
        check(oracle(rows.clone()), move |ctx, p| action(&spread(ctx, p, &rows)));
    }
}

fn counted(threads: usize) -> (Counter, Context) {
    let counter = Counter::default();
    let ctx = counter.listen(Context::builder().threads(threads));
    (counter, ctx)
}

#[test]
fn min_and_max_are_those_of_an_iterator() {
    over_shapes(
        |rows| (rows.iter().min().copied(), rows.iter().max().copied()),
        |rdd| Ok((rdd.min()?, rdd.max()?)),
    );
}

#[test]
fn min_returns_the_first_and_max_the_last_of_equal_rows() {
    over_shapes(
        |rows| {
            let least = rows.iter().copied().enumerate().min_by_key(|row| row.1.1 % 5);
            let most = rows.iter().copied().enumerate().max_by_key(|row| row.1.1 % 5);
            (least.map(|row| row.1), most.map(|row| row.1))
        },
        |rdd| Ok((rdd.min_by_key(|row| row.1 % 5)?, rdd.max_by_key(|row| row.1 % 5)?)),
    );
    let numbered = || (0..60_u32).map(|n| ByTens(n % 30 / 10, n));
    check((numbered().min().map(|row| row.1), numbered().max().map(|row| row.1)), |ctx, p| {
        let rows = ctx.range_with(p, 0..60_u32).map(|n| ByTens(n % 30 / 10, n));
        Ok((rows.min()?.map(|row| row.1), rows.max()?.map(|row| row.1)))
    });
}

/// Rows whose order does not see all of them.
#[derive(Clone, Copy, Debug)]
struct ByTens(u32, u32);

impl PartialEq for ByTens {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for ByTens {}

impl PartialOrd for ByTens {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByTens {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

// Case B061 of tests/spark_cases.md.
#[test]
fn min_and_max_of_four_numbers() {
    check((Some(43), Some(2)), |ctx, p| {
        let max = ctx.parallelize_with(p, vec![1, 5, 43, 10]).max()?;
        Ok((max, ctx.parallelize_with(p, vec![2, 5, 43, 10]).min()?))
    });
    check((Some(5), Some(10)), |ctx, p| {
        let text = |n: &i32| n.to_string();
        let max = ctx.parallelize_with(p, vec![1, 5, 43, 10]).max_by_key(text)?;
        Ok((max, ctx.parallelize_with(p, vec![2, 5, 43, 10]).min_by_key(text)?))
    });
}

#[test]
fn sum_adds_all_rows() {
    over_shapes(
        |rows| rows.iter().map(|row| i128::from(row.1)).sum::<i128>(),
        |rdd| rdd.map(|row| i128::from(row.1)).sum(),
    );
    check(0.0, |ctx, p| ctx.parallelize_with(p, Vec::<f64>::new()).sum());
    check(None, |ctx, p| {
        ctx.parallelize_with(p, vec![Some(1), None, Some(2)]).sum::<Option<i32>>()
    });
}

#[test]
fn a_panicking_sum_is_an_error_of_sum() {
    test(|| {
        let rows = context().range_with(2, 0..4_i64).map(|n| Touchy(n == 3));
        let error = assert_kind(
            rows.sum::<Touchy>(),
            |kind| matches!(kind, ErrorKind::Panicked { message } if message == "too much"),
        );
        assert_eq!(error.operation().unwrap().name, "sum");
        Ok(())
    });
}

/// A row for which some sums panic.
#[derive(Debug)]
struct Touchy(bool);

impl std::iter::Sum for Touchy {
    fn sum<I: Iterator<Item = Touchy>>(rows: I) -> Touchy {
        rows.for_each(|row| assert!(!row.0, "too much"));
        Touchy(false)
    }
}

#[test]
fn count_by_key_and_collect_as_map_equal_those_of_a_hash_map() {
    over_shapes(
        |rows| {
            let mut counts = HashMap::new();
            rows.iter().for_each(|row| *counts.entry(row.0).or_insert(0_u64) += 1);
            (counts, rows.into_iter().collect::<HashMap<i64, i64>>())
        },
        |rdd| Ok((rdd.count_by_key()?, rdd.collect_as_map()?)),
    );
}

#[test]
fn count_by_key_of_partitioned_rows_does_not_shuffle() {
    test(|| {
        let (counter, ctx) = counted(2);
        let pairs = ctx.range_with(3, 0..30_i64).map(|n| (n % 5, n)).partition_by(4);
        pairs.count()?;
        let (counts, events) = counter.during(|| pairs.count_by_key());
        assert_eq!(counts?, (0..5).map(|key| (key, 6)).collect());
        assert_eq!((events.jobs, events.tasks, events.rows_written), (1, 4, 0));
        Ok(())
    });
}

// Case B145 of tests/spark_cases.md.
#[test]
fn collect_as_map_keeps_the_later_value_of_a_key() {
    check(HashMap::from([(1, 2), (3, 4)]), |ctx, p| {
        ctx.parallelize_with(p, vec![(1, 2), (3, 4)]).collect_as_map()
    });
    check(HashMap::from([(1, 9), (3, 4)]), |ctx, p| {
        ctx.parallelize_with(p, vec![(1, 2), (3, 4), (1, 9)]).collect_as_map()
    });
}

#[test]
fn lookup_returns_all_values_of_a_key_in_order() {
    for key in [42, 0, 7, 1_000_003, -1] {
        over_shapes(
            move |rows| {
                let found = rows.into_iter().filter(|row| row.0 == key).map(|row| row.1);
                let found = found.collect::<Vec<_>>();
                (found.clone(), found.clone(), found)
            },
            move |rdd| {
                let hashed = rdd.partition_by(3);
                let filtered = hashed.filter(|_| true).map_values(|n| n);
                let sorted = rdd.with_partitions(4).sort_pairs();
                assert_eq!(hashed.lookup(&key)?, filtered.lookup(&key)?);
                Ok((rdd.lookup(&key)?, hashed.lookup(&key)?, sorted.lookup(&key)?))
            },
        );
    }
}

#[test]
fn lookup_separates_keys_with_equal_hashes() {
    check(vec![3, 13], |ctx, p| {
        let pairs = ctx.range_with(p, 0..20_i64).map(|n| (OneHash(n % 10), n));
        pairs.partition_by(2).lookup(&OneHash(3))
    });
}

// Case B059 of tests/spark_cases.md.
#[test]
fn lookup_with_a_partitioner_runs_one_partition() {
    test(|| {
        let (counter, ctx) = counted(2);
        let pairs = ctx.range_with(5, 0..100_i64).map(|n| (n % 10, n));
        let oracle: Vec<i64> = (0..10).map(|n| n * 10 + 7).collect();
        let (found, events) = counter.during(|| pairs.lookup(&7));
        assert_eq!((found?, events.jobs, events.tasks), (oracle.clone(), 1, 5));
        for placed in [pairs.partition_by(8), pairs.partition_by(Arc::new(Literal(10)))] {
            placed.count()?;
            let (found, events) = counter.during(|| placed.lookup(&7));
            assert_eq!((found?, events.jobs, events.tasks), (oracle.clone(), 1, 1));
        }
        let sorted = pairs.with_partitions(4).sort_pairs();
        assert_eq!(sorted.lookup(&7)?, oracle, "before any other action took the sample");
        let (found, events) = counter.during(|| sorted.lookup(&7));
        assert_eq!((found?, events.jobs, events.tasks), (oracle, 1, 1));
        Ok(())
    });
}

// Case B059 of tests/spark_cases.md.
#[test]
fn an_out_of_range_partitioner_is_an_error_of_lookup() {
    test(|| {
        let placed = context().range(0..3_i64).map(|n| (n, n)).partition_by(Arc::new(Literal(3)));
        assert_eq!(placed.lookup(&2)?, [2]);
        for key in [3, -1] {
            let error = assert_kind(placed.lookup(&key), |kind| {
                matches!(kind, ErrorKind::PartitionOutOfRange { partitions: 3, .. })
            });
            assert_eq!(error.action().unwrap().name, "lookup");
            assert!(error.to_string().contains(file!()), "{error}");
        }
        assert_eq!(placed.lookup(&1)?, [1]);
        Ok(())
    });
}

/// A partitioner whose keys are their partitions.
struct Literal(usize);

impl Partitioner<i64> for Literal {
    fn partitions(&self) -> usize {
        self.0
    }

    fn partition_of(&self, key: &i64) -> usize {
        *key as usize
    }
}

// Case B029 of tests/spark_cases.md.
#[test]
fn is_empty_of_empty_and_filtered_rows() {
    check([true, true, false, true, false], |ctx, p| {
        let three = ctx.parallelize_with(3, vec![1, 2, 3]);
        Ok([
            ctx.union(Vec::<Rdd<i32>>::new()).is_empty()?,
            ctx.parallelize_with(p, Vec::<i32>::new()).is_empty()?,
            ctx.parallelize_with(p, vec![1]).is_empty()?,
            three.filter(|n| *n < 0).is_empty()?,
            three.filter(|n| *n > 1).is_empty()?,
        ])
    });
}

#[test]
fn is_empty_stops_at_the_first_row() {
    test(|| {
        let (counter, ctx) = counted(2);
        let rows = ctx.range_with(20, 0..100_u32);
        let (empty, events) = counter.during(|| rows.is_empty());
        assert_eq!((empty?, events.jobs, events.tasks), (false, 1, 1));
        let (empty, events) = counter.during(|| rows.filter(|n| *n > 99).is_empty());
        assert_eq!((empty?, events.tasks), (true, 20));
        Ok(())
    });
}

#[test]
fn for_each_partition_is_called_once_per_partition_even_if_empty() {
    over_shapes(sorted, |rdd| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        rdd.for_each_partition(move |rows| log.lock().unwrap().push(rows.collect::<Vec<_>>()))?;
        let parts = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(parts.len(), rdd.num_partitions());
        assert_eq!(sorted(parts.clone()), sorted(glom(rdd)?));
        Ok(sorted(parts.concat()))
    });
}

#[test]
fn a_panic_in_for_each_partition_is_an_error_of_it() {
    test(|| {
        let rows = context().range_with(2, 0..4_i64);
        let answer = rows.for_each_partition(|rows| assert!(rows.count() > 9, "too few"));
        let error = assert_kind(answer, |kind| matches!(kind, ErrorKind::Panicked { .. }));
        assert_eq!(error.operation().unwrap().name, "for_each_partition");
        Ok(())
    });
}

// Case B015 of tests/spark_cases.md.
#[test]
fn to_local_iterator_equals_collect() {
    over_shapes(|rows| rows, |rdd| rdd.to_local_iterator().collect());
    check(vec![1, 2, 3, 4], |ctx, p| ctx.parallelize_with(p, 1..=4).to_local_iterator().collect());
}

#[test]
fn to_local_iterator_computes_a_partition_when_its_first_row_is_requested() {
    test(|| {
        let (counter, ctx) = counted(2);
        let rows = ctx.range_with(5, 0..10_u32);
        let (mut local, events) = counter.during(|| rows.to_local_iterator());
        assert_eq!(events.jobs, 0);
        for (asked, tasks) in [(1, 1), (1, 0), (1, 1), (3, 1)] {
            let ((), events) = counter.during(|| local.by_ref().take(asked).for_each(drop));
            assert_eq!((events.jobs, events.tasks), (tasks, tasks));
        }
        let (rest, events) = counter.during(|| local.by_ref().collect::<Result<Vec<_>>>());
        assert_eq!((rest?, events.tasks), (vec![6, 7, 8, 9], 2));
        let (end, events) = counter.during(|| local.next().is_none());
        assert_eq!((end, events.jobs), (true, 0));
        Ok(())
    });
}

#[test]
fn to_local_iterator_yields_an_error_and_ends() {
    test(|| {
        let rows = context().range_with(3, 0..6_u32).map(|n| {
            assert!(n != 3, "no");
            n
        });
        let mut local = rows.to_local_iterator();
        assert_eq!(local.by_ref().take(2).collect::<Result<Vec<_>>>()?, [0, 1]);
        let error =
            assert_kind(local.next().unwrap(), |kind| matches!(kind, ErrorKind::Panicked { .. }));
        assert_eq!(error.action().unwrap().name, "to_local_iterator");
        assert!(local.next().is_none());
        Ok(())
    });
}

// A source without partitions is an error of every action.
#[test]
fn zero_partitions_are_an_error_of_the_single_value_actions() {
    test(|| {
        let none = context().parallelize_with(0, vec![(1_i64, 1_i64)]);
        let wrong = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument { .. });
        assert_kind(none.is_empty(), wrong);
        assert_kind(none.lookup(&1), wrong);
        assert_kind(none.partition_by(0).lookup(&1), wrong);
        assert_kind(none.max(), wrong);
        assert_kind(none.to_local_iterator().collect::<Result<Vec<_>>>(), wrong);
        Ok(())
    });
}
