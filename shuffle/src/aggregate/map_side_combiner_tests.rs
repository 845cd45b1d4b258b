//! Tests of the state machine of the map side.

use super::*;
use crate::keys::hash::hash_of;
use crate::keys::partitioner::Partitioning;
use crate::map_output::output::{MapOutput, MapOutputs};
use emberline_core::config::Config;
use emberline_core::task::TaskContext;
use std::collections::BTreeMap;
use std::iter;

/// A fingerprint of a list of values, as a polynomial. Concatenating lists merges their
/// fingerprints, and a wrong order shows.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Fingerprint {
    polynomial: u64,
    power: u64,
}

const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

fn create(value: u64) -> Fingerprint {
    Fingerprint { polynomial: value, power: BASE }
}

fn concatenate(a: Fingerprint, b: Fingerprint) -> Fingerprint {
    let polynomial = a.polynomial.wrapping_mul(b.power).wrapping_add(b.polynomial);
    Fingerprint { polynomial, power: a.power.wrapping_mul(b.power) }
}

fn append(list: Fingerprint, value: u64) -> Fingerprint {
    concatenate(list, create(value))
}

fn state_name<K, V, C>(state: &State<K, V, C>) -> &'static str {
    match state {
        State::Hash(_) => "Hash",
        State::Radix(_) => "Radix",
        State::PassThrough => "PassThrough",
    }
}

/// The output of a map task that was compared with the values of each key.
struct Outcome {
    /// The states in the order in which they were entered.
    states: Vec<&'static str>,
    /// The number of combiners in the output.
    entries: usize,
    /// The number of combiners of each key.
    entries_of: BTreeMap<u64, usize>,
}

/// Combines rows with these keys, whose values are their numbers. Checks that the combiners of each
/// key, merged in the order of the output, have its values in the order of the input.
fn combine(config: Config, keys: impl Iterator<Item = u64>) -> Outcome {
    let task = TaskContext::for_test(config);
    let sub_partitions = SubPartitions::new(Partitioning::<u64>::Hash(4));
    let mut writer = MapWriter::new(sub_partitions.count(), &task);
    let mut expected: BTreeMap<u64, Fingerprint> = BTreeMap::new();
    let mut combiner = MapSideCombiner::new(&sub_partitions, &mut writer, &create, &append);
    let mut states = vec![state_name(&combiner.state)];
    for (value, key) in (0..).zip(keys) {
        combiner.add(hash_of(&key), key, value);
        let state = state_name(&combiner.state);
        if states.last() != Some(&state) {
            states.push(state);
        }
        let list = expected.get(&key).map_or(create(value), |list| append(*list, value));
        expected.insert(key, list);
    }
    combiner.finish();
    let entries_of = check_output(writer.finish().unwrap(), &sub_partitions, &expected, &task);
    Outcome { states, entries: entries_of.values().sum(), entries_of }
}

/// Compares the merged combiners of each key with those expected. Returns the number of combiners
/// of each.
fn check_output(
    output: MapOutput<Hashed<u64, Fingerprint>>,
    sub_partitions: &SubPartitions<u64>,
    expected: &BTreeMap<u64, Fingerprint>,
    task: &TaskContext,
) -> BTreeMap<u64, usize> {
    let outputs = MapOutputs::own(output);
    let mut entries_of = BTreeMap::new();
    let mut found: BTreeMap<u64, Fingerprint> = BTreeMap::new();
    for sub_partition in 0..sub_partitions.count() {
        let mut reader = outputs.read(None, sub_partition, task);
        while let Some(chunk) = reader.next_chunk().unwrap() {
            for row in chunk.rows() {
                assert_eq!(row.hash, hash_of(&row.key));
                assert_eq!(sub_partitions.index_of(&row.key, row.hash), sub_partition);
                let before = found.get(&row.key);
                let list = before.map_or(row.value, |list| concatenate(*list, row.value));
                found.insert(row.key, list);
                *entries_of.entry(row.key).or_default() += 1;
            }
        }
    }
    assert!(found == *expected, "the output has other values than the input");
    entries_of
}

fn tiny() -> Config {
    Config { memory_limit_bytes: 1 << 20, ..Config::default() }
}

#[test]
fn repeated_keys_stay_in_the_table_and_have_one_combiner_each() {
    let combined = combine(tiny(), (0..100_000).map(|n| n % 700));
    assert_eq!(combined.states, ["Hash"]);
    assert_eq!((combined.entries, combined.entries_of.len()), (700, 700));
}

#[test]
fn distinct_keys_pass_through() {
    let combined = combine(tiny(), 0..100_000);
    assert_eq!(combined.states, ["Hash", "PassThrough"]);
    assert_eq!((combined.entries, combined.entries_of.len()), (100_000, 100_000));
}

#[test]
fn a_key_that_repeats_after_the_change_to_pass_through_is_no_longer_combined() {
    let combined = combine(tiny(), (0..50_000).chain(iter::repeat_n(3, 50_000)));
    assert_eq!(combined.states, ["Hash", "PassThrough"]);
    assert_eq!((combined.entries, combined.entries_of[&3]), (100_000, 50_001));
}

