//! Groups rows of one sub-partition in memory, in the order of their hash.
//!
//! The order depends on the rows alone: keys by hash; unequal keys of one hash in the order of
//! their first occurrence; the values of a key in the order of the input.

use crate::keys::hash::Hashed;
use crate::map_output::reader::Chunk;
use crate::sort::hash_order::{HashOrder, HashRange};
use emberline_core::size::owns_heap;
use emberline_core::task::LoopCheck;
use std::{mem, vec};

/// Groups of rows: all values in one `Vec`, so that a group costs no allocation.
#[derive(Clone, Debug)]
pub struct Groups<K, V> {
    keys: Vec<GroupKey<K>>,
    values: Vec<V>,
}

#[derive(Clone, Debug)]
struct GroupKey<K> {
    hash: u64,
    key: K,
    /// The end of the key's values; they start at the end of those of the previous key.
    end: usize,
}

impl<K: Eq + Clone, V: Clone> Groups<K, V> {
    /// Groups the rows of one list.
    #[cfg(test)]
    pub(crate) fn new(entries: Vec<Hashed<K, V>>) -> Self {
        Groups::of_chunks(&[Chunk::Owned(entries)])
    }

    /// Returns the most memory that grouping `bytes` of rows takes: the rows, the order of their
    /// hashes, and a copy of their keys and values.
    pub(crate) fn grouping_bytes(bytes: u64) -> u64 {
        let most_rows = bytes / size_of::<Hashed<K, V>>() as u64;
        let word = size_of::<u64>();
        // The second list of words is dropped before the first value is cloned.
        let extra = word + word.max(size_of::<V>() + size_of::<GroupKey<K>>());
        let cloned = if owns_heap::<(K, V)>() { bytes } else { 0 };
        let extra = most_rows.saturating_mul(extra as u64);
        bytes.saturating_add(extra).saturating_add(cloned)
    }

    /// Groups the rows of some chunks: each value is cloned to its final index, once unless hashes
    /// are so similar that the first order was wrong.
    pub fn of_chunks(chunks: &[Chunk<Hashed<K, V>>]) -> Self {
        let chunks: Vec<&[Hashed<K, V>]> = chunks.iter().map(Chunk::rows).collect();
        let numbers = Numbers::of(&chunks);
        let row = |number| numbers.row(&chunks, number);
        let mut order = numbers.hash_order(&chunks);
        Groups::in_order(&order, row).unwrap_or_else(|| {
            order.refine(&|number| row(number).hash);
            Groups::in_order(&order, row).expect("the refined order compares all bits of a hash")
        })
    }

    /// Groups rows in a given order. Returns nothing if it is not the order of the hash, which it
    /// always is after [`refine`](HashOrder::refine).
    fn in_order<'a>(order: &HashOrder, row: impl Fn(usize) -> &'a Hashed<K, V>) -> Option<Self>
    where
        K: 'a,
        V: 'a,
    {
        let mut in_order = order.indexes().map(row).peekable();
        // Hashes that seemed equal and are not must not make the list grow to twice its size.
        let keys = order.distinct_hashes();
        let keys = Vec::with_capacity((keys + keys / 256 + 8).min(order.len()));
        let mut groups = Groups { keys, values: Vec::with_capacity(order.len()) };
        let mut others = Vec::new();
        let mut last = 0;
        while let Some(first) = in_order.next() {
            if first.hash < mem::replace(&mut last, first.hash) {
                return None;
            }
            groups.values.push(first.value.clone());
            while let Some(row) = in_order.next_if(|row| row.hash == first.hash) {
                match row.key == first.key {
                    true => groups.values.push(row.value.clone()),
                    false => others.push(row),
                }
            }
            groups.end_group(first);
            if !others.is_empty() {
                groups.push_mixed(&mut others);
            }
        }
        Some(groups)
    }

    /// Ends the group of the values that were added last.
    #[inline]
    fn end_group(&mut self, first: &Hashed<K, V>) {
        let key = first.key.clone();
        self.keys.push(GroupKey { hash: first.hash, key, end: self.values.len() });
    }

    /// Adds the rows of other keys of one hash. These are rare unless the user's `Hash` is poor;
    /// then this compares every row with every distinct key.
    #[cold]
    fn push_mixed(&mut self, rows: &mut Vec<&Hashed<K, V>>) {
        let mut by_key: Vec<Vec<&Hashed<K, V>>> = Vec::new();
        let mut check = LoopCheck::default();
        for row in rows.drain(..) {
            check.tick(by_key.len());
            match by_key.iter_mut().find(|group| group[0].key == row.key) {
                Some(group) => group.push(row),
                None => by_key.push(vec![row]),
            }
        }
        for group in by_key {
            self.values.extend(group.iter().map(|row| row.value.clone()));
            self.end_group(group[0]);
        }
    }
}

