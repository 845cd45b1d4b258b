//! Where a map task puts its rows, one bucket for each partition after the shuffle.

use emberline_core::size::estimate_heap;
use serde::Serialize;

/// The buckets of one map task.
#[derive(Debug)]
pub struct Buckets<R> {
    buckets: Vec<Vec<R>>,
}

/// How many buckets are looked into to estimate what all rows take.
const SAMPLED_BUCKETS: usize = 64;

/// Bytes of rows that the first allocation of a bucket has room for: most buckets of a small input
/// then never grow, and thousands of buckets still cost little.
const FIRST_BYTES: usize = 1024;

impl<R> Buckets<R> {
    /// An empty bucket for each of `partitions` partitions.
    pub fn new(partitions: usize) -> Self {
        let mut buckets = Vec::new();
        buckets.resize_with(partitions, Vec::new);
        Buckets { buckets }
    }

    /// Adds a row to the bucket of `partition`.
    ///
    /// # Panics
    ///
    /// If there is no such partition; [`partition_of`](crate::Partitioning::partition_of) never
    /// answers with one.
    #[inline]
    pub fn push(&mut self, partition: usize, row: R) {
        let bucket = &mut self.buckets[partition];
        if bucket.len() == bucket.capacity() {
            grow(bucket);
        }
        bucket.push(row);
    }

    /// About what the rows take, judged by one row of each of some buckets.
    pub(crate) fn estimate_bytes(&self) -> u64
    where
        R: Serialize,
    {
        let rows: usize = self.buckets.iter().map(Vec::len).sum();
        let step = self.buckets.len().div_ceil(SAMPLED_BUCKETS).max(1);
        let sample = self.buckets.iter().step_by(step).filter_map(|rows| rows.get(rows.len() / 2));
        (rows.saturating_mul(size_of::<R>()) as u64).saturating_add(estimate_heap(rows, sample))
    }

    /// Takes the rows out and leaves the buckets empty.
    pub(crate) fn take(&mut self) -> Vec<Vec<R>> {
        let empty = Buckets::new(self.buckets.len()).buckets;
        std::mem::replace(&mut self.buckets, empty)
    }

    /// The buckets, in the order of the partitions; the rows of each in the order they came.
    pub fn into_segments(self) -> Vec<Vec<R>> {
        self.buckets
    }
}

#[cold]
fn grow<R>(bucket: &mut Vec<R>) {
    let first = FIRST_BYTES / size_of::<R>().max(1);
    bucket.reserve(first.clamp(4, 64).max(bucket.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_in_order_in_their_bucket() {
        let mut buckets = Buckets::new(3);
        (0..1000).for_each(|n| buckets.push(n % 2, n));
        let segments = buckets.into_segments();
        assert_eq!(segments.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 0]);
        assert!(segments[1].iter().copied().eq((0..1000).filter(|n| n % 2 == 1)));
    }

    #[test]
    fn rows_without_a_size_are_counted_too() {
        let mut buckets = Buckets::new(1);
        (0..10).for_each(|_| buckets.push(0, ()));
        assert_eq!(buckets.into_segments(), [vec![(); 10]]);
    }
}
