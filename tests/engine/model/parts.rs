//! Rows in partitions, as far as the documentation promises their positions.

use super::counts;
use emberline::{Partitioner, partition::HashPartitioner};
use std::hash::Hash;

/// The positions of rows that the documentation promises; each variant promises more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// The rows.
    Rows,
    /// The rows and their order, but not the ends of partitions.
    Order,
    /// The rows, their order and their partitions.
    Partitions,
}

/// Rows in partitions. Rows with unknown partitions are all in the first one, unless they are partitioned by
/// key and only their order is unknown.
#[derive(Clone, Debug)]
pub struct Parts<T> {
    pub parts: Vec<Vec<T>>,
    pub known: Known,
}

impl<T: Clone> Parts<T> {
    pub fn new(parts: Vec<Vec<T>>, known: Known) -> Self {
        // A single partition has no ends that could differ, so the order is all that is promised.
        let settled = known == Known::Order && parts.len() == 1;
        Parts { parts, known: if settled { Known::Partitions } else { known } }
    }

    /// Splits rows like a source.
    pub fn cut(rows: &[T], partitions: usize) -> Self {
        let end = |n| rows.len() * n / partitions;
        let parts = (0..partitions).map(|n| rows[end(n)..end(n + 1)].to_vec());
        Parts::new(parts.collect(), Known::Partitions)
    }

    /// Makes rows whose partitions are unknown.
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

    /// Applies `f` to each partition. If `f` does more than transform rows one by one, rows in
    /// unknown partitions become unknown.
    pub fn each<U: Clone>(&self, f: impl Fn(&[T]) -> Vec<U>) -> Parts<U> {
        Parts::new(self.parts.iter().map(|part| f(part)).collect(), self.known)
    }

    /// Applies `f` to each row.
    pub fn flat<U: Clone, I: IntoIterator<Item = U>>(&self, f: impl Fn(T) -> I) -> Parts<U> {
        self.each(|part| part.iter().cloned().flat_map(&f).collect())
    }

    /// Forgets the rows whose partitions are unknown.
    pub fn by_partition(self) -> Self {
        let known = if self.known == Known::Partitions { Known::Partitions } else { Known::Rows };
        Parts { known, ..self }
    }

    /// Appends the partitions of another model.
    pub fn append(&self, next: &Self) -> Self {
        Parts::new([&self.parts[..], &next.parts[..]].concat(), self.known.min(next.known))
    }

    /// Appends the rows of another model to each partition.
    pub fn concat_partitions(&self, next: &Self) -> Self {
        let pairs = self.parts.iter().zip(&next.parts);
        let parts = pairs.map(|(own, next)| [&own[..], &next[..]].concat()).collect();
        Parts::new(parts, self.known.min(next.known)).by_partition()
    }

    /// Merges neighboring partitions into fewer.
    pub fn coalesced(&self, partitions: usize) -> Self {
        let joined = Parts::cut(&self.parts, partitions.min(self.partitions()));
        Parts::new(joined.parts.iter().map(|parts| parts.concat()).collect(), self.known)
    }

    /// Moves each row to the partition that `partition_of` returns, in the same order.
    pub fn placed(&self, partitions: usize, partition_of: impl Fn(&T) -> usize) -> Self {
        let mut parts = vec![Vec::new(); partitions];
        self.all().into_iter().for_each(|row| parts[partition_of(&row)].push(row));
        let known = if self.known == Known::Rows { Known::Rows } else { Known::Partitions };
        Parts::new(parts, known)
    }
}

/// Returns the partition of a key by its hash.
pub fn by_hash<K: Hash>(key: &K, partitions: usize) -> usize {
    HashPartitioner { partitions }.partition_of(key)
}

/// Returns the position of a key in hash order: the partition is the high bits of a hash, so the
/// largest number of partitions shows all of it.
pub fn hash_rank<K: Hash>(key: &K) -> usize {
    by_hash(key, usize::MAX)
}

/// Moves whole rows to the partition of their own hash, in hash order. Equal rows are
/// indistinguishable, so their earlier partitions do not matter.
pub fn hashed_rows<T: Clone + Hash + Ord>(rows: Vec<T>, partitions: usize) -> Parts<T> {
    let mut rows = Parts { parts: vec![rows], known: Known::Partitions };
    rows.parts[0].sort_by_cached_key(|row| (hash_rank(row), row.clone()));
    rows.placed(partitions, |row| by_hash(row, partitions))
}

/// Returns true if `rows` contains every row of `part` at least as often.
pub fn is_within(part: &[i64], rows: &[i64]) -> bool {
    let there = counts(rows);
    counts(part).iter().all(|(row, n)| there.get(row).is_some_and(|have| n <= have))
}