/// Numbers of the rows of some chunks: the index of the chunk, and in the low bits that of the row
/// in it.
#[derive(Clone, Copy)]
struct Numbers {
    row_bits: u32,
    /// All numbers are below it.
    count: usize,
}

impl Numbers {
    fn of<R>(chunks: &[&[R]]) -> Self {
        let longest = chunks.iter().map(|rows| rows.len()).max().unwrap_or(0);
        let row_bits = usize::BITS - usize::saturating_sub(longest, 1).leading_zeros();
        Numbers { row_bits, count: chunks.len() << row_bits }
    }

    #[inline]
    fn row<'a, R>(self, chunks: &[&'a [R]], number: usize) -> &'a R {
        &chunks[number >> self.row_bits][number & ((1 << self.row_bits) - 1)]
    }

    /// Returns the order of all rows by their hash.
    fn hash_order<K, V>(self, chunks: &[&[Hashed<K, V>]]) -> HashOrder {
        let mut range = HashRange::new();
        let mut count = 0;
        for rows in chunks {
            count += rows.len();
            for row in *rows {
                range.add(row.hash);
            }
        }
        let encoder = range.encoder(self.count);
        let mut words = Vec::with_capacity(count);
        for (chunk, rows) in chunks.iter().enumerate() {
            let first = chunk << self.row_bits;
            words.extend(
                rows.iter().enumerate().map(|(at, row)| encoder.word(first | at, row.hash)),
            );
        }
        HashOrder::new(words, encoder)
    }
}

impl<K, V> Groups<K, V> {
    /// Returns the group of a number, in the order of this module.
    #[inline]
    pub(crate) fn group(&self, number: usize) -> Option<(u64, &K, &[V])> {
        let GroupKey { hash, key, end } = self.keys.get(number)?;
        Some((*hash, key, &self.values[self.start_of(number)..*end]))
    }

    /// Returns each key with its hash and values, from the group of a number on.
    pub(crate) fn iter_from(&self, number: usize) -> GroupsIter<'_, K, V> {
        let number = number.min(self.keys.len());
        let start = self.start_of(number);
        GroupsIter { keys: self.keys[number..].iter(), values: &self.values, start }
    }

    fn start_of(&self, number: usize) -> usize {
        number.checked_sub(1).map_or(0, |before| self.keys[before].end)
    }

    /// Returns each key with its hash and a `Vec` of its values, which are moved.
    pub fn into_vecs(self) -> GroupVecs<K, V> {
        GroupVecs { keys: self.keys.into_iter(), values: self.values.into_iter(), start: 0 }
    }
}

/// The iterator of [`Groups::iter_from`].
#[derive(Clone)]
pub(crate) struct GroupsIter<'a, K, V> {
    keys: std::slice::Iter<'a, GroupKey<K>>,
    values: &'a [V],
    start: usize,
}

impl<'a, K, V> Iterator for GroupsIter<'a, K, V> {
    type Item = (u64, &'a K, &'a [V]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let GroupKey { hash, key, end } = self.keys.next()?;
        let values = &self.values[self.start..*end];
        self.start = *end;
        Some((*hash, key, values))
    }
}

