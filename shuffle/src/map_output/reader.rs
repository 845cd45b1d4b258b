//! Reads one segment of all map outputs, and detects lost outputs.

use super::output::{
    OutputTable, RowsInMemory, Segment, Slot, UntypedOutput, io_cause, is_damage, lock,
};
use crate::format::{OpenFile, SegmentFrames};
use emberline_core::bounds::Stored;
use emberline_core::codec::decode_rows;
use emberline_core::counters::Phase;
use emberline_core::disk::is_resource_exhaustion;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::ids::ShuffleId;
use emberline_core::task::TaskContext;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Some rows of a segment.
#[derive(Clone, Debug)]
pub enum Chunk<R> {
    /// Rows in memory that other tasks may read too.
    Shared(Arc<Vec<R>>),
    /// Rows that were read from a file for this task.
    Owned(Vec<R>),
}

impl<R> Chunk<R> {
    /// Returns the rows.
    pub fn rows(&self) -> &[R] {
        match self {
            Chunk::Shared(rows) => rows,
            Chunk::Owned(rows) => rows,
        }
    }
}

/// Reads one segment of all map outputs, in the order of the map partitions.
pub struct SegmentReader<R> {
    pub(super) untyped: UntypedReader,
    row: PhantomData<fn() -> R>,
}

impl<R: Stored> SegmentReader<R> {
    pub(super) fn new(
        table: OutputTable,
        shuffle: Option<ShuffleId>,
        segment: usize,
        task: Option<TaskContext>,
    ) -> Self {
        let untyped = UntypedReader {
            table,
            shuffle,
            segment,
            map_partition: 0,
            output: None,
            open: None,
            next_run: 0,
            frames: None,
            failed: None,
            task,
        };
        SegmentReader { untyped, row: PhantomData }
    }

    /// Reads the next rows, or returns nothing after the last.
    ///
    /// # Errors
    ///
    /// If an output is missing or damaged, or two reads of it failed, the error is
    /// [`FetchFailed`](ErrorKind::FetchFailed), after which the scheduler recomputes the output. If
    /// this process lacks resources such as open files, the error is [`Io`](ErrorKind::Io).
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<R>>> {
        let mut chunk = None;
        self.untyped.next_chunk(&mut |raw| {
            let rows = match raw {
                RawChunk::InMemory(rows) => Chunk::Shared(rows.downcast()?),
                RawChunk::Frame { count, bytes } => Chunk::Owned(decode_rows(bytes, count)?),
            };
            let count = rows.rows().len();
            chunk = Some(rows);
            Ok(count)
        })?;
        Ok(chunk)
    }
}

/// Some rows of a segment whose type the reader does not know.
pub(super) enum RawChunk<'a> {
    InMemory(RowsInMemory),
    Frame { count: usize, bytes: &'a [u8] },
}

/// Takes a chunk and returns the number of its rows.
type TakeChunk<'a> = dyn FnMut(RawChunk<'_>) -> Result<usize> + 'a;

/// A reader that does not know the type of the rows, so that it is compiled once.
pub(super) struct UntypedReader {
    table: OutputTable,
    shuffle: Option<ShuffleId>,
    segment: usize,
    map_partition: usize,
    /// The output that is being read, whose file stays as long as this handle.
    pub(super) output: Option<Arc<UntypedOutput>>,
    open: Option<OpenFile>,
    next_run: usize,
    /// The segment that is being read from a file.
    frames: Option<SegmentFrames>,
    /// The first failure. A reader that failed returns no rows any more: they would be the wrong
    /// ones.
    failed: Option<Error>,
    task: Option<TaskContext>,
}

