//! Rows of one partition in the order of their hash, and the values of each key side by side.
//!
//! The order is a function of the rows alone: keys by hash; unequal keys of one hash in the order
//! of their first occurrence; the values of a key in the order they came.

use crate::hash::Hashed;
use std::vec;

/// Below so many entries the standard sort is as fast.
const FEW: usize = 2048;
/// Entries that should fall into one bucket, few enough for an insertion sort.
const BUCKET_ENTRIES: usize = 16;
/// The most buckets: each costs a `Vec`.
const MOST_BUCKETS: usize = 1 << 16;

/// Sorts by hash and keeps the order of equal hashes.
///
/// One pass moves the entries into small buckets by the first bits in which they differ (inside one
/// partition the highest bits are the same for all), then each bucket is sorted in the cache.
/// Measured against the standard stable sort: 1.3 to 2 times as fast on a million entries.
pub(crate) fn sort_stable_by_hash<K, V>(mut entries: Vec<Hashed<K, V>>) -> Vec<Hashed<K, V>> {
    if entries.is_sorted_by_key(|entry| entry.hash) {
        return entries;
    }
    if entries.len() < FEW {
        entries.sort_by_key(|entry| entry.hash);
        return entries;
    }
    let mut buckets = empty_buckets(&entries);
    for entry in entries.drain(..) {
        let bucket = buckets.of(entry.hash);
        buckets.buckets[bucket].push(entry);
    }
    for mut bucket in buckets.buckets {
        bucket.sort_by_key(|entry| entry.hash);
        entries.append(&mut bucket);
    }
    entries
}

struct HashBuckets<T> {
    least: u64,
    shift: u32,
    buckets: Vec<Vec<T>>,
}

impl<T> HashBuckets<T> {
    #[inline]
    fn of(&self, hash: u64) -> usize {
        ((hash - self.least) >> self.shift) as usize
    }
}

/// Buckets with just the room that `entries` need. There are at least two different hashes.
fn empty_buckets<K, V>(entries: &[Hashed<K, V>]) -> HashBuckets<Hashed<K, V>> {
    let range = |(least, most): (u64, u64), e: &Hashed<K, V>| (least.min(e.hash), most.max(e.hash));
    let (least, most) = entries.iter().fold((u64::MAX, 0), range);
    let wanted = (entries.len() / BUCKET_ENTRIES).next_power_of_two().min(MOST_BUCKETS);
    let used_bits = u64::BITS - (most - least).leading_zeros();
    let shift = used_bits.saturating_sub(wanted.trailing_zeros());
    let mut buckets = HashBuckets { least, shift, buckets: Vec::new() };
    let mut counts = vec![0_usize; buckets.of(most) + 1];
    entries.iter().for_each(|entry| counts[buckets.of(entry.hash)] += 1);
    buckets.buckets = counts.into_iter().map(Vec::with_capacity).collect();
    buckets
}

/// Sorts by hash and puts equal keys side by side, in the order this module promises.
pub fn sort_by_hash<K: Eq, V>(entries: Vec<Hashed<K, V>>) -> Vec<Hashed<K, V>> {
    let mut entries = sort_stable_by_hash(entries);
    let mut start = 0;
    while start < entries.len() {
        let hash = entries[start].hash;
        let length = entries[start..].iter().take_while(|entry| entry.hash == hash).count();
        let run = &mut entries[start..start + length];
        if run.iter().any(|entry| entry.key != run[0].key) {
            regroup(run);
        }
        start += length;
    }
    entries
}

/// Puts equal keys of a run side by side. Unequal keys of one hash are rare unless the user's
/// `Hash` is poor; then this takes a comparison for each pair of row and distinct key.
#[cold]
fn regroup<K: Eq, V>(run: &mut [Hashed<K, V>]) {
    let mut firsts: Vec<usize> = Vec::new();
    let mut key_of = Vec::with_capacity(run.len());
    for (at, entry) in run.iter().enumerate() {
        let known = firsts.iter().position(|first| run[*first].key == entry.key);
        key_of.push(known.unwrap_or_else(|| {
            firsts.push(at);
            firsts.len() - 1
        }));
    }
    let mut order: Vec<usize> = (0..run.len()).collect();
    order.sort_by_key(|at| key_of[*at]);
    apply_order(run, order);
}

/// Moves `slice[order[i]]` to `slice[i]` for every `i`, a cycle at a time.
fn apply_order<T>(slice: &mut [T], mut order: Vec<usize>) {
    for start in 0..order.len() {
        let mut at = start;
        while order[at] != start {
            let next = order[at];
            slice.swap(at, next);
            order[at] = at;
            at = next;
        }
        order[at] = at;
    }
}

/// The rows of a partition, grouped: all values in one `Vec`, so that a group costs no allocation.
#[derive(Clone, Debug)]
pub struct Groups<K, V> {
    keys: Vec<GroupKey<K>>,
    values: Vec<V>,
}

