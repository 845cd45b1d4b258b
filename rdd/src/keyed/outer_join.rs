//! `left_outer_join`, `right_outer_join` and `full_outer_join`: joins that keep the keys only one
//! side has.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::{
    CrossProduct, GroupRewind, GroupValues, OrNone, SubPartitionGroups, into_co_groups,
};

/// A value of either side, or of both.
type Either<V, W> = (Option<V>, Option<W>);

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Pairs each value with each value of the same key in `other`, or with `None` if `other` does
    /// not have the key; keys that only `other` has are left out.
    ///
    /// - **Shape**: `Rdd<(K, V)>` and `Rdd<(K, W)>` to `Rdd<(K, (V, Option<W>))>`
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
    /// let mut rows = ages.left_outer_join(&names).collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [(1, (30, None)), (2, (40, Some('b'))), (2, (41, Some('b')))]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn left_outer_join<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Rdd<(K, (V, Option<W>))>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.cogrouped_by(
            Operation::new("left_outer_join"),
            self.partitioning_with(other),
            other,
            left_rows,
        )
    }

    /// Pairs each value of this side, or `None` if it does not have the key, with each value of the
    /// key in `other`; keys that only this side has are left out.
    ///
    /// - **Shape**: `Rdd<(K, V)>` and `Rdd<(K, W)>` to `Rdd<(K, (Option<V>, W))>`
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
    /// let mut rows = ages.right_outer_join(&names).collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [(2, (Some(40), 'b')), (2, (Some(41), 'b')), (3, (None, 'c'))]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn right_outer_join<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Rdd<(K, (Option<V>, W))>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.cogrouped_by(
            Operation::new("right_outer_join"),
            self.partitioning_with(other),
            other,
            right_rows,
        )
    }

    /// Pairs each value with each value of the same key in `other`; the values of a key that only
    /// one side has are paired with `None`.
    ///
    /// - **Shape**: `Rdd<(K, V)>` and `Rdd<(K, W)>` to `Rdd<(K, (Option<V>, Option<W>))>`
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
    /// let ages = ctx.parallelize(vec![(1, 30), (2, 40)]);
    /// let names = ctx.parallelize(vec![(2, 'b'), (3, 'c')]);
    /// let mut rows = ages.full_outer_join(&names).collect()?;
    /// rows.sort();
    /// let both = (2, (Some(40), Some('b')));
    /// assert_eq!(rows, [(1, (Some(30), None)), both, (3, (None, Some('c')))]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn full_outer_join<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Rdd<(K, Either<V, W>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.cogrouped_by(
            Operation::new("full_outer_join"),
            self.partitioning_with(other),
            other,
            full_rows,
        )
    }
}

/// Left values that meet a right one or `None`.
pub(super) fn left_rows<K: Key, V: Stored, W: Stored>(
    left: SubPartitionGroups<K, V>,
    right: SubPartitionGroups<K, W>,
) -> impl Iterator<Item = (K, (V, Option<W>))> + 'static {
    into_co_groups(left.into_groups(), right.into_groups()).flat_map(|(key, values, others)| {
        CrossProduct::<K, GroupValues<V>, OrNone<GroupRewind<W>>>::new(key, values, others)
    })
}

/// Right values that meet a left one or `None`.
pub(super) fn right_rows<K: Key, V: Stored, W: Stored>(
    left: SubPartitionGroups<K, V>,
    right: SubPartitionGroups<K, W>,
) -> impl Iterator<Item = (K, (Option<V>, W))> + 'static {
    into_co_groups(left.into_groups(), right.into_groups()).flat_map(|(key, values, others)| {
        CrossProduct::<K, OrNone<GroupValues<V>>, GroupRewind<W>>::new(key, values, others)
    })
}

pub(super) fn full_rows<K: Key, V: Stored, W: Stored>(
    left: SubPartitionGroups<K, V>,
    right: SubPartitionGroups<K, W>,
) -> impl Iterator<Item = (K, Either<V, W>)> + 'static {
    into_co_groups(left.into_groups(), right.into_groups()).flat_map(|(key, values, others)| {
        CrossProduct::<K, OrNone<GroupValues<V>>, OrNone<GroupRewind<W>>>::new(key, values, others)
    })
}
