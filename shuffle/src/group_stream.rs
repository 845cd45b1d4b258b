//! The groups of more rows than a task may hold: sorted by hash in runs, and one group at a time.

use crate::by_hash::ByHash;
use crate::external::{ExternalSort, SortedRows};
use crate::group::{GroupVecs, Groups};
use crate::hash::Hashed;
use crate::map_output::{Chunk, SegmentReader};
use crate::meter::Meter;
use crate::run::{Batches, RunFile};
use crate::values::Group;
use emberline_core::bounds::{Key, Stored};
use emberline_core::size::estimate_rows;
use emberline_core::step::or_raise;
use emberline_core::task::TaskContext;
use std::collections::VecDeque;
use std::iter::{Peekable, from_fn, once};

/// Each key with its hash and its values, in the order that [`Groups`](crate::Groups) promises. The
/// values of one key stay in memory up to a size, and go to a file of their own beyond it.
pub struct GroupStream<K: Key, V: Stored> {
    rows: Peekable<SortedRows<Hashed<K, V>, ByHash>>,
    /// The rest of the keys of one hash that unequal keys share.
    of_hash: VecDeque<(u64, K, Vec<V>)>,
    task: TaskContext,
}

impl<K: Key, V: Stored> GroupStream<K, V> {
    /// Sorts rows inside the share of `task`.
    pub fn new(rows: impl Iterator<Item = Hashed<K, V>>, task: &TaskContext) -> Self {
        let mut sort = ExternalSort::new(ByHash, task);
        rows.for_each(|row| sort.push(row));
        GroupStream::of_sorted(sort.finish(), task)
    }

    fn of_sorted(rows: SortedRows<Hashed<K, V>, ByHash>, task: &TaskContext) -> Self {
        GroupStream { rows: rows.peekable(), of_hash: VecDeque::new(), task: task.clone() }
    }

    /// The next row of `key`. Rows of other keys with its hash are put aside.
    fn next_of(&mut self, hash: u64, key: &K) -> Option<V> {
        loop {
            let row = self.rows.next_if(|row| row.hash == hash)?;
            if row.key == *key {
                return Some(row.value);
            }
            match self.of_hash.iter_mut().find(|(_, other, _)| *other == row.key) {
                Some((_, _, values)) => values.push(row.value),
                None => self.of_hash.push_back((hash, row.key, vec![row.value])),
            }
        }
    }
}

impl<K: Key, V: Stored> Iterator for GroupStream<K, V> {
    type Item = (u64, K, Group<V>);

    fn next(&mut self) -> Option<(u64, K, Group<V>)> {
        if let Some((hash, key, values)) = self.of_hash.pop_front() {
            return Some((hash, key, Group::new(values)));
        }
        let Hashed { hash, key, value } = self.rows.next()?;
        let (mut values, mut meter) = (vec![value], Meter::new(self.task.config.operator_bytes()));
        while let Some(value) = self.next_of(hash, &key) {
            values.push(value);
            if meter.is_due() && meter.reached(estimate_rows(&values)) {
                let task = self.task.clone();
                let rest = Batches::new(from_fn(|| self.next_of(hash, &key)), &task);
                let file = or_raise(RunFile::write(once(values).chain(rest), &task));
                return Some((hash, key, Group::in_file(file)));
            }
        }
        Some((hash, key, Group::new(values)))
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
    /// Reads a slice, whose rows take `bytes` bytes in memory. Which way it goes depends on that
    /// and the configuration alone, and both ways give the same groups in the same order.
    pub fn read(mut rows: SegmentReader<Hashed<K, V>>, bytes: u64, task: &TaskContext) -> Self {
        let mut chunks = from_fn(move || or_raise(rows.next_chunk()));
        if bytes <= task.config.operator_bytes() {
            let chunks: Vec<_> = chunks.collect();
            return SliceGroups::InMemory(Groups::of_chunks(&chunks));
        }
        let mut sort = ExternalSort::new(ByHash, task);
        chunks.by_ref().for_each(|chunk| match chunk {
            Chunk::Shared(rows) => rows.iter().for_each(|row| sort.push(row.clone())),
            Chunk::Owned(rows) => rows.into_iter().for_each(|row| sort.push(row)),
        });
        SliceGroups::Streamed(GroupStream::of_sorted(sort.finish(), task))
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

#[cfg(test)]
mod tests {
    use super::*;
    use emberline_core::config::Config;
    use proptest::prelude::*;

    type Rows = Vec<(u64, u32, Vec<u64>)>;

    fn entries(keys: &[u32], hashes: u64) -> Vec<Hashed<u32, u64>> {
        let hash = |key: &u32| crate::hash::hash_of(key) % hashes;
        let entry = |(value, key): (u64, &u32)| Hashed { hash: hash(key), key: *key, value };
        (0..).zip(keys).map(entry).collect()
    }

    fn streamed(entries: &[Hashed<u32, u64>], task: &TaskContext) -> Rows {
        let groups = GroupStream::new(entries.iter().cloned(), task);
        groups.map(|(hash, key, group)| (hash, key, group.into_iter().collect())).collect()
    }

    fn in_memory(entries: Vec<Hashed<u32, u64>>) -> Rows {
        Groups::new(entries).into_vecs().collect()
    }

    fn tiny(shuffle_to_files: bool) -> TaskContext {
        TaskContext::alone(Config { budget_bytes: 1 << 20, shuffle_to_files, ..Config::default() })
    }

    #[test]
    fn one_key_with_more_rows_than_the_share_is_read_from_a_file_again_and_again() {
        for files in [false, true] {
            let task = tiny(files);
            let keys: Vec<u32> = (0..60_000).map(|n| if n % 100 == 0 { n } else { 7 }).collect();
            let entries = entries(&keys, u64::MAX);
            let mut groups = GroupStream::new(entries.iter().cloned(), &task);
            let (_, _, hot) = groups.find(|(_, key, _)| *key == 7).unwrap();
            assert!(hot.as_slice().is_err(), "it is in a file");
            let expected: Vec<u64> = (0..60_000).filter(|n| n % 100 != 0).collect();
            assert_eq!((hot.len(), hot.iter().len()), (expected.len(), expected.len()));
            assert!(hot.iter().eq(expected.clone()) && hot.iter().eq(expected.clone()));
            let (again, gone) = (hot.clone(), hot);
            drop(gone);
            assert!(again.into_iter().eq(expected));
            assert_eq!(streamed(&entries, &task), in_memory(entries));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Few distinct hashes, so that unequal keys of equal hash are common.
        #[test]
        fn streamed_groups_are_those_in_memory(
            keys in prop::collection::vec(0_u32..40, 0..5000),
            hashes in prop_oneof![1_u64..60, Just(u64::MAX)],
        ) {
            // As the codec does, a row that was in a file has the hash of its key.
            let hashes = if keys.len() > 1000 { u64::MAX } else { hashes };
            let entries = entries(&keys, hashes);
            prop_assert_eq!(streamed(&entries, &tiny(false)), in_memory(entries));
        }
    }
}