impl UntypedReader {
    /// Passes the next chunk to `take`, or nothing after the last.
    fn next_chunk(&mut self, take: &mut TakeChunk<'_>) -> Result<()> {
        if let Some(task) = &self.task {
            task.check_cancelled();
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let task = self.task.clone();
        let phase = task.as_ref().map(|task| task.enter(Phase::Read));
        let found = self.find_chunk(take);
        drop(phase);
        match found {
            Ok(rows) => {
                // A task has counted the rows of its own output before.
                if let Some(task) = task.filter(|_| rows > 0 && self.shuffle.is_some()) {
                    task.count_read(rows);
                }
                Ok(())
            }
            Err(error) => {
                let error = self.as_fetch_failure(error);
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Passes the next chunk to `take` and returns the number of its rows: zero after the last. The
    /// first failed read of an output may be accidental, and is repeated here: a task that reads
    /// many such outputs would use up its attempts.
    fn find_chunk(&mut self, take: &mut TakeChunk<'_>) -> Result<usize> {
        loop {
            match self.read_chunk(take) {
                Err(error) if self.is_first_refusal(&error) => {}
                found => return found,
            }
        }
    }

    fn read_chunk(&mut self, take: &mut TakeChunk<'_>) -> Result<usize> {
        loop {
            if let Some(frames) = &mut self.frames {
                let mut rows = 0;
                let is_read = frames.next_frame(&mut |count, bytes| {
                    rows = take(RawChunk::Frame { count, bytes })?;
                    Ok(())
                })?;
                if is_read {
                    return Ok(rows);
                }
                self.frames = None;
            }
            let Some(output) = self.current_output()? else { return Ok(0) };
            let Some(run) = output.runs.get(self.next_run) else {
                self.output = None;
                self.open = None;
                self.next_run = 0;
                self.map_partition += 1;
                continue;
            };
            let opened = output.open(run, self.segment, &mut self.open)?;
            self.next_run += 1;
            match opened {
                Some(Segment::InMemory(rows)) => return take(RawChunk::InMemory(rows)),
                Some(Segment::Frames(frames)) => self.frames = Some(frames),
                None => {}
            }
        }
    }

    /// Returns the output of the current map partition, or nothing after the last.
    fn current_output(&mut self) -> Result<Option<Arc<UntypedOutput>>> {
        let Some(slot) = self.table.slots.get(self.map_partition) else { return Ok(None) };
        if self.output.is_none() {
            let slot = lock(slot);
            if let Some(output) = slot.as_ref().filter(|_| self.shuffle.is_some()) {
                // Under the lock, so that the task that replaces the output knows of this reader.
                output.was_read.store(true, Ordering::Relaxed);
            }
            self.output.clone_from(&slot);
            drop(slot);
            if let Some(why) = self.output.as_ref().and_then(|output| output.lost_in_memory()) {
                return Err(why.clone());
            }
        }
        let missing = || Error::corrupt("its map output does not exist");
        self.output.clone().ok_or_else(missing).map(Some)
    }

    /// Returns a fetch failure if `error` means that the current output is lost, else `error`.
    #[cold]
    pub(super) fn as_fetch_failure(&self, error: Error) -> Error {
        let Some(shuffle) = self.shuffle.filter(|_| self.means_lost(&error)) else { return error };
        if self.output.as_ref().is_some_and(|output| output.lose(&error)) {
            self.check_all_files();
            self.verify_all_files();
        }
        let map_partition = self.map_partition;
        let others = self.lost_partitions().filter(|other| *other != map_partition).collect();
        Error::new(ErrorKind::FetchFailed { shuffle, map_partition, others }).caused_by(error)
    }

    /// Returns true if the current output is lost: it is damaged, was found lost before, or a
    /// second read of its file failed too, as on a bad sector.
    fn means_lost(&self, error: &Error) -> bool {
        let is_lost = self.output.as_ref().is_some_and(|output| output.is_lost());
        is_lost || is_damage(error) || is_refusal(error)
    }

    /// Returns true if a read of the current output failed for the first time.
    #[cold]
    fn is_first_refusal(&self, error: &Error) -> bool {
        let output = self.output.as_ref().filter(|_| is_refusal(error));
        output.is_some_and(|output| !output.was_refused.swap(true, Ordering::Relaxed))
    }

    /// Checks the files of all outputs, since what removed one file may have removed others. That
    /// costs little compared with a reader that fails for each of them in turn. Only the first
    /// reader that finds an output lost does it, to the end even if its task is cancelled.
    fn check_all_files(&self) {
        for slot in &*self.table.slots {
            let output = lock(slot).clone();
            output.inspect(|output| output.check_file());
        }
    }

    /// Reads the frames of all outputs, since what damaged one file may have damaged others. No
    /// output is read twice for that, so it costs at most as much as one more read of the shuffle.
    /// It stops when the task is cancelled.
    fn verify_all_files(&self) {
        let phase = self.task.as_ref().map(|task| task.enter(Phase::Read));
        let is_cancelled = || self.task.as_ref().is_some_and(|task| task.is_cancelled());
        for slot in &*self.table.slots {
            let output = lock(slot).clone();
            output.inspect(|output| output.verify(&is_cancelled));
            if is_cancelled() {
                break;
            }
        }
        drop(phase);
    }

    /// Returns the map partitions whose outputs are missing or known to be lost.
    fn lost_partitions(&self) -> impl Iterator<Item = usize> {
        let slots = &self.table.slots;
        let is_lost = |slot: &Slot| lock(slot).as_ref().is_none_or(|output| output.is_lost());
        (0..slots.len()).filter(move |partition| is_lost(&slots[*partition]))
    }
}

/// Returns true if the disk failed to read, for a reason that is not damage and not a lack of
/// resources of this process.
fn is_refusal(error: &Error) -> bool {
    !is_damage(error) && io_cause(error).is_some_and(|cause| !is_resource_exhaustion(cause))
}
