//! Rows whose own `Hash`, `Eq`, `Ord`, `Clone`, `Serialize` or `Deserialize` panics at any one call.

use emberline::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering as Order;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use testkit::{DEADLINE, within};

const HASH: usize = 0;
const EQ: usize = 1;
const ORD: usize = 2;
const CLONE: usize = 3;
const SERIALIZE: usize = 4;
const DESERIALIZE: usize = 5;

/// The calls that still succeed, for each kind of call. Each kind is used by one test.
static FUSES: [AtomicI64; 6] = [const { AtomicI64::new(i64::MAX) }; 6];

/// A number that panics at a call of kind `K` once no more of these calls may succeed.
struct Fused<const K: usize>(u64);

impl<const K: usize> Fused<K> {
    fn call(kind: usize) {
        if kind == K && FUSES[K].fetch_sub(1, Ordering::SeqCst) == 1 {
            panic!("boom");
        }
    }
}

impl<const K: usize> Hash for Fused<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Self::call(HASH);
        self.0.hash(state);
    }
}

impl<const K: usize> PartialEq for Fused<K> {
    fn eq(&self, other: &Self) -> bool {
        Self::call(EQ);
        self.0 == other.0
    }
}

impl<const K: usize> Eq for Fused<K> {}

impl<const K: usize> Ord for Fused<K> {
    fn cmp(&self, other: &Self) -> Order {
        Self::call(ORD);
        self.0.cmp(&other.0)
    }
}

impl<const K: usize> PartialOrd for Fused<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl<const K: usize> Clone for Fused<K> {
    fn clone(&self) -> Self {
        Self::call(CLONE);
        Fused(self.0)
    }
}

impl<const K: usize> Serialize for Fused<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::call(SERIALIZE);
        self.0.serialize(serializer)
    }
}

impl<'de, const K: usize> Deserialize<'de> for Fused<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::call(DESERIALIZE);
        u64::deserialize(deserializer).map(Fused)
    }
}

/// A program over sixty rows, with its result as sorted numbers.
type Program<const K: usize> = fn(&Rdd<Fused<K>>) -> Result<Vec<u64>>;

fn plain<const K: usize>(rows: Vec<Fused<K>>) -> Vec<u64> {
    let mut numbers: Vec<u64> = rows.into_iter().map(|row| row.0).collect();
    numbers.sort_unstable();
    numbers
}

/// Returns programs that hash, compare, clone and write rows in every way.
fn programs<const K: usize>() -> Vec<(&'static [&'static str], Program<K>)> {
    vec![
        (&["distinct", "collect"], |rows| Ok(plain(rows.with_partitions(2).distinct().collect()?))),
        (&["reduce_by_key", "collect"], |rows| {
            let sums = rows.map(|row| (row, 1)).with_partitions(2).reduce_by_key(|a: u64, b| a + b);
            Ok(plain(sums.map(|(row, _)| row).collect()?))
        }),
        (&["group_by_key", "collect"], |rows| {
            let groups = rows.map(|row| (row, 1_u8)).with_partitions(2).group_by_key();
            Ok(plain(groups.map(|(row, _)| row).collect()?))
        }),
        (&["join", "collect"], |rows| {
            let pairs = rows.map(|row| (row, 1_u8));
            let joined = pairs.with_partitions(2).join(&pairs.filter(|pair| pair.0.0 == 3));
            Ok(plain(joined.map(|(row, _)| row).collect()?))
        }),
        (&["sort_pairs", "collect"], |rows| {
            let sorted = rows.map(|row| (row, 1_u8)).with_partitions(2).sort_pairs();
            Ok(plain(sorted.map(|(row, _)| row).collect()?))
        }),
        (&["repartition", "collect"], |rows| Ok(plain(rows.repartition(2).collect()?))),
        (&["partition_by", "collect"], |rows| {
            let pairs = rows.map(|row| (row, 1_u8)).partition_by(2);
            Ok(plain(pairs.map(|(row, _)| row).collect()?))
        }),
        (&["cache", "count", "collect"], |rows| {
            let cached = rows.cache();
            cached.count()?;
            Ok(plain(cached.collect()?))
        }),
        (&["parallelize", "collect"], |rows| {
            let copied = rows.context().parallelize_with(2, rows.collect()?);
            Ok(plain(copied.collect()?))
        }),
        (&["top", "take_ordered"], |rows| {
            let low = rows.take_ordered(5)?;
            let high = rows.top(5)?;
            Ok(plain(low.into_iter().chain(high).collect()))
        }),
        (&["count_by_value"], |rows| Ok(plain(rows.count_by_value()?.into_keys().collect()))),
    ]
}

/// Makes the `n`th call of kind `K` panic, for many `n`, in each program.
fn every_call_may_panic<const K: usize>() {
    within(DEADLINE, || {
        let mut failures = 0;
        for files in [false, true] {
            let ctx = Context::builder().threads(2).force_spill(files).build().unwrap();
            let rows =
                ctx.generate(3, |p| (0..20).map(move |n| Fused::<K>(n * (p as u64 + 1) % 13)));
            for (number, (blamed, program)) in programs::<K>().into_iter().enumerate() {
                FUSES[K].store(i64::MAX, Ordering::SeqCst);
                let answer = program(&rows).unwrap();
                for n in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144] {
                    FUSES[K].store(n, Ordering::SeqCst);
                    let outcome = program(&rows);
                    // Calls on this thread from here on, as by a hash table of the test, must not panic.
                    FUSES[K].store(i64::MAX, Ordering::SeqCst);
                    match outcome {
                        Ok(rows) => assert_eq!(rows, answer, "program {number}, call {n}"),
                        Err(error) => {
                            failures += 1;
                            let text = error.to_string();
                            let operation = error.operation().unwrap();
                            assert!(text.contains("boom"), "program {number}, call {n}: {text}");
                            assert!(blamed.contains(&operation.name), "program {number}: {text}");
                            assert!(text.contains(file!()), "program {number}: {text}");
                        }
                    }
                }
                assert_eq!(program(&rows).unwrap(), answer, "program {number} afterwards");
            }
        }
        assert!(failures > 0, "no call panicked: nothing was tested");
    });
}

#[test]
fn a_hash_that_panics_at_any_call_is_an_error() {
    every_call_may_panic::<HASH>();
}

#[test]
fn an_eq_that_panics_at_any_call_is_an_error() {
    every_call_may_panic::<EQ>();
}

#[test]
fn an_ord_that_panics_at_any_call_is_an_error() {
    every_call_may_panic::<ORD>();
}

#[test]
fn a_clone_that_panics_at_any_call_is_an_error() {
    every_call_may_panic::<CLONE>();
}

#[test]
fn a_serialize_that_panics_at_any_call_is_an_error() {
    every_call_may_panic::<SERIALIZE>();
}

#[test]
fn a_deserialize_that_panics_at_any_call_is_an_error() {
    every_call_may_panic::<DESERIALIZE>();
}
