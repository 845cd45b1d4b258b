//! The blocks of one persisted RDD: found, put, found damaged, dropped.

use super::StorageLevel;
use super::block::{BlockFormat, Files, RowBlock, WayOut};
use crate::accumulator::{CommittedDeltas, TaskDeltas};
use crate::context::Context;
use crate::pipeline::materialized::MaterializedRows;
use emberline_core::block_store::{Block, StoredBlock};
use emberline_core::bounds::Stored;
use emberline_core::error::{Error, ErrorKind};
use emberline_core::event::Event;
use emberline_core::faults::{Damage, damage_to_block};
use emberline_core::ids::RddId;
use emberline_core::lineage::{StorageStats, StoredBlocks};
use emberline_core::memory::Reservation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::raise;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How often the disk may fail one partition before it is no longer tried: less than the attempts
/// of a task, so that the last ones do without.
const MAX_FAULTS: usize = 2;

/// The blocks of one persisted RDD. They go when the last handle does.
pub(crate) struct Blocks {
    pub(super) context: Context,
    pub(super) rdd: RddId,
    pub(super) level: StorageLevel,
    /// Whether the lineage can compute a block that is lost.
    can_recompute: bool,
    keeps: AtomicBool,
    /// How often the disk has failed a partition.
    faults: Mutex<HashMap<usize, usize>>,
    parts: CommittedDeltas,
}

impl Blocks {
    pub(super) fn new(
        context: &Context,
        rdd: RddId,
        level: StorageLevel,
        can_recompute: bool,
    ) -> Arc<Self> {
        let (context, keeps) = (context.without_owner(), AtomicBool::new(true));
        let (faults, parts) = Default::default();
        Arc::new(Blocks { context, rdd, level, can_recompute, keeps, faults, parts })
    }

    /// Whether an `unpersist` has not come yet.
    pub(super) fn keeps(&self) -> bool {
        self.keeps.load(Ordering::Acquire)
    }

    /// The rows of a stored partition, if it is stored and its file is there.
    pub(super) fn find<T: Stored>(
        self: &Arc<Self>,
        partition: usize,
        task: &TaskContext,
    ) -> Option<MaterializedRows<T>> {
        let stored = self.context.engine.blocks().get(self.rdd, partition)?;
        let form = form_of::<T>(&stored)?;
        if let BlockFormat::InFile(file) = &form
            && let Err(error) = file.check()
        {
            self.forget(partition, &stored, &error);
            return None;
        }
        Some(self.read(partition, form, (stored, true), task))
    }

    /// Reads a block. One that turns out damaged on the way is forgotten, and the task's next attempt
    /// computes it again.
    fn read<T: Stored>(
        self: &Arc<Self>,
        partition: usize,
        form: BlockFormat<T>,
        (stored, was_there): (Arc<StoredBlock>, bool),
        task: &TaskContext,
    ) -> MaterializedRows<T> {
        let (blocks, damaged) = (Arc::clone(self), Arc::clone(&stored));
        let on_damage = move |error: Error| {
            blocks.forget(partition, &damaged, &error);
            match blocks.can_recompute {
                true => raise(error),
                false => raise(blocks.lost(partition).caused_by(error)),
            }
        };
        form.read(task, was_there, on_damage).with_pin(stored)
    }

    /// Puts a partition, with what computing it added to accumulators, unless another task was first;
    /// and reads what is there now. Who was first counts.
    pub(super) fn put<T: Stored>(
        self: &Arc<Self>,
        partition: usize,
        form: BlockFormat<T>,
        held: Option<Reservation>,
        task: &TaskContext,
    ) -> MaterializedRows<T> {
        let block = Arc::new(RowBlock::new(form.clone(), self.way_out(task)));
        let (memory_bytes, file_bytes) =
            (held.as_ref().map_or(0, Reservation::bytes), block.file_bytes());
        let engine = &self.context.engine;
        // `block` keeps the rows of one that comes second, so that they drop outside the locks.
        let second = Arc::clone(&block);
        let put = || engine.blocks().put(self.rdd, partition, second, held);
        let (stored, is_new) = self.parts.store_if_first(partition, self.taken_parts(), put);
        if is_new {
            let rdd = self.rdd;
            engine.emit(Event::BlockStored { rdd, partition, memory_bytes, file_bytes });
            if let Some(harm) = damage_to_block(task.config.faults.as_ref(), rdd, partition) {
                self.harm::<T>(partition, &stored, harm);
            }
        }
        // An `unpersist` that came while the partition was computed found nothing to drop.
        if !self.keeps() {
            self.drop_all();
        }
        let form = form_of::<T>(&stored).unwrap_or(form);
        self.read(partition, form, (stored, false), task)
    }

