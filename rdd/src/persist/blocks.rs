//! The blocks of one persisted RDD.

use super::StorageLevel;
use super::block::{BlockFormat, FileFactory, OnEvict, RowBlock};
use crate::accumulator::{CommittedDeltas, TaskDeltas};
use crate::context::Context;
use crate::pipeline::materialized::MaterializedRows;
use emberline_core::block_store::{Block, StoredBlock};
use emberline_core::bounds::Stored;
use emberline_core::error::{Error, ErrorKind};
use emberline_core::event::Event;
use emberline_core::faults::{Damage, damage_to_block};
use emberline_core::ids::RddId;
use emberline_core::lineage::{LineageNode, StorageStats, StoredBlocks, Updates};
use emberline_core::memory::Reservation;
use emberline_core::operation::Operation;
use emberline_core::sync::Mutex;
use emberline_core::task::TaskContext;
use emberline_core::unwind::raise;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Number of disk faults of a partition after which it is no longer stored on disk. It is less than
/// the attempts of a task, so that the last attempts succeed without the disk.
const MAX_DISK_FAULTS: usize = 2;

/// The blocks of one persisted RDD. They are freed with its last handle.
pub(crate) struct Blocks {
    pub(super) context: Context,
    pub(super) rdd: RddId,
    /// The operation that stores them.
    operation: Operation,
    pub(super) level: StorageLevel,
    /// True if the lineage can recompute a lost block.
    can_recompute: bool,
    is_persisted: AtomicBool,
    disk_faults: Mutex<HashMap<usize, usize>>,
    /// Updates of accumulators by the tasks that computed the blocks.
    deltas: Arc<CommittedDeltas>,
}

impl Blocks {
    pub(super) fn new(
        context: &Context,
        lineage: &LineageNode,
        level: StorageLevel,
        can_recompute: bool,
    ) -> Arc<Self> {
        Arc::new(Blocks {
            context: context.for_lineage(),
            rdd: lineage.id(),
            operation: lineage.operation(),
            level,
            can_recompute,
            is_persisted: AtomicBool::new(true),
            disk_faults: Mutex::default(),
            deltas: Arc::default(),
        })
    }

    /// Returns true before `unpersist`.
    pub(super) fn is_persisted(&self) -> bool {
        self.is_persisted.load(Ordering::Acquire)
    }

    /// Returns the rows of a stored partition; `None` if it is not stored or its file is missing.
    /// Raises `BlockLost` if the file of a local checkpoint is missing.
    pub(super) fn find<T: Stored>(
        self: &Arc<Self>,
        partition: usize,
        task: &TaskContext,
    ) -> Option<MaterializedRows<T>> {
        let stored = self.context.engine.blocks().get(self.rdd, partition)?;
        let format = format_of::<T>(&stored)?;
        if let BlockFormat::InFile(file) = &format
            && let Err(error) = file.check()
        {
            self.forget(partition, &stored, &error);
            if !self.can_recompute {
                raise(self.lost(partition).caused_by(error));
            }
            return None;
        }
        Some(self.read(partition, format, stored, true, task))
    }

    /// Reads a block, which `was_stored` before this task. If a frame is damaged, the block is
    /// removed and the attempt fails, since earlier rows have been passed on; the next attempt
    /// recomputes it.
    fn read<T: Stored>(
        self: &Arc<Self>,
        partition: usize,
        format: BlockFormat<T>,
        stored: Arc<StoredBlock>,
        was_stored: bool,
        task: &TaskContext,
    ) -> MaterializedRows<T> {
        let blocks = Arc::clone(self);
        let damaged = Arc::clone(&stored);
        let on_damage = move |error: Error| {
            blocks.forget(partition, &damaged, &error);
            match blocks.can_recompute {
                true => raise(error.in_operation(blocks.operation)),
                false => raise(blocks.lost(partition).caused_by(error)),
            }
        };
        format.read(task, was_stored, on_damage).with_pin(stored)
    }

    /// Stores a partition and its updates of accumulators, unless another task stored it first, and
    /// reads the stored rows.
    pub(super) fn put<T: Stored>(
        self: &Arc<Self>,
        partition: usize,
        format: BlockFormat<T>,
        reservation: Option<Reservation>,
        task: &TaskContext,
    ) -> MaterializedRows<T> {
        let block = Arc::new(RowBlock::new(format.clone(), self.on_evict(task)));
        let memory_bytes = reservation.as_ref().map_or(0, Reservation::bytes);
        let file_bytes = block.file_bytes();
        let engine = &self.context.engine;
        // If another task was first, `block` holds the last reference to the rows and drops them
        // outside of the locks.
        let candidate = Arc::clone(&block);
        let put = || engine.blocks().put(self.rdd, partition, candidate, reservation);
        let (stored, is_new) = self.deltas.store_if_first(partition, self.task_deltas(), put);
        if is_new {
            let rdd = self.rdd;
            engine.emit(Event::BlockStored { rdd, partition, memory_bytes, file_bytes });
            if let Some(damage) = damage_to_block(task.config.faults.as_ref(), rdd, partition) {
                self.inject_damage::<T>(partition, &stored, damage);
            }
        }
        // An `unpersist` while the partition was computed found nothing to drop.
        if !self.is_persisted() {
            self.drop_all();
        }
        let format = format_of::<T>(&stored).unwrap_or(format);
        drop(block);
        self.read(partition, format, stored, false, task)
    }

