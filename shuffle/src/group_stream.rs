//! The groups of more rows than a task may hold, one at a time.
//!
//! Rows are sorted by hash in runs. Keys that fill a good part of a run by themselves are hot: their
//! rows are left where they are, in the map outputs, and read from there whenever the group is
//! iterated. So a hot key costs no sort and no copy.

use crate::by_hash::ByHash;
use crate::external::{ExternalSort, SortedRows};
use crate::group::{GroupVecs, Groups};
use crate::hash::Hashed;
use crate::map_output::{Chunk, MapOutputs};
use crate::meter::Meter;
use crate::order::sort_stable_by_hash;
use crate::run::{Batches, RunFile, fail};
use crate::values::{Group, Reread};
use emberline_core::bounds::{Key, Stored};
use emberline_core::ids::ShuffleId;
use emberline_core::size::estimate_rows;
use emberline_core::step::or_raise;
use emberline_core::task::TaskContext;
use std::collections::{HashMap, VecDeque};
use std::iter::{Peekable, from_fn, once};
use std::vec;

/// One slice of some map outputs.
pub struct SliceSource<R> {
    /// The outputs.
    pub outputs: MapOutputs<R>,
    /// Whose they are, if not the task's own.
    pub shuffle: Option<ShuffleId>,
    /// The number of the slice.
    pub segment: usize,
}

impl<R: Stored> SliceSource<R> {
    /// The rows, a chunk at a time.
    fn chunks(&self, task: Option<&TaskContext>) -> impl Iterator<Item = Chunk<R>> + use<R> {
        let mut reader = self.outputs.reader(self.shuffle, self.segment, task.cloned());
        from_fn(move || reader.next_chunk().unwrap_or_else(|error| fail(error)))
    }
}

impl<R> Clone for SliceSource<R> {
    fn clone(&self) -> Self {
        SliceSource { outputs: self.outputs.clone(), ..*self }
    }
}

/// The groups of one slice: in memory if they fit a task's share.
pub enum SliceGroups<K: Key, V: Stored> {
    /// All at once.
    InMemory(Groups<K, V>),
    /// One at a time.
    Streamed(GroupStream<K, V>),
}

impl<K: Key, V: Stored> SliceGroups<K, V> {
    /// Reads a slice. Which way it goes depends on its size and the configuration alone, and both
    /// ways give the same groups in the same order.
    pub fn read(slice: SliceSource<Hashed<K, V>>, task: &TaskContext) -> Self {
        if slice.outputs.segment_bytes(slice.segment) > task.config.operator_bytes() {
            return SliceGroups::Streamed(GroupStream::new(slice, task));
        }
        let chunks: Vec<_> = slice.chunks(Some(task)).collect();
        SliceGroups::InMemory(Groups::of_chunks(&chunks))
    }

    /// Each key with its hash and its values, in order.
    pub fn into_groups(self) -> SliceGroupsIter<K, V> {
        match self {
            SliceGroups::InMemory(groups) => SliceGroupsIter::InMemory(groups.into_vecs()),
            SliceGroups::Streamed(groups) => SliceGroupsIter::Streamed(groups),
        }
    }
}

/// Made by [`SliceGroups::into_groups`].
pub enum SliceGroupsIter<K: Key, V: Stored> {
    /// All are there.
    InMemory(GroupVecs<K, V>),
    /// One is.
    Streamed(GroupStream<K, V>),
}

impl<K: Key, V: Stored> Iterator for SliceGroupsIter<K, V> {
    type Item = (u64, K, Group<V>);

    #[inline]
    fn next(&mut self) -> Option<(u64, K, Group<V>)> {
        match self {
            SliceGroupsIter::InMemory(groups) => {
                groups.next().map(|(hash, key, values)| (hash, key, Group::new(values)))
            }
            SliceGroupsIter::Streamed(groups) => groups.next(),
        }
    }
}

/// Each key with its hash and its values, in the order that [`Groups`] promises.
pub struct GroupStream<K: Key, V: Stored> {
    rows: Peekable<SortedByHash<K, V>>,
    /// The hot hashes to come, with their keys.
    hot: Peekable<vec::IntoIter<HotHash<K>>>,
    /// The rest of the keys of one hash that unequal keys share.
    of_hash: VecDeque<(u64, K, Group<V>)>,
    slice: SliceSource<Hashed<K, V>>,
    task: TaskContext,
}

