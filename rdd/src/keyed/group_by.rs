//! `group_by`: collects the rows of each key.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::Partitioning;

/// # Grouping
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Collects the rows with equal `key_of(row)` into a `Vec`.
    ///
    /// The same as [`key_by`](Rdd::key_by) and then [`group_by_key`](Rdd::group_by_key): it
    /// shuffles every row. To sum, count or pick rows, use `key_by` and
    /// [`reduce_by_key`](Rdd::reduce_by_key). The result is hash-partitioned, ordered by the hash
    /// of the key, and spills beyond the task memory limit.
    ///
    /// # Errors
    ///
    /// The action fails with [`GroupTooLarge`](crate::ErrorKind::GroupTooLarge) if the rows of a
    /// key exceed the task memory limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let mut groups = ctx.parallelize(vec![1, 1, 2, 3, 5, 8]).group_by(|n| n % 2).collect()?;
    /// groups.sort();
    /// assert_eq!(groups, [(0, vec![2, 8]), (1, vec![1, 1, 3, 5])]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "groupBy")]
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
        partitioning: Partitioning<K>,
        key_of: F,
    ) -> Rdd<(K, Vec<T>)>
    where
        T: Stored,
        K: Key,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        let pair = move |row| (key_of(&row), row);
        let pairs = self.mapped(operation, size_of::<F>(), KeyEffect::Changed, pair);
        pairs.grouped_lists(operation, partitioning)
    }
}
