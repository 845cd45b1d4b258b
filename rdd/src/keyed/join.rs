//! `join`: pairs of values that share a key.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::{
    CrossProduct, GroupRewind, GroupValues, HashJoin, MergeJoin, SubPartitionGroups, into_co_groups,
};

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Pairs each value with each value of the same key in `other`; keys that only one side has are
    /// left out. Rests on the same grouping as [`cogroup`](Rdd::cogroup), without its lists.
    ///
    /// - **Shape**: `Rdd<(K, V)>` and `Rdd<(K, W)>` to `Rdd<(K, (V, W))>`
    /// - **Partitions**: of the larger partitioner either has (unless that has at most a tenth of
    ///   the other side's partitions), else the most of the two
    /// - **Partitioner**: that one, else by hash
    /// - **Shuffle**: one for each side that is not already partitioned so
    /// - **Memory**: a task's share; what passes it is sorted in runs, and a hot key's rows
    ///   are read where they lie
    /// - **Order**: by the hash of the key; then this side's values, each with the other's, in the
    ///   order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let ages = ctx.parallelize(vec![(1, 30), (2, 40), (2, 41)]);
    /// let names = ctx.parallelize(vec![(2, 'b'), (3, 'c')]);
    /// assert_eq!(ages.join(&names).collect()?, [(2, (40, 'b')), (2, (41, 'b'))]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    ///
    /// Both sides need the same key type. This does not compile:
    ///
    /// ```compile_fail,E0271
    /// # use emberline_rdd as emberline;
    /// # use emberline::prelude::*;
    /// # let ctx = Context::local()?;
    /// let by_id = ctx.parallelize(vec![(1_u32, 'a')]);
    /// let by_name = ctx.parallelize(vec![("one".to_string(), 'b')]);
    /// by_id.join(&by_name).count()?;
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    ///
    /// and this does:
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// # use emberline::prelude::*;
    /// # let ctx = Context::local()?;
    /// let by_id = ctx.parallelize(vec![(1_u32, 'a')]);
    /// let also_by_id = ctx.parallelize(vec![(1_u32, 'b')]);
    /// assert_eq!(by_id.join(&also_by_id).count()?, 1);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn join<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Rdd<(K, (V, W))>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.cogrouped_by(Operation::new("join"), self.partitioning_with(other), other, inner_rows)
    }
}

/// The pairs of each key that both sides have. Where both sides are in memory, or lie in order, nothing
/// is allocated for a key.
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
