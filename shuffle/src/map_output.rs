//! What map tasks leave behind, and how the tasks behind the shuffle read it.

use crate::bucket::Buckets;
use crate::format::{FileIndex, FileWriter, FrameReader, OpenFile};
use crate::meter::Meter;
use crate::run::bytes_of;
use emberline_core::bounds::Stored;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::ids::ShuffleId;
use emberline_core::memory::Reservation;
use emberline_core::scratch::ScratchFile;
use emberline_core::size::estimate_rows;
use emberline_core::step::or_raise;
use emberline_core::task::TaskContext;
use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The output of one map task: runs, one behind the other, each with a segment for each slice of a
/// partition after the shuffle. Dropping it gives back the memory and the files.
pub struct MapOutput<R> {
    runs: Vec<MapRun<R>>,
    /// What each segment takes in memory, over all runs, wherever it lies.
    bytes: Vec<u64>,
}

/// Rows of a map task that were cut off when they had reached a size. A run stays in memory if the
/// budget has room, else it goes to a file.
enum MapRun<R> {
    Typed { segments: Vec<Arc<Vec<R>>>, _held: Reservation },
    File { file: ScratchFile, index: FileIndex },
}

/// Where a map task puts its rows.
pub struct MapWriter<R> {
    task: TaskContext,
    buckets: Buckets<R>,
    meter: Meter,
    output: MapOutput<R>,
    rows: usize,
}

impl<R: Stored> MapWriter<R> {
    /// A writer of rows into so many segments.
    pub fn new(segments: usize, task: &TaskContext) -> Self {
        let output = MapOutput { runs: Vec::new(), bytes: vec![0; segments] };
        let meter = Meter::new(task.config.operator_bytes());
        MapWriter { task: task.clone(), buckets: Buckets::new(segments), meter, output, rows: 0 }
    }

    /// The task that writes.
    pub fn task(&self) -> &TaskContext {
        &self.task
    }

    /// How many rows were added.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row to a segment. A disk that refuses a run unwinds with the error.
    ///
    /// # Panics
    ///
    /// If there is no such segment; [`partition_of`](crate::Partitioning::partition_of) never
    /// answers with one.
    #[inline]
    pub fn push(&mut self, segment: usize, row: R) {
        self.rows += 1;
        self.buckets.push(segment, row);
        if self.meter.is_due() {
            self.measure();
        }
    }

    #[cold]
    fn measure(&mut self) {
        if self.meter.reached(self.buckets.estimate_bytes()) {
            or_raise(self.output.add_run(self.buckets.take(), &self.task));
        }
    }

    /// Ends the output.
    pub fn finish(mut self) -> Result<MapOutput<R>> {
        let rest = self.buckets.into_segments();
        if self.output.runs.is_empty() || rest.iter().any(|rows| !rows.is_empty()) {
            self.output.add_run(rest, &self.task)?;
        }
        Ok(self.output)
    }
}

impl<R: Stored> MapOutput<R> {
    /// An output of one run.
    #[cfg(test)]
    fn keep(segments: Vec<Vec<R>>, task: &TaskContext) -> Result<Self> {
        let mut output = MapOutput { runs: Vec::new(), bytes: vec![0; segments.len()] };
        output.add_run(segments, task)?;
        Ok(output)
    }

    fn add_run(&mut self, segments: Vec<Vec<R>>, task: &TaskContext) -> Result<()> {
        task.check_cancelled();
        let rows = segments.iter().map(Vec::len).sum();
        let mut needed = 0_u64;
        for (bytes, rows) in self.bytes.iter_mut().zip(&segments) {
            *bytes = bytes.saturating_add(estimate_rows(rows));
            needed = needed.saturating_add(bytes_of(rows));
        }
        self.runs.push(match reserve(needed, rows, task) {
            Some(held) => MapRun::typed(segments, held),
            None => MapRun::write_file(segments, task)?,
        });
        Ok(())
    }

    /// The segment of one slice in one run, or nothing if it has no rows.
    fn open(&self, run: usize, segment: usize) -> Result<Option<Segment<R>>> {
        match &self.runs[run] {
            MapRun::Typed { segments, .. } => {
                let rows = segments.get(segment).ok_or_else(|| no_segment(segment))?;
                Ok((!rows.is_empty()).then(|| Segment::Shared(Arc::clone(rows))))
            }
            MapRun::File { file, index } => {
                let place = index.segments.get(segment).ok_or_else(|| no_segment(segment))?;
                if place.rows == 0 {
                    return Ok(None);
                }
                let open = OpenFile::new(file.open()?, file.path().display().to_string());
                open.check_length(index)?;
                Ok(Some(Segment::Frames(FrameReader::new(open, *place))))
            }
        }
    }
}

impl<R: Stored> MapRun<R> {
    fn typed(segments: Vec<Vec<R>>, held: Reservation) -> Self {
        let empty = Arc::default();
        let share = |rows: Vec<R>| match rows.is_empty() {
            true => Arc::clone(&empty),
            false => Arc::new(rows),
        };
        MapRun::Typed { segments: segments.into_iter().map(share).collect(), _held: held }
    }