type SortedByHash<K, V> = SortedRows<Hashed<K, V>, ByHash>;

/// The keys of one hash in the order of their first occurrence, and how many rows each has.
type HotKeys<K> = Vec<(K, usize)>;
type HotHash<K> = (u64, HotKeys<K>);

/// A hash is hot if it has so large a part of the rows of a run: one in this many.
const HOT_PART: usize = 8;

impl<K: Key, V: Stored> GroupStream<K, V> {
    fn new(slice: SliceSource<Hashed<K, V>>, task: &TaskContext) -> Self {
        let mut sorting = Sorting::new(task);
        for chunk in slice.chunks(Some(task)) {
            match chunk {
                Chunk::Shared(rows) => rows.iter().for_each(|row| sorting.push_shared(row)),
                Chunk::Owned(rows) => rows.into_iter().for_each(|row| sorting.push(row)),
            }
        }
        let (rows, hot) = sorting.finish();
        let (rows, hot) = (rows.peekable(), hot.peekable());
        GroupStream { rows, hot, of_hash: VecDeque::new(), slice, task: task.clone() }
    }

    /// The groups of the next hash, which is hot: their rows stay in the slice.
    fn next_hot(&mut self, hash: u64, keys: HotKeys<K>) -> Option<(u64, K, Group<V>)> {
        // Rows that came before the hash was hot lie in runs too, and were not counted yet.
        let mut all = HotKeys::new();
        while let Some(row) = self.rows.next_if(|row| row.hash == hash) {
            count(&mut all, &row.key, 1);
        }
        keys.iter().for_each(|(key, rows)| count(&mut all, key, *rows));
        let slice = &self.slice;
        self.of_hash.extend(all.into_iter().map(|(key, rows)| {
            let values = HotValues { slice: slice.clone(), hash, key: key.clone() };
            (hash, key, Group::reread(rows, values))
        }));
        self.of_hash.pop_front()
    }

    /// The groups of the next hash, which is not hot: their rows come one behind the other.
    fn next_sorted(&mut self) -> Option<(u64, K, Group<V>)> {
        let Hashed { hash, key, value } = self.rows.next()?;
        let mut others: VecDeque<(u64, K, Vec<V>)> = VecDeque::new();
        let (mut values, mut meter) = (vec![value], Meter::new(self.task.config.operator_bytes()));
        let mut group = None;
        while let Some(value) = next_of(&mut self.rows, &mut others, hash, &key) {
            values.push(value);
            if meter.is_due() && meter.reached(estimate_rows(&values)) {
                // Large, but spread so thinly over the runs that it was not hot in any.
                let rest = from_fn(|| next_of(&mut self.rows, &mut others, hash, &key));
                let rest = Batches::new(rest, &self.task);
                let file =
                    RunFile::write(once(std::mem::take(&mut values)).chain(rest), &self.task);
                let file = or_raise(file);
                group = Some(Group::reread(file.len(), file));
                break;
            }
        }
        self.of_hash = others.into_iter().map(|(h, key, all)| (h, key, Group::new(all))).collect();
        Some((hash, key, group.unwrap_or_else(|| Group::new(values))))
    }
}

/// The next row of `key`. Rows of other keys with its hash are put aside.
fn next_of<K: Eq, V>(
    rows: &mut Peekable<impl Iterator<Item = Hashed<K, V>>>,
    others: &mut VecDeque<(u64, K, Vec<V>)>,
    hash: u64,
    key: &K,
) -> Option<V> {
    loop {
        let row = rows.next_if(|row| row.hash == hash)?;
        if row.key == *key {
            return Some(row.value);
        }
        match others.iter_mut().find(|(_, other, _)| *other == row.key) {
            Some((_, _, values)) => values.push(row.value),
            None => others.push_back((hash, row.key, vec![row.value])),
        }
    }
}

impl<K: Key, V: Stored> Iterator for GroupStream<K, V> {
    type Item = (u64, K, Group<V>);

