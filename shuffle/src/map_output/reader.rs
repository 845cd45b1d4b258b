//! Reads one segment of all map outputs, and finds out what is lost of them.

use super::output::{MapOutput, Segment, Slot, io_cause, is_damage, lock};
use crate::format::{FrameReader, OpenFile};
use emberline_core::bounds::Stored;
use emberline_core::counters::Phase;
use emberline_core::disk::is_resource_exhaustion;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::ids::ShuffleId;
use emberline_core::task::TaskContext;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Some rows of a segment.
#[derive(Clone, Debug)]
pub enum Chunk<R> {
    /// Rows that other tasks may read too.
    Shared(Arc<Vec<R>>),
    /// Rows that were read from a file for this task.
    Owned(Vec<R>),
}

impl<R> Chunk<R> {
    /// The rows.
    pub fn rows(&self) -> &[R] {
        match self {
            Chunk::Shared(rows) => rows,
            Chunk::Owned(rows) => rows,
        }
    }
}

/// Reads one segment of all map outputs, in the order of the map partitions.
pub struct SegmentReader<R> {
    slots: Arc<[Slot<R>]>,
    shuffle: Option<ShuffleId>,
    segment: usize,
    map_partition: usize,
    /// The output that is being read, which keeps its files there, and the next of its runs.
    pub(super) output: Option<Arc<MapOutput<R>>>,
    open: Option<OpenFile>,
    next_run: usize,
    /// The segment that is being read from a file.
    frames: Option<FrameReader<R>>,
    /// A reader that failed once never gives rows again: they would be the wrong ones.
    failed: Option<Error>,
    task: Option<TaskContext>,
}

impl<R> SegmentReader<R> {
    pub(super) fn new(
        slots: Arc<[Slot<R>]>,
        shuffle: Option<ShuffleId>,
        segment: usize,
        task: Option<TaskContext>,
    ) -> Self {
        SegmentReader {
            slots,
            shuffle,
            segment,
            map_partition: 0,
            output: None,
            open: None,
            next_run: 0,
            frames: None,
            failed: None,
            task,
        }
    }
}

impl<R: Stored> SegmentReader<R> {
    /// The next rows, or nothing after the last. An output that is missing or damaged, or that the
    /// disk refuses to read twice, is a [`FetchFailed`](ErrorKind::FetchFailed), which the scheduler
    /// mends; a disk that refuses once is an [`Io`](ErrorKind::Io) error.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<R>>> {
        if let Some(task) = &self.task {
            task.check_cancelled();
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let task = self.task.clone();
        let found = match &task {
            Some(task) => task.in_phase(Phase::Read, || self.find_chunk()),
            None => self.find_chunk(),
        };
        let next = found.map_err(|error| self.as_fetch_failure(error));
        match &next {
            Ok(Some(chunk)) => {
                // What a task keeps for itself it has read before.
                if let Some(task) = self.task.as_ref().filter(|_| self.shuffle.is_some()) {
                    task.count_read(chunk.rows().len());
                }
            }
            Ok(None) => {}
            Err(error) => self.failed = Some(error.clone()),
        }
        next
    }

    fn find_chunk(&mut self) -> Result<Option<Chunk<R>>> {
        loop {
            if let Some(frames) = &mut self.frames {
                if let Some(rows) = frames.next_frame()? {
                    return Ok(Some(Chunk::Owned(rows)));
                }
                self.frames = None;
            }
            let Some(output) = self.current_output()? else { return Ok(None) };
            let Some(run) = output.runs.get(self.next_run) else {
                (self.output, self.open, self.next_run) = (None, None, 0);
                self.map_partition += 1;
                continue;
            };
            self.next_run += 1;
            match output.open(run, self.segment, &mut self.open)? {
                Some(Segment::Shared(rows)) => return Ok(Some(Chunk::Shared(rows))),
                Some(Segment::Frames(frames)) => self.frames = Some(frames),
                None => {}
            }
        }
    }

    /// The output of the map partition at hand; nothing behind the last.
    fn current_output(&mut self) -> Result<Option<Arc<MapOutput<R>>>> {
        let Some(slot) = self.slots.get(self.map_partition) else { return Ok(None) };
        if self.output.is_none() {
            let slot = lock(slot);
            if let Some(output) = slot.as_ref().filter(|_| self.shuffle.is_some()) {
                // Under the lock, so that whoever puts another in its place knows of this reader.
                output.was_read.store(true, Ordering::Relaxed);
            }
            self.output = slot.clone();
            drop(slot);
            if let Some(why) = self.output.as_ref().and_then(|output| output.lost_in_memory()) {
                return Err(why.clone());
            }
        }
        let missing = || Error::corrupt("its map output is not there");
        self.output.clone().ok_or_else(missing).map(Some)
    }

    /// A lost output is a fetch failure; any other error stays what it is.
    #[cold]
    pub(super) fn as_fetch_failure(&self, error: Error) -> Error {
        let Some(shuffle) = self.shuffle.filter(|_| self.means_lost(&error)) else { return error };
        if self.output.as_ref().is_some_and(|output| output.lose(&error)) {
            self.look_at_all();
        }
        let map_partition = self.map_partition;
        let others = self.lost_partitions().filter(|other| *other != map_partition).collect();
        Error::new(ErrorKind::FetchFailed { shuffle, map_partition, others }).caused_by(error)
    }

    /// Whether the output at hand is lost: damaged, found lost before, or a file that the disk does not
    /// read at the second attempt either, as on a bad sector.
    fn means_lost(&self, error: &Error) -> bool {
        let is_lost = self.output.as_ref().is_some_and(|output| output.is_lost());
        if is_lost || is_damage(error) {
            return true;
        }
        let is_refused = io_cause(error).is_some_and(|cause| !is_resource_exhaustion(cause));
        let output = self.output.as_ref().filter(|_| is_refused);
        output.is_some_and(|output| output.was_refused.swap(true, Ordering::Relaxed))
    }

    /// Who took one file may have taken others. A look at each costs little beside a reader that fails
    /// for each, one after the other; and only the first who finds an output lost looks. A cancelled
    /// task looks to the end as well, since nobody else will.
    fn look_at_all(&self) {
        for slot in &*self.slots {
            let output = lock(slot).clone();
            output.inspect(|output| output.look());
        }
    }

    /// The outputs that are not there, as far as readers know.
    fn lost_partitions(&self) -> impl Iterator<Item = usize> {
        let is_gone = |slot: &Slot<R>| lock(slot).as_ref().is_none_or(|output| output.is_lost());
        (0..self.slots.len()).filter(move |partition| is_gone(&self.slots[*partition]))
    }
}
