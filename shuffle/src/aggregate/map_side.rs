//! The map side of a combine: one combiner for each key, while that makes the rows fewer.

use crate::aggregate::radix::RadixCombiner;
use crate::aggregate::skip::should_skip_combine;
use crate::aggregate::table::{BATCH, CombineTable};
use crate::aggregate::table_meter::TableMemoryMeter;
use crate::keys::hash::Hashed;
use crate::keys::sub_partitions::SubPartitions;
use crate::map_output::writer::MapWriter;
use emberline_core::bounds::{Key, Stored};
use emberline_core::size::owns_heap;
use std::mem;

/// Combines the rows of a map task on their way into its output.
///
/// It begins with one table. When that no longer fits a core's cache, it becomes a table for each
/// slice, and rows are combined many at a time. When the tables have reached what the task may hold,
/// their entries become a run of the output; and if these are more than half of the rows, the rows
/// that come then pass through. So do the rows of a slice that wait at the end, if other slices
/// showed that combining makes them hardly fewer. Where all that happens depends on the rows and the
/// configuration alone.
pub struct MapSideCombiner<'a, K: Key + 'static, V, C: Stored, F, G> {
    create: &'a F,
    merge: &'a G,
    slices: &'a SubPartitions<K>,
    to: &'a mut MapWriter<Hashed<K, C>>,
    tables: Tables<K, V, C>,
    /// Rows on their way into one table that is large.
    batch: Vec<Hashed<K, V>>,
    meter: TableMemoryMeter,
    /// What the tables may take.
    limit: u64,
    /// At how many bytes of one table to look whether there should be many.
    look_at: u64,
    rows: usize,
}

enum Tables<K, V, C> {
    One(CombineTable<K, C>),
    /// As many as there are slices.
    Many(RadixCombiner<K, V, C>),
    /// The rows pass through.
    None,
}

/// A table of so many bytes no longer fits a core's first cache: from here on rows wait for others
/// of their slice, unless nearly all of them meet a key that is there.
const FIRST_CACHE_BYTES: u64 = 64 << 10;
/// A table of so many bytes fits no cache of its core.
const CACHE_BYTES: u64 = 512 << 10;
/// With less than this a single table holds more keys than rows could wait.
const MIN_PARTED_BYTES: u64 = 2 << 20;
/// A slice for which there is less is not worth a list of its own.
const MIN_SLICE_BYTES: u64 = 1 << 10;

