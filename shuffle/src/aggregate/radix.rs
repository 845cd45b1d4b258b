//! SpillingCombiner many keys: rows wait with others of their slice, and are then combined slice by slice, in
//! a table that fits the cache.
//!
//! One table for a million keys answers each row from main memory. Here a row is written to the end
//! of a list, read once more in sequence, and meets a small table.

use crate::aggregate::scatter::ScatterBuffers;
use crate::aggregate::skip::should_skip_combine;
use crate::aggregate::table::{CombineTable, INDEX_BYTES};
use crate::keys::hash::{Hashed, hash_of};
use emberline_core::bounds::{Key, Stored};
use std::mem;

/// Combiners in a table for each slice, and the rows on their way there. These go without their hash:
/// it is found again faster than it is moved.
pub(crate) struct RadixCombiner<K, V, C> {
    waiting: ScatterBuffers<(K, V)>,
    /// The combiners of each slice from before there were slices.
    early: Vec<Vec<Hashed<K, C>>>,
    tables: Vec<CombineTable<K, C>>,
    /// What all of that may take: three quarters are for rows that wait, and the rest for tables.
    limit: u64,
}

/// After so many rows it shows whether there is anything to combine.
const ENOUGH_ROWS: usize = 4096;

impl<K: Key, V, C: Stored> RadixCombiner<K, V, C> {
    /// The combiners of `table` by their slices, inside a limit in bytes.
    pub(crate) fn new(
        table: CombineTable<K, C>,
        slices: usize,
        limit: u64,
        index_of: impl Fn(&K, u64) -> usize,
    ) -> Self {
        let (mut early, mut tables) = (Vec::new(), Vec::new());
        early.resize_with(slices, Vec::new);
        tables.resize_with(slices, CombineTable::new);
        let row_bytes = size_of::<(K, V)>().max(1) as u64;
        let most_rows = usize::try_from(limit / 4 * 3 / row_bytes).unwrap_or(usize::MAX).max(1);
        for entry in table.into_entries() {
            early[index_of(&entry.key, entry.hash)].push(entry);
        }
        RadixCombiner { waiting: ScatterBuffers::new(slices, most_rows), early, tables, limit }
    }

    /// What the rows that wait and the combiners take.
    pub(crate) fn bytes(&self) -> u64 {
        let early = bytes_of::<Hashed<K, C>>(self.early.iter().map(Vec::len).sum());
        let waiting = self.waiting.bytes().saturating_add(early);
        self.tables.iter().map(CombineTable::bytes).fold(waiting, u64::saturating_add)
    }

    /// Adds a row; says whether the rows that wait should be combined now.
    #[inline]
    pub(crate) fn push(&mut self, slice: usize, key: K, value: V) -> bool {
        self.waiting.push(slice, (key, value))
    }

    /// Combines what waits; says whether there is room for more. It ends early if there is not: a row
    /// may become a combiner that takes many times as much.
    pub(crate) fn combine(&mut self, create: &impl Fn(V) -> C, merge: &impl Fn(C, V) -> C) -> bool {
        let mut bytes: u64 = self.tables.iter().map(CombineTable::bytes).sum();
        let mut keys = 0;
        for (slice, table) in self.tables.iter_mut().enumerate() {
            let rows = self.waiting.rows_of(slice);
            // Should each of them have a key of its own.
            let most = rows as u64 * (size_of::<Hashed<K, C>>() as u64 + INDEX_BYTES);
            let waiting = bytes_of::<(K, V)>(self.waiting.rows() - rows);
            if bytes.saturating_add(most + waiting) > self.limit {
                return false;
            }
            let before = table.bytes();
            self.early[slice].drain(..).for_each(|entry| table.insert_new(entry));
            // SubPartitions are alike: this one will have about as many keys as the one before.
            table.reserve(usize::min(keys, rows).saturating_sub(table.len()));
            combine_waiting(&mut self.waiting, slice, table, create, merge);
            keys = table.len();
            bytes = bytes.saturating_add(table.bytes() - before);
        }
        bytes < self.limit / 4
    }

    /// Combines what waits and gives the combiners of all slices away, as one run or, if they take too
    /// much together, as several.
    ///
    /// Where the first slices show that combining hardly makes the rows fewer, those of others become
    /// combiners as they are; but for a slice that has far more rows than others, since it may have a
    /// key that has.
    pub(crate) fn flush(
        &mut self,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
        mut give: impl FnMut(Vec<Vec<Hashed<K, C>>>),
    ) {
        let slices = self.tables.len();
        let usual_rows = self.waiting.rows() / slices.max(1);
        let (mut run, mut in_run) = (Vec::with_capacity(slices), 0);
        // SubPartitions without combiners so far share one table, which need not grow again for each.
        let (mut shared, mut keys) = (CombineTable::new(), 0);
        let (mut all_rows, mut all_keys) = (0, 0);
        for (slice, table) in self.tables.iter_mut().enumerate() {
            let rows = self.waiting.rows_of(slice);
            let early = mem::take(&mut self.early[slice]);
            let should_skip_combine =
                all_rows >= ENOUGH_ROWS && should_skip_combine(all_rows, all_keys);
            let entries = if should_skip_combine && table.is_empty() && rows <= 2 * usual_rows {
                pass_waiting(&mut self.waiting, slice, early, create)
            } else {
                let table = if table.is_empty() { &mut shared } else { table };
                table.reserve(usize::min(keys, rows));
                early.into_iter().for_each(|entry| table.insert_new(entry));
                let before = table.len();
                combine_waiting(&mut self.waiting, slice, table, create, merge);
                keys = table.len();
                (all_rows, all_keys) = (all_rows + rows, all_keys + keys - before);
                table.take_entries()
            };
            in_run += entries.len();
            run.push(entries);
            if bytes_of::<Hashed<K, C>>(in_run) > self.limit / 2 && slice + 1 < slices {
                run.resize_with(slices, Vec::new);
                give(mem::take(&mut run));
                run.resize_with(slice + 1, Vec::new);
                in_run = 0;
            }
        }
        give(run);
    }
}

fn bytes_of<R>(rows: usize) -> u64 {
    rows as u64 * size_of::<R>() as u64
}

fn combine_waiting<K: Key, V, C: Stored>(
    waiting: &mut ScatterBuffers<(K, V)>,
    slice: usize,
    table: &mut CombineTable<K, C>,
    create: &impl Fn(V) -> C,
    merge: &impl Fn(C, V) -> C,
) {
    waiting.take(slice, |(key, value)| {
        table.merge(hash_of(&key), key, value, create, merge);
    });
}

/// A combiner for each row, behind those that are there.
fn pass_waiting<K: Key, V, C>(
    waiting: &mut ScatterBuffers<(K, V)>,
    slice: usize,
    mut entries: Vec<Hashed<K, C>>,
    create: &impl Fn(V) -> C,
) -> Vec<Hashed<K, C>> {
    entries.reserve_exact(waiting.rows_of(slice));
    waiting.take(slice, |(key, value)| {
        entries.push(Hashed { hash: hash_of(&key), key, value: create(value) });
    });
    entries
}
