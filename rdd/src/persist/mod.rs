//! Persistence: `persist`, `cache` and `unpersist` store computed partitions as blocks in memory
//! and on disk. See the README of this folder.
//!
//! - `block`: a stored partition in one of three formats.
//! - `blocks`: the blocks of one persisted RDD.
//! - `cacher`: computes and stores a partition in bounded memory.
//! - `level`: storage levels.
//! - `local_checkpoint`: stored partitions without lineage.

mod block;
mod blocks;
mod cacher;
mod level;
mod local_checkpoint;

pub use level::StorageLevel;

use crate::accumulator::with_accumulators;
use crate::pipeline::boxed::{Boxed, Chunks, Node, RowChunks};
use crate::pipeline::materialized::MaterializedRows;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use blocks::Blocks;
use cacher::PartitionCacher;
use emberline_core::bounds::Stored;
use emberline_core::lineage::{Dependency, StoredBlocks};
use emberline_core::operation::Operation;
use emberline_core::size::heap_bytes;
use emberline_core::task::TaskContext;
use std::sync::Arc;

/// # Persistence
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Persists the RDD in memory; same as [`persist`](Rdd::persist) with [`StorageLevel::Memory`].
    ///
    /// A partition that does not fit into the memory limit is computed again when it is needed.
    /// Keeps the partitioner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let computed = ctx.accumulator(0_u64);
    /// let counter = computed.clone();
    /// let cached = ctx.range(0..100_u64).inspect(move |_| counter.add(1)).cache();
    /// assert_eq!(cached.count()?, cached.count()?);
    /// assert_eq!(computed.value(), 100, "the second action reads the blocks");
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn cache(&self) -> Rdd<T>
    where
        T: Stored,
    {
        self.persisted(Operation::new("cache"), StorageLevel::Memory)
    }

    /// Returns an RDD that stores each partition at `level` when an action first computes it.
    ///
    /// Storing a block may evict the least recently used blocks of other RDDs, but none that is
    /// being read. Evicted blocks move to disk if their level allows it. Otherwise they are
    /// computed again when they are needed, and so are blocks whose files are lost or damaged.
    /// Running tasks may evict blocks while blocks hold more than half of the memory limit. Blocks
    /// are freed by [`unpersist`](Rdd::unpersist) and with the last handle. Keeps the partitioner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::{StorageLevel, prelude::*};
    /// # let ctx = Context::local()?;
    /// let squares = ctx.range_with(2, 0..100_u64).map(|n| n * n).persist(StorageLevel::Disk);
    /// assert_eq!(squares.reduce(|a, b| a + b)?, Some(328_350));
    /// let plan = squares.explain().to_string();
    /// assert!(plan.contains("disk: 2 of 2 partitions stored, 100 rows, "), "{plan}");
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn persist(&self, level: StorageLevel) -> Rdd<T>
    where
        T: Stored,
    {
        self.persisted(Operation::new("persist"), level)
    }

    fn persisted(&self, operation: Operation, level: StorageLevel) -> Rdd<T>
    where
        T: Stored,
    {
        let parent = vec![Dependency::Narrow(Arc::clone(&self.lineage))];
        let mut lineage = self.context.lineage(operation, self.num_partitions(), parent);
        let blocks = Blocks::new(&self.context, &lineage, level, true);
        lineage.blocks = Some(Arc::clone(&blocks) as Arc<dyn StoredBlocks>);
        let depth = self.pipeline.depth();
        let node = Persisted { parent: self.pipeline.clone(), blocks, operation };
        let pipeline = Boxed::from_node(node, depth);
        Rdd::partitioned(&self.context, lineage, pipeline, self.partitioner.clone())
    }

    /// Frees all blocks of a persisted RDD, in memory and on disk, and stores no more.
    ///
    /// The RDD is computed again when it is needed, except for a local checkpoint, which is lost.
    /// Tasks that are reading a block finish. Does nothing on other RDDs.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let cached = ctx.range(0..10_u64).cache();
    /// assert_eq!(cached.count()?, 10);
    /// cached.unpersist();
    /// assert_eq!(cached.count()?, 10); // computed again
    /// # Ok::<(), Error>(())
    /// ```
    pub fn unpersist(&self) {
        if let Some(blocks) = &self.lineage.blocks {
            blocks.unpersist();
        }
    }
}

struct Persisted<P> {
    parent: P,
    blocks: Arc<Blocks>,
    operation: Operation,
}

impl<T: Stored, P: Pipeline<Item = T>> Node<T> for Persisted<P> {
    fn open_chunks(&self, partition: usize, task: &TaskContext) -> Box<dyn Chunks<T>> {
        match self.materialized(partition, task) {
            Some(rows) => Box::new(RowChunks::new(rows, heap_bytes)),
            None => Box::new(RowChunks::new(self.parent.open(partition, task), heap_bytes)),
        }
    }

    /// Returns the rows of the block, which is computed and stored if it is missing; `None` after
    /// `unpersist`.
    fn materialized(&self, partition: usize, task: &TaskContext) -> Option<MaterializedRows<T>> {
        let Persisted { parent, blocks, operation } = self;
        if let Some(rows) = blocks.find(partition, task) {
            return Some(rows);
        }
        let cacher = PartitionCacher::new(blocks, partition, task, operation);
        // All rows are stored, also if an action needs only a few.
        let task = &task.with_single_rows(false);
        blocks.is_persisted().then(|| {
            let (rows, deltas) = with_accumulators(|| cacher.store(parent.open(partition, task)));
            if !cacher.is_stored() {
                deltas.merge_into_task();
            }
            rows
        })
    }
}
