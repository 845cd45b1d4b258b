//! A stable radix sort by hash, of one word for each row, so that rows of any size move once.

use crate::keys::hash::Hashed;
use emberline_core::size::owns_heap;
use std::mem;

/// The indexes of some rows in the order of their hash, and of the index if hashes are equal.
///
/// A word has the index of a row and as many high bits of its hash as fit. So rows whose hashes
/// differ in lower bits only can be out of order: among n rows with indexes of b bits, there are
/// about n * n * 2^b / 2^65 such pairs. That is none among some thousands of rows and a few among
/// millions. A caller that finds one calls [`refine`](HashOrder::refine).
pub(crate) struct HashOrder {
    /// The high bits in which hashes differ, and below them the index: all words are different.
    words: Vec<u64>,
    index_bits: u32,
}

/// With fewer hashes the standard sort is as fast.
const FEW: usize = 512;
/// The bits that one pass sorts by: their counters fit in the first cache.
const PASS_BITS: u32 = 11;
/// The most moves for each word of an insertion sort: about a hundred times the moves that well
/// mixed hashes need.
const MAX_MOVES: usize = 32;

/// The range of some hashes: the first of two passes over rows that find their order. In the second
/// pass the caller collects a word for each row.
pub(crate) struct HashRange {
    least: u64,
    most: u64,
}

impl HashRange {
    /// Returns the range of no hashes.
    pub(crate) fn new() -> Self {
        HashRange { least: u64::MAX, most: 0 }
    }

    /// Adds a hash.
    #[inline]
    pub(crate) fn add(&mut self, hash: u64) {
        self.least = self.least.min(hash);
        self.most = self.most.max(hash);
    }

    /// Returns the encoder of words for these hashes and indexes below `indexes`.
    pub(crate) fn encoder(self, indexes: usize) -> WordEncoder {
        let differing = u64::BITS - self.most.saturating_sub(self.least).leading_zeros();
        let index_bits = usize::BITS - indexes.saturating_sub(1).leading_zeros();
        WordEncoder {
            least: self.least,
            shift: u64::BITS - differing,
            mask: u64::MAX.unbounded_shl(index_bits),
            index_bits,
        }
    }
}

/// Encodes the hash and the index of a row in a word. It is separate from the list of words, so
/// that a loop that fills the list has it in registers.
#[derive(Clone, Copy)]
pub(crate) struct WordEncoder {
    least: u64,
    /// The number of high bits in which no hashes differ.
    shift: u32,
    mask: u64,
    index_bits: u32,
}

impl WordEncoder {
    /// Returns the word of a row, given its index and hash.
    #[inline]
    pub(crate) fn word(self, index: usize, hash: u64) -> u64 {
        ((hash - self.least).unbounded_shl(self.shift) & self.mask) | index as u64
    }
}

impl HashOrder {
    /// Returns the order of rows, given their words in any order.
    pub(crate) fn new(words: Vec<u64>, encoder: WordEncoder) -> Self {
        let mut order = HashOrder { words, index_bits: encoder.index_bits };
        if !order.words.is_sorted() {
            order.sort(u64::BITS - encoder.shift);
        }
        order
    }

    /// Returns the indexes, in order.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = usize> + '_ {
        let mask = !u64::MAX.unbounded_shl(self.index_bits);
        self.words.iter().map(move |word| (word & mask) as usize)
    }

    fn into_indexes(self) -> Vec<usize> {
        self.indexes().collect()
    }

    #[inline]
    fn index_of(&self, word: u64) -> usize {
        (word & !u64::MAX.unbounded_shl(self.index_bits)) as usize
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// Returns the number of distinct hashes, except for some that differ only in low bits.
    pub(crate) fn distinct_hashes(&self) -> usize {
        let hash = |word: &u64| word.unbounded_shr(self.index_bits);
        self.words.chunk_by(|a, b| hash(a) == hash(b)).count()
    }

    /// Sorts by radix, least significant digit first, over as many high bits as leave about one
    /// word in each bucket. An insertion sort does the rest.
    fn sort(&mut self, differing: u32) {
        let words = &mut self.words;
        if words.len() < FEW {
            return words.sort_unstable();
        }
        let bits = differing.min(words.len().ilog2()).min(2 * PASS_BITS);
        let low = bits / 2;
        let first = u64::BITS - bits;
        let mut moved = vec![0; words.len()];
        one_pass(words, &mut moved, first, low);
        one_pass(&moved, words, first + low, bits - low);
        drop(moved);
        if !insertion_sort(words) {
            words.sort_unstable();
        }
    }

    /// Orders rows that agree in the bits of the words by all bits of their hash.
    #[cold]
    pub(crate) fn refine(&mut self, hash_at: &dyn Fn(usize) -> u64) {
        let bits = self.index_bits;
        let mask = !u64::MAX.unbounded_shl(bits);
        let equal = self.words.chunk_by_mut(|a, b| a.unbounded_shr(bits) == b.unbounded_shr(bits));
        for some in equal.filter(|some| some.len() > 1) {
            some.sort_by_key(|word| hash_at((word & mask) as usize));
        }
    }
}

/// Distributes words by one digit: the `bits` bits from `first` on.
fn one_pass(from: &[u64], to: &mut [u64], first: u32, bits: u32) {
    let digit = |word: u64| (word >> first) as usize & ((1 << bits) - 1);
    let mut next = vec![0_usize; 1 << bits];
    from.iter().for_each(|word| next[digit(*word)] += 1);
    let mut before = 0;
    for counter in &mut next {
        before += mem::replace(counter, before);
    }
    for word in from {
        let index = &mut next[digit(*word)];
        to[*index] = *word;
        *index += 1;
    }
}

/// Sorts words that are nearly sorted. Returns false if others need too many moves.
fn insertion_sort(words: &mut [u64]) -> bool {
    let mut moves = MAX_MOVES.saturating_mul(words.len());
    for at in 1..words.len() {
        let word = words[at];
        let mut index = at;
        while index > 0 && words[index - 1] > word {
            words[index] = words[index - 1];
            index -= 1;
        }
        words[index] = word;
        moves = moves.saturating_sub(at - index);
        if moves == 0 {
            return false;
        }
    }
    true
}

/// Larger rows are moved within their list: a second list of them would take more than a task
/// counts for rows and the index of a table.
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
        apply_order(&mut rows, order.into_indexes());
    } else {
        // Such a row is cheap to clone: one random read and one sequential write.
        rows = order.words.iter().map(|word| rows[order.index_of(*word)].clone()).collect();
    }
    if !is_sorted(&rows) {
        let mut order = order_of(&rows);
        order.refine(&|index| rows[index].hash);
        apply_order(&mut rows, order.into_indexes());
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
    let encoder = range.encoder(rows.len());
    let words = rows.iter().enumerate().map(|(index, row)| encoder.word(index, row.hash)).collect();
    HashOrder::new(words, encoder)
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

    /// Compares with the sort of the standard library, for hashes computed by `hash`.
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
        check_sort(50_000, |n| u64::from(n == 0));
        check_sort(50_000, |n| u64::MAX - n);
        check_sort(50_000, |n| (n % 3) << 62 | (n % 5));
        check_sort(FEW, |n| FEW as u64 - n);
        check_sort(FEW, |_| 3);
        check_sort(FEW - 1, |n| hash_of(&n));
        check_sort(0, |n| n);
    }
}
