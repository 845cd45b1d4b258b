//! Builds the output of a map task from runs: in memory if the memory limit allows, else in its
//! file.
//!
//! Only encoding, decoding and buffering depend on the type of the rows; the rest is in
//! [`UntypedBuilder`], which is compiled once.

use crate::format::{FileWriter, OpenFile, SegmentFrames};
use crate::keys::hash::hash_of;
use crate::map_output::buffers::SegmentRows;
use crate::map_output::output::{
    FileRun, MapOutput, MapRun, RowsInMemory, SegmentsInMemory, UntypedOutput,
};
use crate::map_output::segment_index::SegmentIndex;
use crate::map_output::segment_sizes::SegmentSizes;
use crate::sort::run::Batches;
use emberline_core::bounds::Stored;
use emberline_core::counters::{Phase, SpilledFile};
use emberline_core::error::Result;
use emberline_core::memory::Reservation;
use emberline_core::scratch::ScratchFile;
use emberline_core::size::owns_heap;
use emberline_core::task::TaskContext;
use emberline_core::unwind::or_raise;
use std::marker::PhantomData;
use std::sync::Arc;
use std::vec;

/// A map output that is not complete.
pub(crate) struct MapOutputBuilder<R> {
    untyped: UntypedBuilder,
    row: PhantomData<fn() -> R>,
}

/// A map output that is not complete, of rows whose type only its caller knows.
struct UntypedBuilder {
    output: UntypedOutput,
    /// The estimated memory of the rows of each segment.
    bytes: Vec<u64>,
    file: Option<TaskFile>,
    /// The estimated memory of the rows in the file.
    file_estimate: u64,
}

/// The file of one map task while it is written.
struct TaskFile {
    file: Arc<ScratchFile>,
    writer: FileWriter,
}

/// The size of a run that is about to be added.
#[derive(Default)]
struct RunSize {
    segments: usize,
    rows: u64,
    /// The memory of buffers that no row uses, and of the segments themselves.
    unused_bytes: u64,
    /// The estimated memory of the rows.
    estimated_bytes: u64,
}

/// The memory of a segment without its rows: the list, its counters, the pointer to it, and what
/// the allocator adds.
const SEGMENT_BYTES: usize = 112;
/// The memory of a map output without its rows, segments and indexes: itself, its file and name.
pub(super) const OUTPUT_BYTES: usize = 512;
/// Buffers of which no more than one part in this many is used are made smaller before a run is
/// stored in memory: most segments of a small input have a row or two.
const MAX_UNUSED: usize = 4;
/// The fraction of the task memory limit that the segment indexes of a map output may take: one in
/// this many.
const INDEX_FRACTION: u64 = 16;
/// The fewest runs of one level that are merged before the output ends: each merge writes all their
/// rows again.
const MIN_FAN_IN: usize = 8;
/// The most bytes of each run that a merge reads at once.
const MAX_AHEAD_BYTES: usize = 64 << 10;

/// Appends the rows of some segments to the open segment of a file, in batches of about the given
/// bytes.
type Concatenate = fn(&mut FileWriter, Vec<SegmentFrames>, u64) -> Result<()>;

impl<R: Stored> MapOutputBuilder<R> {
    /// Makes an output without rows.
    pub(crate) fn new(segments: usize) -> Self {
        let output = UntypedOutput::new();
        let bytes = vec![0; segments];
        let untyped = UntypedBuilder { output, bytes, file: None, file_estimate: 0 };
        MapOutputBuilder { untyped, row: PhantomData }
    }

    /// Adds the hashes of keys, as their sum, to the digest of the output.
    pub(crate) fn count_keys(&mut self, hashes: u64) {
        self.untyped.output.digest = self.untyped.output.digest.wrapping_add(hashes);
    }

