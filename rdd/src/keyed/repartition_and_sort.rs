//! `repartition_and_sort_within_partitions`: pairs go where their keys belong, and stand in order
//! there.

use super::orders::{ByPairKey, in_order};
use super::shuffled::wide;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::lineage::Dependency;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_shuffle::Partitioning;
use std::sync::Arc;

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Moves each pair to the partition of its key, into a number of partitions by hash or by a
    /// partitioner, and sorts each partition by key, ascending; pairs of equal keys keep their
    /// order. With a partitioner that looks at a part of the key, the other part orders the rows of
    /// that part: a secondary sort that no list of a key's values has to fit in memory for.
    ///
    /// Partition after partition the keys are not in order: [`sort_by_key`](Rdd::sort_by_key) is
    /// for that.
    ///
    /// - **Shape**: `Rdd<(K, V)>` to `Rdd<(K, V)>`
    /// - **Partitions**: given
    /// - **Partitioner**: given
    /// - **Shuffle**: one; none if already partitioned so
    /// - **Memory**: a task's share; what passes it is sorted in runs
    /// - **Order**: ascending by key within each partition; stable
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let pairs = ctx.parallelize(vec![(3, 'x'), (1, 'y'), (2, 'z'), (1, 'a')]);
    /// let sorted = pairs.repartition_and_sort_within_partitions(1);
    /// assert_eq!(sorted.collect()?, [(1, 'y'), (1, 'a'), (2, 'z'), (3, 'x')]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn repartition_and_sort_within_partitions(
        &self,
        partitioning: impl Into<Partitioning<K>>,
    ) -> Rdd<(K, V)>
    where
        K: Key + Ord,
        V: Stored,
    {
        let operation = Operation::new("repartition_and_sort_within_partitions");
        let placed = self.placed(operation, partitioning.into());
        let edge = Dependency::Narrow(Arc::clone(&placed.lineage));
        let lineage = self.context.lineage(operation, placed.num_partitions(), vec![edge]);
        let (parent, depth) = (placed.pipeline.clone(), placed.pipeline.depth());
        let compute = move |partition, task: &TaskContext| {
            in_order(operation, parent.open(partition, task), ByPairKey, task)
        };
        let partitioner = placed.partitioner.clone().map(|known| known.in_hash_order(false));
        wide(&self.context, lineage, partitioner, depth, compute)
    }
}
