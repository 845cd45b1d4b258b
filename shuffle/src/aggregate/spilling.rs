//! Combines the rows of a reduce task: one combiner for each key, for more keys than fit in memory.

use crate::aggregate::table::CombineTable;
use crate::aggregate::table_meter::TableMemoryMeter;
use crate::keys::hash::Hashed;
use crate::sort::by_hash::ByHash;
use crate::sort::external::{ExternalSort, SortedRows};
use emberline_core::bounds::{Key, Stored};
use emberline_core::counters::Phase;
use emberline_core::task::{ITERATIONS_PER_CHECK, TaskContext};
use std::vec;

/// A [`CombineTable`] that becomes a sorted run each time it reaches the memory limit.
pub struct SpillingCombiner<K: Key, C: Stored> {
    table: CombineTable<K, C>,
    meter: TableMemoryMeter,
    runs: Option<ExternalSort<Hashed<K, C>, ByHash>>,
    task: TaskContext,
}

impl<K: Key, C: Stored> SpillingCombiner<K, C> {
    /// Makes an empty combiner within the memory limit of `task`.
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
        self.flush_if_full();
    }

    /// Returns the number of keys in memory.
    pub fn keys(&self) -> usize {
        self.table.len()
    }

    /// Makes room for the keys of `rows` rows if the table is empty, up to a quarter of the memory
    /// limit.
    pub fn reserve(&mut self, rows: usize) {
        if self.table.is_empty() {
            let entry_bytes = size_of::<Hashed<K, C>>().max(8) as u64;
            let max_entries = self.task.table_memory_limit() / (4 * entry_bytes);
            self.table.reserve(rows.min(max_entries as usize));
        }
    }

    /// Adds clones of combiners that other tasks may read too.
    pub fn merge_shared(&mut self, entries: &[Hashed<K, C>], merge: &impl Fn(C, C) -> C) {
        for some in entries.chunks(ITERATIONS_PER_CHECK) {
            self.task.check_cancelled();
            self.merge_some(some, merge);
        }
    }

    fn merge_some(&mut self, entries: &[Hashed<K, C>], merge: &impl Fn(C, C) -> C) {
        let mut entries = entries.iter();
        while entries.len() > 0 {
            if self.table.is_worth_batches() {
                let is_due = |table: &CombineTable<K, C>| self.meter.is_due(table);
                self.table.merge_shared_batch(&mut entries, merge, is_due);
            } else if let Some(entry) = entries.next() {
                self.table.merge_shared(entry, merge);
            }
            self.flush_if_full();
        }
    }

    /// Adds combiners.
    pub fn merge_owned(&mut self, entries: Vec<Hashed<K, C>>, merge: &impl Fn(C, C) -> C) {
        let mut entries = entries.into_iter();
        while entries.len() > 0 {
            if self.table.is_worth_batches() {
                let is_due = |table: &CombineTable<K, C>| self.meter.is_due(table);
                self.table.merge_owned_batch(&mut entries, merge, is_due);
            } else if let Some(entry) = entries.next() {
                self.table.merge_owned(entry, merge);
            }
            self.flush_if_full();
        }
    }

    #[inline]
    fn flush_if_full(&mut self) {
        if self.meter.is_due(&self.table) {
            self.check_table();
        }
    }

    /// Makes a sorted run of a full table.
    #[cold]
    fn check_table(&mut self) {
        if let Some(sizes) = self.meter.full(&mut self.table) {
            let table = std::mem::take(&mut self.table);
            let phase = self.task.enter(Phase::Sort);
            let sorted = table.into_hash_order();
            drop(phase);
            let runs = self.runs.get_or_insert_with(|| ExternalSort::new(ByHash, &self.task));
            runs.push_run(sorted, sizes);
        }
    }

    /// Returns the keys and their combiners in the order of the hash; keys of equal hash in the
    /// order in which they were first added. Combiners of one key in several runs are merged in
    /// their order.
    pub fn finish<M: Fn(C, C) -> C>(mut self, merge: M) -> CombinedRows<K, C, M> {
        self.meter.end(&self.table);
        let Some(mut runs) = self.runs else {
            let _phase = self.task.enter(Phase::Sort);
            let entries = self.table.into_hash_order();
            return CombinedRows::InMemory(entries.into_iter());
        };
        let sizes = self.table.measure_again();
        let phase = self.task.enter(Phase::Sort);
        let entries = self.table.into_hash_order();
        drop(phase);
        runs.push_run(entries, sizes);
        let rows = runs.finish();
        let of_hash = Vec::new().into_iter();
        CombinedRows::Merged(MergedCombiners { rows, next_hash: None, of_hash, merge })
    }
}

/// The keys of a [`SpillingCombiner`] with their combiners, in order.
pub enum CombinedRows<K: Key, C: Stored, M> {
    /// The combiners were all in memory.
    InMemory(vec::IntoIter<Hashed<K, C>>),
    /// The combiners come from several runs.
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

/// A merge of the combiners of each key, which come from several runs.
pub struct MergedCombiners<K: Key, C: Stored, M> {
    rows: SortedRows<Hashed<K, C>, ByHash>,
    /// The first row of the next hash, if it was read.
    next_hash: Option<Hashed<K, C>>,
    /// The other keys of the current hash: nearly always none.
    of_hash: vec::IntoIter<Hashed<K, C>>,
    merge: M,
}

impl<K: Key, C: Stored, M: Fn(C, C) -> C> MergedCombiners<K, C, M> {
    /// Adds a combiner of another key of the current hash to those before, in the order of the
    /// keys' first occurrence.
    #[cold]
    fn merge_other(&self, others: &mut Vec<Hashed<K, C>>, next: Hashed<K, C>) {
        for at in 0..others.len() {
            if others[at].key == next.key {
                // The merge takes the combiner by value, so it is removed and then put back to its
                // index.
                let entry = others.swap_remove(at);
                let value = (self.merge)(entry.value, next.value);
                others.push(Hashed { value, ..entry });
                let last = others.len() - 1;
                return others.swap(at, last);
            }
        }
        others.push(next);
    }
}

impl<K: Key, C: Stored, M: Fn(C, C) -> C> Iterator for MergedCombiners<K, C, M> {
    type Item = Hashed<K, C>;

    fn next(&mut self) -> Option<Hashed<K, C>> {
        if let Some(entry) = self.of_hash.next() {
            return Some(entry);
        }
        let mut first = match self.next_hash.take() {
            Some(first) => first,
            None => self.rows.next()?,
        };
        let mut others = Vec::new();
        while let Some(next) = self.rows.next() {
            if next.hash != first.hash {
                self.next_hash = Some(next);
                break;
            }
            if next.key == first.key {
                first.value = (self.merge)(first.value, next.value);
            } else {
                self.merge_other(&mut others, next);
            }
        }
        if !others.is_empty() {
            self.of_hash = others.into_iter();
        }
        Some(first)
    }
}
