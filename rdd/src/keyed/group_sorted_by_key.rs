//! `group_sorted_by_key`: all values of a key together and in order, a secondary sort.

use super::group_by_key::limited;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_core::size::heap_bytes;
use emberline_shuffle::Partitioning;

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Brings the values of each key together in a `Vec` that is sorted by `sort_key_of(value)`,
    /// ascending; values of equal sort keys keep their order. Use `std::cmp::Reverse` for
    /// descending. `sort_key_of` is called once for each value.
    ///
    /// For rows sorted by key within partitions, without groups, see
    /// [`repartition_and_sort_within_partitions`](Rdd::repartition_and_sort_within_partitions).
    ///
    /// - **Shape**: `Rdd<(K, V)>` to `Rdd<(K, Vec<V>)>`, one row for each key
    /// - **Partitions**: of the partitioner it already has, else kept
    /// - **Partitioner**: the one it already has, else by hash
    /// - **Shuffle**: one, without map-side combine; none if already partitioned so
    /// - **Memory**: a task's share; `GroupTooLarge` as `group_by_key`
    /// - **Order**: by the hash of the key; values ascending by `sort_key_of(value)`, stable over
    ///   the order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let visits = ctx.parallelize(vec![(1, (9, 'b')), (2, (7, 'a')), (1, (8, 'c'))]);
    /// let mut days = visits.group_sorted_by_key(|(hour, _)| *hour).collect()?;
    /// days.sort();
    /// assert_eq!(days, [(1, vec![(8, 'c'), (9, 'b')]), (2, vec![(7, 'a')])]);
    /// # Ok::<(), emberline_rdd::Error>(())
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
        by: Partitioning<K>,
        sort_key_of: F,
    ) -> Rdd<(K, Vec<V>)>
    where
        K: Key,
        V: Stored,
        S: Ord,
        F: Fn(&V) -> S + Send + Sync + 'static,
    {
        let groups = self.gathered(operation, by, (limited::<V>, heap_bytes));
        let sort = move |(key, mut values): (K, Vec<V>)| {
            values.sort_by_cached_key(&sort_key_of);
            (key, values)
        };
        groups.mapped(operation, size_of::<F>(), KeyEffect::Preserved, sort).boxed()
    }
}
