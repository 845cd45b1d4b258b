//! `join`: pairs the values of each key in two RDDs.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::{
    CrossProduct, GroupRewind, GroupValues, HashJoin, MergeJoin, SubPartitionGroups, into_co_groups,
};

/// # Joins
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Pairs each value with each value of the same key in `other`: an inner join.
    ///
    /// The result has the partitioner of the two RDDs; if both have one, that with more partitions.
    /// It is hash-partitioned into the larger number of partitions if neither has one, or if the
    /// other RDD has at least ten times as many partitions. An RDD that has the partitioner of the
    /// result already is not shuffled. Rows are ordered by the hash of the key, then by this RDD's
    /// values and those of `other`. Rows beyond the task memory limit spill, even of one key.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let ages = ctx.parallelize(vec![(1, 30), (2, 40), (2, 41)]);
    /// let names = ctx.parallelize(vec![(2, 'b'), (3, 'c')]);
    /// assert_eq!(ages.join(&names).collect()?, [(2, (40, 'b')), (2, (41, 'b'))]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn join<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Rdd<(K, (V, W))>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.cogrouped_by(
            Operation::new("join"),
            self.default_partitioning_with(other),
            other,
            inner_rows,
        )
    }
}

/// Returns the pairs of each key that both sides have. Allocates nothing per key if both sides are
/// in memory or both are ordered by hash.
pub(super) fn inner_rows<K: Key, V: Stored, W: Stored>(
    left: SubPartitionGroups<K, V>,
    right: SubPartitionGroups<K, W>,
) -> impl Iterator<Item = (K, (V, W))> + 'static {
    match (left, right) {
        (SubPartitionGroups::InMemory(left), SubPartitionGroups::InMemory(right)) => {
            Joined::InMemory(HashJoin::new(left, right))
        }
        (SubPartitionGroups::Ordered(left), SubPartitionGroups::Ordered(right)) => {
            Joined::Ordered(MergeJoin::new(left, right))
        }
        (left, right) => {
            let groups = into_co_groups(left.into_groups(), right.into_groups());
            Joined::Streamed(groups.flat_map(|(key, values, others)| {
                CrossProduct::<K, GroupValues<V>, GroupRewind<W>>::new(key, values, others)
            }))
        }
    }
}

enum Joined<A, B, C> {
    InMemory(A),
    Ordered(B),
    Streamed(C),
}

impl<T, A, B, C> Iterator for Joined<A, B, C>
where
    A: Iterator<Item = T>,
    B: Iterator<Item = T>,
    C: Iterator<Item = T>,
{
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match self {
            Joined::InMemory(rows) => rows.next(),
            Joined::Ordered(rows) => rows.next(),
            Joined::Streamed(rows) => rows.next(),
        }
    }

    #[inline]
    fn fold<D, G: FnMut(D, T) -> D>(self, init: D, g: G) -> D {
        match self {
            Joined::InMemory(rows) => rows.fold(init, g),
            Joined::Ordered(rows) => rows.fold(init, g),
            Joined::Streamed(rows) => rows.fold(init, g),
        }
    }
}
