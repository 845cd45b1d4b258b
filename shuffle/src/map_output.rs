//! What map tasks leave behind, and how the tasks behind the shuffle read it.

use crate::format::{FileIndex, FileWriter, FrameReader, OpenFile};
use emberline_core::bounds::Stored;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::ids::ShuffleId;
use emberline_core::memory::Reservation;
use emberline_core::scratch::ScratchFile;
use emberline_core::size::estimate_rows;
use emberline_core::task::TaskContext;
use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The output of one map task: a segment for each partition after the shuffle. It stays in memory
/// if the budget has room, else it goes to one file. Dropping it gives back either.
pub struct MapOutput<R> {
    form: Form<R>,
}

enum Form<R> {
    Typed { segments: Vec<Arc<Vec<R>>>, _held: Reservation },
    File { file: ScratchFile, index: FileIndex },
}

impl<R: Stored> MapOutput<R> {
    /// Keeps the segments of one map task. If the disk refuses, that is the error.
    pub fn keep(segments: Vec<Vec<R>>, task: &TaskContext) -> Result<Self> {
        let rows = segments.iter().map(Vec::len).sum();
        let form = match reserve(&segments, rows, task) {
            Some(held) => {
                let empty = Arc::default();
                let share = |rows: Vec<R>| match rows.is_empty() {
                    true => Arc::clone(&empty),
                    false => Arc::new(rows),
                };
                Form::Typed { segments: segments.into_iter().map(share).collect(), _held: held }
            }
            None => write_file(segments, task)?,
        };
        task.count_written(rows);
        Ok(MapOutput { form })
    }

    /// The segment of one partition, or nothing if it has no rows.
    fn open(&self, partition: usize) -> Result<Option<Segment<R>>> {
        match &self.form {
            Form::Typed { segments, .. } => {
                let rows = segments.get(partition).ok_or_else(|| no_partition(partition))?;
                Ok((!rows.is_empty()).then(|| Segment::Shared(Arc::clone(rows))))
            }
            Form::File { file, index } => {
                let place = index.segments.get(partition).ok_or_else(|| no_partition(partition))?;
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

enum Segment<R> {
    Shared(Arc<Vec<R>>),
    Frames(FrameReader<R>),
}

/// The part of the budget that the segments need to stay in memory, if they may and it is there.
fn reserve<R: Stored>(segments: &[Vec<R>], rows: usize, task: &TaskContext) -> Option<Reservation> {
    if rows == 0 {
        return task.memory.try_reserve(0);
    }
    if task.config.shuffle_to_files {
        return None;
    }
    let bytes = |rows: &Vec<R>| {
        let unused = (rows.capacity() - rows.len()).saturating_mul(size_of::<R>());
        estimate_rows(rows).saturating_add(unused as u64)
    };
    let bytes = segments.iter().map(bytes).fold(0, u64::saturating_add);
    task.memory.try_reserve(bytes)
}

fn write_file<R: Stored>(segments: Vec<Vec<R>>, task: &TaskContext) -> Result<Form<R>> {
    let file = task.scratch.file("shuffle")?;
    let mut writer = FileWriter::create(&file, &task.config)?;
    // Each segment is dropped once it is written.
    for rows in segments {
        task.check_cancelled();
        writer.write_segment(&rows)?;
    }
    let index = writer.finish()?;
    task.count_spilled(index.file_bytes);
    Ok(Form::File { file, index })
}

fn no_partition(partition: usize) -> Error {
    let what = format!("a map output was asked for partition {partition}, which it does not have");
    Error::new(ErrorKind::Internal { what })
}

type Slot<R> = Mutex<Option<Arc<MapOutput<R>>>>;

/// The outputs of all map tasks of one shuffle, as far as they are there.
pub struct MapOutputs<R> {
    slots: Arc<[Slot<R>]>,
}

impl<R> MapOutputs<R> {
    /// Room for the outputs of `map_partitions` map tasks.
    pub fn new(map_partitions: usize) -> Self {
        MapOutputs { slots: (0..map_partitions).map(|_| Mutex::new(None)).collect() }
    }

    /// Keeps the output of a map partition, in place of an older one. Readers of the older one may
    /// read on.
    pub fn put(&self, map_partition: usize, output: MapOutput<R>) {
        let older = lock(&self.slots[map_partition]).replace(Arc::new(output));
        // Dropped here, after the lock: dropping rows runs the user's code.
        drop(older);
    }

    /// Reads one partition after the shuffle. Nothing is opened before the first chunk.
    pub fn read(
        &self,
        shuffle: ShuffleId,
        reduce_partition: usize,
        task: &TaskContext,
    ) -> SegmentReader<R> {
        SegmentReader {
            slots: Arc::clone(&self.slots),
            shuffle,
            reduce_partition,
            next_map_partition: 0,
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
    shuffle: ShuffleId,
    reduce_partition: usize,
    next_map_partition: usize,
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
            let Some(slot) = self.slots.get(self.next_map_partition) else { return Ok(None) };
            self.next_map_partition += 1;
            let output = lock(slot).clone();
            let output = output.ok_or_else(|| Error::corrupt("its map output is not there"))?;
            match output.open(self.reduce_partition)? {
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
        if !lost {
            return error;
        }
        let (shuffle, map_partition) = (self.shuffle, self.next_map_partition - 1);
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
