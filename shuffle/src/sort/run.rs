//! A run: rows in an order that someone chose, in memory or in a file.

use crate::format::{
    FileIndex, FileWriter, FrameReader, OpenFile, SMALLEST_TARGET, SegmentLocation,
};
use crate::memory::meter::MemoryMeter;
use crate::memory::row_sizes::RowSizes;
use emberline_core::bounds::Stored;
use emberline_core::config::Config;
use emberline_core::counters::{Phase, SpilledFile};
use emberline_core::error::{Error, Result};
use emberline_core::faults::Damage;
use emberline_core::memory::Reservation;
use emberline_core::scratch::{Scratch, ScratchFile};
use emberline_core::size::heap_bytes;
use emberline_core::task::{TaskContext, is_task_thread};
use emberline_core::unwind::raise;
use std::iter;
use std::marker::PhantomData;
use std::sync::Arc;
use std::vec;

/// Rows that are kept to be read once.
pub(crate) enum Run<T> {
    /// The budget knows of them.
    InMemory(Vec<T>, Reservation),
    InFile(RunFile<T>),
}

impl<T: Stored> Run<T> {
    /// Keeps `rows` in memory if the budget has room and the configuration does not want files,
    /// else in a file.
    pub(crate) fn keep(rows: Vec<T>, sizes: RowSizes, task: &TaskContext) -> Result<Self> {
        match reserve(&rows, sizes, task) {
            Some(held) => Ok(Run::InMemory(rows, held)),
            None => RunFile::write_measured([(rows, sizes)], task).map(Run::InFile),
        }
    }

    /// What reading it takes beside what the budget knows of.
    pub(crate) fn reading_bytes(&self) -> u64 {
        match self {
            Run::InMemory(..) => 0,
            Run::InFile(file) => file.written.largest_frame,
        }
    }

    /// The rows, from the first to the last.
    pub(crate) fn into_rows(self) -> RunRows<T> {
        match self {
            Run::InMemory(rows, held) => RunRows::InMemory { rows: rows.into_iter(), _held: held },
            Run::InFile(file) => RunRows::InFile(file.rows()),
        }
    }
}

/// The part of the budget that `rows` need to stay in memory, if they may and it is there.
fn reserve<T>(rows: &Vec<T>, sizes: RowSizes, task: &TaskContext) -> Option<Reservation> {
    if task.config.force_spill {
        return None;
    }
    let unused = (rows.capacity() - rows.len()).saturating_mul(size_of::<T>());
    task.memory.try_reserve(sizes.bytes_with(rows).saturating_add(unused as u64))
}

/// Returns rows with their sizes.
fn measured<T: Stored, R: AsRef<[T]>>(rows: R) -> (R, RowSizes) {
    let sizes = RowSizes::measure(rows.as_ref());
    (rows, sizes)
}

/// Rows in a file, which several readers may read again and again; it goes with the last of them.
pub struct RunFile<T> {
    written: Arc<Written>,
    row: PhantomData<fn() -> T>,
}

struct Written {
    file: ScratchFile,
    index: FileIndex,
    place: SegmentLocation,
    size: SpilledFile,
    /// What its largest frame takes while it is read.
    largest_frame: u64,
}

impl<T> Clone for RunFile<T> {
    fn clone(&self) -> Self {
        RunFile { written: Arc::clone(&self.written), row: PhantomData }
    }
}

impl<T: Stored> RunFile<T> {
    /// Measures rows and writes them to a file, batch by batch.
    pub fn write<R: AsRef<[T]>>(
        batches: impl IntoIterator<Item = R>,
        task: &TaskContext,
    ) -> Result<Self> {
        RunFile::write_measured(batches.into_iter().map(measured), task)
    }

    /// Writes rows of known sizes to a file, batch by batch, and counts the file as the task's.
    pub(crate) fn write_measured<R: AsRef<[T]>>(
        batches: impl IntoIterator<Item = (R, RowSizes)>,
        task: &TaskContext,
    ) -> Result<Self> {
        let (mut batches, outside) = (batches.into_iter(), task.phase());
        let next = || {
            task.check_cancelled();
            // Rows may be computed or merged on their way here.
            task.in_phase(outside, || batches.next())
        };
        let write = || RunFile::write_to(iter::from_fn(next), &task.scratch, &task.config);
        let file = task.in_phase(Phase::Write, write)?;
        task.count_spilled(file.size());
        Ok(file)
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
        let file = scratch.file("run")?;
        let mut writer = FileWriter::create(&file, config)?;
        let mut estimated_bytes = 0_u64;
        for (rows, sizes) in batches {
            let rows = rows.as_ref();
            estimated_bytes = estimated_bytes.saturating_add(sizes.bytes_with(rows));
            writer.write_rows(rows, sizes)?;
        }
        let place = writer.end_segment();
        let encoded_bytes = writer.encoded_bytes();
        let largest_frame = writer.largest_frame();
        let index = writer.finish()?;
        let file_bytes = index.file_bytes;
        let size = SpilledFile { file_bytes, encoded_bytes, estimated_bytes };
        let written = Written { file, index, place, size, largest_frame };
        Ok(RunFile { written: Arc::new(written), row: PhantomData })
    }