/// The iterator of [`Groups::into_vecs`].
#[derive(Debug)]
pub struct GroupVecs<K, V> {
    keys: vec::IntoIter<GroupKey<K>>,
    values: vec::IntoIter<V>,
    start: usize,
}

impl<K, V> Iterator for GroupVecs<K, V> {
    type Item = (u64, K, Vec<V>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let GroupKey { hash, key, end } = self.keys.next()?;
        let values = self.values.by_ref().take(end - self.start).collect();
        self.start = end;
        Some((hash, key, values))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.keys.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::hash::hash_of;
    use proptest::prelude::*;

    fn entry<V>(hash: u64, key: u32, value: V) -> Hashed<u32, V> {
        Hashed { hash, key, value }
    }

    /// Returns rows in chunks of these sizes, and the rest in one more.
    fn chunks(
        mut rows: Vec<Hashed<u32, usize>>,
        sizes: &[usize],
    ) -> Vec<Chunk<Hashed<u32, usize>>> {
        let mut chunks = Vec::new();
        for size in sizes {
            let rest = rows.split_off((*size).min(rows.len()));
            chunks.push(Chunk::Owned(mem::replace(&mut rows, rest)));
        }
        chunks.push(Chunk::Owned(rows));
        chunks
    }

    /// Groups rows as the module documents, by a simple algorithm.
    fn model(entries: &[Hashed<u32, usize>]) -> Vec<(u64, u32, Vec<usize>)> {
        let mut groups: Vec<(u64, u32, Vec<usize>)> = Vec::new();
        for e in entries {
            match groups.iter_mut().find(|group| group.1 == e.key) {
                Some(group) => group.2.push(e.value),
                None => groups.push((e.hash, e.key, vec![e.value])),
            }
        }
        groups.sort_by_key(|group| group.0);
        groups
    }

    proptest! {
        // Few distinct hashes, so that unequal keys of equal hash are common.
        #[test]
        fn groups_are_in_hash_order_with_values_in_arrival_order(
            keys in prop::collection::vec(0_u32..40, 0..300),
            hashes in 1_u64..60,
        ) {
            let numbered = keys.iter().enumerate();
            let entries: Vec<_> =
                numbered.map(|(at, key)| entry(hash_of(key) % hashes, *key, at)).collect();
            let expected = model(&entries);
            let groups = Groups::new(entries);
            for from in 0..=expected.len() {
                let borrowed = groups.iter_from(from).map(|(h, k, vs)| (h, *k, vs.to_vec()));
                prop_assert!(borrowed.eq(expected[from..].iter().cloned()));
            }
            prop_assert_eq!(groups.into_vecs().collect::<Vec<_>>(), expected);
        }

        // The bits in which they differ do not fit in a word with a row number: the first order is
        // wrong.
        #[test]
        fn hashes_that_differ_in_their_last_bits_are_in_order_for_any_chunks(
            keys in prop::collection::vec(0_u32..40, 0..300),
            sizes in prop::collection::vec(0_usize..50, 0..8),
        ) {
            let far_apart = |key: u32| [0, 1 << 63, u64::MAX - 4][key as usize % 3] + u64::from(key % 5);
            let numbered = keys.iter().enumerate();
            let entries: Vec<_> =
                numbered.map(|(at, key)| entry(far_apart(*key), *key, at)).collect();
            let expected = model(&entries);
            let groups = Groups::of_chunks(&chunks(entries, &sizes));
            prop_assert_eq!(groups.into_vecs().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn each_value_is_cloned_once() {
        let value = std::sync::Arc::new(());
        let entries: Vec<_> =
            (0..6).map(|n| entry(u64::from(n % 2), n % 2, value.clone())).collect();
        let groups = Groups::of_chunks(&[Chunk::Owned(entries)]);
        assert_eq!(std::sync::Arc::strong_count(&value), 7);
        let vecs = groups.into_vecs().map(|(_, _, values)| values.len()).collect::<Vec<_>>();
        assert_eq!(vecs, [3, 3]);
    }
}
