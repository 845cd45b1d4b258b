//! Combining many keys: rows wait with others of their slice, and are then combined slice by slice, in
//! a table that fits the cache.
//!
//! One table for a million keys answers each row from main memory. Here a row is written to the end
//! of a list, read once more in sequence, and meets a small table.

use crate::combine::{CombineTable, INDEX_BYTES};
use crate::hash::{Hashed, hash_of};
use crate::map_combining::is_in_vain;
use crate::waiting::Waiting;
use emberline_core::bounds::{Key, Stored};
use std::mem;

/// Combiners in a table for each slice, and the rows on their way there. These go without their hash:
/// it is found again faster than it is moved.
pub(crate) struct Parted<K, V, C> {
    waiting: Waiting<(K, V)>,
    /// The combiners of each slice from before there were slices.
    early: Vec<Vec<Hashed<K, C>>>,
    tables: Vec<CombineTable<K, C>>,
    /// What all of that may take.
    limit: u64,
}

/// After so many rows it shows whether there is anything to combine.
const ENOUGH_ROWS: usize = 4096;
/// With less room than this part of the limit for rows to wait, in percent, tables are full.
const LEAST_ROOM_PERCENT: u64 = 50;

impl<K: Key, V, C: Stored> Parted<K, V, C> {
    /// The combiners of `table` by their slices, inside a limit in bytes.
    pub(crate) fn new(
        table: CombineTable<K, C>,
        slices: usize,
        limit: u64,
        slice_of: impl Fn(&K, u64) -> usize,
    ) -> Self {
        let (mut early, mut tables) = (Vec::new(), Vec::new());
        early.resize_with(slices, Vec::new);
        tables.resize_with(slices, CombineTable::new);
        let room = rows_in::<K, V, C>(limit.saturating_sub(table.bytes()));
        for entry in table.into_entries() {
            early[slice_of(&entry.key, entry.hash)].push(entry);
        }
        Parted { waiting: Waiting::new(slices, room), early, tables, limit }
    }

    /// What the rows that wait and the combiners take.
    pub(crate) fn bytes(&self) -> u64 {
        let early = self.early.iter().map(Vec::len).sum::<usize>() * size_of::<Hashed<K, C>>();
        self.waiting.bytes().saturating_add(early as u64).saturating_add(self.table_bytes())
    }

    fn table_bytes(&self) -> u64 {
        self.tables.iter().map(CombineTable::bytes).fold(0, u64::saturating_add)
    }

    /// Adds a row; says whether the rows that wait should be combined now.
    #[inline]
    pub(crate) fn push(&mut self, slice: usize, key: K, value: V) -> bool {
        self.waiting.push(slice, (key, value))
    }

    /// Combines what waits; says whether there is enough room for more, should each row that comes
    /// have a key of its own.
    pub(crate) fn combine(&mut self, create: &impl Fn(V) -> C, merge: &impl Fn(C, V) -> C) -> bool {
        let mut keys = 0;
        for (slice, table) in self.tables.iter_mut().enumerate() {
            self.early[slice].drain(..).for_each(|entry| table.insert_new(entry));
            // Slices are alike: this one will have about as many keys as the one before.
            let more = usize::min(keys, self.waiting.rows_of(slice)).saturating_sub(table.len());
            table.reserve(more);
            combine_waiting(&mut self.waiting, slice, table, create, merge);
            keys = table.len();
        }
        let left = self.limit.saturating_sub(self.table_bytes());
        self.waiting.make_room(rows_in::<K, V, C>(left));
        left * 100 >= self.limit.saturating_mul(LEAST_ROOM_PERCENT)
    }

    /// Combines what waits and takes the combiners of all slices out. Where the first slices show that
    /// this hardly makes the rows fewer, those of others become combiners as they are; but for a slice
    /// that has far more rows than others, since it may have a key that has.
    pub(crate) fn take(
        &mut self,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
    ) -> Vec<Vec<Hashed<K, C>>> {
        let mut segments = Vec::with_capacity(self.tables.len());
        let usual_rows = self.waiting.rows() / self.tables.len().max(1);
        // Slices without combiners so far share one table, which need not grow again for each.
        let (mut shared, mut keys) = (CombineTable::new(), 0);
        let (mut all_rows, mut all_keys) = (0, 0);
        for (slice, table) in self.tables.iter_mut().enumerate() {
            let rows = self.waiting.rows_of(slice);
            let early = mem::take(&mut self.early[slice]);
            let is_in_vain = all_rows >= ENOUGH_ROWS && is_in_vain(all_rows, all_keys);
            if is_in_vain && table.is_empty() && rows <= 2 * usual_rows {
                segments.push(pass_waiting(&mut self.waiting, slice, early, create));
                continue;
            }
            let table = if table.is_empty() { &mut shared } else { table };
            table.reserve(usize::min(keys, rows));
            early.into_iter().for_each(|entry| table.insert_new(entry));
            let before = table.len();
            combine_waiting(&mut self.waiting, slice, table, create, merge);
            let entries = table.take_entries();
            keys = entries.len();
            (all_rows, all_keys) = (all_rows + rows, all_keys + keys - before);
            segments.push(entries);
        }
        self.waiting.make_room(rows_in::<K, V, C>(self.limit));
        segments
    }
}

/// How many rows may wait in so many bytes: so many that the combiners fit there that they become if
/// each has a key of its own, with their places in a table.
fn rows_in<K, V, C>(bytes: u64) -> usize {
    let as_entry = size_of::<Hashed<K, C>>() as u64 + INDEX_BYTES;
    let widest = as_entry.max(size_of::<(K, V)>() as u64);
    usize::try_from(bytes / widest).unwrap_or(usize::MAX).max(1)
}

fn combine_waiting<K: Key, V, C: Stored>(
    waiting: &mut Waiting<(K, V)>,
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
    waiting: &mut Waiting<(K, V)>,
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
