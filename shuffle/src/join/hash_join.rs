//! An inner join of two sides that are grouped in memory.

use crate::group::in_memory::Groups;
use emberline_core::task::LoopCheck;

/// Pairs every left value with every right value of its key: in the order of the hash, then of the
/// left keys, then of the left values. A key costs no allocation.
pub struct HashJoin<K, V, W> {
    left: Groups<K, V>,
    right: Groups<K, W>,
    /// The current group of the left side, and its next value.
    left_group: usize,
    left_value: usize,
    /// The first right group whose hash is not less than that of the left group.
    right_start: usize,
    /// The current group of the right side, and its next value.
    right_group: usize,
    right_value: usize,
    /// Many keys of one hash may have no pair.
    check: LoopCheck,
}

impl<K, V, W> HashJoin<K, V, W> {
    /// Joins two sides.
    pub fn new(left: Groups<K, V>, right: Groups<K, W>) -> Self {
        HashJoin {
            left,
            right,
            left_group: 0,
            left_value: 0,
            right_start: 0,
            right_group: 0,
            right_value: 0,
            check: LoopCheck::default(),
        }
    }
}

impl<K: Eq + Clone, V: Clone, W: Clone> HashJoin<K, V, W> {
    /// Moves to the next pair of groups with one key, starting at the current one.
    fn find_groups(&mut self) -> Option<()> {
        loop {
            let (hash, key, values) = self.left.group(self.left_group)?;
            let right = self.right.group(self.right_group);
            match right {
                Some((other, ..)) if other < hash => {
                    self.right_start += 1;
                    self.right_group = self.right_start;
                }
                Some((other, other_key, _)) if other == hash => {
                    if other_key == key && self.left_value < values.len() {
                        return Some(());
                    }
                    self.right_group += 1;
                    match other_key == key {
                        true => self.next_left(),
                        false => self.check.tick(1),
                    }
                }
                _ => self.next_left(),
            }
        }
    }

    fn next_left(&mut self) {
        self.left_group += 1;
        (self.left_value, self.right_value) = (0, 0);
        self.right_group = self.right_start;
    }
}

/// Returns the values of `key`, if it is among the groups of one hash whose first one has another key.
#[cold]
fn find_after_collision<'a, K: Eq + 'a, W>(
    groups: impl Iterator<Item = (u64, &'a K, &'a [W])>,
    key: &K,
    check: &mut LoopCheck,
) -> Option<&'a [W]> {
    for (_, other, others) in groups {
        check.tick(1);
        if other == key {
            return Some(others);
        }
    }
    None
}

impl<K: Eq + Clone, V: Clone, W: Clone> Iterator for HashJoin<K, V, W> {
    type Item = (K, (V, W));

    fn next(&mut self) -> Option<(K, (V, W))> {
        self.find_groups()?;
        let (_, key, values) = self.left.group(self.left_group)?;
        let (_, _, others) = self.right.group(self.right_group)?;
        let row =
            (key.clone(), (values[self.left_value].clone(), others[self.right_value].clone()));
        self.right_value += 1;
        if self.right_value == others.len() {
            self.right_value = 0;
            self.left_value += 1;
        }
        Some(row)
    }

    fn fold<B, G: FnMut(B, (K, (V, W))) -> B>(mut self, init: B, mut g: G) -> B {
        let mut accumulated = init;
        // `fold` continues the group that `next` has begun.
        while self.left_value > 0 || self.right_value > 0 {
            let Some(row) = self.next() else { return accumulated };
            accumulated = g(accumulated, row);
            self.find_groups();
        }
        let mut rest = self.right.iter_from(self.right_start).peekable();
        for (hash, key, values) in self.left.iter_from(self.left_group) {
            while rest.next_if(|(other, ..)| *other < hash).is_some() {}
            let mut same_hash = rest.clone().take_while(|(other, ..)| *other == hash);
            let others = match same_hash.next() {
                Some((_, other, others)) if other == key => others,
                Some(_) => match find_after_collision(same_hash, key, &mut self.check) {
                    Some(others) => others,
                    None => continue,
                },
                None => continue,
            };
            for value in values {
                for other in others {
                    let row = (key.clone(), (value.clone(), other.clone()));
                    accumulated = g(accumulated, row);
                }
            }
        }
        accumulated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::hash::{Hashed, hash_of};
    use proptest::prelude::*;

    type Rows = Vec<(u32, (usize, usize))>;

    fn groups(keys: &[u32], hashes: u64) -> Groups<u32, usize> {
        let entry =
            |(value, key): (usize, &u32)| Hashed { hash: hash_of(key) % hashes, key: *key, value };
        Groups::new(keys.iter().enumerate().map(entry).collect())
    }

    /// Joins as the type documents, by a simple algorithm.
    fn model(left: &Groups<u32, usize>, right: &Groups<u32, usize>) -> Rows {
        let mut rows = Vec::new();
        for (_, key, values) in left.iter_from(0) {
            for value in values {
                for (_, _, others) in right.iter_from(0).filter(|(_, other, _)| *other == key) {
                    rows.extend(others.iter().map(|other| (*key, (*value, *other))));
                }
            }
        }
        rows
    }

    proptest! {
        // Few distinct hashes, so that unequal keys of equal hash are common.
        #[test]
        fn pulling_folding_and_both_give_the_rows_of_a_nested_loop(
            left in prop::collection::vec(0_u32..30, 0..80),
            right in prop::collection::vec(10_u32..40, 0..80),
            hashes in prop_oneof![1_u64..40, Just(u64::MAX)],
            pulled in 0_usize..60,
        ) {
            let join = || HashJoin::new(groups(&left, hashes), groups(&right, hashes));
            let expected = model(&groups(&left, hashes), &groups(&right, hashes));
            let folded = |rows: HashJoin<u32, usize, usize>| rows.fold(Rows::new(), |mut all, row| {
                all.push(row);
                all
            });
            let mut rows = join();
            let one_at_a_time: Rows = std::iter::from_fn(|| rows.next()).collect();
            prop_assert_eq!(&one_at_a_time, &expected);
            prop_assert_eq!(&folded(join()), &expected);
            let mut rows = join();
            let mut both: Rows = rows.by_ref().take(pulled).collect();
            both.extend(folded(rows));
            prop_assert_eq!(&both, &expected);
        }
    }
}