    fn write_file(segments: Vec<Vec<R>>, task: &TaskContext) -> Result<Self> {
        let file = task.scratch.file("shuffle")?;
        let mut writer = FileWriter::create(&file)?;
        // Each segment is dropped once it is written.
        for rows in segments {
            task.check_cancelled();
            writer.write_segment(&rows)?;
        }
        let index = writer.finish()?;
        task.count_spilled(index.file_bytes);
        Ok(MapRun::File { file, index })
    }
}

enum Segment<R> {
    Shared(Arc<Vec<R>>),
    Frames(FrameReader<R>),
}

/// The part of the budget that rows need to stay in memory, if they may and it is there.
fn reserve(bytes: u64, rows: usize, task: &TaskContext) -> Option<Reservation> {
    if rows == 0 {
        return task.memory.try_reserve(0);
    }
    if task.config.shuffle_to_files {
        return None;
    }
    task.memory.try_reserve(bytes)
}

fn no_segment(segment: usize) -> Error {
    let what = format!("a map output was asked for segment {segment}, which it does not have");
    Error::new(ErrorKind::Internal { what })
}

type Slot<R> = Mutex<Option<Arc<MapOutput<R>>>>;

/// The outputs of all map tasks of one shuffle, as far as they are there; or the one output that a
/// task keeps for itself.
pub struct MapOutputs<R> {
    slots: Arc<[Slot<R>]>,
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
    /// read on.
    pub fn put(&self, map_partition: usize, output: MapOutput<R>) {
        let older = lock(&self.slots[map_partition]).replace(Arc::new(output));
        // Dropped here, after the lock: dropping rows runs the user's code.
        drop(older);
    }

    /// What one segment of all outputs takes in memory: the same wherever they lie.
    pub fn segment_bytes(&self, segment: usize) -> u64 {
        let bytes = |slot: &Slot<R>| lock(slot).as_ref().map_or(0, |output| output.bytes[segment]);
        self.slots.iter().map(bytes).fold(0, u64::saturating_add)
    }

    /// Reads one segment of all outputs. Nothing is opened before the first chunk.
    pub fn read(
        &self,
        shuffle: Option<ShuffleId>,
        segment: usize,
        task: &TaskContext,
    ) -> SegmentReader<R> {
        SegmentReader {
            slots: Arc::clone(&self.slots),
            shuffle,
            segment,
            map_partition: 0,
            next_run: 0,
            frames: None,
            failed: None,
            task: task.clone(),
        }
    }
}

fn lock<R>(slot: &Slot<R>) -> MutexGuard<'_, Option<Arc<MapOutput<R>>>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

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

/// Reads one partition after a shuffle: its segments in the order of the map partitions.
pub struct SegmentReader<R> {
    slots: Arc<[Slot<R>]>,
    /// Whose outputs they are; nobody's are those that a task keeps for itself.
    shuffle: Option<ShuffleId>,
    segment: usize,
    /// The output that is being read, and the next of its runs.
    map_partition: usize,
    next_run: usize,
    /// The segment that is being read from a file, with the output that keeps the file there.
    frames: Option<(FrameReader<R>, Arc<MapOutput<R>>)>,
    /// A reader that failed once never gives rows again: they would be the wrong ones.
    failed: Option<Error>,
    task: TaskContext,
}

impl<R: Stored> SegmentReader<R> {
    /// The next rows, or nothing after the last. An output that is missing or damaged is a
    /// [`FetchFailed`](ErrorKind::FetchFailed), which the scheduler mends; a disk that refuses is
    /// an [`Io`](ErrorKind::Io) error.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<R>>> {
        self.task.check_cancelled();
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let next = self.find_chunk().map_err(|error| self.as_fetch_failure(error));
        match &next {
            Ok(Some(chunk)) => self.task.count_read(chunk.rows().len()),
            Ok(None) => {}
            Err(error) => self.failed = Some(error.clone()),
        }
        next
    }

    fn find_chunk(&mut self) -> Result<Option<Chunk<R>>> {
        loop {
            if let Some((frames, _)) = &mut self.frames {
                if let Some(rows) = frames.next_frame()? {
                    return Ok(Some(Chunk::Owned(rows)));
                }
                self.frames = None;
            }
            let Some(slot) = self.slots.get(self.map_partition) else { return Ok(None) };
            let output = lock(slot).clone();
            let output = output.ok_or_else(|| Error::corrupt("its map output is not there"))?;
            if self.next_run >= output.runs.len() {
                (self.map_partition, self.next_run) = (self.map_partition + 1, 0);
                continue;
            }
            self.next_run += 1;
            match output.open(self.next_run - 1, self.segment)? {
                Some(Segment::Shared(rows)) => return Ok(Some(Chunk::Shared(rows))),
                Some(Segment::Frames(frames)) => self.frames = Some((frames, output)),
                None => {}
            }
        }
    }

    /// Damage is a lost output; anything else stays what it is.
    #[cold]
    fn as_fetch_failure(&self, error: Error) -> Error {
        let lost = matches!(error.kind(), ErrorKind::Corrupt { .. }) || is_not_found(&error);
        let Some(shuffle) = self.shuffle.filter(|_| lost) else { return error };
        let map_partition = self.map_partition;
        Error::new(ErrorKind::FetchFailed { shuffle, map_partition }).caused_by(error)
    }
}

fn is_not_found(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
#[path = "map_output_tests.rs"]
mod tests;
