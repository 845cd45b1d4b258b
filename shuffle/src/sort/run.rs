//! A run: rows in a known order, in memory or in a file.

use crate::format::{
    FileIndex, FileWriter, MIN_TARGET_BYTES, OpenFile, SegmentFrames, SegmentLocation,
};
use crate::memory::meter::MemoryMeter;
use crate::memory::row_sizes::RowSizes;
use emberline_core::bounds::Stored;
use emberline_core::config::Config;
use emberline_core::counters::{Phase, PhaseGuard, SpilledFile};
use emberline_core::error::{Error, Result};
use emberline_core::faults::Damage;
use emberline_core::memory::Reservation;
use emberline_core::scratch::{Scratch, ScratchFile};
use emberline_core::size::heap_bytes;
use emberline_core::task::{TaskContext, check_running_task, is_task_thread};
use emberline_core::unwind::raise;
use std::iter;
use std::marker::PhantomData;
use std::sync::Arc;
use std::vec;

/// A stored run, to be read once.
pub(crate) enum Run<T> {
    /// Rows in memory, and the reservation of that memory.
    InMemory(Vec<T>, Reservation),
    InFile(RunFile<T>),
}

impl<T: Stored> Run<T> {
    /// Stores `rows` in memory if the configuration and the memory limit allow it, else in a file.
    pub(crate) fn store(rows: Vec<T>, sizes: RowSizes, task: &TaskContext) -> Result<Self> {
        let unused_bytes = (rows.capacity() - rows.len()).saturating_mul(size_of::<T>());
        match reserve(sizes.bytes_with(&rows).saturating_add(unused_bytes as u64), task) {
            Some(reservation) => Ok(Run::InMemory(rows, reservation)),
            None => {
                let mut writer = TaskRunWriter::create(task)?;
                task.check_cancelled();
                writer.write(&rows, sizes)?;
                // Not at the end of the function: if a destructor of a row panics there, Rust leaks
                // the returned file.
                drop(rows);
                writer.finish().map(Run::InFile)
            }
        }
    }

    /// Returns the memory that reading it takes: none for rows in memory, which have a reservation.
    pub(crate) fn reading_bytes(&self) -> u64 {
        match self {
            Run::InMemory(..) => 0,
            Run::InFile(file) => file.written.largest_frame,
        }
    }

    /// Returns the rows in order.
    pub(crate) fn into_rows(self) -> RunRows<T> {
        match self {
            Run::InMemory(rows, reservation) => {
                RunRows::InMemory { rows: rows.into_iter(), _reservation: reservation }
            }
            Run::InFile(file) => RunRows::InFile(file.rows()),
        }
    }
}

/// Reserves the memory of a run, if the configuration and the memory limit allow it.
fn reserve(bytes: u64, task: &TaskContext) -> Option<Reservation> {
    if task.config.force_spill {
        return None;
    }
    task.memory.try_reserve(bytes)
}

/// Returns rows with their sizes.
fn measured<T: Stored, R: AsRef<[T]>>(rows: R) -> (R, RowSizes) {
    let sizes = RowSizes::measure(rows.as_ref());
    (rows, sizes)
}

/// Rows in a file, which several readers may read several times. The last handle deletes the file.
pub struct RunFile<T> {
    written: Arc<Written>,
    row: PhantomData<fn() -> T>,
}

/// A file of rows whose type only the readers know.
struct Written {
    file: Arc<ScratchFile>,
    index: FileIndex,
    location: SegmentLocation,
    size: SpilledFile,
    /// The memory that its largest frame takes while it is read.
    largest_frame: u64,
}

impl<T> Clone for RunFile<T> {
    fn clone(&self) -> Self {
        RunFile { written: Arc::clone(&self.written), row: PhantomData }
    }
}

/// A run file that is not complete.
struct RunWriter {
    file: Arc<ScratchFile>,
    writer: FileWriter,
    estimated_bytes: u64,
}

impl RunWriter {
    fn create(scratch: &Scratch, config: &Config) -> Result<Self> {
        let file = Arc::new(scratch.file("run")?);
        let writer = FileWriter::create(Arc::clone(&file), config)?;
        Ok(RunWriter { file, writer, estimated_bytes: 0 })
    }

    fn write<T: Stored>(&mut self, rows: &[T], sizes: RowSizes) -> Result<()> {
        self.estimated_bytes = self.estimated_bytes.saturating_add(sizes.bytes_with(rows));
        self.writer.write_rows(rows, sizes)
    }

