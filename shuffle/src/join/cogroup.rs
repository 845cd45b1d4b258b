//! Pairs the groups of two inputs: the basis of joins and cogroups.

use emberline_core::task::LoopCheck;
use std::collections::VecDeque;
use std::iter::Peekable;

/// Pairs the groups of two sides, each in the order of the hash. It yields each key of either side
/// with the values of both, in the order of the hash; keys of one hash in the order of the left
/// side and then of the right. A side that does not have the key yields its default.
pub fn into_co_groups<K: Eq, A: Default, B: Default, L, R>(
    left: L,
    right: R,
) -> CoGroups<K, A, B, L, R>
where
    L: Iterator<Item = (u64, K, A)>,
    R: Iterator<Item = (u64, K, B)>,
{
    CoGroups { left: left.peekable(), right: right.peekable(), waiting: VecDeque::new() }
}

/// The iterator of [`into_co_groups`].
pub struct CoGroups<K, A, B, L, R>
where
    L: Iterator<Item = (u64, K, A)>,
    R: Iterator<Item = (u64, K, B)>,
{
    left: Peekable<L>,
    right: Peekable<R>,
    /// The remaining keys of a hash that several keys share.
    waiting: VecDeque<(K, A, B)>,
}

impl<K: Eq, A: Default, B: Default, L, R> CoGroups<K, A, B, L, R>
where
    L: Iterator<Item = (u64, K, A)>,
    R: Iterator<Item = (u64, K, B)>,
{
    fn next_left(&mut self) -> Option<(K, A, B)> {
        self.left.next().map(|(_, key, values)| (key, values, B::default()))
    }

    fn next_right(&mut self) -> Option<(K, A, B)> {
        self.right.next().map(|(_, key, values)| (key, A::default(), values))
    }

    /// Pairs the keys of `hash`, which both sides have: nearly always one key each, and the same.
    #[inline]
    fn next_both(&mut self, hash: u64) -> Option<(K, A, B)> {
        let (_, key, a) = self.left.next()?;
        let (_, other, b) = self.right.next()?;
        let ends = self.left.peek().is_none_or(|(next, ..)| *next != hash)
            && self.right.peek().is_none_or(|(next, ..)| *next != hash);
        if ends && key == other {
            return Some((key, a, b));
        }
        self.waiting.push_back((key, a, B::default()));
        self.queue_shared_hash(hash, (other, b));
        self.waiting.pop_front()
    }

    #[cold]
    fn queue_shared_hash(&mut self, hash: u64, first_right: (K, B)) {
        while let Some((_, key, a)) = self.left.next_if(|(next, ..)| *next == hash) {
            self.waiting.push_back((key, a, B::default()));
        }
        let mut right = Some(first_right);
        let mut check = LoopCheck::default();
        while let Some((key, b)) = right {
            check.tick(self.waiting.len());
            match self.waiting.iter_mut().find(|(known, ..)| *known == key) {
                Some((_, _, values)) => *values = b,
                None => self.waiting.push_back((key, A::default(), b)),
            }
            right = self.right.next_if(|(next, ..)| *next == hash).map(|(_, key, b)| (key, b));
        }
    }
}

impl<K: Eq, A: Default, B: Default, L, R> Iterator for CoGroups<K, A, B, L, R>
where
    L: Iterator<Item = (u64, K, A)>,
    R: Iterator<Item = (u64, K, B)>,
{
    type Item = (K, A, B);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(next) = self.waiting.pop_front() {
            return Some(next);
        }
        let left = self.left.peek().map(|(hash, ..)| *hash);
        let right = self.right.peek().map(|(hash, ..)| *hash);
        match (left, right) {
            (Some(left), Some(right)) if left == right => self.next_both(left),
            (Some(left), Some(right)) if left < right => self.next_left(),
            (Some(_), None) => self.next_left(),
            _ => self.next_right(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::in_memory::Groups;
    use crate::keys::hash::{Hashed, hash_of};
    use proptest::prelude::*;

    type Triples = Vec<(u32, Vec<usize>, Vec<usize>)>;

    fn groups(keys: &[u32], hashes: u64) -> Groups<u32, usize> {
        let numbered = keys.iter().enumerate();
        Groups::new(
            numbered
                .map(|(value, key)| Hashed { hash: hash_of(key) % hashes, key: *key, value })
                .collect(),
        )
    }

    /// Pairs groups as the module documents, by a simple algorithm.
    fn model(left: &Groups<u32, usize>, right: &Groups<u32, usize>) -> Triples {
        let mut all: Vec<(u64, u32, Vec<usize>, Vec<usize>)> = left
            .iter_from(0)
            .map(|(hash, key, values)| (hash, *key, values.to_vec(), vec![]))
            .collect();
        for (hash, key, values) in right.iter_from(0) {
            match all.iter_mut().find(|group| group.1 == *key) {
                Some(group) => group.3 = values.to_vec(),
                None => all.push((hash, *key, vec![], values.to_vec())),
            }
        }
        all.sort_by_key(|group| group.0);
        all.into_iter().map(|(_, key, left, right)| (key, left, right)).collect()
    }

    proptest! {
        #[test]
        fn the_sides_are_paired_by_key_in_the_documented_order(
            left in prop::collection::vec(0_u32..40, 0..120),
            right in prop::collection::vec(20_u32..60, 0..120),
            hashes in prop_oneof![1_u64..50, Just(u64::MAX)],
        ) {
            let (left, right) = (groups(&left, hashes), groups(&right, hashes));
            let expected = model(&left, &right);
            prop_assert_eq!(into_co_groups(left.into_vecs(), right.into_vecs()).collect::<Triples>(), expected);
        }
    }

    #[test]
    fn unequal_keys_of_one_hash_come_left_first() {
        let (left, right) = (groups(&[5, 6], 1), groups(&[7, 6], 1));
        let keys: Vec<u32> =
            into_co_groups(left.into_vecs(), right.into_vecs()).map(|(key, ..)| key).collect();
        assert_eq!(keys, [5, 6, 7]);
    }
}
