//! Groups more rows than fit in the memory of a task, one group at a time.
//!
//! Rows are sorted by hash in runs. A key with a large part of a run, or of the sub-partition, is
//! skewed: its rows stay in the map outputs and are read from there whenever its group is iterated.
//! So a skewed key is neither sorted nor copied. See the README of `sort`.

use crate::group::in_memory::{GroupVecs, Groups};
use crate::group::skewed_values::SkewedValues;
use crate::group::sorted::SortedGroups;
use crate::group::values::Group;
use crate::keys::hash::Hashed;
use crate::map_output::reader::Chunk;
use crate::map_output::segment_source::SegmentSource;
use crate::memory::meter::MemoryMeter;
use crate::memory::row_sizes::RowSizes;
use crate::sort::by_hash::ByHash;
use crate::sort::external::{ExternalSort, SortedRows};
use crate::sort::hash_order::sort_stable_by_hash;
use emberline_core::bounds::{Key, Stored};
use emberline_core::size::{estimate_rows, heap_bytes};
use emberline_core::task::{LoopCheck, TaskContext};
use std::collections::HashMap;
use std::iter::Peekable;
use std::vec;

/// The groups of one sub-partition: in memory if they fit in the memory of a task.
pub enum SubPartitionGroups<K: Key, V: Stored> {
    /// Groups in memory.
    InMemory(Groups<K, V>),
    /// Groups that are sorted in runs, one at a time.
    Streamed(Box<GroupStream<K, V>>),
    /// Groups of several sub-partitions.
    Whole(Box<dyn Iterator<Item = (u64, K, Group<V>)>>),
    /// Groups of rows that are already in order.
    Ordered(RowsInOrder<K, V>),
}

/// Rows of a partition in the order of their hash.
pub type RowsInOrder<K, V> = SortedGroups<K, V, Box<dyn Iterator<Item = Hashed<K, V>>>>;

impl<K: Key, V: Stored> SubPartitionGroups<K, V> {
    /// Reads a sub-partition. Its size and the configuration decide whether it is grouped in memory
    /// or sorted; both give the same groups in the same order.
    pub fn read(source: SegmentSource<Hashed<K, V>>, task: &TaskContext) -> Self {
        let bytes = source.outputs.segment_bytes(source.segment);
        if Groups::<K, V>::grouping_bytes(bytes) > task.table_memory_limit() {
            return SubPartitionGroups::Streamed(Box::new(GroupStream::new(source, task)));
        }
        let chunks: Vec<_> = source.chunks(Some(task)).collect();
        SubPartitionGroups::InMemory(Groups::of_chunks(&chunks))
    }

    /// Returns each key with its hash and its values, in order.
    pub fn into_groups(self) -> SubPartitionGroupsIter<K, V> {
        match self {
            SubPartitionGroups::InMemory(groups) => {
                SubPartitionGroupsIter::InMemory(groups.into_vecs())
            }
            SubPartitionGroups::Streamed(groups) => SubPartitionGroupsIter::Streamed(groups),
            SubPartitionGroups::Whole(groups) => SubPartitionGroupsIter::Whole(groups),
            SubPartitionGroups::Ordered(groups) => SubPartitionGroupsIter::Ordered(groups),
        }
    }
}

/// Made by [`SubPartitionGroups::into_groups`].
pub enum SubPartitionGroupsIter<K: Key, V: Stored> {
    /// All groups are in memory.
    InMemory(GroupVecs<K, V>),
    /// One group is in memory.
    Streamed(Box<GroupStream<K, V>>),
    /// One group is in memory, of several sub-partitions.
    Whole(Box<dyn Iterator<Item = (u64, K, Group<V>)>>),
    /// One group is in memory, of rows that are already in order.
    Ordered(RowsInOrder<K, V>),
}

impl<K: Key, V: Stored> Iterator for SubPartitionGroupsIter<K, V> {
    type Item = (u64, K, Group<V>);

    #[inline]
    fn next(&mut self) -> Option<(u64, K, Group<V>)> {
        match self {
            SubPartitionGroupsIter::InMemory(groups) => {
                groups.next().map(|(hash, key, values)| (hash, key, Group::new(values)))
            }
            SubPartitionGroupsIter::Streamed(groups) => groups.next(),
            SubPartitionGroupsIter::Whole(groups) => groups.next(),
            SubPartitionGroupsIter::Ordered(groups) => groups.next(),
        }
    }
}

