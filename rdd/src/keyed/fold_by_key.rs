//! `fold_by_key`: one value for each key, from a zero.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::Partitioning;
use std::sync::Arc;

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Folds the values of each key into one with `f`, from a clone of `zero`. `zero` is used at
    /// least once for each key of each partition before the shuffle, and up to once a row where hardly a
    /// key comes again, so it should be neutral; `f` should be associative, as it also merges what the
    /// partitions came to.
    ///
    /// - **Shape**: `Rdd<(K, V)>` to `Rdd<(K, V)>`, one row for each key
    /// - **Partitions**: of the partitioner it already has, else kept
    /// - **Partitioner**: the one it already has, else by hash
    /// - **Shuffle**: one, with map-side combine; none if already partitioned so
    /// - **Memory**: a table of distinct keys in a task's share; what passes it goes in runs
    /// - **Order**: by the hash of the key; values merge in the order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let pairs = ctx.parallelize(vec![('a', 1), ('b', 1), ('a', 2)]);
    /// let mut sums = pairs.fold_by_key(0, |sum, n| sum + n).collect()?;
    /// sums.sort();
    /// assert_eq!(sums, [('a', 3), ('b', 1)]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
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
        by: Partitioning<K>,
        zero: V,
        f: F,
    ) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let again = Arc::clone(&f);
        self.aggregated(
            operation,
            by,
            zero,
            move |sum, value| f(sum, value),
            move |a, b| again(a, b),
        )
    }
}
