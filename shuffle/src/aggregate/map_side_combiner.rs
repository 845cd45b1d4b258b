//! The state machine that combines the rows of a map task.
//!
//! It starts in the state `Hash`, may change to `Radix`, and may end in `PassThrough`. The README
//! of this folder has the diagram, and a table of the transitions with their thresholds. In the
//! code these are:
//!
//! - **partition**: `start_radix`, if `should_partition`
//! - **flush**: `flush`, which writes the combiners as a run and leaves the state without rows
//! - **skip**: `end_run` flushes, and all later rows of the task pass through if
//!   `should_skip_combine`

use crate::aggregate::radix::RadixCombiner;
use crate::aggregate::skip::{first_radix_check, has_radix, should_partition, should_skip_combine};
use crate::aggregate::table::{BATCH, CombineTable};
use crate::aggregate::table_meter::TableMemoryMeter;
use crate::keys::hash::Hashed;
use crate::keys::sub_partitions::SubPartitions;
use crate::map_output::writer::MapWriter;
use emberline_core::bounds::{Key, Stored};
use std::mem;

/// Combines the rows of a map task on their way into its output.
///
/// Its transitions depend on the rows and the configuration alone, so every attempt of a task
/// writes the same rows in the same order.
pub(crate) struct MapSideCombiner<'a, K: Key + 'static, V, C: Stored, F, G> {
    create: &'a F,
    merge: &'a G,
    sub_partitions: &'a SubPartitions<K>,
    output: &'a mut MapWriter<Hashed<K, C>>,
    state: State<K, V, C>,
    /// Rows that will be looked up in a large table together.
    batch: Vec<Hashed<K, V>>,
    meter: TableMemoryMeter,
    /// The bytes that the state may take before it is flushed.
    limit_bytes: u64,
    /// The size in bytes at which a hash table is next considered for radix partitioning.
    next_check_bytes: u64,
    /// The rows since the last flush.
    rows_in: usize,
}

/// The way in which rows are combined.
enum State<K, V, C> {
    /// In one table.
    Hash(CombineTable<K, C>),
    /// In buffers and then a table for each sub-partition.
    Radix(RadixCombiner<K, V, C>),
    /// Not at all: each row becomes a combiner of its own.
    PassThrough,
}

