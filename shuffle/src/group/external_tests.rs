//! Tests of `external`.

use super::*;
use crate::group::values::GroupValues;
use crate::join::cross_product::{CrossProduct, GroupRewind};
use crate::keys::hash::hash_of;
use crate::map_output::builder::MapOutputBuilder;
use crate::map_output::output::MapOutputs;
use emberline_core::config::Config;
use emberline_core::disk::{FaultyDisk, RealDisk};
use emberline_core::faults::FaultPlan;
use emberline_core::task::OperatorMemory;
use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer};
use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

type Rows<K> = Vec<(u64, K, Vec<u64>)>;

/// A key whose hash is shared by a number of keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
struct Poor {
    key: u32,
    hashes: u32,
}

impl Hash for Poor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.key % self.hashes).hash(state);
    }
}

fn tiny(force_spill: bool) -> TaskContext {
    TaskContext::for_test(Config { memory_limit_bytes: 1 << 20, force_spill, ..Config::default() })
}

/// Returns a row for each key, with its number as its value.
fn entries<K: Key + Copy>(keys: &[K]) -> Vec<Hashed<K, u64>> {
    (0..).zip(keys).map(|(value, key)| Hashed { hash: hash_of(key), key: *key, value }).collect()
}

/// Returns a sub-partition with rows in several map outputs.
fn source_of<K: Key>(
    entries: &[Hashed<K, u64>],
    task: &TaskContext,
) -> SegmentSource<Hashed<K, u64>> {
    let outputs = MapOutputs::new(3);
    for (at, some) in
        (0..3).zip(entries.chunks(entries.len().div_ceil(3).max(1)).chain([&[][..]; 3]))
    {
        let mut output = MapOutputBuilder::new(1);
        output.add_rows(vec![some.to_vec()], task).unwrap();
        outputs.put(at, output.finish(task).unwrap()).unwrap();
    }
    SegmentSource { outputs, shuffle: None, segment: 0 }
}

fn streamed<K: Key>(entries: &[Hashed<K, u64>], task: &TaskContext) -> Rows<K> {
    let groups = GroupStream::new(source_of(entries, task), task);
    groups.map(|(hash, key, group)| (hash, key, group.into_iter().collect())).collect()
}

fn in_memory<K: Key>(entries: Vec<Hashed<K, u64>>) -> Rows<K> {
    Groups::new(entries).into_vecs().collect()
}

#[test]
fn a_skewed_key_is_read_from_the_map_outputs_each_time() {
    for files in [false, true] {
        let task = tiny(files);
        let keys: Vec<u32> = (0..60_000).map(|n| if n % 100 == 0 { n } else { 7 }).collect();
        let entries = entries(&keys);
        let source = source_of(&entries, &task);
        let spilled = task.metrics().bytes_spilled;
        let mut groups = GroupStream::new(source, &task);
        let (_, _, skewed) = groups.find(|(_, key, _)| *key == 7).unwrap();
        assert!(skewed.as_slice().is_err(), "it is not in memory");
        assert!(task.metrics().bytes_spilled - spilled < 20_000, "nor copied");
        let expected: Vec<u64> = (0..60_000).filter(|n| n % 100 != 0).collect();
        assert_eq!((skewed.len(), skewed.iter().len()), (expected.len(), expected.len()));
        assert!(skewed.iter().eq(expected.clone()) && skewed.iter().eq(expected.clone()));
        let (again, dropped) = (skewed.clone(), skewed);
        drop((dropped, groups));
        assert!(again.into_iter().eq(expected));
        assert_eq!(streamed(&entries, &task), in_memory(entries));
    }
}

#[test]
fn a_key_that_is_skewed_late_and_one_that_is_large_but_never_skewed_are_whole() {
    let late = (0..40_000).map(|n| if n < 20_000 { n / 3 } else { 5 });
    let thin = (0..90_000).map(|n| if n % 12 == 0 { 9_999_999 } else { n });
    for keys in [late.collect::<Vec<u32>>(), thin.collect()] {
        let entries = entries(&keys);
        for files in [false, true] {
            assert_eq!(streamed(&entries, &tiny(files)), in_memory(entries.clone()));
        }
    }
}

/// Returns the number of disk operations of `work`.
fn reads_of<K: Key + Copy>(keys: &[K], work: impl Fn(GroupStream<K, u64>)) -> u64 {
    let faults = FaultPlan::new().arm();
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk), &faults));
    let (memory_limit_bytes, force_spill) = (1 << 20, true);
    let config = Config { memory_limit_bytes, force_spill, disk, ..Config::default() };
    let task = TaskContext::for_test(config);
    let source = source_of(&entries(keys), &task);
    let before = faults.disk_operations();
    work(GroupStream::new(source, &task));
    faults.disk_operations() - before
}

#[test]
fn rows_that_come_sorted_by_key_are_not_read_again_for_each_key() {
    let clustered = |keys: u32| -> Vec<u32> { (0..keys * 2000).map(|n| n / 2000).collect() };
    let read_all = |groups: GroupStream<u32, u64>| {
        assert!(groups.into_iter().all(|(_, _, group)| group.iter().count() == 2000));
    };
    let (few, many) = (reads_of(&clustered(20), read_all), reads_of(&clustered(80), read_all));
    // Sorting takes slightly more than linear time.
    assert!(many < few * 6, "{few} operations for 20 keys, {many} for 80");
}

