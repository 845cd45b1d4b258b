//! Distinct keys: all are scattered by hash range, then each part is one table that fits in the cache.

use super::scatter::{PARTS, hash, scatter};
use crate::support::generate::{AGGREGATE_KEYS, aggregate_pair};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rayon::prelude::*;

/// The number of distinct keys, and their sum.
pub type Keys = (u64, u64);

pub fn distinct(rows: u64) -> Keys {
    let scattered = scatter(rows, |index| (aggregate_pair(index).0, ()));
    let part_keys = |part: usize| {
        let mut table = HashTable::with_capacity(AGGREGATE_KEYS as usize / PARTS * 5 / 4);
        for &(key, ()) in scattered.iter().flat_map(|parts| &parts[part]) {
            if let Entry::Vacant(vacant) =
                table.entry(hash(key), |old| *old == key, |old| hash(*old))
            {
                vacant.insert(key);
            }
        }
        (table.len() as u64, table.iter().map(|key| u64::from(*key)).sum())
    };
    (0..PARTS).into_par_iter().map(part_keys).reduce(Keys::default, |a, b| (a.0 + b.0, a.1 + b.1))
}
