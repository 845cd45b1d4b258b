//! Tests of the state machine of the map side.

use super::*;
use crate::keys::hash::hash_of;
use crate::keys::partitioner::Partitioning;
use crate::map_output::output::MapOutputs;
use emberline_core::config::Config;
use emberline_core::task::TaskContext;
use std::collections::BTreeMap;

/// Combines rows with these keys. Returns the number of rows of the output, and the rows of each key;
/// checks that the values of a key are merged in their order.
fn count(config: Config, keys: impl Iterator<Item = u64>) -> (usize, BTreeMap<u64, u64>) {
    let task = TaskContext::for_test(config);
    let sub_partitions = SubPartitions::new(Partitioning::<u64>::Hash(4));
    let mut writer = MapWriter::new(sub_partitions.count(), &task);
    // Not commutative, so that a wrong order shows.
    let roll = |sum: u64, n: u64| sum.wrapping_mul(31).wrapping_add(n);
    let mut expected = BTreeMap::new();
    let create = |n: u64| n;
    let mut combiner = MapSideCombiner::new(&sub_partitions, &mut writer, &create, &roll);
    for (n, key) in keys.enumerate() {
        combiner.add(hash_of(&key), key, n as u64);
        let seen = expected.entry(key).or_insert_with(Vec::new);
        seen.push(n as u64);
    }
    combiner.finish();
    let outputs = MapOutputs::own(writer.finish().unwrap());
    let (mut entries, mut counts) = (0, BTreeMap::new());
    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for sub_partition in 0..sub_partitions.count() {
        let mut reader = outputs.read(None, sub_partition, &task);
        while let Some(chunk) = reader.next_chunk().unwrap() {
            entries += chunk.rows().len();
            for row in chunk.rows() {
                assert_eq!(sub_partitions.index_of(&row.key, row.hash), sub_partition);
                found.entry(row.key).or_default().push(row.value);
            }
        }
    }
    assert_eq!(found.len(), expected.len());
    for (key, values) in expected {
        if let [rolled] = found[&key][..] {
            assert_eq!(Some(rolled), values.iter().copied().reduce(roll), "{key}");
        }
        counts.insert(key, values.len() as u64);
    }
    (entries, counts)
}

fn tiny() -> Config {
    Config { memory_limit_bytes: 1 << 20, ..Config::default() }
}

#[test]
fn repeated_keys_are_combined_and_distinct_keys_pass_through() {
    let (entries, counts) = count(tiny(), (0..100_000).map(|n| n % 700));
    assert_eq!((entries, counts.len(), counts[&7]), (700, 700, 143));
    let (entries, counts) = count(tiny(), 0..100_000);
    assert_eq!((entries, counts.len()), (100_000, 100_000));
    // First rows without a pattern, then one key: it is no longer combined.
    let (entries, counts) = count(tiny(), (0..50_000).chain((0..50_000).map(|_| 3)));
    assert!(entries > 99_000 && counts[&3] == 50_001, "{entries}");
}

#[test]
fn more_keys_than_fit_the_cache_are_combined_by_sub_partition() {
    let keys = || (0..400_000_u64).map(|n| (n * n) % 90_001);
    let distinct = keys().collect::<std::collections::HashSet<_>>().len();
    let (entries, counts) = count(Config::default(), keys());
    assert_eq!((entries, counts.len()), (distinct, distinct));
    // A small memory limit has no room for buffers: the rows stay in one table.
    let (entries, _) = count(Config { task_memory_bytes: 4 << 20, ..Config::default() }, keys());
    assert!(entries >= distinct);
}

#[test]
fn keys_that_rarely_repeat_are_not_all_combined() {
    // A key repeats after 50,000 rows: most sub-partitions leave both of its rows as they are.
    let keys = (0..60_000).chain(10_000..20_000);
    let (entries, counts) = count(Config::default(), keys);
    assert_eq!((counts.len(), counts[&10_001], counts[&5]), (60_000, 2, 1));
    assert!(entries > 68_000, "{entries}");
}

#[test]
fn a_skewed_key_among_distinct_keys_is_combined() {
    let skewed = |n: u64| if n % 10 < 7 { 5 } else { 1_000_000 + n };
    let (entries, counts) = count(Config::default(), (0..200_000).map(skewed));
    assert_eq!((counts.len(), counts[&5]), (60_001, 140_000));
    assert!(entries < 62_000, "{entries}");
}
#[test]
fn a_task_whose_combiners_are_larger_than_its_rows_stays_within_its_limit() {
    // All rows are buffered until the end; or the buffers are combined twice before it.
    for task_memory_bytes in [24 << 20, 8 << 20] {
        let task = TaskContext::for_test(Config { task_memory_bytes, ..Config::default() });
        let limit = task.operator_memory_limit();
        let sub_partitions = SubPartitions::new(Partitioning::<u32>::Hash(4));
        let mut writer = MapWriter::new(sub_partitions.count(), &task);
        let (create, merge) = (|()| [0_u64; 4], |sum: [u64; 4], ()| sum);
        let mut combiner = MapSideCombiner::new(&sub_partitions, &mut writer, &create, &merge);
        (0..1_000_000_u32).for_each(|key| combiner.add(hash_of(&key), key, ()));
        combiner.finish();
        let peak = task.metrics().peak_bytes;
        assert!(peak > limit / 2 && peak <= limit + limit / 8, "{peak} of {limit}");
        assert_eq!(writer.finish().unwrap().rows(), 1_000_000);
    }
}
