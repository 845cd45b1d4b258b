//! Combines rows of many keys: rows are buffered by sub-partition, and then each sub-partition is
//! combined in a table that fits the cache.
//!
//! In one table of a million keys, each look-up would wait for main memory. Here a row is appended
//! to a buffer, read again in sequence, and looked up in a small table.

use crate::aggregate::scatter::ScatterBuffers;
use crate::aggregate::skip::should_skip_rest;
use crate::aggregate::table::{CombineTable, INDEX_BYTES};
use crate::keys::hash::{Hashed, hash_of};
use emberline_core::bounds::{Key, Stored};
use std::mem;

/// A combiner by sub-partition. Rows are buffered without their hash: computing it again is faster
/// than moving it.
pub(super) struct RadixCombiner<K, V, C> {
    buffers: ScatterBuffers<(K, V)>,
    /// The combiners of each sub-partition from before the switch to radix partitioning, until they
    /// are added to its table.
    initial: Vec<Vec<Hashed<K, C>>>,
    tables: Vec<CombineTable<K, C>>,
    /// The bytes that all of this may take.
    limit_bytes: u64,
}

/// The parts into which the memory limit is divided: [`BUFFER_PARTS`] of them for buffered rows,
/// and the last one for the tables that stay between two rounds of combining.
const MEMORY_PARTS: u64 = 4;
/// The parts of the memory limit for buffered rows. The more rows are combined together, the longer
/// a table stays in the cache; and if keys repeat, tables are small compared with their rows.
const BUFFER_PARTS: u64 = MEMORY_PARTS - 1;
/// A flush emits a run when its entries take more than the memory limit divided by this: the
/// entries are held next to the rows that are still buffered.
const RUN_DIVISOR: u64 = 2;
/// A sub-partition with more rows than the average times this may have a skewed key, and is always
/// combined.
const SKEWED_TIMES_AVERAGE: usize = 2;

impl<K: Key, V, C: Stored> RadixCombiner<K, V, C> {
    /// Distributes the combiners of `table` by sub-partition, and reserves the rest of
    /// `limit_bytes` for rows.
    pub(super) fn new(
        table: CombineTable<K, C>,
        sub_partitions: usize,
        limit_bytes: u64,
        index_of: impl Fn(&K, u64) -> usize,
    ) -> Self {
        let mut initial = Vec::with_capacity(sub_partitions);
        let mut tables = Vec::with_capacity(sub_partitions);
        for _ in 0..sub_partitions {
            initial.push(Vec::new());
            tables.push(CombineTable::new());
        }
        let row_bytes = size_of::<(K, V)>().max(1) as u64;
        let buffer_bytes = limit_bytes / MEMORY_PARTS * BUFFER_PARTS;
        let max_rows = usize::try_from(buffer_bytes / row_bytes).unwrap_or(usize::MAX);
        let buffers = ScatterBuffers::new(sub_partitions, max_rows.max(1));
        for entry in table.into_entries() {
            initial[index_of(&entry.key, entry.hash)].push(entry);
        }
        RadixCombiner { buffers, initial, tables, limit_bytes }
    }

    /// Returns the bytes of buffers and combiners.
    pub(super) fn bytes(&self) -> u64 {
        let mut initial = 0;
        for entries in &self.initial {
            initial += entries.len();
        }
        let buffered = self.buffers.bytes().saturating_add(bytes_of::<Hashed<K, C>>(initial));
        buffered.saturating_add(self.table_bytes())
    }

    fn table_bytes(&self) -> u64 {
        let mut bytes = 0_u64;
        for table in &self.tables {
            bytes = bytes.saturating_add(table.bytes());
        }
        bytes
    }

    /// Adds a row to its buffer. Returns true if the buffers are full and should be combined.
    #[inline]
    pub(super) fn push(&mut self, sub_partition: usize, key: K, value: V) -> bool {
        self.buffers.push(sub_partition, (key, value))
    }

