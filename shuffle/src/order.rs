//! The order of hashes, found on small copies of them, so that rows of any size move once.

use crate::hash::Hashed;

/// A hash and where its row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) hash: u64,
    pub(crate) place: u64,
}

/// Below so many hashes the standard sort is as fast.
const FEW: usize = 512;
/// Bits that one pass looks at: as many counters as fit the first cache.
const PASS_BITS: u32 = 11;

/// Sorts by hash and keeps the order of equal hashes.
///
/// A radix sort, least significant digit first, over the highest bits in which the hashes differ:
/// inside one partition the first bits are the same for all. As many bits as there are hashes leave
/// a few in each bucket, and the standard sort ends those.
pub(crate) fn in_hash_order(mut placed: Vec<Placed>) -> Vec<Placed> {
    if placed.is_sorted_by_key(|placed| placed.hash) {
        return placed;
    }
    if placed.len() < FEW {
        placed.sort_by_key(|placed| placed.hash);
        return placed;
    }
    let least = placed.iter().map(|placed| placed.hash).min().unwrap_or(0);
    let most = placed.iter().map(|placed| placed.hash).max().unwrap_or(0);
    let differing = u64::BITS - (most - least).leading_zeros();
    let sorted = differing.min(placed.len().ilog2()).min(2 * PASS_BITS);
    let (low_bits, shift) = (sorted / 2, differing - sorted);
    let bucket = |placed: &Placed| (placed.hash - least) >> shift;
    let mut moved = vec![Placed::default(); placed.len()];
    one_pass(&placed, &mut moved, low_bits, bucket);
    one_pass(&moved, &mut placed, sorted - low_bits, |placed| bucket(placed) >> low_bits);
    if shift > 0 {
        let same_bucket = |a: &Placed, b: &Placed| bucket(a) == bucket(b);
        for bucket in placed.chunk_by_mut(same_bucket).filter(|bucket| bucket.len() > 1) {
            bucket.sort_by_key(|placed| placed.hash);
        }
    }
    placed
}

/// Moves everything behind what has a lower digit, the lowest `bits` of `digit`.
fn one_pass(from: &[Placed], to: &mut [Placed], bits: u32, digit: impl Fn(&Placed) -> u64) {
    let mask = (1 << bits) - 1;
    let digit = |placed: &Placed| (digit(placed) & mask) as usize;
    let mut next = vec![0_usize; 1 << bits];
    from.iter().for_each(|placed| next[digit(placed)] += 1);
    let mut before = 0;
    for counter in &mut next {
        before += std::mem::replace(counter, before);
    }
    for one in from {
        let place = &mut next[digit(one)];
        to[*place] = *one;
        *place += 1;
    }
}

/// Sorts rows by hash and keeps the order of equal hashes.
pub(crate) fn sort_stable_by_hash<K, V>(mut entries: Vec<Hashed<K, V>>) -> Vec<Hashed<K, V>> {
    if entries.is_sorted_by_key(|entry| entry.hash) {
        return entries;
    }
    let placed =
        |(place, entry): (usize, &Hashed<K, V>)| Placed { hash: entry.hash, place: place as u64 };
    let order = in_hash_order(entries.iter().enumerate().map(placed).collect());
    apply_order(&mut entries, order);
    entries
}

/// Moves `slice[order[i].place]` to `slice[i]` for every `i`, a cycle at a time.
fn apply_order<T>(slice: &mut [T], mut order: Vec<Placed>) {
    for start in 0..order.len() {
        let mut at = start;
        while order[at].place != start as u64 {
            let next = order[at].place as usize;
            slice.swap(at, next);
            order[at].place = at as u64;
            at = next;
        }
        order[at].place = at as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_of;

    /// Sorts as the standard library does, for hashes that lie as `hash` says.
    fn check_sort(entries: usize, hash: impl Fn(u64) -> u64) {
        let entry = |n| Hashed { hash: hash(n), key: 0, value: n };
        let entries: Vec<Hashed<u8, u64>> = (0..entries as u64).map(entry).collect();
        let mut expected = entries.clone();
        expected.sort_by_key(|entry| entry.hash);
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
        check_sort(50_000, |n| u64::MAX - n);
        check_sort(FEW, |n| FEW as u64 - n);
        check_sort(FEW, |_| 3);
        check_sort(FEW - 1, |n| hash_of(&n));
        check_sort(0, |n| n);
    }
}
