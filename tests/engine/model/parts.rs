//! Rows in partitions, as far as the documentation says where they are.

use super::counts;
use emberline::{Partitioner, partition::HashPartitioner};
use std::hash::Hash;

/// What the documentation says of where rows are; each line says more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// Which rows there are.
    Rows,
    /// And in which order they come, but not where partitions end.
    Order,
    /// And in which partition each is.
    Places,
}

/// Rows in partitions. Where their places are not known, they are all in the first one, unless they
/// were placed by their keys and it is only their order there that is not known.
#[derive(Clone, Debug)]
pub struct Parts<T> {
    pub parts: Vec<Vec<T>>,
    pub known: Known,
}

impl<T: Clone> Parts<T> {
    pub fn new(parts: Vec<Vec<T>>, known: Known) -> Self {
        // The places in a single partition are the order.
        let settled = known == Known::Order && parts.len() == 1;
        Parts { parts, known: if settled { Known::Places } else { known } }
    }

    /// Rows as a source cuts them.
    pub fn cut(rows: &[T], partitions: usize) -> Self {
        let end = |n| rows.len() * n / partitions;
        let parts = (0..partitions).map(|n| rows[end(n)..end(n + 1)].to_vec());
        Parts::new(parts.collect(), Known::Places)
    }

    /// Rows of which it is not known in which partition they are.
    pub fn somewhere(rows: Vec<T>, partitions: usize, known: Known) -> Self {
        let mut parts = vec![Vec::new(); partitions];
        parts[0] = rows;
        Parts::new(parts, known.min(Known::Order))
    }

    pub fn all(&self) -> Vec<T> {
        self.parts.concat()
    }

    pub fn partitions(&self) -> usize {
        self.parts.len()
    }

    /// The partitions that `f` turns these into. If it does more than turn one row after the other,
    /// less is known of what becomes of rows whose places are not.
    pub fn each<U: Clone>(&self, f: impl Fn(&[T]) -> Vec<U>) -> Parts<U> {
        Parts::new(self.parts.iter().map(|part| f(part)).collect(), self.known)
    }

    /// One row after the other.
    pub fn flat<U: Clone, I: IntoIterator<Item = U>>(&self, f: impl Fn(T) -> I) -> Parts<U> {
        self.each(|part| part.iter().cloned().flat_map(&f).collect())
    }

    /// Only what is known of whole partitions stays known.
    pub fn by_partition(self) -> Self {
        let known = if self.known == Known::Places { Known::Places } else { Known::Rows };
        Parts { known, ..self }
    }

    /// The partitions of another one behind these.
    pub fn behind(&self, next: &Self) -> Self {
        Parts::new([&self.parts[..], &next.parts[..]].concat(), self.known.min(next.known))
    }

    /// The rows of another one behind these in each partition.
    pub fn beside(&self, next: &Self) -> Self {
        let pairs = self.parts.iter().zip(&next.parts);
        let parts = pairs.map(|(own, next)| [&own[..], &next[..]].concat()).collect();
        Parts::new(parts, self.known.min(next.known)).by_partition()
    }

    /// Neighbours joined into fewer partitions.
    pub fn coalesced(&self, partitions: usize) -> Self {
        let joined = Parts::cut(&self.parts, partitions.min(self.partitions()));
        Parts::new(joined.parts.iter().map(|parts| parts.concat()).collect(), self.known)
    }

    /// Each row in the partition that `place` says, in the order they had.
    pub fn placed(&self, partitions: usize, place: impl Fn(&T) -> usize) -> Self {
        let mut parts = vec![Vec::new(); partitions];
        self.all().into_iter().for_each(|row| parts[place(&row)].push(row));
        let known = if self.known == Known::Rows { Known::Rows } else { Known::Places };
        Parts::new(parts, known)
    }
}

/// Where a key goes by its hash.
pub fn by_hash<K: Hash>(key: &K, partitions: usize) -> usize {
    HashPartitioner { partitions }.partition_of(key)
}

/// The place of a key in the order of hashes: partitions are the high bits of a hash, so a number of
/// partitions as large as can be shows all of it.
pub fn hash_rank<K: Hash>(key: &K) -> usize {
    by_hash(key, usize::MAX)
}

/// Whole rows where their own hash places them, in its order. Equal rows cannot be told apart, so no
/// more has to be known of where they were.
pub fn hashed_rows<T: Clone + Hash + Ord>(rows: Vec<T>, partitions: usize) -> Parts<T> {
    let mut rows = Parts { parts: vec![rows], known: Known::Places };
    rows.parts[0].sort_by_cached_key(|row| (hash_rank(row), row.clone()));
    rows.placed(partitions, |row| by_hash(row, partitions))
}

/// Whether `part` can be taken out of `rows`, each row once.
pub fn is_within(part: &[i64], rows: &[i64]) -> bool {
    let there = counts(rows);
    counts(part).iter().all(|(row, n)| there.get(row).is_some_and(|have| n <= have))
}
