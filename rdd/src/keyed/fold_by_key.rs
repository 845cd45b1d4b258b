//! `fold_by_key`: folds the values of each key, starting from a zero value.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::Partitioning;
use std::sync::Arc;

/// # Aggregation by key
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Folds the values of each key with `f`, starting from a clone of `zero`.
    ///
    /// `zero` is used at least once for each key and partition and at most once for each row, so it
    /// should be neutral; `f` also merges the results of the partitions and must be associative.
    /// Partitions, shuffle, order and memory are those of [`reduce_by_key`](Rdd::reduce_by_key).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let pairs = ctx.parallelize(vec![('a', 1), ('b', 1), ('a', 2)]);
    /// let mut sums = pairs.fold_by_key(0, |sum, n| sum + n).collect()?;
    /// sums.sort();
    /// assert_eq!(sums, [('a', 3), ('b', 1)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "foldByKey")]
    #[track_caller]
    pub fn fold_by_key<F>(&self, zero: V, f: F) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        self.folded(Operation::new("fold_by_key"), self.default_partitioning_of_keys(), zero, f)
    }

    pub(super) fn folded<F>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
        zero: V,
        f: F,
    ) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let merge = Arc::clone(&f);
        self.aggregated(
            operation,
            partitioning,
            zero,
            move |sum, value| f(sum, value),
            move |a, b| merge(a, b),
        )
    }
}