/// Each key with its hash and its values, in the order of [`Groups`].
pub struct GroupStream<K: Key, V: Stored> {
    groups: SortedGroups<K, V, SortedByHash<K, V>>,
    /// The skewed hashes that were not returned yet, with their keys.
    skewed: Peekable<vec::IntoIter<SkewedHash<K>>>,
    /// Reports the rows that were sorted in memory; runs have reservations or files.
    _meter: MemoryMeter,
    source: SegmentSource<Hashed<K, V>>,
    task: TaskContext,
}

type SortedByHash<K, V> = SortedRows<Hashed<K, V>, ByHash>;

/// The keys of one hash in the order of their first occurrence, and the number of rows of each.
type SkewedKeys<K> = Vec<(K, usize)>;
type SkewedHash<K> = (u64, SkewedKeys<K>);

/// A hash may be skewed if it has at least this fraction of the rows of a run: one in this number.
const SKEWED_FRACTION: usize = 8;
/// The number of hashes that are skewed as soon as they have that fraction.
const SKEWED_IMMEDIATELY: usize = 2;

impl<K: Key, V: Stored> GroupStream<K, V> {
    fn new(source: SegmentSource<Hashed<K, V>>, task: &TaskContext) -> Self {
        let mut sorting = Sorting::new(task, source.outputs.segment_bytes(source.segment));
        for chunk in source.chunks(Some(task)) {
            match chunk {
                Chunk::Shared(rows) => rows.iter().for_each(|row| sorting.push_shared(row)),
                Chunk::Owned(rows) => rows.into_iter().for_each(|row| sorting.push(row)),
            }
        }
        let Sorted { rows, meter, skewed } = sorting.finish();
        let groups = SortedGroups::new(rows, task);
        let skewed = skewed.into_iter().peekable();
        GroupStream { groups, skewed, _meter: meter, source, task: task.clone() }
    }

    /// Returns the groups of the next hash, which is skewed: their rows stay in the map outputs.
    fn next_skewed(&mut self, hash: u64, keys: SkewedKeys<K>) -> Option<(u64, K, Group<V>)> {
        // The runs have the rows that were added before the hash became skewed; they are only
        // counted here.
        let mut all = SkewedKeys::new();
        let mut check = LoopCheck::default();
        while let Some(row) = self.groups.rows.next_if(|row| row.hash == hash) {
            check.tick(all.len() + 1);
            count(&mut all, &row.key, 1);
        }
        keys.iter().for_each(|(key, rows)| count(&mut all, key, *rows));
        let source = &self.source;
        let task = &self.task;
        self.groups.of_hash.extend(all.into_iter().map(|(key, rows)| {
            let values = SkewedValues::new(source.clone(), hash, key.clone(), task);
            (hash, key, Group::reread(rows, values))
        }));
        self.groups.of_hash.pop_front()
    }
}

impl<K: Key, V: Stored> Iterator for GroupStream<K, V> {
    type Item = (u64, K, Group<V>);

    fn next(&mut self) -> Option<(u64, K, Group<V>)> {
        if let Some(group) = self.groups.of_hash.pop_front() {
            return Some(group);
        }
        let next = self.groups.rows.peek().map(|row| row.hash);
        match self.skewed.next_if(|(hash, _)| next.is_none_or(|next| *hash <= next)) {
            Some((hash, keys)) => self.next_skewed(hash, keys),
            None => self.groups.next(),
        }
    }
}

/// The rows of a sub-partition in the order of their hash, without those of skewed hashes.
struct Sorted<K: Key, V: Stored> {
    rows: SortedByHash<K, V>,
    /// Reports the memory of `rows`.
    meter: MemoryMeter,
    skewed: Vec<SkewedHash<K>>,
}

/// Rows on their way into runs, without those of skewed hashes.
struct Sorting<K: Key, V: Stored> {
    rows: Vec<Hashed<K, V>>,
    /// The sizes of `rows`.
    sizes: RowSizes,
    meter: MemoryMeter,
    runs: ExternalSort<Hashed<K, V>, ByHash>,
    /// The keys of each skewed hash, and their rows since it became skewed. There are few such
    /// hashes.
    skewed: Vec<SkewedHash<K>>,
    /// The bytes of hashes that had a large part of a run and are not skewed.
    large_hashes: HashMap<u64, u64>,
    /// The bytes from which on such a hash has a large part of the sub-partition and is skewed.
    min_skewed_bytes: u64,
}

