//! `partition_by`: partitions pairs by key, by hash or by a partitioner.

use super::shuffled::{ConcatRows, shuffle, wide};
use crate::partitioner::KnownPartitioner;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;
use emberline_shuffle::map_side::{self, AssignedRow, Distribute};
use emberline_shuffle::{Partitioning, hash_of};

/// # Sorting and partitioning
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Moves each pair to the partition of its key: by hash for a count, or by a partitioner.
    ///
    /// Operations that need the same partitioner, such as a [`join`](Rdd::join), then shuffle
    /// nothing. Shuffles unless the RDD has this partitioner already.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// use emberline_rdd::Partitioner;
    /// use std::sync::Arc;
    /// # let ctx = Context::local()?;
    /// struct ByTens;
    /// impl Partitioner<u32> for ByTens {
    ///     fn partitions(&self) -> usize { 3 }
    ///     fn partition_of(&self, key: &u32) -> usize { (*key as usize / 10).min(2) }
    /// }
    ///
    /// let pairs = ctx.parallelize(vec![(25, 'x'), (3, 'y'), (11, 'z')]);
    /// let by_tens = pairs.partition_by(Arc::new(ByTens));
    /// assert_eq!(by_tens.collect()?, [(3, 'y'), (11, 'z'), (25, 'x')]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "partitionBy")]
    #[track_caller]
    pub fn partition_by(&self, partitioning: impl Into<Partitioning<K>>) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
    {
        self.partitioned_by(Operation::new("partition_by"), partitioning.into())
    }

    /// Moves each pair to the partition of its key, also for operations that sort afterwards.
    pub(super) fn partitioned_by(&self, operation: Operation, by: Partitioning<K>) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
    {
        if self.partitioning().is_some_and(|own| own.same_as(&by)) {
            return self.boxed();
        }
        let partitions = by.partitions();
        let partitioner = KnownPartitioner::new(&by);
        let write_rows = move |rows: P::Rows, task: &TaskContext| {
            let assign = |(key, value)| {
                let (hash, partition) = blame(&operation, || {
                    let hash = hash_of(&key);
                    (hash, by.partition_of(&key, hash))
                });
                AssignedRow::by_hash(partition, hash, (key, value))
            };
            map_side::run(Distribute { segments: partitions, assign }, rows, task)
        };
        let (outputs, edge) = shuffle(self, operation, partitions, write_rows);
        let lineage = self.context.lineage(operation, partitions, vec![edge]);
        let compute =
            move |partition, task: &TaskContext| ConcatRows::new(outputs.read(partition, task));
        wide(&self.context, lineage, Some(partitioner), 0, compute)
    }
}
