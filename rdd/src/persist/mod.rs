//! `persist`, `cache` and `unpersist`: keep computed partitions as blocks, in memory and in files.

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

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Gives an RDD whose partitions stay in memory once an action has computed them: the same as
    /// [`persist`](Rdd::persist) with [`StorageLevel::Memory`]. A partition that does not fit the
    /// memory budget is not kept and is computed again when needed.
    ///
    /// The blocks go with [`unpersist`](Rdd::unpersist) or when the last handle is dropped.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: kept
    /// - **Partitioner**: kept
    /// - **Shuffle**: none
    /// - **Memory**: all partitions that were computed, inside the budget
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// static COMPUTED: AtomicUsize = AtomicUsize::new(0);
    /// let ctx = Context::local()?;
    /// let squares = ctx.range(0..100_u64).map(|n| {
    ///     COMPUTED.fetch_add(1, Ordering::Relaxed);
    ///     n * n
    /// });
    /// let kept = squares.cache();
    /// assert_eq!(kept.count()?, kept.count()?);
    /// assert_eq!(COMPUTED.load(Ordering::Relaxed), 100);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    ///
    /// Rows that are kept can also be written, so they need serde. This does not compile:
    ///
    /// ```compile_fail,E0277
    /// # use emberline_rdd as emberline;
    /// # use emberline::prelude::*;
    /// # let ctx = Context::local()?;
    /// #[derive(Clone)]
    /// struct FailPoint(f64, f64);
    /// ctx.range(0..9_u32).map(|n| FailPoint(n.into(), 0.0)).cache().count()?;
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    ///
    /// and this does:
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// # use emberline::prelude::*;
    /// # let ctx = Context::local()?;
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct FailPoint(f64, f64);
    /// assert_eq!(ctx.range(0..9_u32).map(|n| FailPoint(n.into(), 0.0)).cache().count()?, 9);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn cache(&self) -> Rdd<T>
    where
        T: Stored,
    {
        self.persisted(Operation::new("cache"), StorageLevel::Memory)
    }

    /// Gives an RDD whose partitions are kept, once an action has computed them, where `level` says.
    ///
    /// A block that needs memory takes it from the least recently used blocks of other RDDs, never
    /// from those of its own RDD, and never from one that is being read. What leaves the memory goes
    /// to disk if its level has one, else it is computed again. Running work may take memory from
    /// blocks while they hold more than half of the budget. A block whose file is lost or damaged is
    /// computed again.
    ///
    /// The blocks go with [`unpersist`](Rdd::unpersist) or when the last handle is dropped.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: kept
    /// - **Partitioner**: kept
    /// - **Shuffle**: none
    /// - **Memory**: what the level keeps there, inside the budget; a partition on its way to disk, a
    ///   fraction of the task's share
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::{StorageLevel, prelude::*};
    ///
    /// let ctx = Context::local()?;
    /// let squares = ctx.range_with(2, 0..100_u64).map(|n| n * n).persist(StorageLevel::Disk);
    /// assert_eq!(squares.reduce(|a, b| a + b)?, Some(328_350));
    /// let plan = squares.explain().to_string();
    /// assert!(plan.contains("disk: 2 of 2 partitions stored, 100 rows, "), "{plan}");
    /// assert!(plan.contains(" in files"), "{plan}");
    /// # Ok::<(), emberline_rdd::Error>(())
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
        let blocks = Blocks::new(&self.context, lineage.id(), level, true);
        lineage.blocks = Some(Arc::clone(&blocks) as Arc<dyn StoredBlocks>);
        let depth = self.pipeline.depth();
        let node = Persisted { parent: self.pipeline.clone(), blocks, operation };
        let pipeline = Boxed::from_node(node, depth);
        Rdd::partitioned(&self.context, lineage, pipeline, self.partitioner.clone())
    }

    /// Drops the blocks of a persisted RDD, in memory and on disk, before it returns, and keeps none
    /// from now on. It is computed again when needed; a local checkpoint cannot be, and is gone. A
    /// task that is reading a block has it until it is done. Does nothing to any other RDD.
    ///
    /// - **Shape**: `Rdd<T>` to nothing
    /// - **Partitions**: kept
    /// - **Partitioner**: kept
    /// - **Shuffle**: none
    /// - **Memory**: frees the blocks and their files
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let kept = ctx.range(0..10_u64).cache();
    /// assert_eq!(kept.count()?, 10);
    /// kept.unpersist();
    /// assert_eq!(kept.count()?, 10);
    /// # Ok::<(), emberline_rdd::Error>(())
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
        match self.held(partition, task) {
            Some(rows) => Box::new(RowChunks::new(rows, heap_bytes)),
            None => Box::new(RowChunks::new(self.parent.open(partition, task), heap_bytes)),
        }
    }

    /// The block, computed and stored if it is not there; nothing after an `unpersist`.
    fn held(&self, partition: usize, task: &TaskContext) -> Option<MaterializedRows<T>> {
        let Persisted { parent, blocks, operation } = self;
        if let Some(rows) = blocks.find(partition, task) {
            return Some(rows);
        }
        let keeping = PartitionCacher::new(blocks, partition, task, operation);
        blocks.keeps().then(|| {
            let (rows, parts) = with_accumulators(|| keeping.keep(parent.open(partition, task)));
            if !keeping.is_stored() {
                parts.merge_into_task();
            }
            rows
        })
    }
}