impl<K: Key, V: Stored> Sorting<K, V> {
    fn new(task: &TaskContext, sub_partition_bytes: u64) -> Self {
        Sorting {
            rows: Vec::new(),
            sizes: RowSizes::default(),
            meter: MemoryMeter::of(task, task.operator_memory_limit()),
            runs: ExternalSort::new(ByHash, task),
            skewed: Vec::new(),
            large_hashes: HashMap::new(),
            min_skewed_bytes: sub_partition_bytes / SKEWED_FRACTION as u64,
        }
    }

    #[inline]
    fn push(&mut self, row: Hashed<K, V>) {
        if self.count_if_skewed(&row) {
            return;
        }
        let heap = heap_bytes(&row);
        self.sizes.add(heap);
        self.rows.push(row);
        if self.meter.add_bytes((size_of::<Hashed<K, V>>() as u64).saturating_add(heap)) {
            self.cut();
        }
    }

    /// Adds a row as [`push`](Sorting::push) does, cloned since other tasks may read it.
    #[inline]
    fn push_shared(&mut self, row: &Hashed<K, V>) {
        if !self.count_if_skewed(row) {
            self.push(row.clone());
        }
    }

    /// Returns true if the row's hash is skewed. Then the row is counted and stays where it is.
    #[inline]
    fn count_if_skewed(&mut self, row: &Hashed<K, V>) -> bool {
        let found = self.skewed.iter_mut().find(|(hash, _)| *hash == row.hash);
        found.map(|(_, keys)| count(keys, &row.key, 1)).is_some()
    }

    /// Makes a run of the rows, without those of skewed hashes. A hash with a large part of these
    /// rows may become skewed here.
    fn cut(&mut self) {
        let rows = sort_stable_by_hash(std::mem::take(&mut self.rows));
        let mut sizes = std::mem::take(&mut self.sizes);
        let min_rows = rows.len().div_ceil(SKEWED_FRACTION);
        let mut is_any_skewed = false;
        for some in rows.chunk_by(|a, b| a.hash == b.hash).filter(|some| some.len() >= min_rows) {
            if self.is_skewed(some) {
                is_any_skewed = true;
                let mut keys = SkewedKeys::new();
                let mut check = LoopCheck::default();
                for row in some {
                    check.tick(keys.len());
                    count(&mut keys, &row.key, 1);
                }
                self.skewed.push((some[0].hash, keys));
            }
        }
        let rest = match is_any_skewed {
            false => rows,
            true => {
                let rest = rows.into_iter().filter(|row| !self.has_skewed(row.hash));
                let rest: Vec<_> = rest.collect();
                sizes = RowSizes::measure(&rest);
                rest
            }
        };
        if !rest.is_empty() {
            self.runs.push_run(rest, sizes);
        }
    }

    /// Returns true if a hash with a large part of a run should stay in the map outputs. Reading a
    /// skewed key reads the whole sub-partition, so only a few hashes are skewed for a part of a
    /// run; each further one needs a large part of the sub-partition. Otherwise input that is
    /// sorted by key would make many keys skewed.
    fn is_skewed(&mut self, rows: &[Hashed<K, V>]) -> bool {
        if self.skewed.len() < SKEWED_IMMEDIATELY {
            return true;
        }
        let bytes = self.large_hashes.entry(rows[0].hash).or_default();
        *bytes = bytes.saturating_add(estimate_rows(rows));
        *bytes >= self.min_skewed_bytes
    }

    fn has_skewed(&self, hash: u64) -> bool {
        self.skewed.iter().any(|(skewed_hash, _)| *skewed_hash == hash)
    }

    /// Sorts the last rows, and returns all rows and the skewed hashes in order.
    fn finish(mut self) -> Sorted<K, V> {
        // The last rows are held while they are sorted and stored, and afterwards if they are the
        // only ones.
        self.meter.report();
        self.skewed.sort_unstable_by_key(|(hash, _)| *hash);
        let rows = self.runs.finish_with(self.rows, self.sizes);
        if matches!(rows, SortedRows::Merged(_)) {
            self.meter.end();
        }
        Sorted { rows, meter: self.meter, skewed: self.skewed }
    }
}

fn count<K: Key>(keys: &mut SkewedKeys<K>, key: &K, rows: usize) {
    match keys.iter_mut().find(|(known, _)| known == key) {
        Some((_, known)) => *known += rows,
        None => keys.push((key.clone(), rows)),
    }
}

#[cfg(test)]
#[path = "external_tests.rs"]
mod tests;