#[derive(Clone, Debug)]
struct GroupKey<K> {
    hash: u64,
    key: K,
    /// Where the key's values end; they start where those of the key before end.
    end: usize,
}

impl<K: Eq, V> Groups<K, V> {
    /// Sorts `entries` by hash and groups them.
    pub fn new(entries: Vec<Hashed<K, V>>) -> Self {
        let entries = sort_by_hash(entries);
        let mut groups = Groups { keys: Vec::new(), values: Vec::with_capacity(entries.len()) };
        for Hashed { hash, key, value } in entries {
            groups.values.push(value);
            let end = groups.values.len();
            match groups.keys.last_mut() {
                Some(last) if last.hash == hash && last.key == key => last.end = end,
                _ => groups.keys.push(GroupKey { hash, key, end }),
            }
        }
        groups
    }
}

impl<K, V> Groups<K, V> {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Each key with its hash and values, in the order this module promises.
    pub fn iter(&self) -> GroupsIter<'_, K, V> {
        GroupsIter { keys: self.keys.iter(), values: &self.values, start: 0 }
    }

    /// The group of a number, in the order this module promises.
    #[inline]
    pub(crate) fn group(&self, number: usize) -> Option<(u64, &K, &[V])> {
        let GroupKey { hash, key, end } = self.keys.get(number)?;
        Some((*hash, key, &self.values[self.start_of(number)..*end]))
    }

    /// [`Groups::iter`], from the group of a number on.
    pub(crate) fn iter_from(&self, number: usize) -> GroupsIter<'_, K, V> {
        let number = number.min(self.keys.len());
        let start = self.start_of(number);
        GroupsIter { keys: self.keys[number..].iter(), values: &self.values, start }
    }

    fn start_of(&self, number: usize) -> usize {
        number.checked_sub(1).map_or(0, |before| self.keys[before].end)
    }

    /// Each key with its hash and a `Vec` of its values, which are moved.
    pub fn into_vecs(self) -> GroupVecs<K, V> {
        GroupVecs { keys: self.keys.into_iter(), values: self.values.into_iter(), start: 0 }
    }
}

impl<'a, K, V> IntoIterator for &'a Groups<K, V> {
    type Item = (u64, &'a K, &'a [V]);
    type IntoIter = GroupsIter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Made by [`Groups::iter`].
#[derive(Clone, Debug)]
pub struct GroupsIter<'a, K, V> {
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

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.keys.size_hint()
    }
}

/// Made by [`Groups::into_vecs`].
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
    use crate::hash::hash_of;
    use proptest::prelude::*;

    fn entry<V>(hash: u64, key: u32, value: V) -> Hashed<u32, V> {
        Hashed { hash, key, value }
    }

    /// What the module promises, said slowly.
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
        /// Few distinct hashes, so that unequal keys of equal hash are common.
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
            let borrowed: Vec<_> = groups.iter().map(|(h, k, vs)| (h, *k, vs.to_vec())).collect();
            prop_assert_eq!((groups.len(), groups.is_empty()), (expected.len(), keys.is_empty()));
            prop_assert_eq!(&borrowed, &expected);
            prop_assert_eq!(groups.into_vecs().collect::<Vec<_>>(), expected);
        }
    }

    /// Sorts as the standard library does, for hashes that lie as `hash` says.
    fn check_sort(entries: usize, hash: impl Fn(u64) -> u64) {
        let numbers = 0..entries as u64;
        let entries: Vec<_> = numbers.map(|n| entry(hash(n), 0, n)).collect();
        let mut expected = entries.clone();
        expected.sort_by_key(|e| e.hash);
        assert!(sort_stable_by_hash(entries) == expected);
    }

    #[test]
    fn many_entries_sort_as_the_standard_stable_sort_does() {
        check_sort(50_000, |n| hash_of(&n));
        check_sort(50_000, |n| hash_of(&(n % 700)));
        check_sort(50_000, |n| (5 << 60) | (hash_of(&n) >> 4));
        check_sort(50_000, |n| if n == 9 { u64::MAX } else { hash_of(&n) % 7 });
        check_sort(50_000, |n| n % 2);
        check_sort(50_000, |n| u64::MAX - n % 2);
        check_sort(50_000, |n| if n == 0 { 1 } else { 0 });
        check_sort(FEW, |n| FEW as u64 - n);
        check_sort(FEW, |_| 3);
        check_sort(FEW - 1, |n| hash_of(&n));
        check_sort(0, |n| n);
    }

    #[test]
    fn values_are_moved_and_never_cloned() {
        struct NotClone(u32);
        let entries = (0..6).map(|n| entry(u64::from(n % 2), n % 2, NotClone(n))).collect();
        let groups = Groups::new(entries);
        let vecs: Vec<Vec<u32>> =
            groups.into_vecs().map(|(_, _, vs)| vs.into_iter().map(|v| v.0).collect()).collect();
        assert_eq!(vecs, [[0, 2, 4], [1, 3, 5]]);
    }
}
