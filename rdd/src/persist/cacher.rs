//! Computes a partition and stores it in bounded memory. Memory pressure affects placement, never
//! contents.

use super::block::{BlockFormat, decoded};
use super::blocks::Blocks;
use crate::pipeline::materialized::MaterializedRows;
use emberline_core::bounds::Stored;
use emberline_core::error::{Error, ErrorKind};
use emberline_core::memory::Reservation;
use emberline_core::operation::Operation;
use emberline_core::size::{heap_bytes, owns_heap};
use emberline_core::task::TaskContext;
use emberline_core::unwind::{blame, has_failed, or_raise};
use emberline_shuffle::{Batches, RowSizes, RunFile, SerializedRows};
use std::cell::Cell;
use std::iter;
use std::mem::needs_drop;
use std::sync::Arc;

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

    /// Returns true if the partition is stored, by this task or by another one.
    pub fn is_stored(&self) -> bool {
        self.is_stored.get()
    }

    /// Stores the rows if the level and memory allow it, and returns them in any case.
    pub fn store<T: Stored>(&self, rows: impl Iterator<Item = T> + 'static) -> MaterializedRows<T> {
        let level = self.blocks.level;
        match (level.uses_memory(), level.is_serialized()) {
            (false, _) if self.may_use_disk() => self.store_in_file(iter::empty(), rows),
            (false, _) => {
                let batches = Batches::new(rows, self.task).unmeasured();
                MaterializedRows::batched(batches, self.task)
            }
            (true, false) => self.store_typed(rows),
            (true, true) => self.store_serialized(rows),
        }
    }

    fn may_use_disk(&self) -> bool {
        self.blocks.level.uses_disk() && self.blocks.may_use_disk(self.partition)
    }

    fn store_typed<T: Stored>(
        &self,
        mut rows: impl Iterator<Item = T> + 'static,
    ) -> MaterializedRows<T> {
        let mut buffer = UnrollBuffer::new(self, rows.size_hint().0);
        if let Some(max) = rows.size_hint().1.filter(|max| buffer.has_room_for(*max)) {
            // All rows fit, so they are folded. Pulling them to check the memory of each takes
            // twice as long.
            buffer.rows.reserve_exact(max);
            rows.for_each(|row| buffer.rows.push(row));
            // Here and below the iterator is dropped before the rows are stored: if its destructor
            // panicked at the end of the function, Rust would leak the returned rows.
            return self.store_collected(buffer);
        }
        while let Some(row) = rows.next() {
            if !buffer.push(row) {
                let UnrollBuffer { rows: first, sizes, reservation, .. } = buffer;
                if self.may_use_disk() {
                    return self.store_in_file(iter::once((first, sizes)), rows);
                }
                let rest = Batches::new(rows, self.task).unmeasured();
                let batches = iter::once(first).chain(rest);
                return MaterializedRows::batched(batches, self.task).with_pin(reservation);
            }
        }
        drop(rows);
        self.store_collected(buffer)
    }

    /// Stores rows that fit the memory limit of the operator, if the pool has memory for them.
    fn store_collected<T: Stored>(&self, buffer: UnrollBuffer<'_, T>) -> MaterializedRows<T> {
        let sizes = buffer.sizes;
        match buffer.finish() {
            (rows, Some(reservation)) => {
                self.put(BlockFormat::Typed(Arc::new(rows)), Some(reservation))
            }
            (rows, None) => self.store_without_memory(rows, sizes),
        }
    }

    /// Stores rows for which the pool has no memory in a file, if the level allows that.
    fn store_without_memory<T: Stored>(
        &self,
        rows: Vec<T>,
        sizes: RowSizes,
    ) -> MaterializedRows<T> {
        if self.may_use_disk() {
            match blame(self.operation, || RunFile::write([(rows.as_slice(), sizes)], self.task)) {
                Ok(file) => drop(self.put(BlockFormat::InFile(file), None)),
                // This task has the rows. Only the next reader has to recompute them.
                Err(error) => self.check_write_error(error),
            }
        }
        MaterializedRows::batched(iter::once(rows), self.task)
    }

    fn store_serialized<T: Stored>(
        &self,
        rows: impl Iterator<Item = T> + 'static,
    ) -> MaterializedRows<T> {
        let mut parts = Vec::new();
        let mut reservation = None;
        let mut batches = Batches::new(rows, self.task);
        while let Some((batch, sizes)) = batches.next_measured() {
            let pack = || SerializedRows::pack(&batch, sizes, &self.task.config);
            let part = or_raise(blame(self.operation, pack));
            let Some(more) = self.blocks.reserve(part.bytes()) else {
                let packed = decoded(parts).map(or_raise);
                if self.may_use_disk() {
                    // Packed rows are read frame by frame, and the sizes of a frame are unknown.
                    let packed = packed.map(|rows| {
                        let sizes = RowSizes::measure(&rows);
                        (rows, sizes)
                    });
                    let first = packed.chain(iter::once((batch, sizes)));
                    return self.store_in_file(first, batches.into_rows());
                }
                let rows = packed.chain(iter::once(batch)).chain(batches.unmeasured());
                return MaterializedRows::batched(rows, self.task).with_pin(reservation);
            };
            join(&mut reservation, more);
            parts.push(part);
        }
        drop(batches);
        self.put(BlockFormat::Serialized(parts), reservation)
    }

    /// Writes rows, the first of which have been computed already, and returns a reader of the
    /// file.
    fn store_in_file<T: Stored>(
        &self,
        first: impl Iterator<Item = (Vec<T>, RowSizes)>,
        rest: impl Iterator<Item = T>,
    ) -> MaterializedRows<T> {
        let batches = first.chain(Batches::new(rest, self.task).measured());
        // If writing fails, the rows are lost for this attempt; the next one may succeed without
        // the disk.
        let file = RunFile::write(batches, self.task);
        let file = or_raise(file.map_err(|error| self.blocks.not_written(self.partition, error)));
        self.put(BlockFormat::InFile(file), None)
    }

    /// Fails the task if the rows can never be written, or cannot be recomputed.
    fn check_write_error(&self, error: Error) {
        let is_unencodable = matches!(error.kind(), ErrorKind::NotEncodable { .. });
        let error = self.blocks.not_written(self.partition, error);
        if is_unencodable || !self.blocks.can_recompute() {
            or_raise::<()>(Err(error));
        }
    }

    /// Stores the partition, unless a closure caught a panic: then rows may be missing.
    fn put<T: Stored>(
        &self,
        format: BlockFormat<T>,
        reservation: Option<Reservation>,
    ) -> MaterializedRows<T> {
        if has_failed() || !self.blocks.is_persisted() {
            let rows = format.read(self.task, false, |error| or_raise(Err(error)));
            return rows.with_pin(reservation);
        }
        self.is_stored.set(true);
        blame(self.operation, || self.blocks.put(self.partition, format, reservation, self.task))
    }
}