impl<'a, K, V, C, F, G> MapSideCombiner<'a, K, V, C, F, G>
where
    K: Key,
    C: Stored,
    F: Fn(V) -> C,
    G: Fn(C, V) -> C,
{
    /// Makes a combiner without rows. `create` makes a combiner of a value and `merge` adds a value
    /// to one.
    pub(crate) fn new(
        sub_partitions: &'a SubPartitions<K>,
        output: &'a mut MapWriter<Hashed<K, C>>,
        create: &'a F,
        merge: &'a G,
    ) -> Self {
        let limit_bytes = output.task().operator_memory_limit();
        let meter = TableMemoryMeter::new(output.task(), limit_bytes);
        MapSideCombiner {
            create,
            merge,
            sub_partitions,
            output,
            state: State::Hash(CombineTable::new()),
            batch: Vec::new(),
            meter,
            limit_bytes,
            next_check_bytes: first_radix_check::<(K, V, C)>(limit_bytes, sub_partitions.count()),
            rows_in: 0,
        }
    }

    /// Adds a row, whose key has the hash `hash`.
    #[inline(always)]
    pub(crate) fn add(&mut self, hash: u64, key: K, value: V) {
        match &mut self.state {
            State::Hash(table) => {
                if table.is_worth_batches() {
                    self.batch.push(Hashed { hash, key, value });
                    if self.batch.len() == BATCH {
                        self.merge_batch();
                    }
                    return;
                }
                table.merge(hash, key, value, self.create, self.merge);
                self.rows_in += 1;
                if table.bytes() >= self.next_check_bytes || self.meter.is_due(table) {
                    self.check_table();
                }
            }
            State::Radix(combiner) => {
                if const { has_radix::<(K, V, C)>() } {
                    let sub_partition = self.sub_partitions.index_of(&key, hash);
                    self.rows_in += 1;
                    if combiner.push(sub_partition, key, value) {
                        self.combine_buffers();
                    }
                }
            }
            State::PassThrough => {
                let sub_partition = self.sub_partitions.index_of(&key, hash);
                let value = (self.create)(value);
                self.output.push_keyed(sub_partition, hash, Hashed { hash, key, value });
            }
        }
    }

    /// Adds the rows of the batch, with the same result as if they were added one at a time.
    #[inline(never)]
    fn merge_batch(&mut self) {
        let mut batch = mem::take(&mut self.batch);
        let mut rows = batch.drain(..);
        while let (State::Hash(table), left @ 1..) = (&mut self.state, rows.len()) {
            let is_due = |table: &CombineTable<K, C>| {
                table.bytes() >= self.next_check_bytes || self.meter.is_due(table)
            };
            table.merge_batch(&mut rows, self.create, self.merge, is_due);
            self.rows_in += left - rows.len();
            if is_due(table) {
                self.check_table();
            }
        }
        for Hashed { hash, key, value } in rows {
            self.add(hash, key, value);
        }
        self.batch = batch;
    }

    /// Flushes a full table, and replaces a large one by radix partitioning.
    #[cold]
    fn check_table(&mut self) {
        let State::Hash(table) = &mut self.state else { return };
        if self.meter.is_full(table) {
            return self.end_run();
        }
        if const { has_radix::<(K, V, C)>() } && table.bytes() >= self.next_check_bytes {
            self.next_check_bytes = table.bytes().saturating_mul(2);
            if should_partition(self.rows_in, table.len(), table.bytes()) {
                self.start_radix();
            }
        }
    }

    /// Changes from `Hash` to `Radix`.
    fn start_radix(&mut self) {
        let State::Hash(table) = mem::replace(&mut self.state, State::PassThrough) else { return };
        let index_of = |key: &K, hash| self.sub_partitions.index_of(key, hash);
        let count = self.sub_partitions.count();
        self.state = State::Radix(RadixCombiner::new(table, count, self.limit_bytes, index_of));
    }

    /// Combines full buffers, and flushes the combiners if they leave too little room.
    #[cold]
    fn combine_buffers(&mut self) {
        let State::Radix(combiner) = &mut self.state else { return };
        self.output.task().check_cancelled();
        self.meter.record(combiner.bytes());
        let has_room = combiner.combine(self.create, self.merge);
        self.meter.record(combiner.bytes());
        if !has_room {
            self.end_run();
        }
    }

    /// Flushes all combiners as a run, and stops combining if it did not pay off.
    fn end_run(&mut self) {
        let entries_out = self.flush();
        if should_skip_combine(self.rows_in, entries_out) {
            self.state = State::PassThrough;
        }
        self.rows_in = 0;
    }

    /// Moves all combiners to the output, and returns their number.
    fn flush(&mut self) -> usize {
        match &mut self.state {
            State::Hash(table) => {
                let entries = mem::take(table).into_entries();
                let count = entries.len();
                for entry in entries {
                    let sub_partition = self.sub_partitions.index_of(&entry.key, entry.hash);
                    self.output.push_keyed(sub_partition, entry.hash, entry);
                }
                count
            }
            State::Radix(combiner) => {
                let mut count = 0;
                if const { has_radix::<(K, V, C)>() } {
                    self.meter.record(combiner.bytes());
                    combiner.flush(self.create, self.merge, |run| {
                        let mut entries = 0;
                        let mut hashes = 0_u64;
                        for list in &run {
                            entries += list.len();
                            for entry in list {
                                hashes = hashes.wrapping_add(entry.hash);
                            }
                        }
                        self.meter.record((entries * size_of::<Hashed<K, C>>()) as u64);
                        count += entries;
                        self.output.push_run(run, hashes);
                    });
                    self.meter.record(0);
                }
                count
            }
            State::PassThrough => 0,
        }
    }

    /// Moves the combiners that are left to the output.
    pub(crate) fn finish(mut self) {
        self.merge_batch();
        if let State::Hash(table) = &self.state {
            self.meter.end(table);
        }
        self.flush();
    }
}

#[cfg(test)]
#[path = "map_side_combiner_tests.rs"]
mod tests;
