//! One combiner for each key, found by hash, in the order in which keys were first seen.

use crate::keys::hash::{Hashed, table_bits};
use crate::memory::row_sizes::RowSizes;
use crate::sort::hash_order::sort_stable_by_hash;
use emberline_core::error::Error;
use emberline_core::size::{heap_bytes, measure, owns_heap};
use emberline_core::unwind::raise;
use hashbrown::HashTable;
use serde::Serialize;
use std::{mem, slice, vec};

/// A table from keys to combiners. A row costs one look-up with a hash the caller has already, and
/// one call of the user's function.
///
/// That function takes the combiner by value, so something must lie in the combiner's place while
/// it runs: one spare combiner for the whole table. If the function panics the spare stays there,
/// and the table must be thrown away.
#[derive(Debug)]
pub struct CombineTable<K, C> {
    /// Where in `entries` a key is.
    index: HashTable<Place>,
    entries: Vec<Hashed<K, C>>,
    spare: Option<C>,
    bytes: u64,
    /// The heap bytes of the largest entry, as it was when its key was added.
    max_heap_bytes: u64,
    /// Merges until one is weighed again, and how many that one stands for.
    until_weighed: u64,
    stands_for: u64,
}

/// The place of an entry, and the low half of its hash: the index grows without a look at entries.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    at: u32,
}

/// How many rows are looked up together.
pub(crate) const BATCH: usize = 32;
/// A table of so many bytes is worth that: it fits no cache that is near.
const BATCHED_BYTES: u64 = 256 << 10;
/// Larger entries are not: nobody weighs the rows of a batch.
const BATCHED_ENTRY_BYTES: u64 = 1 << 10;
/// No table has so many entries.
const UNKNOWN: u32 = u32::MAX;

/// What the index takes for each entry, free places included: between 10 and 20. It is counted by the
/// entries, since how much room was made beforehand may depend on where rows came from.
pub(crate) const INDEX_BYTES: u64 = 16;
/// A merge into a combiner that takes so many steps to measure is weighed once in twice as many.
const STEPS_A_MERGE: u64 = 4;
/// However long that takes, no merge stands for more than this.
const MAX_STOOD_FOR: u64 = 1024;

impl<K, C> CombineTable<K, C> {
    /// The bytes of an entry and its place in the index, without the heap that it owns.
    const ENTRY_BYTES: u64 = size_of::<Hashed<K, C>>() as u64 + INDEX_BYTES;

    /// An empty table. It allocates when the first key comes.
    pub fn new() -> Self {
        let (index, entries, spare) = (HashTable::new(), Vec::new(), None);
        CombineTable {
            index,
            entries,
            spare,
            bytes: 0,
            max_heap_bytes: 0,
            until_weighed: 1,
            stands_for: 1,
        }
    }

    /// About what the table takes: entries, what they own, and the index. Each new entry was counted.
    /// Where combiners are merged it is at most this; of values that let a combiner grow, those that
    /// are expensive to measure stand for others.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Measures all entries again if merges may have changed their sizes, and returns these.
    #[cold]
    pub(crate) fn recount(&mut self) -> RowSizes
    where
        K: Serialize,
        C: Serialize,
    {
        let fixed_bytes = Self::ENTRY_BYTES * self.entries.len() as u64;
        if owns_heap::<C>() {
            let sizes = RowSizes::measure(&self.entries);
            self.bytes = sizes.heap_bytes.saturating_add(fixed_bytes);
            self.max_heap_bytes = sizes.max_heap_bytes;
        }
        let heap_bytes = self.bytes.saturating_sub(fixed_bytes);
        RowSizes { heap_bytes, max_heap_bytes: self.max_heap_bytes }
    }

