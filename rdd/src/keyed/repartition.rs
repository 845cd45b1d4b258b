//! `repartition`: distributes rows evenly over a number of partitions.

use super::shuffled::{ConcatRows, shuffle, wide};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_shuffle::hash_of;
use emberline_shuffle::map_side::{self, RoundRobin};

/// # Sorting and partitioning
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Distributes the rows evenly over `partitions` partitions, in turn.
    ///
    /// Shuffles every row; [`coalesce`](Rdd::coalesce) merges partitions without a shuffle. The
    /// first row of an input partition is sent to a partition that depends only on the index of the
    /// input partition. So the result is the same in every run, and the sizes of partitions differ
    /// by at most one row per input partition.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let spread = ctx.range_with(1, 0..100_u32).repartition(4);
    /// assert_eq!(spread.map_partitions(|rows| [rows.count()]).collect()?, [25, 25, 25, 25]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn repartition(&self, partitions: usize) -> Rdd<T>
    where
        T: Stored,
    {
        let operation = Operation::new("repartition");
        let write_rows = move |rows: P::Rows, task: &TaskContext| {
            let first = hash_of(&task.attempt_id.partition) as usize % partitions;
            map_side::run(RoundRobin { segments: partitions, first }, rows, task)
        };
        let (outputs, edge) = shuffle(self, operation, partitions, write_rows);
        let lineage = self.context.lineage(operation, partitions, vec![edge]);
        let compute =
            move |partition, task: &TaskContext| ConcatRows::new(outputs.read(partition, task));
        wide(&self.context, lineage, None, 0, compute)
    }
}
