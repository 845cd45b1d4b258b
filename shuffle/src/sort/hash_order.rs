//! The order of hashes, found on one word for each row, so that rows of any size move once.

use crate::keys::hash::Hashed;
use emberline_core::size::owns_heap;
use std::mem;

/// The places of some rows in the order of their hash, and of the place where hashes are equal.
///
/// It is found by as many bits of the hash as lie in one word beside the place. So hashes that differ in
/// none of these can be out of order: among n rows, each of which has a place of b bits, there are about
/// n * n * 2^b / 2^65 such pairs if all 64 bits of hashes differ. That is none among some thousands and a
/// few among millions. Who finds one calls [`look_further`](HashOrder::look_further).
pub(crate) struct HashOrder {
    /// The first bits in which hashes differ, and below them the place: all words are different.
    words: Vec<u64>,
    place_bits: u32,
}

/// Below so many hashes the standard sort is as fast.
const FEW: usize = 512;
/// Bits that one pass looks at: as many counters as fit the first cache.
const PASS_BITS: u32 = 11;
/// Moves for each word that put nearly sorted words in order: about a hundred times what well mixed
/// hashes need.
const MAX_MOVES: usize = 32;

/// The number and the range of some hashes: the first of two passes over rows that find their order.
pub(crate) struct HashRange {
    count: usize,
    least: u64,
    most: u64,
}

impl HashRange {
    /// Returns the range of no hashes.
    pub(crate) fn new() -> Self {
        HashRange { count: 0, least: u64::MAX, most: 0 }
    }

    /// Adds a hash.
    #[inline]
    pub(crate) fn add(&mut self, hash: u64) {
        self.count += 1;
        self.least = self.least.min(hash);
        self.most = self.most.max(hash);
    }

    /// Begins the second pass, in which every hash is pushed with its place, which is below `places`.
    pub(crate) fn order(self, places: usize) -> HashOrderBuilder {
        let differing = u64::BITS - self.most.saturating_sub(self.least).leading_zeros();
        let place_bits = usize::BITS - places.saturating_sub(1).leading_zeros();
        HashOrderBuilder {
            least: self.least,
            differing,
            mask: u64::MAX.unbounded_shl(place_bits),
            order: HashOrder { words: Vec::with_capacity(self.count), place_bits },
        }
    }
}

/// An order that does not have all rows yet.
pub(crate) struct HashOrderBuilder {
    least: u64,
    /// The number of bits in which hashes differ.
    differing: u32,
    mask: u64,
    order: HashOrder,
}

impl HashOrderBuilder {
    /// Adds a row, given its place and hash.
    #[inline]
    pub(crate) fn push(&mut self, place: usize, hash: u64) {
        let hash = (hash - self.least).unbounded_shl(u64::BITS - self.differing);
        self.order.words.push((hash & self.mask) | place as u64);
    }

    /// Returns the order of the rows.
    pub(crate) fn finish(mut self) -> HashOrder {
        if !self.order.words.is_sorted() {
            self.order.sort(self.differing);
        }
        self.order
    }
}

impl HashOrder {
    /// Returns the places, in order.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let mask = !u64::MAX.unbounded_shl(self.place_bits);
        self.words.iter().map(move |word| (word & mask) as usize)
    }

    fn into_places(self) -> Vec<usize> {
        self.places().collect()
    }

    #[inline]
    fn place(&self, word: u64) -> usize {
        (word & !u64::MAX.unbounded_shl(self.place_bits)) as usize
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// How many hashes there are, but for some that differ only in their last bits.
    pub(crate) fn distinct_hashes(&self) -> usize {
        let hash = |word: &u64| word.unbounded_shr(self.place_bits);
        self.words.chunk_by(|a, b| hash(a) == hash(b)).count()
    }

    /// A radix sort, least significant digit first, over as many of the first bits as leave about one
    /// word in each bucket. What is left to do is little.
    fn sort(&mut self, differing: u32) {
        let words = &mut self.words;
        if words.len() < FEW {
            return words.sort_unstable();
        }
        let bits = differing.min(words.len().ilog2()).min(2 * PASS_BITS);
        let (low, first) = (bits / 2, u64::BITS - bits);
        let mut moved = vec![0; words.len()];
        one_pass(words, &mut moved, first, low);
        one_pass(&moved, words, first + low, bits - low);
        drop(moved);
        if !on_job_success(words) {
            words.sort_unstable();
        }
    }

    /// Orders rows whose bits of the hash are equal by all bits of it.
    #[cold]
    pub(crate) fn look_further(&mut self, hash_at: &dyn Fn(usize) -> u64) {
        let (bits, mask) = (self.place_bits, !u64::MAX.unbounded_shl(self.place_bits));
        let equal = self.words.chunk_by_mut(|a, b| a.unbounded_shr(bits) == b.unbounded_shr(bits));
        for some in equal.filter(|some| some.len() > 1) {
            some.sort_by_key(|word| hash_at((word & mask) as usize));
        }
    }
}

