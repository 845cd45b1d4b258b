//! Combining many keys: rows wait with others of their slice, and are then combined slice by slice, in
//! a table that fits the cache.
//!
//! One table for a million keys answers each row from main memory. Here a row is written to the end
//! of a list, read once more in sequence, and meets a small table.

use crate::combine::CombineTable;
use crate::hash::{Hashed, hash_of};
use crate::map_combining::is_in_vain;
use crate::waiting::Waiting;
use emberline_core::bounds::{Key, Stored};

/// Combiners in a table for each slice, and the rows on their way there. These go without their hash:
/// it is found again faster than it is moved.
pub(crate) struct Parted<K, V, C> {
    waiting: Waiting<(K, V)>,
    /// The combiners of each slice from before there were slices.
    early: Vec<Vec<Hashed<K, C>>>,
    tables: Vec<CombineTable<K, C>>,
}

/// After so many rows it shows whether there is anything to combine.
const ENOUGH_ROWS: usize = 4096;

impl<K: Key, V, C: Stored> Parted<K, V, C> {
    /// The combiners of `table` by their slices; so many bytes of rows may wait.
    pub(crate) fn new(
        table: CombineTable<K, C>,
        slices: usize,
        waiting_bytes: u64,
        slice_of: impl Fn(&K, u64) -> usize,
    ) -> Self {
        let (mut early, mut tables) = (Vec::new(), Vec::new());
        early.resize_with(slices, Vec::new);
        tables.resize_with(slices, CombineTable::new);
        for entry in table.into_entries() {
            early[slice_of(&entry.key, entry.hash)].push(entry);
        }
        let most_rows = (waiting_bytes as usize / size_of::<(K, V)>().max(1)).max(1);
        Parted { waiting: Waiting::new(slices, most_rows), early, tables }
    }

    /// What the rows that wait and the combiners take.
    pub(crate) fn bytes(&self) -> u64 {
        let early = self.early.iter().map(Vec::len).sum::<usize>() * size_of::<Hashed<K, C>>();
        let waiting = self.waiting.bytes().saturating_add(early as u64);
        self.tables.iter().map(CombineTable::bytes).fold(waiting, u64::saturating_add)
    }

    /// Adds a row; says whether the rows that wait should be combined now.
    #[inline]
    pub(crate) fn push(&mut self, slice: usize, key: K, value: V) -> bool {
        self.waiting.push(slice, (key, value))
    }

    /// Combines what waits; says what the tables take.
    pub(crate) fn combine(&mut self, create: &impl Fn(V) -> C, merge: &impl Fn(C, V) -> C) -> u64 {
        let mut keys = 0;
        for (slice, table) in self.tables.iter_mut().enumerate() {
            self.early[slice].drain(..).for_each(|entry| table.insert_new(entry));
            // Slices are alike: this one will have about as many keys as the one before.
            let more = usize::min(keys, self.waiting.rows(slice)).saturating_sub(table.len());
            table.reserve(more);
            self.waiting.take(slice, |(key, value)| {
                table.merge(hash_of(&key), key, value, create, merge);
            });
            keys = table.len();
        }
        self.tables.iter().map(CombineTable::bytes).sum()
    }

    /// Combines what waits and takes the combiners of all slices out. Where the first slices show that
    /// this hardly makes the rows fewer, those of others become combiners as they are.
    pub(crate) fn take(
        &mut self,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
    ) -> Vec<Vec<Hashed<K, C>>> {
        let mut segments = Vec::with_capacity(self.tables.len());
        // Slices without combiners so far share one table, which need not grow again for each.
        let (mut shared, mut keys) = (CombineTable::new(), 0);
        let (mut all_rows, mut all_keys) = (0, 0);
        for (slice, table) in self.tables.iter_mut().enumerate() {
            let rows = self.waiting.rows(slice);
            let early = self.early[slice].drain(..);
            let table = if table.is_empty() { &mut shared } else { table };
            if table.is_empty() && all_rows >= ENOUGH_ROWS && is_in_vain(all_rows, all_keys) {
                let mut entries = Vec::with_capacity(early.len() + rows);
                entries.extend(early);
                self.waiting.take(slice, |(key, value)| {
                    entries.push(Hashed { hash: hash_of(&key), key, value: create(value) });
                });
                segments.push(entries);
                continue;
            }
            table.reserve(usize::min(keys, rows));
            early.for_each(|entry| table.insert_new(entry));
            let before = table.len();
            self.waiting.take(slice, |(key, value)| {
                table.merge(hash_of(&key), key, value, create, merge);
            });
            let entries = table.take_entries();
            keys = entries.len();
            (all_rows, all_keys) = (all_rows + rows, all_keys + keys - before);
            segments.push(entries);
        }
        segments
    }
}
