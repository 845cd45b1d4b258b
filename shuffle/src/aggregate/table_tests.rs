//! Tests of the table of combiners.

use super::*;
use crate::keys::hash::hash_of;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::HashMap;

fn pairs<C>(entries: Vec<Hashed<u32, C>>) -> Vec<(u32, C)> {
    entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
}

fn add(a: Vec<u32>, b: Vec<u32>) -> Vec<u32> {
    [a, b].concat()
}

fn push(mut list: Vec<u32>, n: u32) -> Vec<u32> {
    list.push(n);
    list
}

proptest! {
    // Few distinct hashes, so that unequal keys of equal hash are common.
    #[test]
    fn combiners_are_those_of_a_map_of_lists(
        rows in prop::collection::vec((0_u32..60, any::<u32>()), 0..300),
        hashes in 1_u64..80,
    ) {
        let mut table = CombineTable::new();
        let mut order: Vec<u32> = Vec::new();
        let mut model: HashMap<u32, Vec<u32>> = HashMap::new();
        for &(key, value) in &rows {
            let hash = hash_of(&key) % hashes;
            table.merge(hash, key, value, &|n| vec![n], &push);
            model.entry(key).or_insert_with(|| { order.push(key); Vec::new() }).push(value);
        }
        let expected: Vec<_> = order.iter().map(|key| (*key, model[key].clone())).collect();
        prop_assert_eq!(pairs(table.entries.clone()), expected.clone());

        let (mut shared, mut owned) = (CombineTable::new(), CombineTable::new());
        for entry in table.entries.iter().chain(&table.entries) {
            shared.merge_shared(entry, &add);
            owned.merge_owned(entry.clone(), &add);
        }
        let twice = |(key, list): &(u32, Vec<u32>)| (*key, add(list.clone(), list.clone()));
        let doubled: Vec<_> = expected.iter().map(twice).collect();
        prop_assert_eq!(pairs(shared.into_entries()), doubled.clone());
        prop_assert_eq!(pairs(owned.into_entries()), doubled);

        let mut sorted = expected;
        sorted.sort_by_key(|(key, _)| hash_of(key) % hashes);
        prop_assert_eq!(pairs(table.into_hash_order()), sorted);
    }
}

thread_local! {
    static CLONES: Cell<usize> = const { Cell::new(0) };
}

#[derive(Serialize)]
struct Counted(Vec<u64>);
impl Clone for Counted {
    fn clone(&self) -> Self {
        CLONES.with(|clones| clones.set(clones.get() + 1));
        Counted(self.0.clone())
    }
}

#[test]
fn a_table_clones_one_combiner_for_any_number_of_rows() {
    let mut table = CombineTable::new();
    for n in 0..10_000_u64 {
        let key = n % 10;
        table.merge(hash_of(&key), key, n, &|n| Counted(vec![n]), &|sum, n| {
            Counted(vec![sum.0[0] + n])
        });
    }
    assert_eq!(CLONES.with(Cell::get), 1);
    assert_eq!(table.entries.iter().map(|entry| entry.value.0[0]).sum::<u64>(), 49_995_000);
}

#[test]
fn the_size_of_a_table_follows_combiners_that_grow() {
    let mut table = CombineTable::new();
    for n in 0..20_000_u64 {
        let (key, create) = (n % 10, |n| vec![n]);
        table.merge(hash_of(&key), key, n, &create, &|mut list, n| {
            list.push(n);
            list
        });
    }
    let counted = table.bytes();
    table.measure_again();
    let exact = table.bytes();
    assert!(counted.abs_diff(exact) < exact / 20, "{counted} for {exact}");
    let large = "x".repeat(1 << 20);
    let mut table = CombineTable::new();
    for n in 0..100_u64 {
        let text = if n == 97 { large.clone() } else { "y".to_string() };
        table.merge(hash_of(&3), 3, text, &|text| text, &|a, b| a + &b);
    }
    assert!(table.bytes() > 1 << 20, "one merge of many made it large");
}

// A full table is not measured again on the map side if its combiners own no heap.
#[test]
fn the_size_of_a_table_is_exact_if_its_combiners_own_no_heap() {
    let mut table = CombineTable::new();
    for n in 0..20_000_u64 {
        let key = "x".repeat((n % 700) as usize);
        let hash = hash_of(&key);
        match n % 3 {
            0 => table.merge(hash, key, n, &|n| n, &|sum, n| sum + n),
            1 => table.merge_owned(Hashed { hash, key, value: n }, &|a, b| a + b),
            _ => table.merge_shared(&Hashed { hash, key, value: n }, &|a, b| a + b),
        }
    }
    let counted = table.bytes();
    let keys: Vec<String> = (0..700).map(|length| "x".repeat(length)).collect();
    assert_eq!(table.measure_again(), RowSizes::measure(&keys));
    assert_eq!(counted, table.bytes());
    table.take_entries();
    assert_eq!(table.bytes(), 0);
}

#[test]
fn an_empty_table_has_no_keys() {
    let table = CombineTable::<u8, u8>::default();
    assert!(table.entries.is_empty() && table.into_hash_order().is_empty());
}
