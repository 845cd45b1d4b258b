//! Sums by key in one hash table per thread; the tables are then merged by hash range.

use super::one_piece_per_thread;
use super::scatter::{PARTS, hash, part_of};
use crate::support::generate::{AGGREGATE_KEYS, aggregate_pair};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rayon::prelude::*;

type Table = HashTable<(u32, u64)>;

/// Distinct keys, sum of all values, and the wrapping sum of key times its total.
pub type Totals = (u64, u64, u64);

pub fn aggregate(rows: u64) -> Totals {
    let parted: Vec<_> = one_piece_per_thread(rows)
        .into_par_iter()
        .map(|piece| {
            let mut table = Table::with_capacity(AGGREGATE_KEYS.min(rows) as usize);
            piece.map(aggregate_pair).for_each(|pair| add(&mut table, pair));
            by_part(table)
        })
        .collect();
    (0..PARTS).into_par_iter().map(|part| merge(&parted, part)).reduce(Totals::default, plus)
}

/// Adds a pair to the table that sums by key.
#[inline(always)]
pub fn add(table: &mut Table, (key, value): (u32, u64)) {
    match table.entry(hash(key), |entry| entry.0 == key, |entry| hash(entry.0)) {
        Entry::Occupied(mut entry) => entry.get_mut().1 += value,
        Entry::Vacant(entry) => {
            entry.insert((key, value));
        }
    }
}

/// Returns the contribution of a finished table to the answer.
pub fn totals(table: &Table) -> Totals {
    table.iter().map(|&(key, sum)| (1, sum, u64::from(key).wrapping_mul(sum))).fold((0, 0, 0), plus)
}

pub fn plus(a: Totals, b: Totals) -> Totals {
    (a.0 + b.0, a.1 + b.1, a.2.wrapping_add(b.2))
}

fn by_part(table: Table) -> Vec<Vec<(u32, u64)>> {
    let mut parts = vec![Vec::new(); PARTS];
    table.into_iter().for_each(|entry| parts[part_of(entry.0.into())].push(entry));
    parts
}

fn merge(parted: &[Vec<Vec<(u32, u64)>>], part: usize) -> Totals {
    let keys = parted.iter().map(|parts| parts[part].len()).max().unwrap_or(0);
    let mut table = Table::with_capacity(keys * 5 / 4);
    for &pair in parted.iter().flat_map(|parts| &parts[part]) {
        add(&mut table, pair);
    }
    totals(&table)
}
