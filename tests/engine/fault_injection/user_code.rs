//! User code that breaks its contract: an answer or an error, never a hang or a crash.

use crate::support::{assert_kind, check_rows, context, noise, sorted, spread, test};
use emberline::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering as Order;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::{DEADLINE, within};

/// Makes a small context in which 200 rows exceed the task memory limit.
fn in_small_runs() -> Context {
    let builder = Context::builder().threads(2).force_spill(true);
    builder.task_memory_bytes(crate::support::TINY_TASK_MEMORY_BYTES).build().unwrap()
}

// Case F086 of tests/PROMISES.md.
#[test]
fn an_inconsistent_order_loses_no_row_and_never_hangs() {
    /// Returns less or greater with equal probability, independently of earlier calls.
    fn random(_: &u64, _: &u64) -> Order {
        static ASKED: AtomicU64 = AtomicU64::new(0);
        [Order::Less, Order::Greater][noise(ASKED.fetch_add(1, Ordering::SeqCst)) as usize % 2]
    }
    within(DEADLINE, || {
        for ctx in [context(), in_small_runs()] {
            for partitions in [1, 3] {
                let rows = ctx.range_with(3, 0..3000_u64);
                match rows.with_partitions(partitions).sort_by(random).collect() {
                    Ok(rows) => assert!(sorted(rows).into_iter().eq(0..3000)),
                    // The standard sort may find out.
                    Err(error) => {
                        let panicked = matches!(error.kind(), ErrorKind::Panicked { .. });
                        assert!(panicked && error.to_string().contains("order"), "{error}");
                    }
                }
            }
        }
    });
}

/// A key whose hash is another one each time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Restless(u64);

impl Hash for Restless {
    fn hash<H: Hasher>(&self, state: &mut H) {
        static ASKED: AtomicU64 = AtomicU64::new(0);
        state.write_u64(noise(ASKED.fetch_add(1, Ordering::SeqCst)));
    }
}

#[test]
fn an_unstable_hash_loses_no_row_of_a_reduction_and_never_hangs() {
    within(DEADLINE, || {
        for ctx in [context(), in_small_runs()] {
            let pairs = ctx.range_with(3, 0..2000_u64).map(|n| (Restless(n % 50), n));
            let sums = pairs.with_partitions(2).reduce_by_key(|a, b| a + b);
            assert_eq!(sums.values().sum::<u64>().unwrap(), 1999 * 1000);
            assert!(sums.count().unwrap() >= 50);
            // The results of these are unspecified, but they end.
            assert!(pairs.distinct().count().unwrap() >= 2000);
            pairs.join(&pairs).count().unwrap();
            pairs.group_by_key_iter().map(|(_, group)| group.len() as u64).sum::<u64>().unwrap();
        }
    });
}

/// A row that panics when the nth of its kind drops.
struct Explosive(Arc<AtomicU64>, u64);

impl Drop for Explosive {
    fn drop(&mut self) {
        assert!(self.0.fetch_add(1, Ordering::SeqCst) != self.1, "boom");
    }
}

#[test]
fn a_panic_in_the_destructor_of_any_row_is_an_error() {
    within(DEADLINE, || {
        let ctx = context();
        for fatal in 0..20 {
            let drops = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&drops);
            let rows = ctx.range_with(2, 0..20_u64);
            let rows = rows.map(move |_| Explosive(Arc::clone(&counter), fatal)).boxed();
            let answer = rows.filter(|_| true).map(|row| row.1).count();
            let error = assert_kind(answer, |kind| matches!(kind, ErrorKind::Panicked { .. }));
            assert!(error.to_string().contains("boom"), "{error}");
            assert_eq!(ctx.range(0..9_u64).count().unwrap(), 9, "the pool still works");
        }
    });
}

#[test]
fn take_of_an_endless_source_ends() {
    test(|| {
        let ctx = context();
        let endless = ctx.generate(2, |partition| std::iter::repeat(partition as u64));
        assert_eq!(endless.take(3)?, [0, 0, 0]);
        assert_eq!(endless.map(|n| n + 1).boxed().filter(|n| *n > 0).take(2)?, [1, 1]);
        let heads = endless.map_partitions(|rows| rows.take(2));
        assert_eq!(heads.collect()?, [0, 0, 1, 1]);
        assert_eq!(endless.first()?, Some(0));
        Ok(())
    });
}

// Case F081 of tests/PROMISES.md.
#[test]
fn none_keys_and_none_values_survive_runs_and_merges() {
    let rows: Vec<(Option<i64>, Option<i64>)> =
        (0..900).map(|n| ((n % 3 > 0).then_some(n % 200), (n % 2 > 0).then_some(n))).collect();
    let mut groups = std::collections::BTreeMap::<_, Vec<_>>::new();
    rows.iter().for_each(|(key, value)| groups.entry(*key).or_default().push(*value));
    check_rows(groups.into_iter().collect(), move |ctx, partitions| {
        let group_by_key_iter =
            spread(ctx, partitions, &rows).with_partitions(partitions).group_by_key_iter();
        group_by_key_iter.map(|(key, group)| (key, group.into_iter().collect::<Vec<_>>())).collect()
    });
}

// Case F092 of tests/PROMISES.md.
#[test]
fn four_rows_are_shuffled_into_two_hundred_and_one_partitions() {
    within(DEADLINE, || {
        for ctx in [context(), in_small_runs()] {
            let rows = ctx
                .range_with(4, 0..4_u64)
                .map(|n| (n, n))
                .with_partitions(201)
                .reduce_by_key(|a, _| a);
            assert_eq!(rows.num_partitions(), 201);
            let sizes = rows.map_partitions(|rows| [rows.count()]).collect().unwrap();
            assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (201, 4));
            assert_eq!(sorted(rows.keys().collect().unwrap()), [0, 1, 2, 3]);
        }
    });
}

#[test]
fn a_union_of_ten_thousand_rdds_is_planned_and_run() {
    within(DEADLINE, || {
        let ctx = context();
        let many: Vec<Rdd<u64>> =
            (0..10_000).map(|n| ctx.range_with(1, n..n + 1).boxed()).collect();
        let all = ctx.union(many);
        assert_eq!(all.num_partitions(), 10_000);
        assert_eq!(all.sum::<u64>().unwrap(), 9_999 * 5_000);
    });
}
