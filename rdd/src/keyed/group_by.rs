//! `group_by`: all rows of a key together.

use super::group_by_key::limited;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_core::size::heap_bytes;
use emberline_shuffle::Partitioning;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Brings the rows with one `key_of(row)` together in a `Vec`: [`key_by`](Rdd::key_by), then
    /// [`group_by_key`](Rdd::group_by_key). To sum, count or pick rows, use
    /// [`reduce_by_key`](Rdd::reduce_by_key) after `key_by`: it moves one row for each key and
    /// partition, this moves all.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<(K, Vec<T>)>`, one row for each key
    /// - **Partitions**: kept
    /// - **Partitioner**: by hash
    /// - **Shuffle**: one, without map-side combine
    /// - **Memory**: a task's share; `GroupTooLarge` as `group_by_key`
    /// - **Order**: by the hash of the key; rows of a group in the order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let mut groups = ctx.parallelize(vec![1, 1, 2, 3, 5, 8]).group_by(|n| n % 2).collect()?;
    /// groups.sort();
    /// assert_eq!(groups, [(0, vec![2, 8]), (1, vec![1, 1, 3, 5])]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn group_by<K, F>(&self, key_of: F) -> Rdd<(K, Vec<T>)>
    where
        T: Stored,
        K: Key,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        self.grouped_by(
            Operation::new("group_by"),
            Partitioning::Hash(self.num_partitions().max(1)),
            key_of,
        )
    }

    pub(super) fn grouped_by<K, F>(
        &self,
        operation: Operation,
        by: Partitioning<K>,
        key_of: F,
    ) -> Rdd<(K, Vec<T>)>
    where
        T: Stored,
        K: Key,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        let pair = move |row| (key_of(&row), row);
        let pairs = self.mapped(operation, size_of::<F>(), KeyEffect::Changed, pair);
        pairs.gathered(operation, by, (limited::<T>, heap_bytes))
    }
}
