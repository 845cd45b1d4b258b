//! Groups rows that are in the order of their hash, so that the rows of a key are consecutive.

use crate::group::values::Group;
use crate::keys::hash::Hashed;
use crate::memory::meter::MemoryMeter;
use crate::memory::row_sizes::RowSizes;
use crate::sort::run::RunFile;
use emberline_core::bounds::{Key, Stored};
use emberline_core::error::Error;
use emberline_core::size::heap_bytes;
use emberline_core::task::{LoopCheck, TaskContext};
use emberline_core::unwind::{or_raise, raise};
use std::collections::VecDeque;
use std::iter::Peekable;

/// The groups of rows in the order of their hash, one group in memory.
pub struct SortedGroups<K: Key, V: Stored, I: Iterator<Item = Hashed<K, V>>> {
    pub(crate) rows: Peekable<I>,
    /// The remaining groups of a hash that several keys share.
    pub(crate) of_hash: VecDeque<(u64, K, Group<V>)>,
    task: TaskContext,
    last_hash: u64,
}

impl<K: Key, V: Stored, I: Iterator<Item = Hashed<K, V>>> SortedGroups<K, V, I> {
    /// Returns the groups of `rows`.
    pub fn new(rows: I, task: &TaskContext) -> Self {
        SortedGroups {
            rows: rows.peekable(),
            of_hash: VecDeque::new(),
            task: task.clone(),
            last_hash: 0,
        }
    }

    /// Returns the hash of the next row.
    #[inline]
    pub(crate) fn next_hash(&mut self) -> Option<u64> {
        self.rows.peek().map(|row| row.hash)
    }

    /// Returns the next row.
    #[inline]
    pub(crate) fn next_row(&mut self) -> Option<Hashed<K, V>> {
        let row = self.rows.next()?;
        if row.hash < self.last_hash {
            raise(out_of_order());
        }
        self.last_hash = row.hash;
        Some(row)
    }

    /// Returns the groups of the hash of `first`, which was just taken.
    pub(crate) fn groups_from(
        &mut self,
        first: Hashed<K, V>,
    ) -> impl Iterator<Item = (K, Group<V>)> + '_ {
        let (_, key, group) = self.gather(first);
        let others = self.of_hash.drain(..).map(|(_, key, group)| (key, group));
        std::iter::once((key, group)).chain(others)
    }

    /// Returns the first group of the next hash, whose rows are consecutive.
    fn next_of_rows(&mut self) -> Option<(u64, K, Group<V>)> {
        let row = self.next_row()?;
        if self.next_hash() != Some(row.hash) {
            return Some((row.hash, row.key, Group::one(row.value)));
        }
        Some(self.gather(row))
    }

    /// Returns the first group of the hash of `row`, and stores the others.
    fn gather(&mut self, row: Hashed<K, V>) -> (u64, K, Group<V>) {
        let Hashed { hash, key, value } = row;
        let mut first = Gathered::new(key);
        // There is nearly always no other key of this hash.
        let mut others: Vec<Gathered<K, V>> = Vec::new();
        let mut meter = MemoryMeter::new(self.task.operator_memory_limit());
        let mut check = LoopCheck::default();
        let mut next = Some((None, value));
        while let Some((other, value)) = next {
            check.tick(others.len() + 1);
            let heap = heap_bytes(&value);
            let is_full = meter.add_bytes((size_of::<V>() as u64).saturating_add(heap));
            match other {
                None => first.push(value, heap),
                Some(key) => match others.iter_mut().find(|gathered| gathered.key == key) {
                    Some(gathered) => gathered.push(value, heap),
                    None => {
                        let mut gathered = Gathered::new(key);
                        gathered.push(value, heap);
                        others.push(gathered);
                    }
                },
            }
            if is_full {
                // A large key can reach this point if its rows were spread so evenly over the runs
                // that it was not skewed in any of them.
                let all = others.iter_mut().chain([&mut first]);
                all.for_each(|gathered| gathered.write(&self.task));
            }
            let row = self.rows.next_if(|row| row.hash == hash);
            next = row.map(|row| ((row.key != first.key).then_some(row.key), row.value));
        }
        let group = |gathered: Gathered<K, V>| gathered.into_group(hash, &self.task);
        self.of_hash = others.into_iter().map(group).collect();
        group(first)
    }
}

/// The values of one key: first those in files, then those in memory.
struct Gathered<K, V> {
    key: K,
    files: Vec<RunFile<V>>,
    values: Vec<V>,
    /// The sizes of the values in memory.
    sizes: RowSizes,
}

impl<K, V: Stored> Gathered<K, V> {
    fn new(key: K) -> Self {
        Gathered { key, files: Vec::new(), values: Vec::new(), sizes: RowSizes::default() }
    }

    /// Adds a value that owns `heap_bytes`.
    #[inline]
    fn push(&mut self, value: V, heap_bytes: u64) {
        self.sizes.add(heap_bytes);
        self.values.push(value);
    }

    fn write(&mut self, task: &TaskContext) {
        if !self.values.is_empty() {
            let values = std::mem::take(&mut self.values);
            let sizes = std::mem::take(&mut self.sizes);
            self.files.push(or_raise(RunFile::write([(values, sizes)], task)));
        }
    }

    fn into_group(mut self, hash: u64, task: &TaskContext) -> (u64, K, Group<V>) {
        if self.files.is_empty() {
            return (hash, self.key, Group::new(self.values));
        }
        self.write(task);
        let rows = self.files.iter().map(RunFile::len).sum();
        (hash, self.key, Group::reread(rows, self.files))
    }
}

impl<K: Key, V: Stored, I: Iterator<Item = Hashed<K, V>>> Iterator for SortedGroups<K, V, I> {
    type Item = (u64, K, Group<V>);

    #[inline]
    fn next(&mut self) -> Option<(u64, K, Group<V>)> {
        self.of_hash.pop_front().or_else(|| self.next_of_rows())
    }
}

/// Returns the error of rows that are no longer in the order of their hash.
#[cold]
fn out_of_order() -> Error {
    Error::invalid_argument(
        "the hash of a key changed between two operations: `Hash` must depend on the value of the \
         key alone",
    )
}
