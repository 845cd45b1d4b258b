//! The values of each key as a list: all pairs are scattered by hash range, then each part is one
//! table of lists.

use super::scatter::{PARTS, hash, scatter};
use crate::support::generate::{AGGREGATE_KEYS, aggregate_pair};
use hashbrown::HashTable;
use rayon::prelude::*;

/// Distinct keys, and the wrapping sum of key times the largest value of its group.
pub type Largest = (u64, u64);

pub fn plus(a: Largest, b: Largest) -> Largest {
    (a.0 + b.0, a.1.wrapping_add(b.1))
}

pub fn largest(key: u32, group: &[u64]) -> Largest {
    let largest = group.iter().max().expect("a group has a value");
    (1, u64::from(key).wrapping_mul(*largest))
}

pub fn group(rows: u64) -> Largest {
    let scattered = scatter(rows, aggregate_pair);
    let group_part = |part: usize| {
        let mut table: HashTable<(u32, Vec<u64>)> =
            HashTable::with_capacity(AGGREGATE_KEYS as usize / PARTS * 5 / 4);
        for &(key, value) in scattered.iter().flat_map(|parts| &parts[part]) {
            let entry = table.entry(hash(key), |group| group.0 == key, |group| hash(group.0));
            entry.or_insert_with(|| (key, Vec::new())).into_mut().1.push(value);
        }
        let groups = table.iter().map(|(key, group)| largest(*key, group));
        groups.fold(Largest::default(), plus)
    };
    (0..PARTS).into_par_iter().map(group_part).reduce(Largest::default, plus)
}