/// Rows that are being collected in memory, and the memory reserved for them.
struct UnrollBuffer<'a, T> {
    blocks: &'a Blocks,
    rows: Vec<T>,
    sizes: RowSizes,
    /// Memory that may be used without a further reservation.
    allowed_bytes: u64,
    /// Minimum size of a further reservation for heap memory of rows.
    increment_bytes: u64,
    reservation: Option<Reservation>,
}

impl<'a, T: Stored> UnrollBuffer<'a, T> {
    fn new(cacher: &PartitionCacher<'a>, hinted_rows: usize) -> Self {
        let limit_bytes = cacher.task.operator_memory_limit();
        let max_rows = limit_bytes / size_of::<T>().max(1) as u64;
        UnrollBuffer {
            blocks: cacher.blocks,
            rows: Vec::with_capacity(hinted_rows.min(max_rows as usize)),
            sizes: RowSizes::default(),
            allowed_bytes: limit_bytes,
            increment_bytes: limit_bytes / 4,
            reservation: None,
        }
    }

    fn bytes(&self) -> u64 {
        self.sizes.heap_bytes.saturating_add((self.rows.capacity() * size_of::<T>()) as u64)
    }

    /// Returns true if any `rows` rows fit without a reservation.
    fn has_room_for(&self, rows: usize) -> bool {
        let bytes = rows.checked_mul(size_of::<T>());
        // Rows that own memory may have any size.
        !needs_drop::<T>() && bytes.is_some_and(|bytes| bytes as u64 <= self.allowed_bytes)
    }

    /// Adds a row, and returns true if there is memory for more.
    #[inline]
    fn push(&mut self, row: T) -> bool {
        let has_room = self.rows.len() < self.rows.capacity() || self.grow();
        self.sizes.add(heap_bytes(&row));
        self.rows.push(row);
        has_room && (!owns_heap::<T>() || self.bytes() <= self.allowed_bytes || self.reserve_heap())
    }

    /// Grows the vector by half, if there is memory for that; by one row otherwise.
    #[cold]
    fn grow(&mut self) -> bool {
        let more = (self.rows.len() / 2).max(16);
        let has_room = self.reserve(self.bytes().saturating_add((more * size_of::<T>()) as u64));
        let more = if has_room { more } else { 1 };
        self.rows.reserve_exact(more);
        has_room
    }

    #[cold]
    fn reserve_heap(&mut self) -> bool {
        self.reserve(self.bytes().saturating_add(self.increment_bytes))
    }

    /// Reserves the part of `bytes` that is not reserved yet, and returns true on success.
    fn reserve(&mut self, bytes: u64) -> bool {
        if bytes <= self.allowed_bytes {
            return true;
        }
        let reserved = self.reservation.as_ref().map_or(0, Reservation::bytes);
        let Some(more) = self.blocks.reserve(bytes - reserved) else { return false };
        join(&mut self.reservation, more);
        self.allowed_bytes = bytes;
        true
    }

    /// Returns the rows and a reservation of their size, or no reservation if the pool has no
    /// memory.
    fn finish(mut self) -> (Vec<T>, Option<Reservation>) {
        self.rows.shrink_to_fit();
        let bytes = self.bytes();
        let mut reservation = self.reservation.take();
        let reserved = reservation.as_ref().map_or(0, Reservation::bytes);
        match bytes.checked_sub(reserved).filter(|more| *more > 0 || reservation.is_none()) {
            None => reservation.iter_mut().for_each(|reservation| reservation.shrink_to(bytes)),
            Some(more) => match self.blocks.reserve(more) {
                Some(more) => join(&mut reservation, more),
                None => return (self.rows, None),
            },
        }
        (self.rows, reservation)
    }
}

fn join(reservation: &mut Option<Reservation>, more: Reservation) {
    match reservation {
        Some(reservation) => reservation.join(more),
        None => *reservation = Some(more),
    }
}
