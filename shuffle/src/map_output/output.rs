//! What map tasks leave behind, and how the tasks behind the shuffle read it.

use super::reader::SegmentReader;
use super::segment_index::SegmentIndex;
use crate::format::{FileIndex, FrameReader, OpenFile};
use emberline_core::bounds::Stored;
use emberline_core::error::{Error, ErrorKind, Result, internal};
use emberline_core::faults::Damage;
use emberline_core::ids::ShuffleId;
use emberline_core::lineage::StorageStats;
use emberline_core::memory::Reservation;
use emberline_core::scratch::ScratchFile;
use emberline_core::task::TaskContext;
use std::error::Error as _;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The output of one map task: runs, one behind the other, each with a segment for each partition
/// after the shuffle, or for each slice of one. Dropping it gives back the memory and the files.
pub struct MapOutput<R> {
    pub(crate) runs: Vec<MapRun<R>>,
    /// The runs that did not fit in memory, one behind the other.
    pub(crate) file: Option<(Arc<ScratchFile>, FileIndex)>,
    /// What each segment takes in memory, over all runs, wherever it lies.
    pub(crate) bytes: Vec<u64>,
    pub(crate) rows: u64,
    /// Rows that the map task read for it.
    pub(crate) rows_read: u64,
    /// What the places of segments in the file take.
    pub(crate) index_reservation: Option<Reservation>,
    /// The sum of its keys' hashes, where rows are placed by hash, and of what says how many rows each
    /// segment has. An output that is computed again has the same, unless something is not
    /// deterministic. It does not see a change of values.
    pub(crate) digest: u64,
    /// Whether a reader has begun with it, or with one whose place it took.
    pub(super) was_read: AtomicBool,
    /// Whether the disk has refused to read it, once so far.
    pub(super) was_refused: AtomicBool,
    /// What a reader found wrong with it; what comes in its place is another output.
    lost: OnceLock<Error>,
}

/// An output that was computed again has other rows than the one that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The rows of the one that was lost.
    pub before: u64,
    /// The rows of the new one.
    pub now: u64,
}

/// Rows of a map task that were cut off when they had reached a size. A run stays in memory if the
/// budget has room, else it goes to the task's file.
pub(crate) enum MapRun<R> {
    Typed { segments: Vec<Arc<Vec<R>>>, held: Reservation },
    File(FileRun),
}

/// A run in the task's file.
pub(crate) struct FileRun {
    /// Where the segments that have rows are.
    pub(crate) places: SegmentIndex,
    /// How often its rows were merged from smaller runs.
    pub(crate) level: u32,
}

impl<R> MapOutput<R> {
    /// An output without rows, of so many segments.
    pub(crate) fn new(segments: usize) -> Self {
        let (runs, bytes, file, index_reservation) = (Vec::new(), vec![0; segments], None, None);
        let (digest, was_read, was_refused, lost) = Default::default();
        let (rows, rows_read) = (0, 0);
        MapOutput {
            runs,
            file,
            bytes,
            rows,
            rows_read,
            index_reservation,
            digest,
            was_read,
            was_refused,
            lost,
        }
    }

    /// Its rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What they take in memory, estimated, wherever they lie.
    pub fn bytes(&self) -> u64 {
        self.bytes.iter().copied().fold(0, u64::saturating_add)
    }

    /// Its file, if not all of it lies in memory.
    pub fn file(&self) -> Option<&Path> {
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

    /// What a fault plan did to rows in memory. A file that is lost says so itself; and if one segment
    /// of it is damaged, the others can be read until another output takes its place.
    pub(super) fn lost_in_memory(&self) -> Option<&Error> {
        self.lost.get().filter(|_| self.file.is_none())
    }

    /// Notes that it is lost. The first reason stays; says whether this is it.
    pub(super) fn lose(&self, why: &Error) -> bool {
        self.lost.set(why.clone()).is_ok()
    }

    /// Notes that it is lost if its file is gone or has another length.
    pub(super) fn look(&self) {
        let Some((file, index)) = self.file.as_ref().filter(|_| !self.is_lost()) else { return };
        if let Err(error) = Self::open_file(file, index)
            && is_damage(&error)
        {
            self.lose(&error);
        }
    }

    fn storage_stats(&self) -> StorageStats {
        let (rows, rows_read) = (self.rows, self.rows_read);
        let held = self.runs.iter().map(|run| match run {
            MapRun::Typed { held, .. } => held.bytes(),
            MapRun::File(_) => 0,
        });
        let file_bytes = self.file.as_ref().map_or(0, |(_, index)| index.file_bytes);
        StorageStats { parts: 1, rows, memory_bytes: held.sum(), file_bytes, rows_read }
    }
}

impl<R: Stored> MapOutput<R> {
    /// The rows of one segment of a run, or nothing if it has none. The file is opened once for all
    /// runs.
    pub(super) fn open(
        &self,
        run: &MapRun<R>,
        segment: usize,
        open: &mut Option<OpenFile>,
    ) -> Result<Option<Segment<R>>> {
        let run = match run {
            MapRun::Typed { segments, .. } => {
                let rows = segments.get(segment).ok_or_else(|| no_segment(segment))?;
                return Ok((!rows.is_empty()).then(|| Segment::Shared(Arc::clone(rows))));
            }
            MapRun::File(run) => run,
        };
        let file = self.file.as_ref().filter(|_| segment < self.bytes.len());
        let (file, index) = file.ok_or_else(|| no_segment(segment))?;
        let Some(place) = run.places.find(segment)? else { return Ok(None) };
        let open = match open {
            Some(open) => open,
            none => none.insert(Self::open_file(file, index)?),
        };
        Ok(Some(Segment::Frames(FrameReader::new(open.clone(), place))))
    }
}

pub(super) enum Segment<R> {
    Shared(Arc<Vec<R>>),
    Frames(FrameReader<R>),
}

fn no_segment(segment: usize) -> Error {
    internal(format_args!("segment {segment} of a map output is out of range"))
}

pub(super) type Slot<R> = Mutex<Option<Arc<MapOutput<R>>>>;

/// The outputs of all map tasks of one shuffle, as far as they are there; or the one output that a
/// task keeps for itself.
pub struct MapOutputs<R> {
    pub(super) slots: Arc<[Slot<R>]>,
}

impl<R> MapOutputs<R> {
    /// Room for the outputs of `map_partitions` map tasks.
    pub fn new(map_partitions: usize) -> Self {
        MapOutputs { slots: (0..map_partitions).map(|_| Mutex::new(None)).collect() }
    }