    fn finish(mut self) -> Result<Arc<Written>> {
        let location = self.writer.end_segment();
        let encoded_bytes = self.writer.encoded_bytes();
        let largest_frame = self.writer.largest_frame();
        let index = self.writer.finish()?;
        let size = SpilledFile {
            file_bytes: index.file_bytes,
            encoded_bytes,
            estimated_bytes: self.estimated_bytes,
        };
        Ok(Arc::new(Written { file: self.file, index, location, size, largest_frame }))
    }
}

/// A writer of a run file of a task, which is in the phase `Write` until [`finish`](Self::finish).
struct TaskRunWriter<'a> {
    writer: RunWriter,
    phase: PhaseGuard<'a>,
    task: &'a TaskContext,
    /// The phase of the caller, in which the rows are computed.
    outside: Phase,
}

impl<'a> TaskRunWriter<'a> {
    fn create(task: &'a TaskContext) -> Result<Self> {
        let outside = task.phase();
        let phase = task.enter(Phase::Write);
        let writer = RunWriter::create(&task.scratch, &task.config)?;
        Ok(TaskRunWriter { writer, phase, task, outside })
    }

    /// Returns to the caller's phase: rows may be computed or merged on their way to the file.
    fn compute(&self) -> PhaseGuard<'a> {
        self.task.check_cancelled();
        self.task.enter(self.outside)
    }

    fn write<T: Stored>(&mut self, rows: &[T], sizes: RowSizes) -> Result<()> {
        self.writer.write(rows, sizes)
    }

    /// Completes the file and counts it as the task's.
    fn finish<T>(self) -> Result<RunFile<T>> {
        let written = self.writer.finish()?;
        drop(self.phase);
        self.task.count_spilled(written.size);
        Ok(RunFile { written, row: PhantomData })
    }
}

impl<T: Stored> RunFile<T> {
    /// Writes rows of known sizes to a file, batch by batch, and counts the file as the task's.
    pub fn write<R: AsRef<[T]>>(
        batches: impl IntoIterator<Item = (R, RowSizes)>,
        task: &TaskContext,
    ) -> Result<Self> {
        let mut writer = TaskRunWriter::create(task)?;
        let mut batches = batches.into_iter();
        loop {
            let computing = writer.compute();
            let Some((rows, sizes)) = batches.next() else { break };
            drop(computing);
            writer.write(rows.as_ref(), sizes)?;
        }
        // Not at the end of the function: if a destructor panics there, Rust leaks the file.
        drop(batches);
        writer.finish()
    }

    /// Measures rows and writes them to a file, batch by batch, outside of any task.
    pub fn write_in<R: AsRef<[T]>>(
        batches: impl IntoIterator<Item = R>,
        scratch: &Scratch,
        config: &Config,
    ) -> Result<Self> {
        RunFile::write_to(batches.into_iter().map(measured), scratch, config)
    }

    /// Writes rows of known sizes to a file, batch by batch, outside of any task.
    pub(crate) fn write_to<R: AsRef<[T]>>(
        batches: impl IntoIterator<Item = (R, RowSizes)>,
        scratch: &Scratch,
        config: &Config,
    ) -> Result<Self> {
        let mut writer = RunWriter::create(scratch, config)?;
        for (rows, sizes) in batches {
            writer.write(rows.as_ref(), sizes)?;
        }
        Ok(RunFile { written: writer.finish()?, row: PhantomData })
    }

    /// Returns the rows in order, a frame at a time. A read that fails ends the task.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Vec<T>> + use<T> {
        let mut rows = self.rows();
        iter::from_fn(move || rows.next_rows().unwrap_or_else(|error| fail(error)))
    }

    /// Returns the rows in order.
    pub fn rows(&self) -> FileRows<T> {
        FileRows { file: Arc::clone(&self.written), frames: None, rows: Vec::new().into_iter() }
    }
}

impl<T> RunFile<T> {
    /// Damages the file for a fault plan.
    pub fn apply_damage(&self, damage: Damage) -> std::io::Result<()> {
        damage.inflict(self.written.file.path())
    }

    /// Checks that the file exists and is as long as it was written.
    pub fn check(&self) -> Result<()> {
        self.written.open().map(drop)
    }

    /// Returns the size of the file, and of its rows.
    pub fn size(&self) -> SpilledFile {
        self.written.size
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.written.location.rows as usize
    }

    /// Returns true if there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the length of the file.
    pub fn bytes(&self) -> u64 {
        self.written.index.file_bytes
    }
}

impl Written {
    fn open(&self) -> Result<OpenFile> {
        let open = OpenFile::new(self.file.open()?, self.file.path().display().to_string());
        open.check_length(&self.index)?;
        Ok(open)
    }

    fn frames(&self) -> Result<SegmentFrames> {
        Ok(SegmentFrames::new(self.open()?, self.location))
    }
}