    /// Takes the updates of accumulators that the task on this thread made while it computed a
    /// partition. Those of a local checkpoint, which is an action, are committed with its results
    /// instead.
    fn task_deltas(&self) -> TaskDeltas {
        if self.can_recompute { TaskDeltas::take() } else { TaskDeltas::default() }
    }

    /// Damages the file of a block for a fault plan; a block in memory is lost.
    fn inject_damage<T: Stored>(
        &self,
        partition: usize,
        stored: &Arc<StoredBlock>,
        damage: Damage,
    ) {
        match format_of::<T>(stored) {
            Some(BlockFormat::InFile(file)) if file.apply_damage(damage).is_ok() => {}
            _ => self.forget(partition, stored, &Error::corrupt("injected fault")),
        }
    }

    fn on_evict(&self, task: &TaskContext) -> OnEvict {
        match (self.can_recompute, self.level.uses_disk()) {
            (false, _) => OnEvict::MoveToFileOrKeep(FileFactory::of(task)),
            (true, true) => OnEvict::MoveToFile(FileFactory::of(task)),
            (true, false) => OnEvict::Drop,
        }
    }

    /// Reserves memory for a block, and evicts blocks of other RDDs if necessary.
    pub(super) fn reserve(&self, bytes: u64) -> Option<Reservation> {
        self.context.engine.blocks().reserve_for(self.rdd, bytes)
    }

    fn forget(&self, partition: usize, damaged: &Arc<StoredBlock>, error: &Error) {
        self.record_disk_fault(partition);
        if self.context.engine.blocks().forget(self.rdd, partition, damaged) {
            let error = error.to_string();
            self.context.engine.emit(Event::BlockLost { rdd: self.rdd, partition, error });
        }
    }

    /// Returns true if a partition may be written to disk: the disk has not failed repeatedly for
    /// it, or it cannot be recomputed.
    pub(super) fn may_use_disk(&self, partition: usize) -> bool {
        let faults = self.disk_faults.lock();
        !self.can_recompute || faults.get(&partition).is_none_or(|faults| *faults < MAX_DISK_FAULTS)
    }

    fn record_disk_fault(&self, partition: usize) {
        let mut faults = self.disk_faults.lock();
        *faults.entry(partition).or_default() += 1;
    }

    /// Returns the error of a task whose partition could not be written. A full quota is retried
    /// like other disk errors, since later attempts may succeed without the disk.
    pub(super) fn not_written(&self, partition: usize, error: Error) -> Error {
        self.record_disk_fault(partition);
        let error = match error.kind() {
            ErrorKind::ScratchQuotaExceeded { .. } if self.can_recompute => {
                let what = format!("storing partition {partition} on disk failed");
                Error::io(what, std::io::Error::other(error))
            }
            _ => error,
        };
        error.in_operation(self.operation)
    }

    pub(super) fn can_recompute(&self) -> bool {
        self.can_recompute
    }

    pub(super) fn lost(&self, partition: usize) -> Error {
        let error = Error::new(ErrorKind::BlockLost { rdd: self.rdd, partition });
        error.in_operation(self.operation)
    }

    fn drop_all(&self) {
        if self.context.engine.blocks().drop_rdd(self.rdd) > 0 {
            self.context.engine.emit(Event::BlocksDropped { rdd: self.rdd });
        }
    }
}

/// Restores the type of a block by a downcast. The store has it under the id of this RDD, so it is
/// the type that was put.
fn format_of<T: Stored>(stored: &StoredBlock) -> Option<BlockFormat<T>> {
    let block = stored.block().downcast::<RowBlock<T>>().ok()?;
    Some(block.format().clone())
}

impl StoredBlocks for Blocks {
    fn is_stored(&self, partition: usize) -> bool {
        self.context.engine.blocks().contains(self.rdd, partition)
    }

    fn unpersist(&self) {
        self.is_persisted.store(false, Ordering::Release);
        self.drop_all();
    }

    fn updates(&self) -> Option<Arc<Updates>> {
        Some(Arc::clone(&self.deltas) as Arc<Updates>)
    }

    fn storage_stats(&self) -> StorageStats {
        self.context.engine.blocks().storage_stats(self.rdd)
    }

    fn level(&self) -> Option<String> {
        (self.level != StorageLevel::Memory).then(|| self.level.to_string())
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.drop_all();
    }
}