    /// Makes room for so many keys, so that the table need not grow again and again.
    pub(crate) fn reserve(&mut self, keys: usize) {
        self.entries.reserve(keys);
        self.index.reserve(keys, |place| table_bits(place.hash));
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// As [`into_entries`](CombineTable::into_entries); an empty table that has room stays.
    pub(crate) fn take_entries(&mut self) -> Vec<Hashed<K, C>> {
        self.index.clear();
        self.bytes = 0;
        self.max_heap_bytes = 0;
        mem::take(&mut self.entries)
    }

    /// The keys and their combiners, in the order of the first occurrence of each key.
    pub fn into_entries(self) -> Vec<Hashed<K, C>> {
        self.entries
    }

    /// The keys and their combiners in the order of the hash, and of the first occurrence where
    /// hashes are equal.
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
    #[inline]
    pub fn merge<V>(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
    ) {
        match self.place_of(hash, &key) {
            Ok(at) => self.update(at, |combiner| merge(combiner, value)),
            Err(()) => self.add(Hashed { hash, key, value: create(value) }),
        }
    }

    /// Whether rows should come many at a time.
    #[inline]
    pub(crate) fn is_worth_batches(&self) -> bool {
        let small = BATCHED_ENTRY_BYTES.saturating_mul(self.entries.len() as u64);
        (BATCHED_BYTES..=small).contains(&self.bytes)
    }

    /// Adds rows as [`merge`](CombineTable::merge) does, until there are none or `is_due` says after one
    /// of them that the table is to be looked at. At most [`BATCH`] rows are looked up together.
    pub(crate) fn merge_batch<V>(
        &mut self,
        rows: &mut vec::Drain<'_, Hashed<K, V>>,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
        is_due: impl Fn(&Self) -> bool,
    ) {
        let places = self.places_of(rows.as_slice());
        for (at, Hashed { hash, key, value }) in places.into_iter().zip(rows) {
            match at {
                UNKNOWN => self.merge(hash, key, value, create, merge),
                at => self.update(at as usize, |combiner| merge(combiner, value)),
            }
            if is_due(self) {
                return;
            }
        }
    }

    /// As [`merge_batch`](CombineTable::merge_batch), for combiners that no one else needs.
    pub(crate) fn merge_owned_batch(
        &mut self,
        entries: &mut vec::IntoIter<Hashed<K, C>>,
        merge: &impl Fn(C, C) -> C,
        is_due: impl Fn(&Self) -> bool,
    ) {
        let places = self.places_of(entries.as_slice());
        for (at, entry) in places.into_iter().zip(entries) {
            match at {
                UNKNOWN => self.merge_owned(entry, merge),
                at => self.merge_at(at as usize, entry.value, merge),
            }
            if is_due(self) {
                return;
            }
        }
    }

    /// As [`merge_batch`](CombineTable::merge_batch), for combiners that other tasks may read too.
    pub(crate) fn merge_shared_batch(
        &mut self,
        entries: &mut slice::Iter<'_, Hashed<K, C>>,
        merge: &impl Fn(C, C) -> C,
        is_due: impl Fn(&Self) -> bool,
    ) where
        K: Clone,
    {
        let places = self.places_of(entries.as_slice());
        for (at, entry) in places.into_iter().zip(entries) {
            match at {
                UNKNOWN => self.merge_shared(entry, merge),
                at => self.merge_at(at as usize, entry.value.clone(), merge),
            }
            if is_due(self) {
                return;
            }
        }
    }

    /// Where the keys of the first rows are; [`UNKNOWN`] where that takes a longer look.
    ///
    /// A look-up in a large table waits for main memory, more than once. Here each step of many
    /// look-ups comes before the next step of any, so that the processor waits for them at once.
    #[inline]
    fn places_of<V>(&self, rows: &[Hashed<K, V>]) -> [u32; BATCH] {
        let mut places = [UNKNOWN; BATCH];
        for (place, row) in places.iter_mut().zip(rows) {
            let low = row.hash as u32;
            let found = self.index.find(table_bits(low), |place| place.hash == low);
            *place = found.map_or(UNKNOWN, |place| place.at);
        }
        let entry_at = |place: u32| self.entries.get(place as usize);
        for (place, row) in places.iter_mut().zip(rows) {
            let found = entry_at(*place).filter(|entry| entry.hash == row.hash);
            *place = found.map_or(UNKNOWN, |_| *place);
        }
        for (place, row) in places.iter_mut().zip(rows) {
            let found = entry_at(*place).filter(|entry| entry.key == row.key);
            *place = found.map_or(UNKNOWN, |_| *place);
        }
        places
    }

    /// Adds the combiner of a key that is not there.
    pub(crate) fn insert_new(&mut self, entry: Hashed<K, C>) {
        self.add_place(entry.hash as u32);
        self.add(entry);
    }

    /// Adds a combiner that other tasks may read too: the key is cloned when it is first seen.
    #[inline]
    pub fn merge_shared(&mut self, entry: &Hashed<K, C>, merge: &impl Fn(C, C) -> C)
    where
        K: Clone,
    {
        match self.place_of(entry.hash, &entry.key) {
            Ok(at) => self.merge_at(at, entry.value.clone(), merge),
            Err(()) => self.add(entry.clone()),
        }
    }

    /// Adds a combiner that no one else needs.
    #[inline]
    pub fn merge_owned(&mut self, entry: Hashed<K, C>, merge: &impl Fn(C, C) -> C) {
        match self.place_of(entry.hash, &entry.key) {
            Ok(at) => self.merge_at(at, entry.value, merge),
            Err(()) => self.add(entry),
        }
    }

    #[inline]
    fn merge_at(&mut self, at: usize, value: C, merge: &impl Fn(C, C) -> C) {
        self.bytes = self.bytes.saturating_add(heap_bytes(&value));
        self.replace(at, |combiner| merge(combiner, value));
    }

    /// Where the key is. If it is new, the end of `entries` is made its place, and the caller must
    /// put it there.
    #[inline]
    fn place_of(&mut self, hash: u64, key: &K) -> Result<usize, ()> {
        let entries = &self.entries;
        let low = hash as u32;
        let same = |place: &Place| place.hash == low && entries[place.at as usize].key == *key;
        match self.index.find(table_bits(low), same) {
            Some(place) => Ok(place.at as usize),
            None => {
                self.add_place(low);
                Err(())
            }
        }
    }

    /// Makes the end of `entries` the place of a new key.
    fn add_place(&mut self, hash: u32) {
        let at = u32::try_from(self.entries.len()).ok().filter(|at| *at != UNKNOWN);
        let at = at.unwrap_or_else(|| raise(table_full()));
        let rehash = |place: &Place| table_bits(place.hash);
        self.index.insert_unique(table_bits(hash), Place { hash, at }, rehash);
    }

    #[inline]
    fn add(&mut self, entry: Hashed<K, C>) {
        let heap = heap_bytes(&entry);
        if owns_heap::<(K, C)>() {
            self.max_heap_bytes = self.max_heap_bytes.max(heap);
        }
        self.bytes = self.bytes.saturating_add(Self::ENTRY_BYTES.saturating_add(heap));
        self.entries.push(entry);
    }

    #[inline]
    fn update(&mut self, at: usize, merge: impl FnOnce(C) -> C) {
        if owns_heap::<C>() {
            self.until_weighed -= 1;
            if self.until_weighed == 0 {
                return self.update_weighed(at, merge);
            }
        }
        self.replace(at, merge);
    }

    #[inline]
    fn replace(&mut self, at: usize, merge: impl FnOnce(C) -> C) {
        let slot = &mut self.entries[at].value;
        if !owns_heap::<C>() {
            // Such a clone is a copy, which the compiler often does without.
            *slot = merge(slot.clone());
            return;
        }
        let spare = self.spare.take().unwrap_or_else(|| slot.clone());
        let merged = merge(mem::replace(slot, spare));
        self.spare = Some(mem::replace(slot, merged));
    }

    /// Notes by how much the combiner grows, for this merge and those before it that were not
    /// weighed.
    fn update_weighed(&mut self, at: usize, merge: impl FnOnce(C) -> C) {
        let before = measure(&self.entries[at].value);
        self.replace(at, merge);
        let after = measure(&self.entries[at].value);
        let grown = after.heap_bytes.saturating_sub(before.heap_bytes);
        let shrunk = before.heap_bytes.saturating_sub(after.heap_bytes);
        let bytes = self.bytes.saturating_add(grown.saturating_mul(self.stands_for));
        self.bytes = bytes.saturating_sub(shrunk.saturating_mul(self.stands_for));
        self.stands_for =
            ((before.values_visited + after.values_visited) / STEPS_A_MERGE + 1).min(MAX_STOOD_FOR);
        self.until_weighed = self.stands_for;
    }
}

#[cold]
fn table_full() -> Error {
    Error::invalid_argument(
        "one partition has more than 4294967295 distinct keys, and a table holds no more: use more \
         partitions",
    )
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
