//! A hash table of combiners, which keeps its keys in the order in which they were first added.

use crate::keys::hash::{Hashed, table_bits};
use crate::memory::row_sizes::RowSizes;
use crate::sort::hash_order::sort_stable_by_hash;
use emberline_core::error::Error;
use emberline_core::size::{heap_bytes, measure, owns_heap};
use emberline_core::unwind::raise;
use hashbrown::HashTable;
use serde::Serialize;
use std::{mem, slice, vec};

/// A table from keys to combiners. A row costs one look-up with a hash that the caller has, and one
/// call of the user's function.
///
/// That function takes the combiner by value, so another value must take its place meanwhile: a
/// spare combiner, one for the whole table. If the function panics, the spare stays in the table,
/// which must then be dropped.
#[derive(Debug)]
pub struct CombineTable<K, C> {
    index: HashTable<IndexEntry>,
    entries: Vec<Hashed<K, C>>,
    spare: Option<C>,
    bytes: u64,
    /// The merges until one is measured, this one included.
    merges_until_measured: u64,
    /// The merges that the next measured one stands for, itself included.
    merges_per_measurement: u64,
}

/// The position of an entry, with the low half of its hash: the index grows without a look at
/// entries.
#[derive(Clone, Copy, Debug)]
struct IndexEntry {
    hash: u32,
    position: u32,
}

/// The number of rows that are looked up together.
pub(super) const BATCH: usize = 32;
/// Batches pay off from this table size on: such a table is too large for the caches nearest to a
/// core.
const MIN_BATCHED_BYTES: u64 = 256 << 10;
/// Batches are used for entries up to this average size, since the rows of a batch are not
/// measured.
const MAX_BATCHED_ENTRY_BYTES: u64 = 1 << 10;
/// A position that no entry has.
const NOT_FOUND: u32 = u32::MAX;

/// The bytes of the index for each entry. The index really takes between 10 and 20, which depends
/// on the room that was reserved; a constant makes the size of a table depend on its rows alone.
pub(super) const INDEX_BYTES: u64 = 16;
/// A measured merge stands for one more merge for each of this many values that measuring it
/// visits.
const VALUES_PER_MERGE: u64 = 4;
/// The most merges that a measured one stands for.
const MAX_MERGES_PER_MEASUREMENT: u64 = 1024;

impl<K, C> CombineTable<K, C> {
    /// The bytes of an entry and its part of the index, without the heap that it owns.
    const ENTRY_BYTES: u64 = size_of::<Hashed<K, C>>() as u64 + INDEX_BYTES;

    /// Makes an empty table. It allocates when the first key is added.
    pub fn new() -> Self {
        CombineTable {
            index: HashTable::new(),
            entries: Vec::new(),
            spare: None,
            bytes: 0,
            merges_until_measured: 1,
            merges_per_measurement: 1,
        }
    }

    /// Returns about the bytes of the entries, of the heap they own, and of the index.
    ///
    /// It is exact for combiners that own no heap. Else it is an upper bound where combiners are
    /// merged, and an estimate where values are: merges that are expensive to measure are measured
    /// now and then.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Measures all entries again, which makes [`bytes`](CombineTable::bytes) exact, and returns
    /// their sizes.
    #[cold]
    pub(super) fn measure_again(&mut self) -> RowSizes
    where
        K: Serialize,
        C: Serialize,
    {
        let sizes = RowSizes::measure(&self.entries);
        let fixed_bytes = Self::ENTRY_BYTES * self.entries.len() as u64;
        self.bytes = sizes.heap_bytes.saturating_add(fixed_bytes);
        sizes
    }

    /// Makes room for `keys` more keys.
    pub(super) fn reserve(&mut self, keys: usize) {
        self.entries.reserve(keys);
        self.index.reserve(keys, |entry| table_bits(entry.hash));
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes the keys and their combiners, in the order in which keys were first added. The index
    /// keeps its room.
    pub(super) fn take_entries(&mut self) -> Vec<Hashed<K, C>> {
        self.index.clear();
        self.bytes = 0;
        mem::take(&mut self.entries)
    }

    /// Returns the keys and their combiners, in the order in which keys were first added.
    pub fn into_entries(self) -> Vec<Hashed<K, C>> {
        self.entries
    }

    /// Returns the keys and their combiners in the order of the hash; keys of equal hash in the
    /// order in which they were first added.
    pub fn into_hash_order(self) -> Vec<Hashed<K, C>>
    where
        K: Clone,
        C: Clone,
    {
        drop(self.index);
        sort_stable_by_hash(self.entries)
    }
}

impl<K, C> Default for CombineTable<K, C> {
    fn default() -> Self {
        CombineTable::new()
    }
}

impl<K: Eq + Serialize, C: Clone + Serialize> CombineTable<K, C> {
    /// Adds a value to the combiner of `key`, whose hash is `hash`.
    #[inline(always)] // as `find_or_index`
    pub fn merge<V>(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
    ) {
        match self.find_or_index(hash, &key) {
            Some(position) => self.update(position, |combiner| merge(combiner, value)),
            None => self.push_entry(Hashed { hash, key, value: create(value) }),
        }
    }

