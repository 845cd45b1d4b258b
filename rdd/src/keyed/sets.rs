//! `subtract`, `subtract_by_key` and `intersection`: rows that another RDD lacks or has.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::{Partitioning, SubPartitionGroups, into_co_groups};
use std::iter::repeat_n;

/// # Sets of rows
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the rows that are not in `other`, with their duplicates.
    ///
    /// Compares whole rows; [`subtract_by_key`](Rdd::subtract_by_key) compares the keys of pairs.
    /// Shuffles both RDDs into the partitions of this one. The result has no partitioner and is
    /// ordered by the hash of the row. Rows beyond the task memory limit spill.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let rows = ctx.parallelize(vec![1, 2, 2, 3]);
    /// let mut rest = rows.subtract(&ctx.parallelize(vec![3, 4])).collect()?;
    /// rest.sort();
    /// assert_eq!(rest, [1, 2, 2]);
    /// # Ok::<(), Error>(())
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

    /// Returns the rows that are also in `other`, without duplicates.
    ///
    /// Shuffles both RDDs into the larger number of partitions. The result has no partitioner and
    /// is ordered by the hash of the row. Rows beyond the task memory limit spill.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let rows = ctx.parallelize(vec![1, 2, 2, 3]);
    /// let mut common = rows.intersection(&ctx.parallelize(vec![3, 2, 3, 4])).collect()?;
    /// common.sort();
    /// assert_eq!(common, [2, 3]);
    /// # Ok::<(), Error>(())
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

    /// Groups the equal rows of both sides and passes the groups of a partition to `merge`.
    pub(super) fn cogrouped_rows<Q, I>(
        &self,
        operation: Operation,
        partitioning: Partitioning<T>,
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
        let rows = left.cogrouped_by(operation, partitioning, &right, merge);
        rows.mapped(operation, 0, KeyEffect::Changed, |(row, ())| row).boxed()
    }
}

/// # Joins
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Returns the pairs whose key is not in `other`, with their duplicates.
    ///
    /// Partitions, shuffle, order and memory are those of [`group_by_key`](Rdd::group_by_key). Of
    /// `other` only the keys are shuffled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let stock = ctx.parallelize(vec![('a', 3), ('b', 5), ('a', 4)]);
    /// let sold_out = ctx.parallelize(vec![('b', "today")]);
    /// assert_eq!(stock.subtract_by_key(&sold_out).collect()?, [('a', 3), ('a', 4)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "subtractByKey")]
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
        partitioning: Partitioning<K>,
        other: &Rdd<(K, W), Q>,
    ) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
        W: Element,
        Q: Pipeline<Item = (K, W)>,
    {
        let keys = other.mapped(operation, 0, KeyEffect::Preserved, |(key, _)| (key, ()));
        self.cogrouped_by(operation, partitioning, &keys, left_only)
    }
}

/// Returns the pairs of the left side whose key the right side lacks.
pub(super) fn left_only<K: Key, V: Stored>(
    left: SubPartitionGroups<K, V>,
    right: SubPartitionGroups<K, ()>,
) -> impl Iterator<Item = (K, V)> + 'static {
    let groups = into_co_groups(left.into_groups(), right.into_groups())
        .filter(|(_, _, others)| others.is_empty());
    groups.flat_map(|(key, values, _)| repeat_n(key, values.len()).zip(values))
}

/// Returns each key that both sides have, once.
pub(super) fn in_both<K: Key>(
    left: SubPartitionGroups<K, ()>,
    right: SubPartitionGroups<K, ()>,
) -> impl Iterator<Item = (K, ())> + 'static {
    let groups = into_co_groups(left.into_groups(), right.into_groups());
    let common = groups.filter(|(_, own, others)| !own.is_empty() && !others.is_empty());
    common.map(|(key, ..)| (key, ()))
}
