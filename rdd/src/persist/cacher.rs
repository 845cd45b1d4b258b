//! Computing a partition and keeping it, in bounded memory: rows beyond the task's share take from the
//! budget as they come. Where that has no more room they go to a file or are handed on, as the level
//! says. How much room there is decides where rows lie, never what they are.

use super::block::{BlockFormat, unpacked};
use super::blocks::Blocks;
use crate::pipeline::materialized::MaterializedRows;
use emberline_core::bounds::Stored;
use emberline_core::error::{ErrorKind, Result};
use emberline_core::memory::Reservation;
use emberline_core::operation::Operation;
use emberline_core::size::{heap_bytes, owns_heap};
use emberline_core::task::TaskContext;
use emberline_core::unwind::{blame, has_raised, or_raise};
use emberline_shuffle::{Batches, RunFile, SerializedRows};
use std::cell::Cell;
use std::iter;
use std::mem::needs_drop;
use std::sync::Arc;

/// One partition on its way into the store.
pub(super) struct PartitionCacher<'a> {
    blocks: &'a Arc<Blocks>,
    partition: usize,
    task: &'a TaskContext,
    operation: &'a Operation,
    is_stored: Cell<bool>,
}

impl<'a> PartitionCacher<'a> {
    pub fn new(
        blocks: &'a Arc<Blocks>,
        partition: usize,
        task: &'a TaskContext,
        operation: &'a Operation,
    ) -> Self {
        PartitionCacher { blocks, partition, task, operation, is_stored: Cell::new(false) }
    }

    /// Whether the rows are in the store, put there by this task or another one. Else they are this
    /// task's alone, which may still be computing them.
    pub fn is_stored(&self) -> bool {
        self.is_stored.get()
    }

    /// Keeps the rows if they may be kept, and gives them in any case.
    pub fn keep<T: Stored>(&self, rows: impl Iterator<Item = T> + 'static) -> MaterializedRows<T> {
        let level = self.blocks.level;
        match (level.uses_memory(), level.is_serialized()) {
            (false, _) if self.may_use_disk() => self.keep_in_file(iter::empty(), rows),
            (false, _) => MaterializedRows::batched(Batches::new(rows, self.task), self.task),
            (true, false) => self.keep_typed(rows),
            (true, true) => self.keep_packed(rows),
        }
    }

    fn may_use_disk(&self) -> bool {
        self.blocks.level.uses_disk() && self.blocks.may_use_disk(self.partition)
    }

    fn keep_typed<T: Stored>(
        &self,
        mut rows: impl Iterator<Item = T> + 'static,
    ) -> MaterializedRows<T> {
        let mut gathered = UnrollBuffer::new(self, rows.size_hint().0);
        if let Some(most) = rows.size_hint().1.filter(|most| gathered.has_room_for(*most)) {
            // No row must be asked for alone to see whether it still has room.
            gathered.rows.reserve_exact(most);
            rows.for_each(|row| gathered.rows.push(row));
            return self.keep_measured(gathered);
        }
        while let Some(row) = rows.next() {
            if !gathered.push(row) {
                let UnrollBuffer { rows: first, held, .. } = gathered;
                if self.may_use_disk() {
                    return self.keep_in_file(iter::once(first), rows);
                }
                let batches = iter::once(first).chain(Batches::new(rows, self.task));
                return MaterializedRows::batched(batches, self.task).with_pin(held);
            }
        }
        self.keep_measured(gathered)
    }

    /// Rows that fit the task's share: what they take of the budget is known now.
    fn keep_measured<T: Stored>(&self, gathered: UnrollBuffer<'_, T>) -> MaterializedRows<T> {
        match gathered.finish() {
            (rows, Some(held)) => self.put(BlockFormat::Typed(Arc::new(rows)), Some(held)),
            (rows, None) => self.keep_gathered(rows),
        }
    }

    /// Rows that fit the task's share and that the budget has no room for.
    fn keep_gathered<T: Stored>(&self, rows: Vec<T>) -> MaterializedRows<T> {
        if self.may_use_disk() {
            match blame(self.operation, || self.write([rows.as_slice()])) {
                Ok(file) => drop(self.put(BlockFormat::InFile(file), None)),
                // They are there; only the next reader has to compute them again.
                Err(error) => self.check_rows(error),
            }
        }
        MaterializedRows::batched(iter::once(rows), self.task)
    }

    fn keep_packed<T: Stored>(
        &self,
        rows: impl Iterator<Item = T> + 'static,
    ) -> MaterializedRows<T> {
        let (mut parts, mut held) = (Vec::new(), None);
        let mut batches = Batches::new(rows, self.task);
        while let Some(batch) = batches.next() {
            let part = blame(self.operation, || SerializedRows::pack(&batch, &self.task.config));
            let part = or_raise(part);
            let Some(room) = self.blocks.room_for(part.bytes()) else {
                let packed = unpacked(parts).map(or_raise);
                let first = packed.chain(iter::once(batch));
                return match self.may_use_disk() {
                    true => self.keep_in_file(first, batches.into_rows()),
                    false => {
                        MaterializedRows::batched(first.chain(batches), self.task).with_pin(held)
                    }
                };
            };
            join(&mut held, room);
            parts.push(part);
        }
        self.put(BlockFormat::Packed(parts), held)
    }