    /// Adds a run.
    ///
    /// # Errors
    ///
    /// If the run does not fit in memory and the disk fails.
    pub(crate) fn add_run(
        &mut self,
        mut segments: Vec<SegmentRows<R>>,
        task: &TaskContext,
    ) -> Result<()> {
        task.check_cancelled();
        let mut run = RunSize::default();
        for SegmentRows { rows, sizes } in &mut segments {
            if rows.capacity() / MAX_UNUSED > rows.len() {
                rows.shrink_to_fit();
            }
            let row_bytes = size_of::<R>();
            let capacity = rows.capacity();
            self.untyped.count_segment(&mut run, rows.len(), capacity, row_bytes, sizes.heap_bytes);
        }
        if run.rows > 0 {
            match run.reserve(task) {
                Some(reservation) => self.add_in_memory(segments, reservation),
                None => {
                    let _phase = task.enter(Phase::Write);
                    self.write_run(segments, run.estimated_bytes, task)?;
                }
            }
        }
        self.untyped.output.rows += run.rows;
        self.untyped.output.rows_read = task.metrics().rows_read;
        Ok(())
    }

    fn add_in_memory(&mut self, segments: Vec<SegmentRows<R>>, reservation: Reservation) {
        let used = segments.iter().filter(|segment| !segment.rows.is_empty()).count();
        let mut shared = Vec::with_capacity(used);
        for (number, segment) in (0..).zip(segments) {
            if !segment.rows.is_empty() {
                shared.push((number, RowsInMemory::new(segment.rows)));
            }
        }
        let segments = SegmentsInMemory(shared);
        self.untyped.output.runs.push(MapRun::InMemory { segments, reservation });
    }

    fn write_run(
        &mut self,
        segments: Vec<SegmentRows<R>>,
        estimated_bytes: u64,
        task: &TaskContext,
    ) -> Result<()> {
        let writer = self.untyped.open_file(estimated_bytes, task)?;
        let mut index = SegmentIndex::default();
        // Each segment is dropped once it is written.
        for (number, SegmentRows { rows, sizes }) in (0..).zip(segments) {
            if !rows.is_empty() {
                task.check_cancelled();
                writer.write_rows(&rows, sizes)?;
                index.push(number, writer.end_segment())?;
            }
        }
        self.untyped.add_file_run(index, concatenate::<R>, task)
    }

    /// Measures rows and adds them as a run.
    #[cfg(test)]
    pub(crate) fn add_rows(
        &mut self,
        segments: impl IntoIterator<Item = Vec<R>>,
        task: &TaskContext,
    ) -> Result<()> {
        let measured = segments.into_iter().map(|rows| {
            let sizes = crate::memory::row_sizes::RowSizes::measure(&rows);
            SegmentRows { rows, sizes }
        });
        self.add_run(measured.collect(), task)
    }

    /// Completes the output.
    pub(crate) fn finish(self, task: &TaskContext) -> Result<MapOutput<R>> {
        self.untyped.finish(concatenate::<R>, task).map(MapOutput::of_type)
    }
}

/// Appends the rows of some segments to the open segment of a file, in batches of `batch_bytes`.
fn concatenate<R: Stored>(
    writer: &mut FileWriter,
    parts: Vec<SegmentFrames>,
    batch_bytes: u64,
) -> Result<()> {
    if const { !owns_heap::<R>() } {
        return writer.concatenate_frames(parts, size_of::<R>());
    }
    let rows = PartRows::<R> { parts: parts.into_iter(), part: None, rows: Vec::new().into_iter() };
    let mut batches = Batches::of_bytes(rows, batch_bytes);
    while let Some((rows, sizes)) = batches.next_measured() {
        writer.write_rows(&rows, sizes)?;
    }
    Ok(())
}

/// The rows of consecutive segments, one frame in memory. A read that fails raises its error.
struct PartRows<R> {
    parts: vec::IntoIter<SegmentFrames>,
    part: Option<SegmentFrames>,
    rows: vec::IntoIter<R>,
}

impl<R: Stored> Iterator for PartRows<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(row);
            }
            let part = match &mut self.part {
                Some(part) => part,
                none => none.insert(self.parts.next()?),
            };
            match or_raise(part.next_rows()) {
                Some(rows) => self.rows = rows.into_iter(),
                None => self.part = None,
            }
        }
    }
}