/// Moves everything behind what has a lower digit: so many bits from `first` on.
fn one_pass(from: &[u64], to: &mut [u64], first: u32, bits: u32) {
    let digit = |word: u64| (word >> first) as usize & ((1 << bits) - 1);
    let mut next = vec![0_usize; 1 << bits];
    from.iter().for_each(|word| next[digit(*word)] += 1);
    let mut before = 0;
    for counter in &mut next {
        before += mem::replace(counter, before);
    }
    for word in from {
        let place = &mut next[digit(*word)];
        to[*place] = *word;
        *place += 1;
    }
}

/// Sorts words that are nearly sorted. Gives up on others.
fn on_job_success(words: &mut [u64]) -> bool {
    let mut moves = MAX_MOVES.saturating_mul(words.len());
    for at in 1..words.len() {
        let (word, mut place) = (words[at], at);
        while place > 0 && words[place - 1] > word {
            words[place] = words[place - 1];
            place -= 1;
        }
        words[place] = word;
        moves = moves.saturating_sub(at - place);
        if moves == 0 {
            return false;
        }
    }
    true
}

/// Larger rows are moved within their list: a second list of them would take more than a task counts for
/// rows and the index of a table.
const MAX_COPIED_BYTES: usize = 32;

/// Sorts rows by hash and keeps the order of equal hashes.
pub(crate) fn sort_stable_by_hash<K: Clone, V: Clone>(
    mut rows: Vec<Hashed<K, V>>,
) -> Vec<Hashed<K, V>> {
    if is_sorted(&rows) {
        return rows;
    }
    let order = order_of(&rows);
    if const { owns_heap::<(K, V)>() || size_of::<Hashed<K, V>>() > MAX_COPIED_BYTES } {
        apply_order(&mut rows, order.into_places());
    } else {
        // Such a row is cheap to clone: one random read and one sequential write.
        let mut moved = Vec::with_capacity(rows.len());
        for word in &order.words {
            moved.push(rows[order.place(*word)].clone());
        }
        rows = moved;
    }
    if !is_sorted(&rows) {
        let mut order = order_of(&rows);
        order.look_further(&|place| rows[place].hash);
        apply_order(&mut rows, order.into_places());
    }
    rows
}

fn is_sorted<K, V>(rows: &[Hashed<K, V>]) -> bool {
    let mut last = 0;
    for row in rows {
        if row.hash < last {
            return false;
        }
        last = row.hash;
    }
    true
}

fn order_of<K, V>(rows: &[Hashed<K, V>]) -> HashOrder {
    let mut range = HashRange::new();
    for row in rows {
        range.add(row.hash);
    }
    let mut order = range.order(rows.len());
    for place in 0..rows.len() {
        order.push(place, rows[place].hash);
    }
    order.finish()
}

/// Moves `rows[order[i]]` to `rows[i]` for every `i`, a cycle at a time.
fn apply_order<T>(rows: &mut [T], mut order: Vec<usize>) {
    for start in 0..order.len() {
        let mut at = start;
        while order[at] != start {
            let next = order[at];
            rows.swap(at, next);
            order[at] = at;
            at = next;
        }
        order[at] = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::hash::hash_of;

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
        check_sort(50_000, |n| (n % 3) << 62 | (n % 5));
        check_sort(FEW, |n| FEW as u64 - n);
        check_sort(FEW, |_| 3);
        check_sort(FEW - 1, |n| hash_of(&n));
        check_sort(0, |n| n);
    }
}
