//! One 64-bit hash for each row.
//!
//! | bits          | choose                                                      |
//! |---------------|-------------------------------------------------------------|
//! | the high ones | the partition: [`partition_of_hash`]                        |
//! | the low ones  | the position in a table                                     |
//! | all           | the order of keys in a shuffled partition                   |
//!
//! The hash is the same for one binary, in every attempt and on every thread. It is never written
//! to a file that another build may read.

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Odd constants with about as many ones as zeros: from the digits of pi and of the golden ratio.
const START: u64 = 0x243f_6a88_85a3_08d3;
const INTEGER: u64 = 0x9e37_79b9_7f4a_7c15;
const BYTE: u64 = 0xa409_3822_299f_31d1;
const FINISH: u64 = 0x082e_fa98_ec4e_6c89;

/// Folds the halves of a product: every bit of `a` affects all bits of the result.
#[inline(always)]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

/// A small fast hasher with fixed constants. It does not resist keys that were chosen to collide:
/// those cost time, never a wrong answer.
struct StableHasher {
    state: u64,
}

/// Signed integers are hashed as unsigned ones of the same width, by the default methods of
/// `Hasher`.
impl Hasher for StableHasher {
    #[inline]
    fn finish(&self) -> u64 {
        fold(self.state, FINISH)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.state = xxh3_64_with_seed(bytes, self.state);
    }

    /// Hashes a byte. Every `str` ends its hash with one, so this is a single multiplication.
    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.state = (self.state ^ u64::from(value)).wrapping_mul(BYTE);
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.state = fold(self.state ^ value, INTEGER);
    }

    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64);
        self.write_u64((value >> 64) as u64);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// Returns the hash of a key. Called once for each row, whose hash is stored with it.
#[inline]
pub fn hash_of<K: Hash + ?Sized>(key: &K) -> u64 {
    let mut hasher = StableHasher { state: START };
    key.hash(&mut hasher);
    hasher.finish()
}

/// Returns the partition of a hash: its high bits, scaled, without a division.
#[inline]
pub fn partition_of_hash(hash: u64, partitions: usize) -> usize {
    ((u128::from(hash) * partitions as u128) >> 64) as usize
}

/// Returns the low half of a hash as a table needs it. All keys of a partition share their high
/// bits, which a hashbrown table compares first: so low bits are moved there.
#[inline]
pub(crate) fn table_bits(low: u32) -> u64 {
    u64::from(low).rotate_right(7)
}

/// A pair with the hash of its key. It is serialized without the hash, which is recomputed when the
/// pair is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed<K, V> {
    /// The hash of the key, by [`hash_of`].
    pub hash: u64,
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
}

impl<K: Serialize, V: Serialize> Serialize for Hashed<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.key, &self.value).serialize(serializer)
    }
}

impl<'de, K: Deserialize<'de> + Hash, V: Deserialize<'de>> Deserialize<'de> for Hashed<K, V> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(2, PairVisitor(PhantomData))
    }
}

/// A visitor that reads the two values of a pair one by one. `<(K, V)>::deserialize` would store
/// the pair in two halves and load it as a whole, which stalls the processor (a failed
/// store-to-load forward).
struct PairVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Hash, V: Deserialize<'de>> Visitor<'de> for PairVisitor<K, V> {
    type Value = Hashed<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key and a value")
    }

    #[inline(always)]
    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Hashed<K, V>, A::Error> {
        let missing = |at| <A::Error as serde::de::Error>::invalid_length(at, &"a key and a value");
        let key: K = pair.next_element()?.ok_or_else(|| missing(0))?;
        let value: V = pair.next_element()?.ok_or_else(|| missing(1))?;
        Ok(Hashed { hash: hash_of(&key), key, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Returns the largest distance of one of 16 classes from the mean.
    fn unevenness(class_of: impl Fn(u64) -> usize, keys: impl Iterator<Item = u64>) -> f64 {
        let mut counts = [0_u64; 16];
        keys.for_each(|key| counts[class_of(key)] += 1);
        let mean = counts.iter().sum::<u64>() as f64 / 16.0;
        counts.iter().map(|n| (*n as f64 / mean - 1.0).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn high_and_low_bits_of_patterned_integers_are_even() {
        for step in [1, 2, 8, 1000, 1 << 16, 1 << 32, 1 << 40, 0x9e37_79b9] {
            let keys = || (1..=1_000_000_u64).map(|n| n.wrapping_mul(step));
            let high = unevenness(|key| partition_of_hash(hash_of(&key), 16), keys());
            let low = unevenness(|key| (hash_of(&key) & 15) as usize, keys());
            let table = unevenness(|key| (table_bits(hash_of(&key) as u32) & 15) as usize, keys());
            assert!(high < 0.03 && low < 0.03 && table < 0.03, "{step}: {high} {low} {table}");
        }
    }

    #[test]
    fn bits_for_the_table_are_even_inside_one_partition() {
        let keys = (0..1_000_000_u64).filter(|key| partition_of_hash(hash_of(key), 16) == 3);
        let keys: Vec<u64> = keys.collect();
        let table = |key: u64| table_bits(hash_of(&key) as u32);
        assert!(unevenness(|key| (table(key) & 15) as usize, keys.iter().copied()) < 0.05);
        assert!(unevenness(|key| (table(key) >> 60) as usize, keys.into_iter()) < 0.05);
    }

    #[test]
    fn one_flipped_bit_changes_about_half_of_the_hash() {
        let mut changed = [0_u32; 64];
        for key in (0..2000_u64).map(|n| n * n * 7919) {
            for (bit, changed) in changed.iter_mut().enumerate() {
                *changed += (hash_of(&key) ^ hash_of(&(key ^ (1 << bit)))).count_ones();
            }
        }
        for changed in changed.map(|bits| f64::from(bits) / 2000.0) {
            assert!((24.0..40.0).contains(&changed), "{changed}");
        }
    }

    #[test]
    fn a_million_integers_and_strings_do_not_collide() {
        let integers: HashSet<u64> = (0..1_000_000_u64).map(|n| hash_of(&n)).collect();
        let texts: HashSet<u64> = (0..1_000_000).map(|n| hash_of(&n.to_string())).collect();
        assert_eq!((integers.len(), texts.len()), (1_000_000, 1_000_000));
    }

    #[test]
    fn small_bytes_and_their_tuples_do_not_collide() {
        let pairs = (0..=255_u8).flat_map(|a| (0..=255_u8).map(move |b| (a, b)));
        let hashes: HashSet<u64> = pairs.map(|pair| hash_of(&pair)).collect();
        assert_eq!(hashes.len(), 1 << 16);
        assert!(unevenness(|n| partition_of_hash(hash_of(&(n as u8)), 16), 0..256) < 1.0);
    }

    #[test]
    fn borrowed_and_owned_forms_of_a_key_hash_alike() {
        assert_eq!(hash_of("ember"), hash_of(&"ember".to_string()));
        assert_eq!(hash_of(&[1_u32, 2][..]), hash_of(&vec![1_u32, 2]));
        assert_ne!(hash_of(&("a", "bc")), hash_of(&("ab", "c")));
    }

    #[test]
    fn every_hash_has_a_partition() {
        for partitions in [1, 2, 3, 7, 1000, usize::MAX] {
            assert_eq!(partition_of_hash(0, partitions), 0);
            assert_eq!(partition_of_hash(u64::MAX, partitions), partitions - 1);
        }
    }
}
