//! `aggregate_by_key`: one accumulator for each key, of a type of its own.

use super::combine_by_key::Combine;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::Partitioning;
use std::sync::Arc;

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Folds the values of each key into an accumulator: `merge_value` from a clone of `zero` within
    /// a partition, `merge_accumulators` over partitions in their order. `zero` is used at
    /// least once for each key of each partition before the shuffle, and up to once a row where hardly a
    /// key comes again, so it should be neutral.
    ///
    /// - **Shape**: `Rdd<(K, V)>` to `Rdd<(K, A)>`, one row for each key
    /// - **Partitions**: of the partitioner it already has, else kept
    /// - **Partitioner**: the one it already has, else by hash
    /// - **Shuffle**: one, with map-side combine; none if already partitioned so
    /// - **Memory**: a table of distinct keys in a task's share; what passes it goes in runs
    /// - **Order**: by the hash of the key
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    /// use std::collections::BTreeSet;
    ///
    /// let ctx = Context::local()?;
    /// let pairs = ctx.parallelize(vec![(1, 1), (1, 1), (3, 2), (5, 1), (5, 3)]);
    /// let sets = pairs.aggregate_by_key(
    ///     BTreeSet::new(),
    ///     |mut set, n| { set.insert(n); set },
    ///     |mut set, more| { set.extend(more); set },
    /// );
    /// let mut rows = sets.collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [(1, [1].into()), (3, [2].into()), (5, [1, 3].into())]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
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

    /// The step behind `aggregate_by_key` and `fold_by_key`.
    pub(super) fn aggregated<A, G, H>(
        &self,
        operation: Operation,
        by: Partitioning<K>,
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
        let first = Arc::clone(&merge_value);
        let combine = Combine {
            create: move |value| first(zero.clone(), value),
            merge_value: move |accumulator, value| merge_value(accumulator, value),
            merge_combiners,
        };
        self.combined(operation, by, combine)
    }
}
