//! `left_outer_join`, `right_outer_join` and `full_outer_join`.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::{
    CrossProduct, GroupRewind, GroupValues, OrNone, SubPartitionGroups, into_co_groups,
};

/// The values of a full outer join, of which at least one is present.
type Either<V, W> = (Option<V>, Option<W>);

/// # Joins
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Pairs each value with each value of the same key in `other`, or with `None` without one.
    ///
    /// Partitions, shuffle, order and memory are those of [`join`](Rdd::join).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let ages = ctx.parallelize(vec![(1, 30), (2, 40), (2, 41)]);
    /// let names = ctx.parallelize(vec![(2, 'b'), (3, 'c')]);
    /// let mut rows = ages.left_outer_join(&names).collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [(1, (30, None)), (2, (40, Some('b'))), (2, (41, Some('b')))]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "leftOuterJoin")]
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
            self.default_partitioning_with(other),
            other,
            left_rows,
        )
    }

    /// Pairs each value of `other` with each value of the same key in this RDD, or with `None`.
    ///
    /// Partitions, shuffle, order and memory are those of [`join`](Rdd::join).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let ages = ctx.parallelize(vec![(1, 30), (2, 40), (2, 41)]);
    /// let names = ctx.parallelize(vec![(2, 'b'), (3, 'c')]);
    /// let mut rows = ages.right_outer_join(&names).collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [(2, (Some(40), 'b')), (2, (Some(41), 'b')), (3, (None, 'c'))]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "rightOuterJoin")]
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
            self.default_partitioning_with(other),
            other,
            right_rows,
        )
    }

    /// Pairs each value of either RDD with each value of its key in the other one, or with `None`.
    ///
    /// Partitions, shuffle, order and memory are those of [`join`](Rdd::join).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let ages = ctx.parallelize(vec![(1, 30), (2, 40)]);
    /// let names = ctx.parallelize(vec![(2, 'b'), (3, 'c')]);
    /// let mut rows = ages.full_outer_join(&names).collect()?;
    /// rows.sort();
    /// let both = (2, (Some(40), Some('b')));
    /// assert_eq!(rows, [(1, (Some(30), None)), both, (3, (None, Some('c')))]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "fullOuterJoin")]
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
            self.default_partitioning_with(other),
            other,
            full_rows,
        )
    }
}

/// Pairs each left value with the right values of its key, or with `None`.
pub(super) fn left_rows<K: Key, V: Stored, W: Stored>(
    left: SubPartitionGroups<K, V>,
    right: SubPartitionGroups<K, W>,
) -> impl Iterator<Item = (K, (V, Option<W>))> + 'static {
    into_co_groups(left.into_groups(), right.into_groups()).flat_map(|(key, values, others)| {
        CrossProduct::<K, GroupValues<V>, OrNone<GroupRewind<W>>>::new(key, values, others)
    })
}

/// Pairs each right value with the left values of its key, or with `None`.
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
