//! Combining many keys: rows wait for others of their slice, and are then combined together in a
//! table that fits the cache.
//!
//! One table for a million keys answers each row from main memory. Here a row is written to the end
//! of a short list, and what is combined at once stays in the cache meanwhile.

use crate::combine::CombineTable;
use crate::hash::Hashed;
use emberline_core::bounds::{Key, Stored};

/// Combiners in a table for each slice, and the rows on their way there.
pub(crate) struct Parted<K, V, C> {
    waiting: Vec<Vec<Hashed<K, V>>>,
    /// Rows of a slice that are combined together.
    together: usize,
    tables: Vec<CombineTable<K, C>>,
    bytes: u64,
}

impl<K: Key, V, C: Stored> Parted<K, V, C> {
    /// The combiners of `table` by their slices; so many bytes of rows may wait.
    pub(crate) fn new(
        table: CombineTable<K, C>,
        slices: usize,
        waiting_bytes: u64,
        slice_of: impl Fn(&K, u64) -> usize,
    ) -> Self {
        let of_slice = waiting_bytes as usize / slices.max(1);
        let together = (of_slice / size_of::<Hashed<K, V>>().max(1)).max(1);
        let waiting = (0..slices).map(|_| Vec::with_capacity(together)).collect();
        let mut parted = Parted { waiting, together, tables: Vec::new(), bytes: 0 };
        parted.tables.resize_with(slices, CombineTable::new);
        for entry in table.into_entries() {
            parted.tables[slice_of(&entry.key, entry.hash)].insert_new(entry);
        }
        parted.bytes = parted.tables.iter().map(CombineTable::bytes).sum();
        parted
    }

    /// What the tables take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a row; says whether the rows of its slice should be combined now.
    #[inline]
    pub(crate) fn push(&mut self, slice: usize, row: Hashed<K, V>) -> bool {
        let waiting = &mut self.waiting[slice];
        waiting.push(row);
        waiting.len() == self.together
    }

    /// Combines what waits for one slice.
    pub(crate) fn combine(
        &mut self,
        slice: usize,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
    ) {
        let table = &mut self.tables[slice];
        let before = table.bytes();
        for Hashed { hash, key, value } in self.waiting[slice].drain(..) {
            table.merge(hash, key, value, create, merge);
        }
        self.bytes = (self.bytes + table.bytes()).saturating_sub(before);
    }

    /// Takes the combiners of all slices out, once nothing waits any more.
    pub(crate) fn take(
        &mut self,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
    ) -> Vec<Vec<Hashed<K, C>>> {
        (0..self.tables.len()).for_each(|slice| self.combine(slice, create, merge));
        self.bytes = 0;
        self.tables.iter_mut().map(|table| std::mem::take(table).into_entries()).collect()
    }
}
