//! `group_sorted_by_key`: collects the values of each key in sorted order, a secondary sort.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_core::task::LoopCheck;
use emberline_shuffle::Partitioning;

/// # Grouping
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Collects the values of each key into a `Vec` sorted by `sort_key_of(value)`, ascending.
    ///
    /// The sort is stable and computes the sort key of each value once; `std::cmp::Reverse` sorts
    /// descending. Partitions, shuffle, order of rows and memory are those of
    /// [`group_by_key`](Rdd::group_by_key). For a secondary sort that collects nothing, see
    /// [`repartition_and_sort_within_partitions`](Rdd::repartition_and_sort_within_partitions).
    ///
    /// # Errors
    ///
    /// The action fails with [`GroupTooLarge`](crate::ErrorKind::GroupTooLarge) if the values of a
    /// key exceed the task memory limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let visits = ctx.parallelize(vec![(1, (9, 'b')), (2, (7, 'a')), (1, (8, 'c'))]);
    /// let mut days = visits.group_sorted_by_key(|(hour, _)| *hour).collect()?;
    /// days.sort();
    /// assert_eq!(days, [(1, vec![(8, 'c'), (9, 'b')]), (2, vec![(7, 'a')])]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn group_sorted_by_key<S, F>(&self, sort_key_of: F) -> Rdd<(K, Vec<V>)>
    where
        K: Key,
        V: Stored,
        S: Ord,
        F: Fn(&V) -> S + Send + Sync + 'static,
    {
        self.grouped_and_sorted(
            Operation::new("group_sorted_by_key"),
            self.default_partitioning_of_keys(),
            sort_key_of,
        )
    }

    pub(super) fn grouped_and_sorted<S, F>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
        sort_key_of: F,
    ) -> Rdd<(K, Vec<V>)>
    where
        K: Key,
        V: Stored,
        S: Ord,
        F: Fn(&V) -> S + Send + Sync + 'static,
    {
        let groups = self.grouped_lists(operation, partitioning);
        let sort = move |(key, mut values): (K, Vec<V>)| {
            let mut check = LoopCheck::default();
            values.sort_by_cached_key(|value| {
                check.tick(1);
                sort_key_of(value)
            });
            (key, values)
        };
        groups.mapped(operation, size_of::<F>(), KeyEffect::Preserved, sort).boxed()
    }
}
