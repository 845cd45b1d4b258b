//! `repartition`: spread rows evenly over a number of partitions.

use super::shuffled::{ConcatRows, shuffle, wide};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_shuffle::{MapWriter, hash_of};

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Deals the rows of each partition out over `partitions` new ones, in turn, so that they differ
    /// by at most one row for each partition before.
    ///
    /// The first partition dealt to is chosen by the number of the old partition, and the order of
    /// rows never depends on timing, so a lost partition comes back as it was.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: given
    /// - **Partitioner**: dropped
    /// - **Shuffle**: one
    /// - **Memory**: constant while reading
    /// - **Order**: of the partitions and rows before, within each new partition
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let spread = ctx.range_with(1, 0..100_u32).repartition(4);
    /// assert_eq!(spread.map_partitions(|rows| [rows.count()]).collect()?, [25, 25, 25, 25]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn repartition(&self, partitions: usize) -> Rdd<T>
    where
        T: Stored,
    {
        let operation = Operation::new("repartition");
        let write = move |rows: P::Rows, map_partition: usize, to: &mut MapWriter<T>| {
            let mut next = hash_of(&map_partition) as usize % partitions;
            rows.for_each(|row| {
                to.push(next, row);
                next = if next + 1 == partitions { 0 } else { next + 1 };
            });
        };
        let (outputs, edge) = shuffle(self, operation, (partitions, 1), write);
        let lineage = self.context.lineage(operation, partitions, vec![edge]);
        let compute =
            move |partition, task: &TaskContext| ConcatRows::new(outputs.read(partition, task));
        wide(&self.context, lineage, None, 0, compute)
    }
}
