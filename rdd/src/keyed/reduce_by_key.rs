//! `reduce_by_key`: merges the values of each key.

use super::combine_by_key::Aggregator;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::Partitioning;
use std::sync::Arc;

/// # Aggregation by key
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Merges the values of each key with `f`, which must be associative.
    ///
    /// Merges within each partition first, so that at most one value per key and partition is
    /// shuffled, and then over the partitions in their order. An RDD that has a partitioner keeps
    /// it and is not shuffled; otherwise the result is hash-partitioned into the same number of
    /// partitions. Rows are ordered by the hash of the key. Memory holds one entry per distinct key
    /// and spills beyond the task memory limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["to", "be", "or", "not", "to", "be"]);
    /// let counts = words.map(|word| (word.to_string(), 1)).reduce_by_key(|a, b| a + b);
    /// assert_eq!(counts.top_by_key(1, |(word, n)| (*n, word.clone()))?, [("to".to_string(), 2)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "reduceByKey")]
    #[track_caller]
    pub fn reduce_by_key<F>(&self, f: F) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        self.reduced(Operation::new("reduce_by_key"), self.default_partitioning_of_keys(), f)
    }

    pub(crate) fn reduced<F>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
        f: F,
    ) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let merge = Arc::clone(&f);
        let aggregator = Aggregator {
            create: |value| value,
            merge_value: move |a, b| f(a, b),
            merge_combiners: move |a, b| merge(a, b),
        };
        self.combined(operation, partitioning, aggregator)
    }
}
