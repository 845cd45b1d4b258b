//! `subtract`, `subtract_by_key` and `intersection`: what of this RDD the other lacks or has. The
//! other side only says which keys it has, so its values stay behind.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::{Partitioning, SubPartitionGroups, into_co_groups};
use std::iter::repeat_n;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Keeps the rows that are not in `other`. Equal rows of this side are all kept; of pairs, key
    /// and value must be equal: [`subtract_by_key`](Rdd::subtract_by_key) looks at the keys alone.
    ///
    /// - **Shape**: `Rdd<T>` and `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: kept
    /// - **Partitioner**: none
    /// - **Shuffle**: one for each side
    /// - **Memory**: a task's share; what passes it is sorted in runs
    /// - **Order**: by the hash of the row; equal rows side by side
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let rows = ctx.parallelize(vec![1, 2, 2, 3]);
    /// let mut rest = rows.subtract(&ctx.parallelize(vec![3, 4])).collect()?;
    /// rest.sort();
    /// assert_eq!(rest, [1, 2, 2]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn subtract<Q>(&self, other: &Rdd<T, Q>) -> Rdd<T>
    where
        T: Key,
        Q: Pipeline<Item = T>,
    {
        self.cogrouped_rows(
            Operation::new("subtract"),
            Partitioning::Hash(self.num_partitions().max(1)),
            other,
            left_only,
        )
    }

    /// Keeps the rows that are in `other` too, each once.
    ///
    /// - **Shape**: `Rdd<T>` and `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: the most of the two
    /// - **Partitioner**: none
    /// - **Shuffle**: one for each side
    /// - **Memory**: a task's share; what passes it is sorted in runs
    /// - **Order**: by the hash of the row
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let rows = ctx.parallelize(vec![1, 2, 2, 3]);
    /// let mut common = rows.intersection(&ctx.parallelize(vec![3, 2, 3, 4])).collect()?;
    /// common.sort();
    /// assert_eq!(common, [2, 3]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn intersection<Q>(&self, other: &Rdd<T, Q>) -> Rdd<T>
    where
        T: Key,
        Q: Pipeline<Item = T>,
    {
        let most = self.num_partitions().max(other.num_partitions()).max(1);
        self.cogrouped_rows(
            Operation::new("intersection"),
            Partitioning::Hash(most),
            other,
            in_both,
        )
    }

    /// Groups the rows of both sides and gives the groups of a partition to `merge`.
    pub(super) fn cogrouped_rows<Q, I>(
        &self,
        operation: Operation,
        by: Partitioning<T>,
        other: &Rdd<T, Q>,
        merge: fn(SubPartitionGroups<T, ()>, SubPartitionGroups<T, ()>) -> I,
    ) -> Rdd<T>
    where
        T: Key,
        Q: Pipeline<Item = T>,
        I: Iterator<Item = (T, ())> + 'static,
    {
        let left = self.mapped(operation, 0, KeyEffect::Changed, |row| (row, ()));
        let right = other.mapped(operation, 0, KeyEffect::Changed, |row| (row, ()));
        let rows = left.cogrouped_by(operation, by, &right, merge);
        rows.mapped(operation, 0, KeyEffect::Changed, |(row, ())| row).boxed()
    }
}

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Keeps the pairs whose key `other` does not have, whatever its values are. Pairs of one key
    /// are all kept.
    ///
    /// - **Shape**: `Rdd<(K, V)>` and `Rdd<(K, W)>` to `Rdd<(K, V)>`
    /// - **Partitions**: of the partitioner it already has, else kept
    /// - **Partitioner**: the one it already has, else by hash
    /// - **Shuffle**: one for each side that is not already partitioned so; of `other` only the
    ///   keys
    /// - **Memory**: a task's share; what passes it is sorted in runs
    /// - **Order**: by the hash of the key; values in the order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let stock = ctx.parallelize(vec![('a', 3), ('b', 5), ('a', 4)]);
    /// let sold_out = ctx.parallelize(vec![('b', "today")]);
    /// assert_eq!(stock.subtract_by_key(&sold_out).collect()?, [('a', 3), ('a', 4)]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn subtract_by_key<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
        W: Element,
        Q: Pipeline<Item = (K, W)>,
    {
        self.without_keys(
            Operation::new("subtract_by_key"),
            self.default_partitioning_of_keys(),
            other,
        )
    }

    pub(super) fn without_keys<W, Q>(
        &self,
        operation: Operation,
        by: Partitioning<K>,
        other: &Rdd<(K, W), Q>,
    ) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
        W: Element,
        Q: Pipeline<Item = (K, W)>,
    {
        let keys = other.mapped(operation, 0, KeyEffect::Preserved, |(key, _)| (key, ()));
        self.cogrouped_by(operation, by, &keys, left_only)
    }
}

/// The pairs of the left side whose key the right side lacks.
pub(super) fn left_only<K: Key, V: Stored>(
    left: SubPartitionGroups<K, V>,
    right: SubPartitionGroups<K, ()>,
) -> impl Iterator<Item = (K, V)> + 'static {
    let groups = into_co_groups(left.into_groups(), right.into_groups())
        .filter(|(_, _, others)| others.is_empty());
    groups.flat_map(|(key, values, _)| repeat_n(key, values.len()).zip(values))
}

/// Each key of both sides, once.
pub(super) fn in_both<K: Key>(
    left: SubPartitionGroups<K, ()>,
    right: SubPartitionGroups<K, ()>,
) -> impl Iterator<Item = (K, ())> + 'static {
    let groups = into_co_groups(left.into_groups(), right.into_groups());
    let common = groups.filter(|(_, own, others)| !own.is_empty() && !others.is_empty());
    common.map(|(key, ..)| (key, ()))
}
