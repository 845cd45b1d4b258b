//! The output of a map task, and the table of the outputs of a shuffle.
//!
//! Only [`MapOutput`] and [`MapOutputs`] know the type of the rows. They are thin: what they hold
//! does not, so that it is compiled once in this crate and not again for each row type of a
//! program.

use super::reader::SegmentReader;
use super::segment_index::SegmentIndex;
use super::segment_sizes::SegmentSizes;
use crate::format::{FileIndex, OpenFile, SegmentFrames};
use emberline_core::bounds::Stored;
use emberline_core::error::{Error, ErrorKind, Result, internal};
use emberline_core::faults::Damage;
use emberline_core::files::is_no_file;
use emberline_core::ids::ShuffleId;
use emberline_core::lineage::StorageStats;
use emberline_core::memory::Reservation;
use emberline_core::scratch::ScratchFile;
use emberline_core::sync::{Mutex, MutexGuard};
use emberline_core::task::TaskContext;
use std::any::Any;
use std::error::Error as _;
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The output of one map task: consecutive runs, each with a segment for each partition after the
/// shuffle, or for each sub-partition. Dropping it releases the memory and deletes the file.
pub struct MapOutput<R> {
    pub(crate) untyped: UntypedOutput,
    row: PhantomData<fn() -> R>,
}

/// A map output whose rows have a type that only its readers know.
pub(crate) struct UntypedOutput {
    pub(crate) runs: Vec<MapRun>,
    /// The file of the runs that did not fit in memory.
    pub(crate) file: Option<(Arc<ScratchFile>, FileIndex)>,
    /// The estimated memory of the rows of each segment, over the runs in memory and in the file.
    pub(crate) sizes: SegmentSizes,
    /// The estimated memory of all rows.
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    /// The number of rows that the map task read from its own inputs.
    pub(crate) rows_read: u64,
    /// The memory of everything but the rows: sizes, segment indexes, and the output itself.
    pub(crate) own_reservation: Option<Reservation>,
    /// The sum of the hashes of its keys, if these choose the segments, and of the number of rows
    /// of each segment. An output that is recomputed has the same digest unless the program is not
    /// deterministic. It does not cover values.
    pub(crate) digest: u64,
    /// True if a reader has begun to read it, or an output that it replaced.
    pub(super) was_read: AtomicBool,
    /// True if a read of it failed once.
    pub(super) was_refused: AtomicBool,
    /// True if its frames were verified, or are being verified, because another output was lost.
    was_verified: AtomicBool,
    /// The damage that a reader found. A lost output stays lost: the recomputed one is a new value.
    lost: OnceLock<Error>,
}

/// The bytes that are read at once to verify an output.
const VERIFY_BYTES: usize = 256 << 10;

/// The mismatch between a lost output and the recomputed one, which has other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The number of rows of the lost output.
    pub before: u64,
    /// The number of rows of the new output.
    pub now: u64,
}

/// Rows of a map task that were flushed together when they had reached a size. A run stays in
/// memory if the memory limit allows, else it is in the task's file.
pub(crate) enum MapRun {
    InMemory { segments: SegmentsInMemory, reservation: Reservation },
    File(FileRun),
}

/// The segments of a run that have rows, with their numbers, in order.
pub(crate) struct SegmentsInMemory(pub(crate) Vec<(u32, RowsInMemory)>);

impl SegmentsInMemory {
    /// Returns the rows of a segment, if it has any.
    fn find(&self, segment: usize) -> Option<&RowsInMemory> {
        // In most runs of few partitions all segments have rows.
        if let Some((number, rows)) = self.0.get(segment)
            && *number as usize == segment
        {
            return Some(rows);
        }
        let at = self.0.binary_search_by_key(&segment, |(number, _)| *number as usize).ok()?;
        Some(&self.0[at].1)
    }
}

/// A run in the task's file.
pub(crate) struct FileRun {
    /// The locations of the segments that have rows.
    pub(crate) index: SegmentIndex,
    /// The number of times that its rows were merged from smaller runs.
    pub(crate) level: u32,
}