    /// Returns true if rows should be added in batches.
    #[inline]
    pub(super) fn is_worth_batches(&self) -> bool {
        let max_bytes = MAX_BATCHED_ENTRY_BYTES.saturating_mul(self.entries.len() as u64);
        (MIN_BATCHED_BYTES..=max_bytes).contains(&self.bytes)
    }

    /// Adds the first [`BATCH`] rows, as [`merge`](CombineTable::merge) does. It stops after a row
    /// for which `is_due` returns true.
    pub(super) fn merge_batch<V>(
        &mut self,
        rows: &mut vec::Drain<'_, Hashed<K, V>>,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
        is_due: impl Fn(&Self) -> bool,
    ) {
        let positions = self.find_batch(rows.as_slice());
        for (position, Hashed { hash, key, value }) in positions.into_iter().zip(rows) {
            match position {
                NOT_FOUND => self.merge(hash, key, value, create, merge),
                found => self.update(found as usize, |combiner| merge(combiner, value)),
            }
            if is_due(self) {
                return;
            }
        }
    }

    /// Adds the first [`BATCH`] combiners, as [`merge_batch`](CombineTable::merge_batch) adds rows.
    pub(super) fn merge_owned_batch(
        &mut self,
        entries: &mut vec::IntoIter<Hashed<K, C>>,
        merge: &impl Fn(C, C) -> C,
        is_due: impl Fn(&Self) -> bool,
    ) {
        let positions = self.find_batch(entries.as_slice());
        for (position, entry) in positions.into_iter().zip(entries) {
            match position {
                NOT_FOUND => self.merge_owned(entry, merge),
                found => self.merge_at(found as usize, entry.value, merge),
            }
            if is_due(self) {
                return;
            }
        }
    }

    /// Adds clones of the first [`BATCH`] combiners, as [`merge_batch`](CombineTable::merge_batch)
    /// adds rows.
    pub(super) fn merge_shared_batch(
        &mut self,
        entries: &mut slice::Iter<'_, Hashed<K, C>>,
        merge: &impl Fn(C, C) -> C,
        is_due: impl Fn(&Self) -> bool,
    ) where
        K: Clone,
    {
        let positions = self.find_batch(entries.as_slice());
        for (position, entry) in positions.into_iter().zip(entries) {
            match position {
                NOT_FOUND => self.merge_shared(entry, merge),
                found => self.merge_at(found as usize, entry.value.clone(), merge),
            }
            if is_due(self) {
                return;
            }
        }
    }

    /// Returns the positions of the keys of the first [`BATCH`] rows; [`NOT_FOUND`] for a key that
    /// is not there or whose look-up takes more than one probe.
    ///
    /// A look-up in a large table waits for main memory more than once: for the index, for the hash
    /// and for the key of an entry. Here each of these is read for all rows before the next is read
    /// for any, so that the processor waits for all rows at once.
    #[inline]
    fn find_batch<V>(&self, rows: &[Hashed<K, V>]) -> [u32; BATCH] {
        let mut positions = [NOT_FOUND; BATCH];
        for (position, row) in positions.iter_mut().zip(rows) {
            let low = row.hash as u32;
            let found = self.index.find(table_bits(low), |entry| entry.hash == low);
            *position = found.map_or(NOT_FOUND, |entry| entry.position);
        }
        let entry_at = |position: u32| self.entries.get(position as usize);
        for (position, row) in positions.iter_mut().zip(rows) {
            let found = entry_at(*position).filter(|entry| entry.hash == row.hash);
            *position = found.map_or(NOT_FOUND, |_| *position);
        }
        for (position, row) in positions.iter_mut().zip(rows) {
            let found = entry_at(*position).filter(|entry| entry.key == row.key);
            *position = found.map_or(NOT_FOUND, |_| *position);
        }
        positions
    }

