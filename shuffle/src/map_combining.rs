//! The map side of a combine: one combiner for each key, while that makes the rows fewer.

use crate::combine::CombineTable;
use crate::hash::Hashed;
use crate::meter::TableMeter;
use emberline_core::bounds::{Key, Stored};
use emberline_core::task::TaskContext;

/// A table that gives its entries away when it has reached a size. If that is nearly one entry for
/// each row, it stops to combine: the rows that come then pass through. Where that happens depends
/// on the rows and the configuration alone.
pub struct MapCombining<K, C> {
    table: CombineTable<K, C>,
    meter: TableMeter,
    rows: usize,
    combines: bool,
}

/// A table that has more entries than this of its rows, in percent, is not worth its time.
const MOST_ENTRIES_PERCENT: usize = 80;

impl<K: Key, C: Stored> MapCombining<K, C> {
    /// An empty table inside the share of `task`.
    pub fn new(task: &TaskContext) -> Self {
        let meter = TableMeter::new(task, task.operator_bytes());
        MapCombining { table: CombineTable::new(), meter, rows: 0, combines: true }
    }

    /// Adds a value to the combiner of `key`, whose hash is `hash`. What no longer stays in the table
    /// goes to `emit`.
    #[inline]
    pub fn merge<V>(
        &mut self,
        (hash, key, value): (u64, K, V),
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
        emit: impl FnMut(Hashed<K, C>),
    ) {
        if !self.combines {
            let mut emit = emit;
            return emit(Hashed { hash, key, value: create(value) });
        }
        self.table.merge(hash, key, value, create, merge);
        self.rows += 1;
        if self.meter.is_due(&self.table) {
            self.measure(emit);
        }
    }

    #[cold]
    fn measure(&mut self, emit: impl FnMut(Hashed<K, C>)) {
        if !self.meter.is_full(&mut self.table) {
            return;
        }
        let table = std::mem::take(&mut self.table);
        self.combines = table.len() * 100 <= self.rows * MOST_ENTRIES_PERCENT;
        self.rows = 0;
        table.into_entries().into_iter().for_each(emit);
    }

    /// Gives away what is left.
    pub fn finish(mut self, emit: impl FnMut(Hashed<K, C>)) {
        self.meter.end(&self.table);
        self.table.into_entries().into_iter().for_each(emit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_of;
    use emberline_core::config::Config;
    use std::collections::BTreeMap;

    /// Counts keys; says how many entries came out, and the counts.
    fn count(keys: impl Iterator<Item = u64>) -> (usize, BTreeMap<u64, u64>) {
        let task = TaskContext::alone(Config { budget_bytes: 1 << 20, ..Config::default() });
        let (mut entries, mut counts) = (0, BTreeMap::new());
        let mut emit = |entry: Hashed<u64, u64>| {
            entries += 1;
            *counts.entry(entry.key).or_default() += entry.value;
        };
        let mut combining = MapCombining::new(&task);
        for key in keys {
            combining.merge((hash_of(&key), key, 1), &|n| n, &|a, b| a + b, &mut emit);
        }
        combining.finish(&mut emit);
        (entries, counts)
    }

    #[test]
    fn keys_that_come_again_are_combined_and_keys_that_do_not_pass_through() {
        let (entries, counts) = count((0..100_000).map(|n| n % 700));
        assert_eq!((entries, counts.len(), counts[&7]), (700, 700, 143));
        let (entries, counts) = count(0..100_000);
        assert_eq!((entries, counts.len()), (100_000, 100_000));
        // First rows without a pattern, then one key: it is no longer combined.
        let (entries, counts) = count((0..50_000).chain((0..50_000).map(|_| 3)));
        assert!(entries > 99_000 && counts[&3] == 50_001, "{entries}");
    }

    #[test]
    fn a_table_that_halves_its_rows_goes_on() {
        let (entries, counts) = count((0..200_000).map(|n| n / 2));
        assert!(entries < 110_000, "{entries}");
        assert!(counts.values().all(|n| *n == 2));
    }
}