    fn next(&mut self) -> Option<(u64, K, Group<V>)> {
        if let Some(group) = self.of_hash.pop_front() {
            return Some(group);
        }
        let next = self.rows.peek().map(|row| row.hash);
        match self.hot.next_if(|(hot, _)| next.is_none_or(|next| *hot <= next)) {
            Some((hash, keys)) => self.next_hot(hash, keys),
            None => self.next_sorted(),
        }
    }
}

/// Rows on their way into runs, without those that are hot.
struct Sorting<K: Key, V: Stored> {
    rows: Vec<Hashed<K, V>>,
    meter: Meter,
    runs: ExternalSort<Hashed<K, V>, ByHash>,
    /// What came of each hash since it is hot.
    hot: HashMap<u64, HotKeys<K>>,
}

impl<K: Key, V: Stored> Sorting<K, V> {
    fn new(task: &TaskContext) -> Self {
        let meter = Meter::of(task, task.config.operator_bytes());
        let runs = ExternalSort::new(ByHash, task);
        Sorting { rows: Vec::new(), meter, runs, hot: HashMap::new() }
    }

    #[inline]
    fn push(&mut self, row: Hashed<K, V>) {
        if self.is_hot(&row) {
            return;
        }
        self.rows.push(row);
        if self.meter.is_due() && self.meter.reached(estimate_rows(&self.rows)) {
            self.cut();
        }
    }

    /// As [`push`](Sorting::push), for a row that others may read too.
    #[inline]
    fn push_shared(&mut self, row: &Hashed<K, V>) {
        if !self.is_hot(row) {
            self.push(row.clone());
        }
    }

    /// Whether the row's hash is hot: then it was counted, and stays where it is.
    #[inline]
    fn is_hot(&mut self, row: &Hashed<K, V>) -> bool {
        if self.hot.is_empty() {
            return false;
        }
        let keys = self.hot.get_mut(&row.hash);
        keys.map(|keys| count(keys, &row.key, 1)).is_some()
    }

    /// Makes a run of the rows, but for those whose hash has a good part of them: it is hot from now
    /// on.
    fn cut(&mut self) {
        let rows = sort_stable_by_hash(std::mem::take(&mut self.rows));
        let least = rows.len().div_ceil(HOT_PART);
        for some in rows.chunk_by(|a, b| a.hash == b.hash).filter(|some| some.len() >= least) {
            let keys = self.hot.entry(some[0].hash).or_default();
            some.iter().for_each(|row| count(keys, &row.key, 1));
        }
        let rest = rows.into_iter().filter(|row| !self.hot.contains_key(&row.hash));
        let rest: Vec<_> = rest.collect();
        if !rest.is_empty() {
            self.runs.push_run(rest);
        }
    }

    fn finish(mut self) -> (SortedByHash<K, V>, vec::IntoIter<HotHash<K>>) {
        self.rows.into_iter().for_each(|row| self.runs.push(row));
        let mut hot: Vec<_> = self.hot.into_iter().collect();
        hot.sort_unstable_by_key(|(hash, _)| *hash);
        (self.runs.finish(), hot.into_iter())
    }
}

fn count<K: Key>(keys: &mut HotKeys<K>, key: &K, rows: usize) {
    match keys.iter_mut().find(|(known, _)| known == key) {
        Some((_, known)) => *known += rows,
        None => keys.push((key.clone(), rows)),
    }
}

/// The values of a hot key, read from the slice they lie in.
struct HotValues<K, V> {
    slice: SliceSource<Hashed<K, V>>,
    hash: u64,
    key: K,
}

impl<K: Key, V: Stored> Reread<V> for HotValues<K, V> {
    fn read(&self) -> Box<dyn Iterator<Item = V>> {
        let (hash, key) = (self.hash, self.key.clone());
        let chunks = self.slice.chunks(None);
        Box::new(chunks.flat_map(move |chunk| ValuesOf { chunk, at: 0, hash, key: key.clone() }))
    }
}

/// The values of one key in a chunk.
struct ValuesOf<K, V> {
    chunk: Chunk<Hashed<K, V>>,
    at: usize,
    hash: u64,
    key: K,
}

impl<K: Key, V: Stored> Iterator for ValuesOf<K, V> {
    type Item = V;

