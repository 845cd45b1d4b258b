//! A merge join: an inner join of two sides whose rows are in the order of their hash. Only the
//! rows of a hash that has several are held in memory.

use crate::group::sorted::SortedGroups;
use crate::group::values::{Group, GroupValues};
use crate::join::cross_product::{CrossProduct, GroupRewind};
use crate::keys::hash::Hashed;
use emberline_core::bounds::{Key, Stored};
use emberline_core::task::LoopCheck;
use std::collections::VecDeque;

/// Pairs every left value with every right value of its key: in the order of the hash, then of the
/// left keys, then of the left values.
pub struct MergeJoin<K, V, W, L, R>
where
    K: Key,
    V: Stored,
    W: Stored,
    L: Iterator<Item = Hashed<K, V>>,
    R: Iterator<Item = Hashed<K, W>>,
{
    left: SortedGroups<K, V, L>,
    right: SortedGroups<K, W, R>,
    /// The remaining pairs of a hash that has more than one row on a side.
    waiting: VecDeque<CrossProduct<K, GroupValues<V>, GroupRewind<W>>>,
}

impl<K, V, W, L, R> MergeJoin<K, V, W, L, R>
where
    K: Key,
    V: Stored,
    W: Stored,
    L: Iterator<Item = Hashed<K, V>>,
    R: Iterator<Item = Hashed<K, W>>,
{
    /// Joins two sides.
    pub fn new(left: SortedGroups<K, V, L>, right: SortedGroups<K, W, R>) -> Self {
        MergeJoin { left, right, waiting: VecDeque::new() }
    }

    fn next_waiting(&mut self) -> Option<(K, (V, W))> {
        while let Some(product) = self.waiting.front_mut() {
            if let Some(row) = product.next() {
                return Some(row);
            }
            self.waiting.pop_front();
        }
        None
    }

    /// Joins all rows of a hash, given the first of each side.
    #[cold]
    fn join_groups(&mut self, left: Hashed<K, V>, right: Hashed<K, W>) {
        let mut others: Vec<(K, Group<W>)> = self.right.groups_from(right).collect();
        let mut check = LoopCheck::default();
        for (key, values) in self.left.groups_from(left) {
            check.tick(others.len());
            if let Some(at) = others.iter().position(|(other, _)| *other == key) {
                self.waiting.push_back(CrossProduct::new(key, values, others.swap_remove(at).1));
            }
        }
    }
}

impl<K, V, W, L, R> Iterator for MergeJoin<K, V, W, L, R>
where
    K: Key,
    V: Stored,
    W: Stored,
    L: Iterator<Item = Hashed<K, V>>,
    R: Iterator<Item = Hashed<K, W>>,
{
    type Item = (K, (V, W));

    fn next(&mut self) -> Option<(K, (V, W))> {
        loop {
            if let Some(row) = self.next_waiting() {
                return Some(row);
            }
            let left = self.left.next_hash()?;
            let right = self.right.next_hash()?;
            if left != right {
                match left < right {
                    true => drop(self.left.next_row()),
                    false => drop(self.right.next_row()),
                }
                continue;
            }
            let a = self.left.next_row()?;
            let b = self.right.next_row()?;
            let are_alone =
                self.left.next_hash() != Some(left) && self.right.next_hash() != Some(left);
            if are_alone && a.key == b.key {
                return Some((a.key, (a.value, b.value)));
            }
            self.join_groups(a, b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::hash::hash_of;
    use emberline_core::config::Config;
    use emberline_core::task::TaskContext;
    use proptest::prelude::*;

    /// Returns rows with their numbers as values, in the order of a few hashes.
    fn side(keys: &[u32], hashes: u64) -> Vec<Hashed<u32, usize>> {
        let row =
            |(value, key): (usize, &u32)| Hashed { hash: hash_of(key) % hashes, key: *key, value };
        let mut rows: Vec<_> = keys.iter().enumerate().map(row).collect();
        rows.sort_by_key(|row| row.hash);
        rows
    }

    proptest! {
        // Few distinct hashes, so that unequal keys of equal hash are common.
        #[test]
        fn rows_are_those_of_a_nested_loop_over_keys_in_the_order_of_the_left(
            left in prop::collection::vec(0_u32..30, 0..60),
            right in prop::collection::vec(10_u32..40, 0..60),
            hashes in prop_oneof![1_u64..40, Just(u64::MAX)],
        ) {
            let (left, right) = (side(&left, hashes), side(&right, hashes));
            let mut expected = Vec::new();
            for of_hash in left.chunk_by(|a, b| a.hash == b.hash) {
                let mut keys: Vec<u32> = Vec::new();
                of_hash.iter().for_each(|row| if !keys.contains(&row.key) { keys.push(row.key) });
                for key in keys {
                    for row in of_hash.iter().filter(|row| row.key == key) {
                        let others = right.iter().filter(|other| other.key == key);
                        expected.extend(others.map(|other| (key, (row.value, other.value))));
                    }
                }
            }
            let task = TaskContext::for_test(Config::default());
            let groups = |rows: Vec<_>| SortedGroups::new(rows.into_iter(), &task);
            let joined: Vec<_> = MergeJoin::new(groups(left), groups(right)).collect();
            prop_assert_eq!(joined, expected);
        }
    }
}
