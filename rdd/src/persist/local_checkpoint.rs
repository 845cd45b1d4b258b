//! `local_checkpoint`: stored partitions without lineage, which live as long as their handle.

use super::blocks::Blocks;
use super::cacher::PartitionCacher;
use super::level::StorageLevel;
use crate::driver::run_action;
use crate::pipeline::Pipeline;
use crate::pipeline::boxed::{Boxed, Chunks, Node, RowChunks};
use crate::pipeline::materialized::MaterializedRows;
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::error::Result;
use emberline_core::lineage::StoredBlocks;
use emberline_core::operation::Operation;
use emberline_core::size::heap_bytes;
use emberline_core::task::TaskContext;
use emberline_core::unwind::raise;
use std::sync::Arc;

/// # Persistence
impl<T: Stored, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Computes and stores all partitions, and returns an RDD whose lineage begins there.
    ///
    /// Use it to truncate a long lineage, such as that of an iteration. Partitions that do not fit
    /// into the memory limit are stored in scratch files. They live as long as the handle, are
    /// never dropped to make room, and cannot be recomputed; see [`checkpoint`](Rdd::checkpoint)
    /// for files that last. Keeps the partitioner.
    ///
    /// # Errors
    ///
    /// Later actions fail with `BlockLost` if the disk loses a partition.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let mut ranks = ctx.range_with(2, 0..4_u64).boxed();
    /// for _ in 0..3 {
    ///     ranks = ranks.map(|rank| rank * 2).local_checkpoint()?;
    /// }
    /// assert_eq!(ranks.collect()?, [0, 8, 16, 24]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "localCheckpoint")]
    #[track_caller]
    pub fn local_checkpoint(&self) -> Result<Rdd<T>> {
        let operation = Operation::new("local_checkpoint");
        let mut lineage = self.context.lineage(operation, self.num_partitions(), Vec::new());
        let blocks = Blocks::new(&self.context, &lineage, StorageLevel::MemoryAndDisk, false);
        let filled = Arc::clone(&blocks);
        let work = move |rows: P::Rows, task: &TaskContext| {
            let partition = task.attempt_id.partition;
            let cacher = PartitionCacher::new(&filled, partition, task, &operation);
            drop(cacher.store(rows));
            Ok(())
        };
        run_action(operation, |frame| {
            self.run(frame, 0..self.num_partitions(), work)?;
            let missing = (0..self.num_partitions()).find(|at| !blocks.is_stored(*at));
            missing.map_or(Ok(()), |partition| Err(blocks.lost(partition)))
        })?;
        lineage.blocks = Some(Arc::clone(&blocks) as Arc<dyn StoredBlocks>);
        let pipeline = Boxed::from_node(Checkpointed { blocks }, 0);
        Ok(Rdd::partitioned(&self.context, lineage, pipeline, self.partitioner.clone()))
    }
}

/// A local checkpoint as a pipeline: stored partitions that cannot be recomputed.
struct Checkpointed {
    blocks: Arc<Blocks>,
}

impl<T: Stored> Node<T> for Checkpointed {
    fn open_chunks(&self, partition: usize, task: &TaskContext) -> Box<dyn Chunks<T>> {
        Box::new(RowChunks::new(self.read(partition, task), heap_bytes))
    }

    fn materialized(&self, partition: usize, task: &TaskContext) -> Option<MaterializedRows<T>> {
        Some(self.read(partition, task))
    }
}

impl Checkpointed {
    fn read<T: Stored>(&self, partition: usize, task: &TaskContext) -> MaterializedRows<T> {
        match self.blocks.find(partition, task) {
            Some(rows) => rows,
            None => raise(self.blocks.lost(partition)),
        }
    }
}