    /// The one output of a task that reads it itself.
    pub fn own(output: MapOutput<R>) -> Self {
        MapOutputs { slots: [Mutex::new(Some(Arc::new(output)))].into() }
    }

    /// Keeps the output of a map partition, in place of an older one. Readers of the older one may
    /// read on. If the older one was read and had other rows, it stays: what was made of it and what
    /// would be made of the new one do not fit together.
    pub fn put(&self, map_partition: usize, output: MapOutput<R>) -> Result<(), Changed> {
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
            // What was made of the older one must fit whatever comes after this one, too.
            output.was_read.fetch_or(older.was_read.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let older = slot.replace(Arc::new(output));
        drop(slot);
        // Dropped here, after the lock: dropping rows runs the user's code.
        drop(older);
        Ok(())
    }

    /// Harms the file of an output, as a fault plan wants; what is not in a file is lost.
    pub fn harm(&self, map_partition: usize, harm: Damage) {
        let Some(output) = lock(&self.slots[map_partition]).clone() else { return };
        let harmed = output.file().is_some_and(|file| harm.inflict(file).is_ok());
        if !harmed {
            // Its digest stays, which what comes in its place is compared with.
            output.lose(&Error::corrupt("a fault plan took its map output"));
        }
    }

    /// How much of them is there, as far as readers know.
    pub fn storage_stats(&self) -> StorageStats {
        let outputs = self.slots.iter().filter_map(|slot| lock(slot).clone());
        let there = outputs.filter(|output| !output.is_lost());
        there.map(|output| output.storage_stats()).sum()
    }

    /// What one segment of all outputs takes in memory: the same wherever they lie.
    pub fn segment_bytes(&self, segment: usize) -> u64 {
        let bytes = |slot: &Slot<R>| lock(slot).as_ref().map_or(0, |output| output.bytes[segment]);
        self.slots.iter().map(bytes).fold(0, u64::saturating_add)
    }

    /// Reads one segment of all outputs. Nothing is opened before the first chunk. `shuffle` says
    /// whose outputs they are; nobody's are those that a task keeps for itself.
    pub fn read(
        &self,
        shuffle: Option<ShuffleId>,
        segment: usize,
        task: &TaskContext,
    ) -> SegmentReader<R> {
        self.reader(shuffle, segment, Some(task.clone()))
    }

    /// As [`read`](MapOutputs::read), also where no task runs.
    pub(crate) fn reader(
        &self,
        shuffle: Option<ShuffleId>,
        segment: usize,
        task: Option<TaskContext>,
    ) -> SegmentReader<R> {
        SegmentReader::new(Arc::clone(&self.slots), shuffle, segment, task)
    }
}

impl<R> Clone for MapOutputs<R> {
    fn clone(&self) -> Self {
        MapOutputs { slots: Arc::clone(&self.slots) }
    }
}

pub(super) fn lock<R>(slot: &Slot<R>) -> MutexGuard<'_, Option<Arc<MapOutput<R>>>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a file is gone, or does not hold what was written.
pub(super) fn is_damage(error: &Error) -> bool {
    let is_gone = || io_cause(error).is_some_and(|it| it.kind() == io::ErrorKind::NotFound);
    matches!(error.kind(), ErrorKind::Corrupt { .. }) || is_gone()
}

pub(super) fn io_cause(error: &Error) -> Option<&io::Error> {
    error.source().and_then(|cause| cause.downcast_ref())
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