#[test]
fn a_table_that_is_flushed_and_paid_off_is_filled_again() {
    // Each key is added three times before the table is full.
    let keys = (0..300_000).map(|n| n / 3);
    let combined = combine(tiny(), keys);
    assert_eq!(combined.states, ["Hash"]);
    assert_eq!(combined.entries_of.len(), 100_000);
    // A flush divides the rows of at most one key.
    assert!((100_050..100_200).contains(&combined.entries), "{}", combined.entries);
}

/// Returns about `modulus / 2` distinct keys, which begin to repeat after as many rows.
fn scattered_keys(rows: u64, modulus: u64) -> impl Iterator<Item = u64> {
    (0..rows).map(move |n| (n * n) % modulus)
}

#[test]
fn more_keys_than_fit_the_cache_are_combined_by_sub_partition() {
    let combined = combine(Config::default(), scattered_keys(400_000, 90_001));
    assert_eq!(combined.states, ["Hash", "Radix"]);
    assert_eq!(combined.entries, combined.entries_of.len(), "one combiner for each key");
}

#[test]
fn with_too_little_memory_for_buffers_all_rows_are_in_one_table() {
    let keys = || scattered_keys(100_000, 20_011);
    let combined = combine(Config::default(), keys());
    assert_eq!(combined.states, ["Hash", "Radix"]);
    let small = Config { task_memory_bytes: 4 << 20, ..Config::default() };
    let combined = combine(small, keys());
    assert_eq!(combined.states, ["Hash"]);
    assert_eq!(combined.entries, combined.entries_of.len(), "one combiner for each key");
}

#[test]
fn keys_stay_in_their_radix_tables_when_the_buffers_have_filled_up() {
    // The buffers have room for about 125,000 rows, and the tables of all keys for a quarter of the
    // memory.
    let config = Config { task_memory_bytes: 8 << 20, ..Config::default() };
    let combined = combine(config, scattered_keys(500_000, 20_011));
    assert_eq!(combined.states, ["Hash", "Radix"]);
    assert_eq!(combined.entries, combined.entries_of.len(), "one combiner for each key");
}

#[test]
fn radix_tables_that_do_not_pay_off_end_in_pass_through() {
    let config = Config { task_memory_bytes: 8 << 20, ..Config::default() };
    let combined = combine(config, (0..600_000).chain(0..1000));
    assert_eq!(combined.states, ["Hash", "Radix", "PassThrough"]);
    assert_eq!((combined.entries, combined.entries_of.len()), (601_000, 600_000));
    assert_eq!((combined.entries_of[&7], combined.entries_of[&1000]), (2, 1));
}

#[test]
fn keys_that_rarely_repeat_are_not_all_combined() {
    // A key repeats after 50,000 rows: most sub-partitions leave both of its rows as they are.
    let keys = (0..60_000).chain(10_000..20_000);
    let combined = combine(Config::default(), keys);
    assert_eq!(combined.states, ["Hash", "Radix"]);
    assert_eq!((combined.entries_of.len(), combined.entries_of[&5]), (60_000, 1));
    assert!(combined.entries > 68_000, "{}", combined.entries);
}

#[test]
fn a_skewed_key_among_distinct_keys_is_combined() {
    let skewed = |n: u64| if n % 10 < 7 { 5 } else { 1_000_000 + n };
    let combined = combine(Config::default(), (0..200_000).map(skewed));
    assert_eq!(combined.states, ["Hash", "Radix"]);
    assert_eq!((combined.entries_of.len(), combined.entries_of[&5]), (60_001, 1));
    assert!(combined.entries < 62_000, "{}", combined.entries);
}

#[test]
fn a_task_whose_combiners_are_larger_than_its_rows_stays_within_its_limit() {
    // All rows are buffered until the end; or the buffers fill up, and combining does not pay off.
    for (task_memory_bytes, last_state) in [(24 << 20, "Radix"), (8 << 20, "PassThrough")] {
        let task = TaskContext::for_test(Config { task_memory_bytes, ..Config::default() });
        let limit = task.operator_memory_limit();
        let sub_partitions = SubPartitions::new(Partitioning::<u32>::Hash(4));
        let mut writer = MapWriter::new(sub_partitions.count(), &task);
        let create = |()| [0_u64; 4];
        let merge = |sum: [u64; 4], ()| sum;
        let mut combiner = MapSideCombiner::new(&sub_partitions, &mut writer, &create, &merge);
        (0..1_000_000_u32).for_each(|key| combiner.add(hash_of(&key), key, ()));
        assert_eq!(state_name(&combiner.state), last_state);
        combiner.finish();
        let peak = task.metrics().peak_bytes;
        assert!(peak > limit / 2 && peak <= limit + limit / 8, "{peak} of {limit}");
        assert_eq!(writer.finish().unwrap().rows(), 1_000_000);
    }
}