    /// Writes rows of which the first are there already, and reads them again.
    fn keep_in_file<T: Stored>(
        &self,
        first: impl Iterator<Item = Vec<T>>,
        rest: impl Iterator<Item = T>,
    ) -> MaterializedRows<T> {
        let batches = first.chain(Batches::new(rest, self.task));
        // The rows are gone for this attempt; the next one may do without the disk.
        let file = self.write(batches);
        let file = or_raise(file.map_err(|error| self.blocks.not_written(self.partition, error)));
        self.put(BlockFormat::InFile(file), None)
    }

    fn write<T: Stored, R: AsRef<[T]>>(
        &self,
        batches: impl IntoIterator<Item = R>,
    ) -> Result<RunFile<T>> {
        RunFile::write(batches, self.task)
    }

    /// Fails the task for rows that can never be written, and for what must not be lost.
    fn check_rows(&self, error: emberline_core::error::Error) {
        let is_the_users = matches!(error.kind(), ErrorKind::NotEncodable { .. });
        let error = self.blocks.not_written(self.partition, error);
        if is_the_users || !self.blocks.can_recompute() {
            or_raise(Err(error))
        }
    }

    /// Stores the partition, unless a closure swallowed a failure: then this may be half of it.
    fn put<T: Stored>(
        &self,
        form: BlockFormat<T>,
        held: Option<Reservation>,
    ) -> MaterializedRows<T> {
        if has_raised() || !self.blocks.keeps() {
            return form.read(self.task, false, |error| or_raise(Err(error))).with_pin(held);
        }
        self.is_stored.set(true);
        blame(self.operation, || self.blocks.put(self.partition, form, held, self.task))
    }
}

/// Rows that are being gathered in memory, with what they took from the budget.
struct UnrollBuffer<'a, T> {
    blocks: &'a Blocks,
    rows: Vec<T>,
    /// What the rows own beside the list.
    heap: u64,
    /// What they may take without asking for more.
    allowed: u64,
    /// How much more is asked for at once for what rows own.
    operation: u64,
    held: Option<Reservation>,
}

impl<'a, T: Stored> UnrollBuffer<'a, T> {
    fn new(keeping: &PartitionCacher<'a>, hint: usize) -> Self {
        let share = keeping.task.operator_memory_limit();
        let fits = share / size_of::<T>().max(1) as u64;
        let rows = Vec::with_capacity(hint.min(fits as usize));
        let (blocks, allowed, operation) = (keeping.blocks, share, share / 4);
        UnrollBuffer { blocks, rows, heap: 0, allowed, operation, held: None }
    }

    /// What the rows take, with the room they do not use.
    fn bytes(&self) -> u64 {
        self.heap.saturating_add((self.rows.capacity() * size_of::<T>()) as u64)
    }

    /// Whether there is room for at most so many rows, whatever they are.
    fn has_room_for(&self, rows: usize) -> bool {
        let bytes = rows.checked_mul(size_of::<T>());
        // Rows that own something may take any room.
        !needs_drop::<T>() && bytes.is_some_and(|bytes| bytes as u64 <= self.allowed)
    }

    /// Adds a row; says whether there is room for more.
    #[inline]
    fn push(&mut self, row: T) -> bool {
        let has_room = self.rows.len() < self.rows.capacity() || self.grow();
        self.heap = self.heap.saturating_add(heap_bytes(&row));
        self.rows.push(row);
        has_room && (!owns_heap::<T>() || self.bytes() <= self.allowed || self.allow_heap())
    }

    /// Makes the vector larger by a half, if there is room for that.
    #[cold]
    fn grow(&mut self) -> bool {
        let more = (self.rows.len() / 2).max(16);
        let has_room = self.allow(self.bytes().saturating_add((more * size_of::<T>()) as u64));
        let more = if has_room { more } else { 1 };
        self.rows.reserve_exact(more);
        has_room
    }

    #[cold]
    fn allow_heap(&mut self) -> bool {
        self.allow(self.bytes().saturating_add(self.operation))
    }

    /// Takes from the budget what `bytes` need beyond what is taken already.
    fn allow(&mut self, bytes: u64) -> bool {
        if bytes <= self.allowed {
            return true;
        }
        let taken = self.held.as_ref().map_or(0, Reservation::bytes);
        let Some(room) = self.blocks.room_for(bytes - taken) else { return false };
        join(&mut self.held, room);
        self.allowed = bytes;
        true
    }

    /// The rows, and the part of the budget they need, if it has room.
    fn finish(mut self) -> (Vec<T>, Option<Reservation>) {
        self.rows.shrink_to_fit();
        let bytes = self.bytes();
        let mut held = self.held.take();
        let taken = held.as_ref().map_or(0, Reservation::bytes);
        match bytes.checked_sub(taken).filter(|more| *more > 0 || held.is_none()) {
            None => held.iter_mut().for_each(|held| held.shrink_to(bytes)),
            Some(more) => match self.blocks.room_for(more) {
                Some(room) => join(&mut held, room),
                None => return (self.rows, None),
            },
        }
        (self.rows, held)
    }
}

fn join(held: &mut Option<Reservation>, room: Reservation) {
    match held {
        Some(held) => held.join(room),
        None => *held = Some(room),
    }
}