impl<'a, K, V, C, F, G> MapSideCombiner<'a, K, V, C, F, G>
where
    K: Key,
    C: Stored,
    F: Fn(V) -> C,
    G: Fn(C, V) -> C,
{
    /// No rows yet. `create` makes a combiner and `merge` adds to one; they go to their slice of
    /// the output.
    pub fn new(
        slices: &'a SubPartitions<K>,
        to: &'a mut MapWriter<Hashed<K, C>>,
        create: &'a F,
        merge: &'a G,
    ) -> Self {
        let limit = to.task().operator_memory_limit();
        let meter = TableMemoryMeter::new(to.task(), limit);
        // Rows that own something are not worth a second move, and nobody could measure them.
        let least = u64::max(MIN_PARTED_BYTES, MIN_SLICE_BYTES * slices.count() as u64);
        let is_plain = !owns_heap::<(K, V, C)>() && limit >= least;
        let look_at = if is_plain { FIRST_CACHE_BYTES } else { u64::MAX };
        let tables = Tables::One(CombineTable::new());
        let (batch, rows) = (Vec::new(), 0);
        MapSideCombiner { create, merge, slices, to, tables, batch, meter, limit, look_at, rows }
    }

    /// Adds a row, whose key's hash is `hash`.
    #[inline(always)]
    pub fn add(&mut self, hash: u64, key: K, value: V) {
        match &mut self.tables {
            Tables::One(table) => {
                if table.is_worth_batches() {
                    self.batch.push(Hashed { hash, key, value });
                    if self.batch.len() == BATCH {
                        self.merge_batch();
                    }
                    return;
                }
                table.merge(hash, key, value, self.create, self.merge);
                self.rows += 1;
                if table.bytes() >= self.look_at || self.meter.is_due(table) {
                    self.measure();
                }
            }
            Tables::Many(tables) => {
                let slice = self.slices.index_of(&key, hash);
                self.rows += 1;
                if tables.push(slice, key, value) {
                    self.combine();
                }
            }
            Tables::None => {
                let slice = self.slices.index_of(&key, hash);
                let value = (self.create)(value);
                self.to.push_keyed(slice, hash, Hashed { hash, key, value });
            }
        }
    }

    /// Adds the rows of the batch, as if they came one by one.
    #[inline(never)]
    fn merge_batch(&mut self) {
        let mut batch = mem::take(&mut self.batch);
        let mut rows = batch.drain(..);
        while let (Tables::One(table), left @ 1..) = (&mut self.tables, rows.len()) {
            let is_due = |table: &CombineTable<K, C>| {
                table.bytes() >= self.look_at || self.meter.is_due(table)
            };
            table.merge_batch(&mut rows, self.create, self.merge, is_due);
            self.rows += left - rows.len();
            if is_due(table) {
                self.measure();
            }
        }
        for Hashed { hash, key, value } in rows {
            self.add(hash, key, value);
        }
        self.batch = batch;
    }

    #[cold]
    fn measure(&mut self) {
        let Tables::One(table) = &mut self.tables else { return };
        if self.meter.full(table).is_some() {
            return self.cut();
        }
        if table.bytes() >= self.look_at {
            self.look_at = table.bytes().saturating_mul(2);
            if should_skip_combine(self.rows, table.len()) || table.bytes() >= CACHE_BYTES {
                self.part();
            }
        }
    }

    /// Makes a table for each slice of the one there is.
    fn part(&mut self) {
        let Tables::One(table) = mem::replace(&mut self.tables, Tables::None) else { return };
        let index_of = |key: &K, hash| self.slices.index_of(key, hash);
        let parted = RadixCombiner::new(table, self.slices.count(), self.limit, index_of);
        self.tables = Tables::Many(parted);
    }

    #[cold]
    fn combine(&mut self) {
        let Tables::Many(tables) = &mut self.tables else { return };
        self.to.task().check_cancelled();
        self.meter.note(tables.bytes());
        let has_room = tables.combine(self.create, self.merge);
        self.meter.note(tables.bytes());
        if !has_room {
            self.cut();
        }
    }

    /// Makes a run of all entries, and decides how to go on.
    fn cut(&mut self) {
        let entries = self.flush();
        if should_skip_combine(self.rows, entries) {
            self.tables = Tables::None;
        }
        self.rows = 0;
    }

    /// Gives the entries to the output; says how many these were.
    fn flush(&mut self) -> usize {
        match &mut self.tables {
            Tables::One(table) => {
                let entries = mem::take(table).into_entries();
                let count = entries.len();
                for entry in entries {
                    let slice = self.slices.index_of(&entry.key, entry.hash);
                    self.to.push_keyed(slice, entry.hash, entry);
                }
                count
            }
            Tables::Many(tables) => {
                self.meter.note(tables.bytes());
                let mut count = 0;
                tables.flush(self.create, self.merge, |run| {
                    let entries: usize = run.iter().map(Vec::len).sum();
                    self.meter.note((entries * size_of::<Hashed<K, C>>()) as u64);
                    count += entries;
                    let hashes = run.iter().flatten().map(|entry| entry.hash);
                    let hashes = hashes.fold(0, u64::wrapping_add);
                    self.to.push_run(run, hashes);
                });
                self.meter.note(0);
                count
            }
            Tables::None => 0,
        }
    }

    /// Gives away what is left.
    pub fn finish(mut self) {
        self.merge_batch();
        if let Tables::One(table) = &self.tables {
            self.meter.end(table);
        }
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::hash::hash_of;
    use crate::keys::partitioner::Partitioning;
    use crate::map_output::output::MapOutputs;
    use emberline_core::config::Config;
    use emberline_core::task::TaskContext;
    use std::collections::BTreeMap;

    /// Counts keys; says how many entries came out, and the counts. The values of a key are joined in
    /// the order in which they came.
    fn count(config: Config, keys: impl Iterator<Item = u64>) -> (usize, BTreeMap<u64, u64>) {
        let task = TaskContext::for_test(config);
        let slices = SubPartitions::new(Partitioning::<u64>::Hash(4));
        let mut writer = MapWriter::new(slices.count(), &task);
        // Not commutative, so that a wrong order shows.
        let roll = |sum: u64, n: u64| sum.wrapping_mul(31).wrapping_add(n);
        let mut expected = BTreeMap::new();
        let create = |n: u64| n;
        let mut combining = MapSideCombiner::new(&slices, &mut writer, &create, &roll);
        for (n, key) in keys.enumerate() {
            combining.add(hash_of(&key), key, n as u64);
            let seen = expected.entry(key).or_insert_with(Vec::new);
            seen.push(n as u64);
        }
        combining.finish();
        let outputs = MapOutputs::own(writer.finish().unwrap());
        let (mut entries, mut counts) = (0, BTreeMap::new());
        let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for slice in 0..slices.count() {
            let mut reader = outputs.read(None, slice, &task);
            while let Some(chunk) = reader.next_chunk().unwrap() {
                entries += chunk.rows().len();
                for row in chunk.rows() {
                    assert_eq!(slices.index_of(&row.key, row.hash), slice);
                    found.entry(row.key).or_default().push(row.value);
                }
            }
        }
        assert_eq!(found.len(), expected.len());
        for (key, values) in expected {
            if let [rolled] = found[&key][..] {
                assert_eq!(Some(rolled), values.iter().copied().reduce(roll), "{key}");
            }
            counts.insert(key, values.len() as u64);
        }
        (entries, counts)
    }

    fn tiny() -> Config {
        Config { memory_limit_bytes: 1 << 20, ..Config::default() }
    }

    #[test]
    fn keys_that_come_again_are_combined_and_keys_that_do_not_pass_through() {
        let (entries, counts) = count(tiny(), (0..100_000).map(|n| n % 700));
        assert_eq!((entries, counts.len(), counts[&7]), (700, 700, 143));
        let (entries, counts) = count(tiny(), 0..100_000);
        assert_eq!((entries, counts.len()), (100_000, 100_000));
        // First rows without a pattern, then one key: it is no longer combined.
        let (entries, counts) = count(tiny(), (0..50_000).chain((0..50_000).map(|_| 3)));
        assert!(entries > 99_000 && counts[&3] == 50_001, "{entries}");
    }

    #[test]
    fn more_keys_than_fit_the_cache_are_combined_in_a_table_for_each_slice() {
        let keys = || (0..400_000_u64).map(|n| (n * n) % 90_001);
        let distinct = keys().collect::<std::collections::HashSet<_>>().len();
        let (entries, counts) = count(Config::default(), keys());
        assert_eq!((entries, counts.len()), (distinct, distinct));
        // Rows that own something stay in one table, and a small share has no room for many.
        let (entries, _) =
            count(Config { task_memory_bytes: 4 << 20, ..Config::default() }, keys());
        assert!(entries >= distinct);
    }

    #[test]
    fn many_keys_that_hardly_come_again_are_not_all_combined() {
        // A key comes again after 50,000 rows: most slices leave both of its rows as they are.
        let keys = (0..60_000).chain(10_000..20_000);
        let (entries, counts) = count(Config::default(), keys);
        assert_eq!((counts.len(), counts[&10_001], counts[&5]), (60_000, 2, 1));
        assert!(entries > 68_000, "{entries}");
    }

    #[test]
    fn a_hot_key_among_keys_that_never_come_again_is_combined() {
        let hot = |n: u64| if n % 10 < 7 { 5 } else { 1_000_000 + n };
        let (entries, counts) = count(Config::default(), (0..200_000).map(hot));
        assert_eq!((counts.len(), counts[&5]), (60_001, 140_000));
        assert!(entries < 62_000, "{entries}");
    }
    #[test]
    fn a_task_whose_rows_are_far_smaller_than_its_combiners_stays_inside_its_limit() {
        // All rows wait until the end; or only some of them do, and are combined twice before it.
        for share in [24 << 20, 8 << 20] {
            let task =
                TaskContext::for_test(Config { task_memory_bytes: share, ..Config::default() });
            let limit = task.operator_memory_limit();
            let slices = SubPartitions::new(Partitioning::<u32>::Hash(4));
            let mut writer = MapWriter::new(slices.count(), &task);
            let (create, merge) = (|()| [0_u64; 4], |sum: [u64; 4], ()| sum);
            let mut combining = MapSideCombiner::new(&slices, &mut writer, &create, &merge);
            (0..1_000_000_u32).for_each(|key| combining.add(hash_of(&key), key, ()));
            combining.finish();
            let peak = task.metrics().peak_bytes;
            assert!(peak > limit / 2 && peak <= limit + limit / 8, "{peak} of {limit}");
            assert_eq!(writer.finish().unwrap().rows(), 1_000_000);
        }
    }
}
