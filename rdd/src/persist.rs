//! `cache` and `unpersist`: keep computed partitions in memory, as blocks.

use crate::accumulator::{KeptParts, Parts, counted};
use crate::boxed::{Boxed, Chunks, Node, RowChunks};
use crate::context::Context;
use crate::held::HeldRows;
use crate::pipeline::{Element, Pipeline, gather};
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::event::Event;
use emberline_core::ids::RddId;
use emberline_core::lineage::{Dependency, Kept, StoredBlocks};
use emberline_core::size::estimate_rows;
use emberline_core::step::{Step, blame, has_raised};
use emberline_core::task::TaskContext;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Gives an RDD whose partitions stay in memory once an action has computed them. A partition
    /// that does not fit the memory budget is not kept and is computed again when needed.
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
    /// struct Point(f64, f64);
    /// ctx.range(0..9_u32).map(|n| Point(n.into(), 0.0)).cache().count()?;
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
    /// struct Point(f64, f64);
    /// assert_eq!(ctx.range(0..9_u32).map(|n| Point(n.into(), 0.0)).cache().count()?, 9);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn cache(&self) -> Rdd<T>
    where
        T: Stored,
    {
        let parent = vec![Dependency::Narrow(Arc::clone(&self.lineage))];
        let step = Step::new("cache");
        let mut lineage = self.context.lineage(step, self.num_partitions(), parent);
        let blocks = Arc::new(Blocks {
            context: self.context.clone(),
            rdd: lineage.id(),
            keeps: AtomicBool::new(true),
            parts: KeptParts::default(),
        });
        lineage.blocks = Some(Arc::clone(&blocks) as Arc<dyn StoredBlocks>);
        let depth = self.pipeline.depth();
        let node = Persisted { parent: self.pipeline.clone(), blocks, step };
        let pipeline = Boxed::from_node(node, depth);
        Rdd::partitioned(&self.context, lineage, pipeline, self.partitioner.clone())
    }

    /// Drops the blocks of a cached RDD and keeps none from now on; it is computed again when
    /// needed. Does nothing to an RDD that `cache` did not return.
    ///
    /// - **Shape**: `Rdd<T>` to nothing
    /// - **Partitions**: kept
    /// - **Partitioner**: kept
    /// - **Shuffle**: none
    /// - **Memory**: frees the blocks
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

/// The blocks of one persisted RDD. They go when the last handle does.
struct Blocks {
    context: Context,
    rdd: RddId,
    keeps: AtomicBool,
    parts: KeptParts,
}

impl Blocks {
    /// The rows of a stored partition. This is the one place where a block gets its type back; the
    /// store keeps it under the id of this very RDD, so it is always the type that was put.
    fn get<T: Stored>(&self, partition: usize) -> Option<Arc<Vec<T>>> {
        let block = self.context.engine.blocks().get(self.rdd, partition)?;
        block.downcast::<Vec<T>>().ok()
    }

    /// Stores a partition, and with it what computing it added to accumulators. If there is no room
    /// that counts for the task, which computed the rows for itself.
    fn put<T: Stored>(&self, partition: usize, rows: &Arc<Vec<T>>, parts: Parts) {
        let (bytes, count) = (estimate_rows(rows), rows.len() as u64);
        let block = Arc::clone(rows);
        if self.context.engine.blocks().put(self.rdd, partition, block, count, bytes) {
            self.context.engine.emit(Event::BlockStored { rdd: self.rdd, partition, bytes });
            self.parts.keep(partition, parts);
        } else if !self.is_stored(partition) {
            parts.join_task();
        }
        // An `unpersist` that came while the partition was computed found nothing to drop.
        if !self.keeps.load(Ordering::Acquire) {
            self.drop_all();
        }
    }

    fn drop_all(&self) {
        if self.context.engine.blocks().drop_rdd(self.rdd) > 0 {
            self.context.engine.emit(Event::BlocksDropped { rdd: self.rdd });
        }
    }
}

impl StoredBlocks for Blocks {
    fn is_stored(&self, partition: usize) -> bool {
        self.context.engine.blocks().contains(self.rdd, partition)
    }

    fn unpersist(&self) {
        self.keeps.store(false, Ordering::Release);
        self.drop_all();
    }

    fn settle(&self) {
        self.parts.merge();
    }

    fn kept(&self) -> Kept {
        self.context.engine.blocks().kept(self.rdd)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.drop_all();
    }
}

struct Persisted<P> {
    parent: P,
    blocks: Arc<Blocks>,
    step: Step,
}

impl<T: Stored, P: Pipeline<Item = T>> Node<T> for Persisted<P> {
    fn open_chunks(&self, partition: usize, task: &TaskContext) -> Box<dyn Chunks<T>> {
        match self.held(partition, task) {
            Some(rows) => Box::new(RowChunks(rows)),
            None => Box::new(RowChunks(self.parent.open(partition, task))),
        }
    }

    /// The block, computed and stored if it is not there; nothing after an `unpersist`.
    fn held(&self, partition: usize, task: &TaskContext) -> Option<HeldRows<T>> {
        let blocks = &self.blocks;
        let stored = blocks.get::<T>(partition).inspect(|rows| task.count_read(rows.len()));
        let rows = match stored {
            Some(rows) => rows,
            None if !blocks.keeps.load(Ordering::Acquire) => return None,
            None => {
                let (rows, parts) = counted(|| gather(self.parent.open(partition, task)));
                let rows = Arc::new(rows);
                if !has_raised() {
                    blame(&self.step, || blocks.put(partition, &rows, parts));
                }
                rows
            }
        };
        let all = 0..rows.len();
        Some(HeldRows::new(rows, all, task))
    }
}
