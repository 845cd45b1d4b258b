//! One combiner for each key, for more keys than a task may hold.

use crate::aggregate::table::CombineTable;
use crate::aggregate::table_meter::TableMemoryMeter;
use crate::keys::hash::Hashed;
use crate::sort::by_hash::ByHash;
use crate::sort::external::{ExternalSort, SortedRows};
use emberline_core::bounds::{Key, Stored};
use emberline_core::counters::Phase;
use emberline_core::task::TaskContext;
use std::collections::VecDeque;
use std::iter::Peekable;
use std::vec;

/// A [`CombineTable`] that is cut into sorted runs when it has reached a size.
pub struct SpillingCombiner<K: Key, C: Stored> {
    table: CombineTable<K, C>,
    meter: TableMemoryMeter,
    runs: Option<ExternalSort<Hashed<K, C>, ByHash>>,
    task: TaskContext,
}

impl<K: Key, C: Stored> SpillingCombiner<K, C> {
    /// An empty table inside the share of `task`.
    pub fn new(task: &TaskContext) -> Self {
        let meter = TableMemoryMeter::new(task, task.table_memory_limit());
        SpillingCombiner { table: CombineTable::new(), meter, runs: None, task: task.clone() }
    }

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
        self.table.merge(hash, key, value, create, merge);
        self.look();
    }

    /// How many keys are there, of those that were not cut into runs.
    pub fn keys(&self) -> usize {
        self.table.len()
    }

    /// Makes room for the keys of some rows, if these are the first and as far as the table may grow.
    pub fn reserve(&mut self, rows: usize) {
        if self.table.is_empty() {
            let most =
                self.task.table_memory_limit() / (4 * size_of::<Hashed<K, C>>().max(8) as u64);
            self.table.reserve(rows.min(most as usize));
        }
    }

    /// Adds combiners that other tasks may read too.
    pub fn merge_shared(&mut self, entries: &[Hashed<K, C>], merge: &impl Fn(C, C) -> C) {
        let mut entries = entries.iter();
        while entries.len() > 0 {
            if self.table.is_worth_batches() {
                let is_due = |table: &CombineTable<K, C>| self.meter.is_due(table);
                self.table.merge_shared_batch(&mut entries, merge, is_due);
            } else if let Some(entry) = entries.next() {
                self.table.merge_shared(entry, merge);
            }
            self.look();
        }
    }

    /// Adds combiners that no one else needs.
    pub fn merge_owned(&mut self, entries: Vec<Hashed<K, C>>, merge: &impl Fn(C, C) -> C) {
        let mut entries = entries.into_iter();
        while entries.len() > 0 {
            if self.table.is_worth_batches() {
                let is_due = |table: &CombineTable<K, C>| self.meter.is_due(table);
                self.table.merge_owned_batch(&mut entries, merge, is_due);
            } else if let Some(entry) = entries.next() {
                self.table.merge_owned(entry, merge);
            }
            self.look();
        }
    }

    #[inline]
    fn look(&mut self) {
        if self.meter.is_due(&self.table) {
            self.measure();
        }
    }

    #[cold]
    fn measure(&mut self) {
        if let Some(sizes) = self.meter.full(&mut self.table) {
            let table = std::mem::take(&mut self.table);
            let sorted = self.task.in_phase(Phase::Sort, || table.into_hash_order());
            let runs = self.runs.get_or_insert_with(|| ExternalSort::new(ByHash, &self.task));
            runs.push_run(sorted, sizes);
        }
    }

    /// The keys and their combiners in the order of the hash, and of the first occurrence where
    /// hashes are equal. Combiners of one key in several runs are merged in their order.
    pub fn finish<M: Fn(C, C) -> C>(mut self, merge: M) -> CombinedRows<K, C, M> {
        self.meter.end(&self.table);
        let sizes = self.runs.as_ref().map(|_| self.table.recount()).unwrap_or_default();
        let entries = self.task.in_phase(Phase::Sort, || self.table.into_hash_order());
        let Some(mut runs) = self.runs else { return CombinedRows::InMemory(entries.into_iter()) };
        runs.push_run(entries, sizes);
        let rows = runs.finish().peekable();
        CombinedRows::Merged(MergedCombiners { rows, of_hash: VecDeque::new(), merge })
    }
}

/// The keys of a [`SpillingCombiner`] with their combiners, in order.
pub enum CombinedRows<K: Key, C: Stored, M> {
    /// The table was never cut.
    InMemory(vec::IntoIter<Hashed<K, C>>),
    /// It was.
    Merged(MergedCombiners<K, C, M>),
}

impl<K: Key, C: Stored, M: Fn(C, C) -> C> Iterator for CombinedRows<K, C, M> {
    type Item = (K, C);

    #[inline]
    fn next(&mut self) -> Option<(K, C)> {
        let next = match self {
            CombinedRows::InMemory(entries) => entries.next(),
            CombinedRows::Merged(entries) => entries.next(),
        };
        next.map(|entry| (entry.key, entry.value))
    }

    fn fold<B, G: FnMut(B, (K, C)) -> B>(self, init: B, mut g: G) -> B {
        let mut each = |accumulated, entry: Hashed<K, C>| g(accumulated, (entry.key, entry.value));
        match self {
            CombinedRows::InMemory(entries) => entries.fold(init, &mut each),
            CombinedRows::Merged(entries) => entries.fold(init, &mut each),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            CombinedRows::InMemory(entries) => entries.size_hint(),
            CombinedRows::Merged(_) => (0, None),
        }
    }
}

/// Merges the combiners of each key, which lie in several runs.
pub struct MergedCombiners<K: Key, C: Stored, M> {
    rows: Peekable<SortedRows<Hashed<K, C>, ByHash>>,
    /// The keys of one hash: nearly always one.
    of_hash: VecDeque<Hashed<K, C>>,
    merge: M,
}

impl<K: Key, C: Stored, M: Fn(C, C) -> C> Iterator for MergedCombiners<K, C, M> {
    type Item = Hashed<K, C>;

    fn next(&mut self) -> Option<Hashed<K, C>> {
        if let Some(entry) = self.of_hash.pop_front() {
            return Some(entry);
        }
        let mut first = self.rows.next()?;
        while let Some(next) = self.rows.next_if(|next| next.hash == first.hash) {
            if next.key == first.key {
                first.value = (self.merge)(first.value, next.value);
                continue;
            }
            match self.of_hash.iter().position(|entry| entry.key == next.key) {
                None => self.of_hash.push_back(next),
                Some(at) => {
                    // Out and back in, since a merge takes its combiner by value.
                    let Some(entry) = self.of_hash.remove(at) else { continue };
                    let value = (self.merge)(entry.value, next.value);
                    self.of_hash.insert(at, Hashed { value, ..entry });
                }
            }
        }
        Some(first)
    }
}