    /// What the task on this thread has added while it computed a partition. A local checkpoint is
    /// an action: what its tasks add lies with their results.
    fn taken_parts(&self) -> TaskDeltas {
        if self.can_recompute { TaskDeltas::take() } else { TaskDeltas::default() }
    }

    /// Harms the file of a block, as a fault plan wants; what is not in a file is lost.
    fn harm<T: Stored>(&self, partition: usize, stored: &Arc<StoredBlock>, harm: Damage) {
        match form_of::<T>(stored) {
            Some(BlockFormat::InFile(file)) if file.harm(harm).is_ok() => {}
            _ => self.forget(partition, stored, &Error::corrupt("injected fault")),
        }
    }

    fn way_out(&self, task: &TaskContext) -> WayOut {
        match (self.can_recompute, self.level.uses_disk()) {
            (false, _) => WayOut::ToFileOnly(Files::of(task)),
            (true, true) => WayOut::ToFile(Files::of(task)),
            (true, false) => WayOut::Dropped,
        }
    }

    /// Memory for a block, in place of blocks of other RDDs.
    pub(super) fn room_for(&self, bytes: u64) -> Option<Reservation> {
        self.context.engine.blocks().room_for(self.rdd, bytes)
    }

    fn forget(&self, partition: usize, damaged: &Arc<StoredBlock>, error: &Error) {
        self.note_fault(partition);
        if self.context.engine.blocks().forget(self.rdd, partition, damaged) {
            let error = error.to_string();
            self.context.engine.emit(Event::BlockLost { rdd: self.rdd, partition, error });
        }
    }

    /// Whether a partition may go to disk: that never failed it, or it must not be lost.
    pub(super) fn may_use_disk(&self, partition: usize) -> bool {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        !self.can_recompute || faults.get(&partition).is_none_or(|faults| *faults < MAX_FAULTS)
    }

    fn note_fault(&self, partition: usize) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        *faults.entry(partition).or_default() += 1;
    }

    /// What a partition that could not be written is to its task. A row that cannot be written is the
    /// user's to mend. Anything else is the disk's, and the next attempts may do without it.
    pub(super) fn not_written(&self, partition: usize, error: Error) -> Error {
        self.note_fault(partition);
        match error.kind() {
            ErrorKind::ScratchQuotaExceeded { .. } if self.can_recompute => {
                let what = format!("keeping partition {partition} on disk failed");
                Error::io(what, std::io::Error::other(error))
            }
            _ => error,
        }
    }

    /// Whether the lineage can compute a block that is lost.
    pub(super) fn can_recompute(&self) -> bool {
        self.can_recompute
    }

    /// The error of a block that nothing can compute again.
    pub(super) fn lost(&self, partition: usize) -> Error {
        Error::new(ErrorKind::BlockLost { rdd: self.rdd, partition })
    }

    fn drop_all(&self) {
        if self.context.engine.blocks().drop_rdd(self.rdd) > 0 {
            self.context.engine.emit(Event::BlocksDropped { rdd: self.rdd });
        }
    }
}

/// The one place where a block gets its type back; the store keeps it under the id of this very RDD,
/// so it is always the type that was put.
fn form_of<T: Stored>(stored: &StoredBlock) -> Option<BlockFormat<T>> {
    let block = stored.block().downcast::<RowBlock<T>>().ok()?;
    Some(block.form().clone())
}

impl StoredBlocks for Blocks {
    fn is_stored(&self, partition: usize) -> bool {
        self.context.engine.blocks().contains(self.rdd, partition)
    }

    fn unpersist(&self) {
        self.keeps.store(false, Ordering::Release);
        self.drop_all();
    }

    fn on_job_success(&self) {
        self.parts.merge();
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
