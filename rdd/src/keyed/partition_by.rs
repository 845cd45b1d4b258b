//! `partition_by`: pairs go where their keys belong.

use super::shuffled::{ConcatRows, shuffle, wide};
use crate::partitioner::KnownPartitioner;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;
use emberline_shuffle::{MapWriter, Partitioning, hash_of};

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Moves each pair to the partition of its key: into a number of partitions by hash, or by a
    /// partitioner. What is keyed the same way later, such as a `join`, then moves nothing.
    ///
    /// - **Shape**: `Rdd<(K, V)>` to `Rdd<(K, V)>`
    /// - **Partitions**: given
    /// - **Partitioner**: given
    /// - **Shuffle**: one; none if already partitioned so
    /// - **Memory**: constant while reading
    /// - **Order**: of the partitions and rows before
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::{Partitioner, prelude::*};
    /// use std::sync::Arc;
    ///
    /// struct ByTens;
    /// impl Partitioner<u32> for ByTens {
    ///     fn partitions(&self) -> usize { 3 }
    ///     fn partition_of(&self, key: &u32) -> usize { (*key as usize / 10).min(2) }
    /// }
    ///
    /// let ctx = Context::local()?;
    /// let pairs = ctx.parallelize(vec![(25, 'x'), (3, 'y'), (11, 'z')]);
    /// let placed = pairs.partition_by(Arc::new(ByTens));
    /// assert_eq!(placed.collect()?, [(3, 'y'), (11, 'z'), (25, 'x')]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn partition_by(&self, partitioning: impl Into<Partitioning<K>>) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
    {
        self.placed(Operation::new("partition_by"), partitioning.into())
    }

    /// The step behind `partition_by` and what sorts the partitions it makes.
    pub(super) fn placed(&self, operation: Operation, by: Partitioning<K>) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
    {
        if self.partitioning().is_some_and(|own| own.same_as(&by)) {
            return self.boxed();
        }
        let (partitions, partitioner) = (by.partitions(), KnownPartitioner::new(&by));
        let write = move |rows: P::Rows, _, to: &mut MapWriter<(K, V)>| {
            rows.for_each(|(key, value)| {
                let (hash, partition) = blame(&operation, || {
                    let hash = hash_of(&key);
                    (hash, by.partition_of(&key, hash))
                });
                to.push_keyed(partition, hash, (key, value));
            });
        };
        let (outputs, edge) = shuffle(self, operation, (partitions, 1), write);
        let lineage = self.context.lineage(operation, partitions, vec![edge]);
        let compute =
            move |partition, task: &TaskContext| ConcatRows::new(outputs.read(partition, task));
        wide(&self.context, lineage, Some(partitioner), 0, compute)
    }
}
