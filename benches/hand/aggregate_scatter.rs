//! Sums by key: all pairs are scattered by hash range first, then each part is summed in a table that
//! fits in the cache. More memory and fewer cache misses than one table per thread.

use super::aggregate::{Totals, add, plus, totals};
use super::scatter::{PARTS, scatter};
use crate::support::generate::{AGGREGATE_KEYS, aggregate_pair};
use hashbrown::HashTable;
use rayon::prelude::*;

pub fn aggregate_scatter(rows: u64) -> Totals {
    let scattered = scatter(rows, aggregate_pair);
    let sum_part = |part: usize| {
        let mut table = HashTable::with_capacity(AGGREGATE_KEYS as usize / PARTS * 5 / 4);
        for &pair in scattered.iter().flat_map(|parts| &parts[part]) {
            add(&mut table, pair);
        }
        totals(&table)
    };
    (0..PARTS).into_par_iter().map(sum_part).reduce(Totals::default, plus)
}