impl RunSize {
    /// Reserves the memory of the run, if the configuration and the memory limit allow it.
    fn reserve(&self, task: &TaskContext) -> Option<Reservation> {
        if task.config.force_spill {
            return None;
        }
        task.memory.try_reserve(self.estimated_bytes.saturating_add(self.unused_bytes))
    }
}

impl UntypedBuilder {
    /// Adds the next segment of a run to the sizes of the run and of the output.
    fn count_segment(
        &mut self,
        run: &mut RunSize,
        rows: usize,
        capacity: usize,
        row_bytes: usize,
        heap_bytes: u64,
    ) {
        let number = run.segments;
        debug_assert!(
            number < self.bytes.len(),
            "a run has more segments than its output, which has {}",
            self.bytes.len()
        );
        let added = hash_of(&number).wrapping_mul(rows as u64);
        self.output.digest = self.output.digest.wrapping_add(added);
        let bytes = ((rows * row_bytes) as u64).saturating_add(heap_bytes);
        self.bytes[number] = self.bytes[number].saturating_add(bytes);
        run.segments += 1;
        run.rows += rows as u64;
        let own_bytes = if capacity > 0 { SEGMENT_BYTES } else { 0 };
        run.unused_bytes += ((capacity - rows).saturating_mul(row_bytes) + own_bytes) as u64;
        run.estimated_bytes = run.estimated_bytes.saturating_add(bytes);
    }

    /// Returns the writer of the task's file, for a run that takes `estimated_bytes` in memory.
    fn open_file(&mut self, estimated_bytes: u64, task: &TaskContext) -> Result<&mut FileWriter> {
        self.file_estimate = self.file_estimate.saturating_add(estimated_bytes);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(TaskFile::create(task)?),
        };
        Ok(&mut file.writer)
    }

    /// Adds a run that was written to the file.
    fn add_file_run(
        &mut self,
        mut index: SegmentIndex,
        concatenate: Concatenate,
        task: &TaskContext,
    ) -> Result<()> {
        index.shrink();
        self.output.runs.push(MapRun::File(FileRun { index, level: 0 }));
        self.merge_levels(concatenate, task)
    }

    /// Merges the last runs of one level while their segment indexes take too much memory: each
    /// index has an entry for every segment that has rows. Each row is written again once for each
    /// level.
    fn merge_levels(&mut self, concatenate: Concatenate, task: &TaskContext) -> Result<()> {
        while let Some(MapRun::File(FileRun { level, .. })) = self.output.runs.last() {
            let level = *level;
            let is_of_level =
                |run: &&MapRun| matches!(run, MapRun::File(run) if run.level == level);
            let same = self.output.runs.iter().rev().take_while(is_of_level).count();
            let first = self.output.runs.len() - same;
            if same < MIN_FAN_IN || index_bytes(&self.output.runs[first..]) <= max_index_bytes(task)
            {
                break;
            }
            self.merge_from(first, level + 1, concatenate, task)?;
        }
        Ok(())
    }

    /// Merges the runs from number `first` on, which are all in the file, into one.
    fn merge_from(
        &mut self,
        first: usize,
        level: u32,
        concatenate: Concatenate,
        task: &TaskContext,
    ) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut indexes = Vec::new();
        for run in self.output.runs.drain(first..) {
            if let MapRun::File(run) = run {
                indexes.push(run.index);
            }
        }
        let index = file.merge(indexes, self.bytes.len(), concatenate, task)?;
        self.output.runs.push(MapRun::File(FileRun { index, level }));
        Ok(())
    }

    fn finish(mut self, concatenate: Concatenate, task: &TaskContext) -> Result<UntypedOutput> {
        self.merge_last_runs(concatenate, task)?;
        if let Some(TaskFile { file, writer }) = self.file {
            let encoded_bytes = writer.encoded_bytes();
            let estimated_bytes = self.file_estimate;
            let phase = task.enter(Phase::Write);
            let index = writer.finish()?;
            drop(phase);
            let file_bytes = index.file_bytes;
            task.count_spilled(SpilledFile { file_bytes, encoded_bytes, estimated_bytes });
            self.output.file = Some((file, index));
        }
        self.output.runs.shrink_to_fit();
        self.output.sizes = SegmentSizes::of(&self.bytes);
        self.output.bytes = self.bytes.iter().copied().fold(0, u64::saturating_add);
        let own_bytes = OUTPUT_BYTES + self.bytes.len() + index_bytes(&self.output.runs);
        // Rows cannot be found without them, so they are in memory even if it is full.
        self.output.own_reservation = Some(task.memory.reserve_needed(own_bytes as u64));
        Ok(self.output)
    }

    /// Merges the last runs if the segment indexes take too much memory.
    fn merge_last_runs(&mut self, concatenate: Concatenate, task: &TaskContext) -> Result<()> {
        let in_file = |run: &&MapRun| matches!(run, MapRun::File(_));
        let last = self.output.runs.iter().rev().take_while(in_file).count();
        if last < 2 || index_bytes(&self.output.runs) <= max_index_bytes(task) {
            return Ok(());
        }
        let first = self.output.runs.len() - last;
        let _phase = task.enter(Phase::Write);
        self.merge_from(first, u32::MAX, concatenate, task)
    }
}