/// The rows of a file, one frame of them in memory.
pub struct FileRows<T> {
    file: Arc<Written>,
    frames: Option<SegmentFrames>,
    rows: vec::IntoIter<T>,
}

impl<T: Stored> FileRows<T> {
    /// Reads the rows of the next frame, or returns nothing after the last.
    pub fn next_rows(&mut self) -> Result<Option<Vec<T>>> {
        let frames = match &mut self.frames {
            Some(frames) => frames,
            none => none.insert(self.file.frames()?),
        };
        check_running_task();
        frames.next_rows()
    }
}

impl<T: Stored> Iterator for FileRows<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(row);
            }
            self.rows = self.next_rows().unwrap_or_else(|error| fail(error))?.into_iter();
        }
    }
}

/// Raises the error of a failed read: in a task as it is, for the scheduler. A group may also be
/// read outside of any task, where nothing would turn the raised error into a result; there it
/// panics.
#[cold]
pub(crate) fn fail(error: Error) -> ! {
    if is_task_thread() {
        raise(error);
    }
    panic!("{error}");
}

/// The rows of a run.
pub(crate) enum RunRows<T> {
    InMemory { rows: vec::IntoIter<T>, _reservation: Reservation },
    InFile(FileRows<T>),
}

impl<T: Stored> Iterator for RunRows<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match self {
            RunRows::InMemory { rows, .. } => rows.next(),
            RunRows::InFile(rows) => rows.next(),
        }
    }
}

/// The smallest limit of a batch, however small the task memory limit: a smaller frame is not worth
/// writing.
const MIN_BATCH_BYTES: u64 = MIN_TARGET_BYTES as u64;

/// Rows in batches that are small compared with the task memory limit.
pub struct Batches<I> {
    rows: I,
    bytes: u64,
}

impl<I: Iterator<Item: Stored>> Batches<I> {
    /// Divides `rows` into batches of an eighth of the memory of one operation.
    pub fn new(rows: I, task: &TaskContext) -> Self {
        Batches::of_bytes(rows, task.operator_memory_limit() / 8)
    }

    /// Divides `rows` into batches of `bytes`.
    pub(crate) fn of_bytes(rows: I, bytes: u64) -> Self {
        Batches { rows, bytes: bytes.max(MIN_BATCH_BYTES) }
    }

    /// Returns the rows that are left.
    pub fn into_rows(self) -> I {
        self.rows
    }

    /// Returns the next batch, if there is one, and its sizes.
    pub fn next_measured(&mut self) -> Option<(Vec<I::Item>, RowSizes)> {
        let mut batch = Vec::new();
        let mut sizes = RowSizes::default();
        let mut meter = MemoryMeter::new(self.bytes);
        for row in self.rows.by_ref() {
            let heap = heap_bytes(&row);
            sizes.add(heap);
            batch.push(row);
            if meter.add_bytes((size_of::<I::Item>() as u64).saturating_add(heap)) {
                break;
            }
        }
        (!batch.is_empty()).then_some((batch, sizes))
    }

    /// Returns the batches with their sizes.
    pub fn measured(mut self) -> impl Iterator<Item = (Vec<I::Item>, RowSizes)> {
        iter::from_fn(move || self.next_measured())
    }

    /// Returns the batches without their sizes, for rows that are not written to a file.
    pub fn unmeasured(self) -> impl Iterator<Item = Vec<I::Item>> {
        self.measured().map(|(batch, _)| batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::in_memory::SerializedRows;
    use serde::{Deserialize, Serialize, Serializer};
    use std::cell::Cell;

    thread_local! {
        static WALKS: Cell<usize> = const { Cell::new(0) };
    }

    /// A row that owns heap, and counts how often it is walked.
    #[derive(Clone, Deserialize)]
    struct Walked(String);

    impl Serialize for Walked {
        fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
            WALKS.set(WALKS.get() + 1);
            self.0.serialize(serializer)
        }
    }

    #[test]
    fn rows_in_batches_are_measured_once_and_encoded_once() {
        const ROWS: usize = 50_000;
        let task = TaskContext::for_test(Config::default());
        let rows = || (0..ROWS).map(|n| Walked(format!("row {n:8}")));
        let file = RunFile::write(Batches::new(rows(), &task).measured(), &task).unwrap();
        assert_eq!((file.len(), WALKS.take()), (ROWS, 2 * ROWS));
        for (batch, sizes) in Batches::new(rows(), &task).measured() {
            SerializedRows::pack(&batch, sizes, &task.config).unwrap();
        }
        assert_eq!(WALKS.take(), 2 * ROWS);
    }
}
