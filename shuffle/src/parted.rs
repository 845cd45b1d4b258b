//! Combining many keys: rows wait with others of their slice, and are then combined slice by slice, in
//! a table that fits the cache.
//!
//! One table for a million keys answers each row from main memory. Here a row is written to the end
//! of a list, read once more in sequence, and meets a small table.

use crate::combine::CombineTable;
use crate::hash::Hashed;
use emberline_core::bounds::{Key, Stored};

/// Combiners in a table for each slice, and the rows on their way there.
pub(crate) struct Parted<K, V, C> {
    waiting: Vec<Vec<Hashed<K, V>>>,
    /// How many more rows may wait.
    room: usize,
    most_waiting: usize,
    tables: Vec<CombineTable<K, C>>,
}

/// Rows of so many bytes may wait for a slice before its list has to grow.
const FIRST_BYTES: usize = 2 << 10;
/// A list that has grown to so much gets all the room it will need at once: nothing is copied any more,
/// and room that is never used is never touched.
const LAST_BYTES: usize = 16 << 10;

#[cold]
fn grow<R>(list: &mut Vec<R>, usual_rows: usize) {
    let (doubled, usual) = (list.len().max(4), usual_rows + usual_rows / 8);
    let is_small = size_of_val(&list[..]) < LAST_BYTES;
    let rest = if is_small { 0 } else { usual.saturating_sub(list.len()) };
    list.reserve_exact(doubled.max(rest));
}

impl<K: Key, V, C: Stored> Parted<K, V, C> {
    /// The combiners of `table` by their slices; so many bytes of rows may wait.
    pub(crate) fn new(
        table: CombineTable<K, C>,
        slices: usize,
        waiting_bytes: u64,
        slice_of: impl Fn(&K, u64) -> usize,
    ) -> Self {
        let most_waiting = (waiting_bytes as usize / size_of::<Hashed<K, V>>().max(1)).max(1);
        let (mut waiting, mut tables) = (Vec::new(), Vec::new());
        let first = FIRST_BYTES / size_of::<Hashed<K, V>>().max(1);
        waiting.resize_with(slices, || Vec::with_capacity(first.min(most_waiting / slices.max(1))));
        tables.resize_with(slices, CombineTable::new);
        for entry in table.into_entries() {
            tables[slice_of(&entry.key, entry.hash)].insert_new(entry);
        }
        Parted { waiting, room: most_waiting, most_waiting, tables }
    }

    /// What the rows that wait and the tables take.
    pub(crate) fn bytes(&self) -> u64 {
        let waiting = (self.most_waiting - self.room) * size_of::<Hashed<K, V>>();
        let tables = self.tables.iter().map(CombineTable::bytes);
        tables.fold(waiting as u64, u64::saturating_add)
    }

    /// Adds a row; says whether the rows that wait should be combined now.
    #[inline]
    pub(crate) fn push(&mut self, slice: usize, row: Hashed<K, V>) -> bool {
        let list = &mut self.waiting[slice];
        if list.len() == list.capacity() {
            grow(list, self.most_waiting / self.tables.len());
        }
        list.push(row);
        self.room -= 1;
        self.room == 0
    }

    /// Combines what waits; says what the tables take.
    pub(crate) fn combine(&mut self, create: &impl Fn(V) -> C, merge: &impl Fn(C, V) -> C) -> u64 {
        let mut keys = 0_usize;
        for (waiting, table) in self.waiting.iter_mut().zip(&mut self.tables) {
            // Slices are alike: this one will have about as many keys as the one before.
            table.reserve(keys.min(waiting.len()).saturating_sub(table.len()));
            for Hashed { hash, key, value } in waiting.drain(..) {
                table.merge(hash, key, value, create, merge);
            }
            keys = table.len();
        }
        self.room = self.most_waiting;
        self.tables.iter().map(CombineTable::bytes).sum()
    }

    /// Combines what waits and takes the combiners of all slices out.
    pub(crate) fn take(
        &mut self,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
    ) -> Vec<Vec<Hashed<K, C>>> {
        let mut segments = Vec::with_capacity(self.tables.len());
        // Slices without combiners so far share one table, which need not grow again for each.
        let (mut shared, mut keys) = (CombineTable::new(), 0);
        for (waiting, table) in self.waiting.iter_mut().zip(&mut self.tables) {
            let table = if table.is_empty() { &mut shared } else { table };
            table.reserve(usize::min(keys, waiting.len()));
            for Hashed { hash, key, value } in waiting.drain(..) {
                table.merge(hash, key, value, create, merge);
            }
            let entries = table.take_entries();
            keys = entries.len();
            segments.push(entries);
        }
        self.room = self.most_waiting;
        segments
    }
}