/// The rows of one segment in memory: a `Vec` of a type that the reader knows.
#[derive(Clone)]
pub(crate) struct RowsInMemory {
    rows: Arc<dyn Any + Send + Sync>,
    pub(crate) count: usize,
}

impl RowsInMemory {
    /// Returns a segment of `rows`.
    pub(crate) fn new<R: Send + Sync + 'static>(rows: Vec<R>) -> Self {
        RowsInMemory { count: rows.len(), rows: Arc::new(rows) }
    }

    /// Returns the rows. If they are not of type `R`, that is an internal error.
    pub(super) fn downcast<R: Send + Sync + 'static>(self) -> Result<Arc<Vec<R>>> {
        self.rows.downcast().map_err(|_| wrong_row_type())
    }
}

#[cold]
fn wrong_row_type() -> Error {
    internal("a map output has rows of another type than its reader")
}

impl<R> MapOutput<R> {
    /// Returns `untyped` as an output of rows of type `R`, which its writer guarantees.
    pub(crate) fn of_type(untyped: UntypedOutput) -> Self {
        MapOutput { untyped, row: PhantomData }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.untyped.rows
    }

    /// Returns the estimated memory of all rows, as if those in the file were in memory too.
    pub fn bytes(&self) -> u64 {
        self.untyped.bytes
    }

    /// Returns the path of its file, if not all of it is in memory.
    pub fn file(&self) -> Option<&Path> {
        self.untyped.path()
    }
}

impl UntypedOutput {
    /// Makes an output without rows.
    pub(crate) fn new() -> Self {
        UntypedOutput {
            runs: Vec::new(),
            file: None,
            sizes: SegmentSizes::default(),
            bytes: 0,
            rows: 0,
            rows_read: 0,
            own_reservation: None,
            digest: 0,
            was_read: AtomicBool::default(),
            was_refused: AtomicBool::default(),
            was_verified: AtomicBool::default(),
            lost: OnceLock::new(),
        }
    }

    fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(file, _)| file.path())
    }

    fn open_file(file: &ScratchFile, index: &FileIndex) -> Result<OpenFile> {
        let opened = OpenFile::new(file.open()?, file.path().display().to_string());
        opened.check_length(index)?;
        Ok(opened)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// Returns the damage of rows in memory, which only a fault plan causes. A damaged file fails
    /// by itself when it is read; and if one of its segments is damaged, the others stay readable
    /// until the output is replaced.
    pub(super) fn lost_in_memory(&self) -> Option<&Error> {
        self.lost.get().filter(|_| self.file.is_none())
    }

    /// Records that it is lost. Returns true if it was not lost before; else the first reason
    /// stays.
    pub(super) fn lose(&self, why: &Error) -> bool {
        self.lost.set(why.clone()).is_ok()
    }

    /// Records that it is lost if its file is missing or has another length.
    pub(super) fn check_file(&self) {
        let Some((file, index)) = self.file.as_ref().filter(|_| !self.is_lost()) else { return };
        if let Err(error) = Self::open_file(file, index)
            && is_damage(&error)
        {
            self.lose(&error);
        }
    }

    /// Reads all frames in its file, unless that was done before, and records that it is lost if one
    /// is damaged. A read that fails otherwise is left to the readers.
    pub(super) fn verify(&self, is_cancelled: &dyn Fn() -> bool) {
        let Some((file, index)) = self.file.as_ref().filter(|_| !self.is_lost()) else { return };
        if self.was_verified.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.read_all_frames(file, index, is_cancelled)
            && is_damage(&error)
        {
            self.lose(&error);
        }
    }

    fn read_all_frames(
        &self,
        file: &ScratchFile,
        index: &FileIndex,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let open = Self::open_file(file, index)?.reading_ahead(VERIFY_BYTES)?;
        for run in &self.runs {
            let MapRun::File(run) = run else { continue };
            for location in run.index.iter() {
                let mut frames = SegmentFrames::new(open.clone(), location?.1);
                while frames.next_frame(&mut |_, _| Ok(()))? {
                    if is_cancelled() {
                        self.was_verified.store(false, Ordering::Relaxed);
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the number of rows in memory.
    pub(super) fn rows_in_memory(&self) -> usize {
        let of_run = |run: &MapRun| match run {
            MapRun::InMemory { segments, .. } => {
                segments.0.iter().map(|(_, rows)| rows.count).sum()
            }
            MapRun::File(_) => 0,
        };
        self.runs.iter().map(of_run).sum()
    }

    fn storage_stats(&self) -> StorageStats {
        let reserved = self.runs.iter().map(|run| match run {
            MapRun::InMemory { reservation, .. } => reservation.bytes(),
            MapRun::File(_) => 0,
        });
        StorageStats {
            stored_partitions: 1,
            rows: self.rows,
            memory_bytes: reserved.sum(),
            file_bytes: self.file.as_ref().map_or(0, |(_, index)| index.file_bytes),
            rows_read: self.rows_read,
        }
    }

    /// Opens one segment of a run. Returns nothing if it has no rows. The file is opened once for
    /// all runs, into `open`.
    pub(crate) fn open(
        &self,
        run: &MapRun,
        segment: usize,
        open: &mut Option<OpenFile>,
    ) -> Result<Option<Segment>> {
        let run = match run {
            MapRun::InMemory { segments, .. } => {
                if segment >= self.sizes.len() {
                    return Err(no_segment(segment));
                }
                return Ok(segments.find(segment).cloned().map(Segment::InMemory));
            }
            MapRun::File(run) => run,
        };
        let file = self.file.as_ref().filter(|_| segment < self.sizes.len());
        let (file, index) = file.ok_or_else(|| no_segment(segment))?;
        let Some(location) = run.index.find(segment)? else { return Ok(None) };
        let open = match open {
            Some(open) => open,
            none => none.insert(Self::open_file(file, index)?),
        };
        Ok(Some(Segment::Frames(SegmentFrames::new(open.clone(), location))))
    }
}

/// An open segment of a run.
pub(crate) enum Segment {
    InMemory(RowsInMemory),
    Frames(SegmentFrames),
}

#[cold]
fn no_segment(segment: usize) -> Error {
    internal(format_args!("segment {segment} of a map output is out of range"))
}

/// The output of one map task, once there is one.
pub(super) type Slot = Mutex<Option<Arc<UntypedOutput>>>;

/// The outputs of all map tasks of one shuffle, as far as they exist; or the one output that a task
/// makes for itself.
pub struct MapOutputs<R> {
    pub(super) table: OutputTable,
    row: PhantomData<fn() -> R>,
}

/// The outputs of a shuffle whose rows have a type that only readers know.
#[derive(Clone)]
pub(super) struct OutputTable {
    pub(super) slots: Arc<[Slot]>,
}

impl<R> MapOutputs<R> {
    /// Makes a table without outputs for `map_partitions` map tasks.
    pub fn new(map_partitions: usize) -> Self {
        MapOutputs { table: OutputTable::new(map_partitions), row: PhantomData }
    }

    /// Makes a table of the one output of a task that reads it itself.
    pub fn own(output: MapOutput<R>) -> Self {
        let outputs = MapOutputs::new(1);
        *lock(&outputs.table.slots[0]) = Some(Arc::new(output.untyped));
        outputs
    }

    /// Stores the output of a map partition in place of an older one, which its readers may read to
    /// the end.
    ///
    /// # Errors
    ///
    /// If the older one was read and had other rows. It stays: results that were computed from it
    /// do not fit results that would be computed from the new one.
    pub fn put(&self, map_partition: usize, output: MapOutput<R>) -> Result<(), Changed> {
        self.table.put(map_partition, output.untyped)
    }

    /// Damages the file of an output for a fault plan. An output without a file is lost.
    pub fn apply_damage(&self, map_partition: usize, damage: Damage) {
        self.table.apply_damage(map_partition, damage);
    }

    /// Returns statistics of the outputs that are not known to be lost.
    pub fn storage_stats(&self) -> StorageStats {
        self.table.storage_stats()
    }

    /// Returns the estimated memory of one segment of all outputs, rounded up by at most an eighth:
    /// the same in memory and in files.
    pub fn segment_bytes(&self, segment: usize) -> u64 {
        self.table.segment_bytes(segment)
    }

    /// Drops the outputs if this is the last handle to them, on up to `threads` threads. They are
    /// dropped when this returns.
    pub fn drop_on(&mut self, threads: usize) {
        super::parallel_drop::drop_on::<R>(&mut self.table, threads);
    }
}

impl<R: Stored> MapOutputs<R> {
    /// Returns a reader of one segment of all outputs. It opens nothing before the first chunk.
    /// `shuffle` names the shuffle of the outputs; an output that a task makes for itself has none.
    pub fn read(
        &self,
        shuffle: Option<ShuffleId>,
        segment: usize,
        task: &TaskContext,
    ) -> SegmentReader<R> {
        self.reader(shuffle, segment, Some(task.clone()))
    }

    /// Returns a reader as [`read`](MapOutputs::read) does, also outside of tasks.
    pub(crate) fn reader(
        &self,
        shuffle: Option<ShuffleId>,
        segment: usize,
        task: Option<TaskContext>,
    ) -> SegmentReader<R> {
        SegmentReader::new(self.table.clone(), shuffle, segment, task)
    }
}

impl OutputTable {
    fn new(map_partitions: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(map_partitions, Slot::default);
        OutputTable { slots: slots.into() }
    }

    fn put(&self, map_partition: usize, output: UntypedOutput) -> Result<(), Changed> {
        let mut slot = lock(&self.slots[map_partition]);
        if let Some(older) = slot.as_ref().filter(|older| older.was_read.load(Ordering::Relaxed))
            && (older.rows, older.digest) != (output.rows, output.digest)
        {
            let changed = Changed { before: older.rows, now: output.rows };
            drop(slot);
            drop(output);
            return Err(changed);
        }
        if let Some(older) = &*slot {
            // Results that were computed from the older one must also fit the output after this
            // one.
            output.was_read.fetch_or(older.was_read.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let older = slot.replace(Arc::new(output));
        drop(slot);
        // Dropped after the lock was released: dropping rows runs the user's code.
        drop(older);
        Ok(())
    }

    fn apply_damage(&self, map_partition: usize, damage: Damage) {
        let Some(output) = lock(&self.slots[map_partition]).clone() else { return };
        let is_damaged = output.path().is_some_and(|file| damage.inflict(file).is_ok());
        if !is_damaged {
            // Its digest stays, with which the digest of its replacement is compared.
            output.lose(&Error::corrupt("an injected fault lost the map output"));
        }
    }

    fn storage_stats(&self) -> StorageStats {
        let outputs = self.slots.iter().filter_map(|slot| lock(slot).clone());
        let intact = outputs.filter(|output| !output.is_lost());
        intact.map(|output| output.storage_stats()).sum()
    }

    fn segment_bytes(&self, segment: usize) -> u64 {
        let bytes =
            |slot: &Slot| lock(slot).as_ref().map_or(0, |output| output.sizes.bytes(segment));
        self.slots.iter().map(bytes).fold(0, u64::saturating_add)
    }
}

impl<R> Clone for MapOutputs<R> {
    fn clone(&self) -> Self {
        MapOutputs { table: self.table.clone(), row: PhantomData }
    }
}

/// Locks a slot, also after a thread panicked that had locked it.
pub(super) fn lock(slot: &Slot) -> MutexGuard<'_, Option<Arc<UntypedOutput>>> {
    slot.lock()
}

/// Returns true if a file is missing or replaced by something else, or does not hold the bytes that were written.
pub(super) fn is_damage(error: &Error) -> bool {
    let is_missing = || io_cause(error).is_some_and(is_no_file);
    matches!(error.kind(), ErrorKind::Corrupt { .. }) || is_missing()
}

/// Returns the error of the operating system that caused `error`.
pub(super) fn io_cause(error: &Error) -> Option<&io::Error> {
    error.source().and_then(|cause| cause.downcast_ref())
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