    fn next(&mut self) -> Option<V> {
        let rest = &self.chunk.rows()[self.at..];
        let is_wanted = |row: &Hashed<K, V>| row.hash == self.hash && row.key == self.key;
        let found = rest.iter().position(is_wanted)?;
        self.at += found + 1;
        Some(rest[found].value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_of;
    use crate::map_output::MapOutputBuilder;
    use emberline_core::config::Config;
    use proptest::prelude::*;

    type Rows = Vec<(u64, u32, Vec<u64>)>;

    fn tiny(shuffle_to_files: bool) -> TaskContext {
        TaskContext::alone(Config { budget_bytes: 1 << 20, shuffle_to_files, ..Config::default() })
    }

    /// Entries of these keys, their hashes at most so many if they need not be in a file.
    fn entries(keys: &[u32], hashes: u64) -> Vec<Hashed<u32, u64>> {
        let entry =
            |(value, key): (u64, &u32)| Hashed { hash: hash_of(key) % hashes, key: *key, value };
        (0..).zip(keys).map(entry).collect()
    }

    /// A slice that lies in several map outputs.
    fn slice(entries: &[Hashed<u32, u64>], task: &TaskContext) -> SliceSource<Hashed<u32, u64>> {
        let outputs = MapOutputs::new(3);
        for (at, some) in
            (0..3).zip(entries.chunks(entries.len().div_ceil(3).max(1)).chain([&[][..]; 3]))
        {
            let mut output = MapOutputBuilder::new(1);
            output.add_run(vec![some.to_vec()], task).unwrap();
            outputs.put(at, output.finish(task).unwrap());
        }
        SliceSource { outputs, shuffle: None, segment: 0 }
    }

    fn streamed(entries: &[Hashed<u32, u64>], task: &TaskContext) -> Rows {
        let groups = GroupStream::new(slice(entries, task), task);
        groups.map(|(hash, key, group)| (hash, key, group.into_iter().collect())).collect()
    }

    fn in_memory(entries: Vec<Hashed<u32, u64>>) -> Rows {
        Groups::new(entries).into_vecs().collect()
    }

    #[test]
    fn a_hot_key_is_read_where_it_lies_again_and_again() {
        for files in [false, true] {
            let task = tiny(files);
            let keys: Vec<u32> = (0..60_000).map(|n| if n % 100 == 0 { n } else { 7 }).collect();
            let entries = entries(&keys, u64::MAX);
            let slice = slice(&entries, &task);
            let spilled = task.metrics().bytes_spilled;
            let mut groups = GroupStream::new(slice, &task);
            let (_, _, hot) = groups.find(|(_, key, _)| *key == 7).unwrap();
            assert!(hot.as_slice().is_err(), "it is not in memory");
            assert!(task.metrics().bytes_spilled - spilled < 20_000, "nor copied");
            let expected: Vec<u64> = (0..60_000).filter(|n| n % 100 != 0).collect();
            assert_eq!((hot.len(), hot.iter().len()), (expected.len(), expected.len()));
            assert!(hot.iter().eq(expected.clone()) && hot.iter().eq(expected.clone()));
            let (again, gone) = (hot.clone(), hot);
            drop((gone, groups));
            assert!(again.into_iter().eq(expected));
            assert_eq!(streamed(&entries, &task), in_memory(entries));
        }
    }

    #[test]
    fn a_key_that_gets_hot_late_and_one_that_is_large_but_never_hot_are_whole() {
        let late = (0..40_000).map(|n| if n < 20_000 { n / 3 } else { 5 });
        let thin = (0..90_000).map(|n| if n % 12 == 0 { 9_999_999 } else { n });
        for keys in [late.collect::<Vec<u32>>(), thin.collect()] {
            let entries = entries(&keys, u64::MAX);
            for files in [false, true] {
                assert_eq!(streamed(&entries, &tiny(files)), in_memory(entries.clone()));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Few distinct hashes, so that unequal keys of equal hash are common; so few rows stay in memory,
        /// since one that was in a file has the hash of its key again.
        #[test]
        fn streamed_groups_are_those_in_memory(
            keys in prop::collection::vec(0_u32..40, 0..4000),
            hashes in prop_oneof![1_u64..60, Just(u64::MAX)],
        ) {
            let entries = entries(&keys, hashes);
            let config = Config { task_share_bytes: 1, ..Config::default() };
            let task = TaskContext::alone(config);
            prop_assert_eq!(streamed(&entries, &task), in_memory(entries));
        }
    }
}
