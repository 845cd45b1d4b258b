//! The order of hashes, for the external sort.

use crate::keys::hash::Hashed;
use crate::sort::external::RowOrder;
use crate::sort::hash_order::sort_stable_by_hash;
use std::cmp::Ordering;

/// The order of the hash; rows of one hash in the order of the input.
pub struct ByHash;

impl<K: Clone, V: Clone> RowOrder<Hashed<K, V>> for ByHash {
    type Head = Hashed<K, V>;

    fn sort(&self, rows: &mut Vec<Hashed<K, V>>) {
        *rows = sort_stable_by_hash(std::mem::take(rows));
    }

    #[inline]
    fn head(&self, row: Hashed<K, V>) -> Hashed<K, V> {
        row
    }

    #[inline]
    fn compare(&self, a: &Hashed<K, V>, b: &Hashed<K, V>) -> Ordering {
        a.hash.cmp(&b.hash)
    }

    #[inline]
    fn row(&self, head: Hashed<K, V>) -> Hashed<K, V> {
        head
    }
}