    /// Adds the combiner of a key that is not in the table.
    pub(super) fn insert_new(&mut self, entry: Hashed<K, C>) {
        self.index_next(entry.hash as u32);
        self.push_entry(entry);
    }

    /// Adds a clone of a combiner that other tasks may read too.
    #[inline]
    pub fn merge_shared(&mut self, entry: &Hashed<K, C>, merge: &impl Fn(C, C) -> C)
    where
        K: Clone,
    {
        match self.find_or_index(entry.hash, &entry.key) {
            Some(position) => self.merge_at(position, entry.value.clone(), merge),
            None => self.push_entry(entry.clone()),
        }
    }

    /// Adds a combiner.
    #[inline]
    pub fn merge_owned(&mut self, entry: Hashed<K, C>, merge: &impl Fn(C, C) -> C) {
        match self.find_or_index(entry.hash, &entry.key) {
            Some(position) => self.merge_at(position, entry.value, merge),
            None => self.push_entry(entry),
        }
    }

    #[inline]
    fn merge_at(&mut self, position: usize, value: C, merge: &impl Fn(C, C) -> C) {
        self.bytes = self.bytes.saturating_add(heap_bytes(&value));
        self.replace(position, |combiner| merge(combiner, value));
    }

    /// Returns the position of a key. If it is not in the table, adds it to the index, and the
    /// caller must push its entry.
    #[inline(always)] // left to itself, the compiler calls it for each row of a word count
    fn find_or_index(&mut self, hash: u64, key: &K) -> Option<usize> {
        let low = hash as u32;
        let entries = &self.entries;
        let is_same =
            |entry: &IndexEntry| entry.hash == low && entries[entry.position as usize].key == *key;
        match self.index.find(table_bits(low), is_same) {
            Some(entry) => Some(entry.position as usize),
            None => {
                self.index_next(low);
                None
            }
        }
    }

    /// Adds the next entry to the index.
    #[inline]
    fn index_next(&mut self, hash: u32) {
        let position = u32::try_from(self.entries.len()).ok().filter(|next| *next != NOT_FOUND);
        let position = position.unwrap_or_else(|| raise(too_many_keys()));
        let rehash = |entry: &IndexEntry| table_bits(entry.hash);
        self.index.insert_unique(table_bits(hash), IndexEntry { hash, position }, rehash);
    }

    /// Adds an entry that is in the index, and its size.
    #[inline]
    fn push_entry(&mut self, entry: Hashed<K, C>) {
        let bytes = Self::ENTRY_BYTES.saturating_add(heap_bytes(&entry));
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.push(entry);
    }

    /// Merges a value into the combiner at `position`, and measures the change now and then.
    #[inline]
    fn update(&mut self, position: usize, merge: impl FnOnce(C) -> C) {
        if const { owns_heap::<C>() } {
            self.merges_until_measured -= 1;
            if self.merges_until_measured == 0 {
                return self.update_measured(position, merge);
            }
        }
        self.replace(position, merge);
    }

    #[inline]
    fn replace(&mut self, position: usize, merge: impl FnOnce(C) -> C) {
        let slot = &mut self.entries[position].value;
        if const { !owns_heap::<C>() } {
            // The clone is a copy, which the compiler often removes.
            *slot = merge(slot.clone());
            return;
        }
        let spare = self.spare.take().unwrap_or_else(|| slot.clone());
        let merged = merge(mem::replace(slot, spare));
        self.spare = Some(mem::replace(slot, merged));
    }

    /// Merges a value and measures by how much the combiner grows, for this merge and those before
    /// it that were not measured.
    fn update_measured(&mut self, position: usize, merge: impl FnOnce(C) -> C) {
        let before = measure(&self.entries[position].value);
        self.replace(position, merge);
        let after = measure(&self.entries[position].value);
        let merges = self.merges_per_measurement;
        let grown = after.heap_bytes.saturating_sub(before.heap_bytes);
        let shrunk = before.heap_bytes.saturating_sub(after.heap_bytes);
        let bytes = self.bytes.saturating_add(grown.saturating_mul(merges));
        self.bytes = bytes.saturating_sub(shrunk.saturating_mul(merges));
        let values = before.values_visited + after.values_visited;
        let merges = (values / VALUES_PER_MERGE + 1).min(MAX_MERGES_PER_MEASUREMENT);
        self.merges_per_measurement = merges;
        self.merges_until_measured = merges;
    }
}

#[cold]
fn too_many_keys() -> Error {
    Error::invalid_argument(
        "one partition has more than 4294967295 distinct keys, the most that a table holds: use more \
         partitions",
    )
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
