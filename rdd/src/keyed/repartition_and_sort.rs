//! `repartition_and_sort_within_partitions`: partitions pairs by key and sorts each partition.

use super::orders::{ByPairKey, sort_rows};
use super::shuffled::wide;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::lineage::Dependency;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_shuffle::Partitioning;
use std::sync::Arc;

/// # Sorting and partitioning
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Moves each pair to the partition of its key and sorts each partition by key, ascending.
    ///
    /// The sort is stable. Keys are not ordered over the partitions;
    /// [`sort_pairs`](Rdd::sort_pairs) does that. For a secondary sort, use a pair as the key and a
    /// partitioner that reads only its first part: rows with equal first parts are then adjacent,
    /// in the order of the second part, and may be larger than memory. Shuffles unless the RDD has
    /// this partitioner already. Rows beyond the task memory limit spill.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let pairs = ctx.parallelize(vec![(3, 'x'), (1, 'y'), (2, 'z'), (1, 'a')]);
    /// let sorted = pairs.repartition_and_sort_within_partitions(1);
    /// assert_eq!(sorted.collect()?, [(1, 'y'), (1, 'a'), (2, 'z'), (3, 'x')]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "repartitionAndSortWithinPartitions")]
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
        let partitioned = self.partitioned_by(operation, partitioning.into());
        let edge = Dependency::Narrow(Arc::clone(&partitioned.lineage));
        let lineage = self.context.lineage(operation, partitioned.num_partitions(), vec![edge]);
        let parent = partitioned.pipeline.clone();
        let depth = parent.depth();
        let compute = move |partition, task: &TaskContext| {
            sort_rows(operation, parent.open(partition, task), ByPairKey, task)
        };
        let partitioner = partitioned.partitioner.clone().map(|known| known.in_hash_order(false));
        wide(&self.context, lineage, partitioner, depth, compute)
    }
}