impl TaskFile {
    fn create(task: &TaskContext) -> Result<Self> {
        let file = Arc::new(task.scratch.file("shuffle")?);
        let writer = FileWriter::create(Arc::clone(&file), &task.config)?;
        Ok(TaskFile { file, writer })
    }

    /// Writes the rows of some runs again, segment by segment and in the order of the runs. Their
    /// old frames stay in the file, unused, until it is deleted.
    fn merge(
        &mut self,
        runs: Vec<SegmentIndex>,
        segments: usize,
        concatenate: Concatenate,
        task: &TaskContext,
    ) -> Result<SegmentIndex> {
        self.writer.flush()?;
        let open = OpenFile::new(self.file.open()?, self.file.path().display().to_string());
        // The segments of a run are consecutive in the file, and one may have only a few rows.
        let memory_bytes = usize::try_from(task.operator_memory_limit() / 2).unwrap_or(usize::MAX);
        let ahead_bytes = (memory_bytes / runs.len().max(1)).min(MAX_AHEAD_BYTES);
        let mut sources = Vec::with_capacity(runs.len());
        for run in &runs {
            sources.push((open.reading_ahead(ahead_bytes)?, run.iter().peekable()));
        }
        let mut merged = SegmentIndex::default();
        for segment in 0..segments {
            task.check_cancelled();
            let mut parts = Vec::new();
            for (file, locations) in &mut sources {
                let is_here = |next: &Result<_>| next.as_ref().map_or(true, |(n, _)| *n == segment);
                if let Some((_, location)) = locations.next_if(is_here).transpose()? {
                    parts.push(SegmentFrames::new(file.clone(), location));
                }
            }
            if parts.is_empty() {
                continue;
            }
            concatenate(&mut self.writer, parts, task.operator_memory_limit() / 8)?;
            merged.push(segment as u32, self.writer.end_segment())?;
        }
        merged.shrink();
        Ok(merged)
    }
}

/// Returns the memory that the segment indexes of a map output may take before runs are merged.
fn max_index_bytes(task: &TaskContext) -> usize {
    usize::try_from(task.config.task_memory_limit() / INDEX_FRACTION).unwrap_or(usize::MAX)
}

/// Returns the memory of the segment indexes of `runs`.
fn index_bytes(runs: &[MapRun]) -> usize {
    let of_run = |run: &MapRun| match run {
        MapRun::InMemory { .. } => 0,
        MapRun::File(run) => size_of::<MapRun>() + run.index.bytes(),
    };
    runs.iter().map(of_run).sum()
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