    /// Harms the file, as a fault plan wants.
    pub fn harm(&self, harm: Damage) -> std::io::Result<()> {
        harm.inflict(self.written.file.path())
    }

    /// Whether the file is there and as long as it was written.
    pub fn check(&self) -> Result<()> {
        self.open().map(drop)
    }

    fn open(&self) -> Result<OpenFile> {
        let Written { file, index, .. } = &*self.written;
        let open = OpenFile::new(file.open()?, file.path().display().to_string());
        open.check_length(index)?;
        Ok(open)
    }

    /// How large the file is, and its rows.
    pub fn size(&self) -> SpilledFile {
        self.written.size
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.written.place.rows as usize
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of the file.
    pub fn bytes(&self) -> u64 {
        self.written.index.file_bytes
    }

    /// The rows, from the first to the last, a frame at a time. A read that fails ends the task.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Vec<T>> + use<T> {
        let mut rows = self.rows();
        iter::from_fn(move || rows.next_rows().unwrap_or_else(|error| fail(error)))
    }

    /// The rows, from the first to the last.
    pub fn rows(&self) -> FileRows<T> {
        FileRows { file: self.clone(), frames: None, rows: Vec::new().into_iter() }
    }
}

/// The rows of a file, one frame of them in memory.
pub struct FileRows<T> {
    file: RunFile<T>,
    frames: Option<FrameReader<T>>,
    rows: vec::IntoIter<T>,
}

impl<T: Stored> FileRows<T> {
    /// The rows of the next frame; nothing after the last.
    pub fn next_rows(&mut self) -> Result<Option<Vec<T>>> {
        let frames = match &mut self.frames {
            Some(frames) => frames,
            none => none.insert(FrameReader::new(self.file.open()?, self.file.written.place)),
        };
        frames.next_frame()
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

/// Ends a read that failed: in a task with the error itself, which the scheduler knows what to do
/// about. A group may also be read outside of any, where nobody would turn that into an error.
#[cold]
pub(crate) fn fail(error: Error) -> ! {
    if is_task_thread() {
        raise(error);
    }
    panic!("{error}");
}

/// The rows of a run.
pub(crate) enum RunRows<T> {
    InMemory { rows: vec::IntoIter<T>, _held: Reservation },
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

/// However small the share, so many bytes of rows make a batch: no frame is meant to be smaller.
const MIN_BATCH_BYTES: u64 = SMALLEST_TARGET as u64;

/// Rows in batches that are small beside a task's share.
pub struct Batches<I> {
    rows: I,
    bytes: u64,
}

impl<I: Iterator<Item: Stored>> Batches<I> {
    /// Cuts `rows` where their size says.
    pub fn new(rows: I, task: &TaskContext) -> Self {
        Batches::of_bytes(rows, task.operator_memory_limit() / 8)
    }

    /// Cuts `rows` into batches of so many bytes.
    pub(crate) fn of_bytes(rows: I, bytes: u64) -> Self {
        Batches { rows, bytes: bytes.max(MIN_BATCH_BYTES) }
    }

    /// The rows that are left.
    pub fn into_rows(self) -> I {
        self.rows
    }

    /// Returns the next batch, if there is one, and its sizes.
    fn next_measured(&mut self) -> Option<(Vec<I::Item>, RowSizes)> {
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
    pub(crate) fn measured(mut self) -> impl Iterator<Item = (Vec<I::Item>, RowSizes)> {
        iter::from_fn(move || self.next_measured())
    }
}

impl<I: Iterator<Item: Stored>> Iterator for Batches<I> {
    type Item = Vec<I::Item>;

    fn next(&mut self) -> Option<Vec<I::Item>> {
        self.next_measured().map(|(batch, _)| batch)
    }
}
