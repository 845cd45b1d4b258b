//! `aggregate_by_key`: folds the values of each key into an accumulator of another type.

use super::combine_by_key::Aggregator;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::Partitioning;
use std::sync::Arc;

/// # Aggregation by key
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Folds the values of each key into an accumulator of another type.
    ///
    /// `merge_value` adds a value to an accumulator, which starts as a clone of `zero`;
    /// `merge_accumulators` merges those of two partitions. `zero` is used at least once for each
    /// key and partition and at most once for each row, so it should be neutral. Partitions,
    /// shuffle, order and memory are those of [`reduce_by_key`](Rdd::reduce_by_key).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// use std::collections::BTreeSet;
    /// # let ctx = Context::local()?;
    /// let pairs = ctx.parallelize(vec![(1, 1), (1, 1), (3, 2), (5, 1), (5, 3)]);
    /// let sets = pairs.aggregate_by_key(
    ///     BTreeSet::new(),
    ///     |mut set, n| { set.insert(n); set },
    ///     |mut set, more| { set.extend(more); set },
    /// );
    /// let mut rows = sets.collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [(1, [1].into()), (3, [2].into()), (5, [1, 3].into())]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "aggregateByKey")]
    #[track_caller]
    pub fn aggregate_by_key<A, G, H>(
        &self,
        zero: A,
        merge_value: G,
        merge_accumulators: H,
    ) -> Rdd<(K, A)>
    where
        K: Key,
        A: Stored,
        G: Fn(A, V) -> A + Send + Sync + 'static,
        H: Fn(A, A) -> A + Send + Sync + 'static,
    {
        let operation = Operation::new("aggregate_by_key");
        self.aggregated(
            operation,
            self.default_partitioning_of_keys(),
            zero,
            merge_value,
            merge_accumulators,
        )
    }

    /// Folds the values of each key into an accumulator, for `aggregate_by_key` and `fold_by_key`.
    pub(super) fn aggregated<A, G, H>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
        zero: A,
        merge_value: G,
        merge_combiners: H,
    ) -> Rdd<(K, A)>
    where
        K: Key,
        A: Stored,
        G: Fn(A, V) -> A + Send + Sync + 'static,
        H: Fn(A, A) -> A + Send + Sync + 'static,
    {
        let merge_value = Arc::new(merge_value);
        let merge_first = Arc::clone(&merge_value);
        let aggregator = Aggregator {
            create: move |value| merge_first(zero.clone(), value),
            merge_value: move |accumulator, value| merge_value(accumulator, value),
            merge_combiners,
        };
        self.combined(operation, partitioning, aggregator)
    }
}