#[test]
fn a_skewed_key_that_is_read_several_times_is_copied_once() {
    let keys: Vec<u32> = (0..60_000).map(|n| if n % 20 == 0 { 60_001 } else { n }).collect();
    let read = |times: usize| {
        move |mut groups: GroupStream<u32, u64>| {
            let (_, _, skewed) = groups.find(|(_, key, _)| *key == 60_001).unwrap();
            assert_eq!(skewed.len(), 3000);
            let (left, key) = (Group::new((0..times).collect()), 7);
            type Rows = CrossProduct<u32, GroupValues<usize>, GroupRewind<u64>>;
            assert_eq!(Rows::new(key, left, skewed).count(), 3000 * times);
        }
    };
    // No key is skewed by a run, since none has an eighth of its rows.
    assert!(reads_of(&keys, read(40)) < reads_of(&keys, read(1)) + 400);
    let keys: Vec<u32> = (0..60_000).map(|n| if n % 6 == 0 { 60_001 } else { n }).collect();
    let read = |times: usize| {
        move |mut groups: GroupStream<u32, u64>| {
            let (_, _, skewed) = groups.find(|(_, key, _)| *key == 60_001).unwrap();
            (0..times).for_each(|_| assert_eq!(skewed.iter().count(), 10_000));
        }
    };
    let (twice, often) = (reads_of(&keys, read(2)), reads_of(&keys, read(42)));
    let once = (twice - reads_of(&keys, read(1))) * 40;
    assert!(often - twice < once / 3, "{once} operations were {}", often - twice);
}

thread_local! {
    /// The task whose memory is observed while rows are written.
    static OBSERVED: RefCell<Option<TaskContext>> = const { RefCell::new(None) };
}

/// More bytes than any operation of these tests holds.
const PROBE_BYTES: u64 = 1 << 40;

/// Returns the most memory that the operations of `task` have reported at any call of this.
fn held_bytes(task: &TaskContext) -> u64 {
    OperatorMemory::new(task).set(PROBE_BYTES);
    task.metrics().peak_bytes.saturating_sub(PROBE_BYTES)
}

/// A value that observes the memory of a task when it is written.
#[derive(Clone, Copy, Deserialize)]
struct Observer(u64);

impl Serialize for Observer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        OBSERVED.with_borrow(|task| task.as_ref().map(held_bytes));
        self.0.serialize(serializer)
    }
}

#[test]
fn the_last_rows_are_reported_while_they_are_sorted_and_written() {
    let task = tiny(true);
    let mut sorting = Sorting::new(&task, u64::MAX);
    let row = |n: u64| Hashed { hash: hash_of(&n), key: n, value: Observer(n) };
    let limit_rows = task.operator_memory_limit() / size_of::<Hashed<u64, Observer>>() as u64;
    // One run, and three quarters of another.
    let last_rows = limit_rows * 3 / 4;
    (0..limit_rows + last_rows).for_each(|n| sorting.push(row(n)));
    OBSERVED.set(Some(task.clone()));
    let sorted = sorting.finish();
    let held = OBSERVED.take().map(|task| held_bytes(&task)).unwrap();
    let expected = last_rows * size_of::<Hashed<u64, Observer>>() as u64;
    assert!(held >= expected * 9 / 10, "{held} of {expected}");
    drop(sorted);
}

#[test]
fn rows_that_are_sorted_in_memory_are_reported_until_they_are_dropped() {
    let keys: Vec<u32> = (0..1_000).collect();
    let task = tiny(false);
    let groups = GroupStream::new(source_of(&entries(&keys), &task), &task);
    let expected = size_of_val(&entries(&keys)[..]) as u64;
    assert!(held_bytes(&task) >= expected, "{} of {expected}", held_bytes(&task));
    drop(groups);
    let task = tiny(false);
    drop(GroupStream::new(source_of(&entries(&keys), &task), &task));
    assert_eq!(held_bytes(&task), 0);
}

#[test]
fn keys_of_one_hash_that_are_larger_than_memory_are_whole() {
    let keys: Vec<Poor> = (0..90_000).map(|n| Poor { key: n % 3 * 2, hashes: 2 }).collect();
    for files in [false, true] {
        let task = tiny(files);
        assert_eq!(streamed(&entries(&keys), &task), in_memory(entries(&keys)));
    }
    let thin: Vec<Poor> = (0..90_000)
        .map(|n| Poor { key: if n % 12 == 0 { n % 5 * 90_001 } else { n }, hashes: 90_001 })
        .collect();
    let task = tiny(true);
    assert_eq!(streamed(&entries(&thin), &task), in_memory(entries(&thin)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    // Few distinct hashes, so that unequal keys of equal hash are common.
    #[test]
    fn streamed_groups_are_those_in_memory(
        keys in prop::collection::vec(0_u32..40, 0..9000),
        hashes in prop_oneof![1_u32..60, Just(u32::MAX)],
        files in any::<bool>(),
    ) {
        let keys: Vec<Poor> = keys.into_iter().map(|key| Poor { key, hashes }).collect();
        let config =
            Config { task_memory_bytes: 2000, force_spill: files, ..Config::default() };
        let task = TaskContext::for_test(config);
        prop_assert_eq!(streamed(&entries(&keys), &task), in_memory(entries(&keys)));
    }
}