    /// Combines the buffered rows. Returns true if there is room for more.
    ///
    /// It stops early if there is no room: a combiner may take many times as much as its rows.
    pub(super) fn combine(&mut self, create: &impl Fn(V) -> C, merge: &impl Fn(C, V) -> C) -> bool {
        let mut bytes = self.table_bytes();
        let mut keys = 0;
        for (sub_partition, table) in self.tables.iter_mut().enumerate() {
            let rows = self.buffers.rows_of(sub_partition);
            // The size of their combiners if no key repeats.
            let max_entries = rows as u64 * (size_of::<Hashed<K, C>>() as u64 + INDEX_BYTES);
            let other_rows = bytes_of::<(K, V)>(self.buffers.rows() - rows);
            if bytes.saturating_add(max_entries + other_rows) > self.limit_bytes {
                return false;
            }
            let before = table.bytes();
            self.initial[sub_partition].drain(..).for_each(|entry| table.insert_new(entry));
            // Hashes are even, so this sub-partition will have about as many keys as the one
            // before.
            table.reserve(usize::min(keys, rows).saturating_sub(table.len()));
            combine_buffered(&mut self.buffers, sub_partition, table, create, merge);
            keys = table.len();
            bytes = bytes.saturating_add(table.bytes() - before);
        }
        bytes < self.limit_bytes / MEMORY_PARTS
    }

    /// Combines the buffered rows and passes the combiners of all sub-partitions to `emit`: as one
    /// run or, if they take too much memory together, as several.
    ///
    /// If the first sub-partitions show that combining does not pay off, each buffered row of the
    /// others becomes a combiner of its own, except in a sub-partition that may have a skewed key.
    pub(super) fn flush(
        &mut self,
        create: &impl Fn(V) -> C,
        merge: &impl Fn(C, V) -> C,
        mut emit: impl FnMut(Vec<Vec<Hashed<K, C>>>),
    ) {
        let sub_partitions = self.tables.len();
        let average_rows = self.buffers.rows() / sub_partitions.max(1);
        let mut run = Vec::with_capacity(sub_partitions);
        let mut run_entries = 0;
        // Sub-partitions that have no table yet share one, which keeps its capacity from one to the
        // next.
        let mut shared = CombineTable::new();
        let mut keys = 0;
        let mut rows_in = 0;
        let mut entries_out = 0;
        for (sub_partition, table) in self.tables.iter_mut().enumerate() {
            let rows = self.buffers.rows_of(sub_partition);
            let initial = mem::take(&mut self.initial[sub_partition]);
            let may_skip = table.is_empty() && rows <= SKEWED_TIMES_AVERAGE * average_rows;
            let entries = if may_skip && should_skip_rest(rows_in, entries_out) {
                pass_buffered(&mut self.buffers, sub_partition, initial, create)
            } else {
                let table = if table.is_empty() { &mut shared } else { table };
                table.reserve(usize::min(keys, rows));
                initial.into_iter().for_each(|entry| table.insert_new(entry));
                let before = table.len();
                combine_buffered(&mut self.buffers, sub_partition, table, create, merge);
                keys = table.len();
                rows_in += rows;
                entries_out += keys - before;
                table.take_entries()
            };
            run_entries += entries.len();
            run.push(entries);
            let is_large = bytes_of::<Hashed<K, C>>(run_entries) > self.limit_bytes / RUN_DIVISOR;
            if is_large && sub_partition + 1 < sub_partitions {
                pad(&mut run, sub_partitions);
                emit(mem::take(&mut run));
                pad(&mut run, sub_partition + 1);
                run_entries = 0;
            }
        }
        emit(run);
    }
}

/// Adds empty lists until there are `count`.
fn pad<R>(lists: &mut Vec<Vec<R>>, count: usize) {
    while lists.len() < count {
        lists.push(Vec::new());
    }
}

fn bytes_of<R>(rows: usize) -> u64 {
    rows as u64 * size_of::<R>() as u64
}

/// Merges the buffered rows of a sub-partition into its table.
fn combine_buffered<K: Key, V, C: Stored>(
    buffers: &mut ScatterBuffers<(K, V)>,
    sub_partition: usize,
    table: &mut CombineTable<K, C>,
    create: &impl Fn(V) -> C,
    merge: &impl Fn(C, V) -> C,
) {
    buffers.take(sub_partition, |(key, value)| {
        table.merge(hash_of(&key), key, value, create, merge);
    });
}

/// Appends a combiner for each buffered row of a sub-partition to `entries`.
fn pass_buffered<K: Key, V, C>(
    buffers: &mut ScatterBuffers<(K, V)>,
    sub_partition: usize,
    mut entries: Vec<Hashed<K, C>>,
    create: &impl Fn(V) -> C,
) -> Vec<Hashed<K, C>> {
    entries.reserve_exact(buffers.rows_of(sub_partition));
    buffers.take(sub_partition, |(key, value)| {
        entries.push(Hashed { hash: hash_of(&key), key, value: create(value) });
    });
    entries
}
