//! How runs become the output of a map task: in memory where the budget has room, else in its file.

use crate::format::{FileWriter, FrameReader, OpenFile};
use crate::keys::hash::hash_of;
use crate::map_output::buffers::SegmentRows;
use crate::map_output::output::{FileRun, MapOutput, MapRun};
use crate::map_output::segment_index::SegmentIndex;
use crate::memory::row_sizes::RowSizes;
use crate::sort::run::Batches;
use emberline_core::bounds::Stored;
use emberline_core::counters::{Phase, SpilledFile};
use emberline_core::error::Result;
use emberline_core::memory::Reservation;
use emberline_core::scratch::ScratchFile;
use emberline_core::size::owns_heap;
use emberline_core::task::TaskContext;
use emberline_core::unwind::or_raise;
use std::iter;
use std::sync::Arc;

/// A map output in the making.
pub(crate) struct MapOutputBuilder<R> {
    output: MapOutput<R>,
    file: Option<TaskFile>,
    /// What the rows of the file take in memory, estimated.
    file_estimate: u64,
}

/// The file of one map task while it is written.
struct TaskFile {
    file: Arc<ScratchFile>,
    writer: FileWriter<Arc<ScratchFile>>,
}

/// What a segment in memory takes beside its rows: the list, its counts and what points to it.
const SEGMENT_BYTES: usize = 64;
/// The places of a map output may take so large a part of the task's share: one in this many.
const INDEX_SHARE: u64 = 16;
/// However much their places take, fewer runs are not merged before the output ends.
const MIN_FAN_IN: usize = 8;

/// More of a run is never read at once when runs are merged.
const MAX_AHEAD: usize = 64 << 10;

impl<R: Stored> MapOutputBuilder<R> {
    /// An output without rows, of so many segments.
    pub(crate) fn new(segments: usize) -> Self {
        MapOutputBuilder { output: MapOutput::new(segments), file: None, file_estimate: 0 }
    }

    /// Counts the keys of rows, as the sum of their hashes.
    pub(crate) fn count_keys(&mut self, hashes: u64) {
        self.output.digest = self.output.digest.wrapping_add(hashes);
    }

    /// Adds a run, in which no row owns more than `max_heap_bytes`.
    ///
    /// # Errors
    ///
    /// If the run does not fit in memory and the disk fails.
    pub(crate) fn add_run(
        &mut self,
        segments: Vec<SegmentRows<R>>,
        max_heap_bytes: u64,
        task: &TaskContext,
    ) -> Result<()> {
        task.check_cancelled();
        let mut rows = 0;
        let mut unused_bytes = 0;
        let mut estimated_bytes = 0_u64;
        let digest = &mut self.output.digest;
        for (number, (bytes, segment)) in self.output.bytes.iter_mut().zip(&segments).enumerate() {
            let SegmentRows { rows: buffer, heap_bytes } = segment;
            *digest = digest.wrapping_add(hash_of(&number).wrapping_mul(buffer.len() as u64));
            rows += buffer.len() as u64;
            unused_bytes += (buffer.capacity() - buffer.len()) * size_of::<R>() + SEGMENT_BYTES;
            let taken = (size_of_val(&**buffer) as u64).saturating_add(*heap_bytes);
            *bytes = bytes.saturating_add(taken);
            estimated_bytes = estimated_bytes.saturating_add(taken);
        }
        if rows > 0 {
            match reserve(estimated_bytes.saturating_add(unused_bytes as u64), task) {
                Some(held) => self.output.runs.push(in_memory(segments, held)),
                None => {
                    self.file_estimate = self.file_estimate.saturating_add(estimated_bytes);
                    let write = || self.write_run(segments, max_heap_bytes, task);
                    task.in_phase(Phase::Write, write)?;
                }
            }
        }
        self.output.rows += rows;
        self.output.rows_read = task.metrics().rows_read;
        Ok(())
    }

    /// Measures rows and adds them as a run.
    #[cfg(test)]
    pub(crate) fn add_rows(
        &mut self,
        segments: impl IntoIterator<Item = Vec<R>>,
        task: &TaskContext,
    ) -> Result<()> {
        let mut max_heap_bytes = 0;
        let measured = segments.into_iter().map(|rows| {
            let sizes = RowSizes::measure(&rows);
            max_heap_bytes = max_heap_bytes.max(sizes.max_heap_bytes);
            SegmentRows { rows, heap_bytes: sizes.heap_bytes }
        });
        let segments = measured.collect();
        self.add_run(segments, max_heap_bytes, task)
    }

    fn write_run(
        &mut self,
        segments: Vec<SegmentRows<R>>,
        max_heap_bytes: u64,
        task: &TaskContext,
    ) -> Result<()> {
        let TaskFile { writer, .. } = match &mut self.file {
            Some(file) => file,
            none => none.insert(TaskFile::create(task)?),
        };
        let mut places = SegmentIndex::default();
        // Each segment is dropped once it is written.
        let full = (0..).zip(segments).filter(|(_, segment)| !segment.rows.is_empty());
        for (number, SegmentRows { rows, heap_bytes }) in full {
            task.check_cancelled();
            writer.write_rows(&rows, RowSizes { heap_bytes, max_heap_bytes })?;
            places.push(number, writer.end_segment())?;
        }
        places.shrink();
        self.output.runs.push(MapRun::File(FileRun { places, level: 0 }));
        self.merge_levels(task)
    }

    /// Merges the last runs of one level while their places take too much, since each has places of its
    /// own for all segments. So the places stay few, and each row is written again once a level.
    fn merge_levels(&mut self, task: &TaskContext) -> Result<()> {
        while let Some(MapRun::File(FileRun { level, .. })) = self.output.runs.last() {
            let level = *level;
            let is_of_level =
                |run: &&MapRun<R>| matches!(run, MapRun::File(run) if run.level == level);
            let same = self.output.runs.iter().rev().take_while(is_of_level).count();
            let first = self.output.runs.len() - same;
            if same < MIN_FAN_IN || index_bytes(&self.output.runs[first..]) <= max_index_bytes(task)
            {
                break;
            }
            self.merge_from(first, level + 1, task)?;
        }
        Ok(())
    }

    /// Makes one run of those from number `first` on, which are all in the file.
    fn merge_from(&mut self, first: usize, level: u32, task: &TaskContext) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let merged = self.output.runs.drain(first..);
        let runs = merged.filter_map(|run| match run {
            MapRun::File(run) => Some(run),
            MapRun::Typed { .. } => None,
        });
        let places = file.merge::<R>(runs.collect(), self.output.bytes.len(), task)?;
        self.output.runs.push(MapRun::File(FileRun { places, level }));
        Ok(())
    }

    /// Ends the output.
    pub(crate) fn finish(mut self, task: &TaskContext) -> Result<MapOutput<R>> {
        self.merge_last_runs(task)?;
        if let Some(TaskFile { file, writer }) = self.file {
            let (encoded_bytes, estimated_bytes) = (writer.encoded_bytes(), self.file_estimate);
            let index = task.in_phase(Phase::Write, || writer.finish())?;
            let file_bytes = index.file_bytes;
            task.count_spilled(SpilledFile { file_bytes, encoded_bytes, estimated_bytes });
            self.output.file = Some((file, index));
        }
        self.output.runs.shrink_to_fit();
        // Without room they are there all the same: the rows cannot be found without them.
        self.output.index_reservation =
            task.memory.try_reserve(index_bytes(&self.output.runs) as u64);
        Ok(self.output)
    }

    /// Makes one run of the last ones if the places take too much.
    fn merge_last_runs(&mut self, task: &TaskContext) -> Result<()> {
        let in_file = |run: &&MapRun<R>| matches!(run, MapRun::File(_));
        let last = self.output.runs.iter().rev().take_while(in_file).count();
        if last < 2 || index_bytes(&self.output.runs) <= max_index_bytes(task) {
            return Ok(());
        }
        let first = self.output.runs.len() - last;
        task.in_phase(Phase::Write, || self.merge_from(first, u32::MAX, task))
    }
}

impl TaskFile {
    fn create(task: &TaskContext) -> Result<Self> {
        let file = Arc::new(task.scratch.file("shuffle")?);
        let writer = FileWriter::create(Arc::clone(&file), &task.config)?;
        Ok(TaskFile { file, writer })
    }

    /// Writes the rows of some runs once more, segment by segment and in the order of the runs. What
    /// was written first stays in the file, which goes as a whole.
    fn merge<R: Stored>(
        &mut self,
        runs: Vec<FileRun>,
        segments: usize,
        task: &TaskContext,
    ) -> Result<SegmentIndex> {
        self.writer.flush()?;
        let open = OpenFile::new(self.file.open()?, self.file.path().display().to_string());
        // The segments of a run lie one behind the other, and a piece of one may be a few rows.
        let ahead = usize::try_from(task.operator_memory_limit() / 2).unwrap_or(usize::MAX)
            / runs.len().max(1);
        let ahead = ahead.min(MAX_AHEAD);
        let files = runs.iter().map(|_| open.reading_ahead(ahead)).collect::<Result<Vec<_>>>()?;
        let mut next: Vec<_> = runs.iter().map(|run| run.places.iter().peekable()).collect();
        let mut places = SegmentIndex::default();
        for segment in 0..segments {
            task.check_cancelled();
            let parts = next.iter_mut().zip(&files).map(|(places, file)| {
                let is_here = |next: &Result<_>| next.as_ref().map_or(true, |(n, _)| *n == segment);
                let place = places.next_if(is_here).transpose()?;
                Ok(place.map(|(_, place)| FrameReader::<R>::new(file.clone(), place)))
            });
            let parts = parts.filter_map(Result::transpose).collect::<Result<Vec<_>>>()?;
            if parts.is_empty() {
                continue;
            }
            self.join(parts, task)?;
            places.push(segment as u32, self.writer.end_segment())?;
        }
        places.shrink();
        Ok(places)
    }

    /// Writes the rows of some segments as one.
    fn join<R: Stored>(&mut self, parts: Vec<FrameReader<R>>, task: &TaskContext) -> Result<()> {
        if !owns_heap::<R>() {
            return self.writer.join_frames(parts);
        }
        let frames = parts
            .into_iter()
            .flat_map(|mut frames| iter::from_fn(move || or_raise(frames.next_frame())));
        let batches = Batches::of_bytes(frames.flatten(), task.operator_memory_limit() / 8);
        for (rows, sizes) in batches.measured() {
            self.writer.write_rows(&rows, sizes)?;
        }
        Ok(())
    }
}

/// What the places of a map output may take before runs are merged.
fn max_index_bytes(task: &TaskContext) -> usize {
    usize::try_from(task.config.task_memory_limit() / INDEX_SHARE).unwrap_or(usize::MAX)
}

fn index_bytes<R>(runs: &[MapRun<R>]) -> usize {
    let of_run = |run: &MapRun<R>| match run {
        MapRun::Typed { .. } => 0,
        MapRun::File(run) => size_of::<MapRun<R>>() + run.places.bytes(),
    };
    runs.iter().map(of_run).sum()
}

fn in_memory<R>(segments: Vec<SegmentRows<R>>, held: Reservation) -> MapRun<R> {
    let empty = Arc::default();
    let share = |segment: SegmentRows<R>| match segment.rows.is_empty() {
        true => Arc::clone(&empty),
        false => Arc::new(segment.rows),
    };
    MapRun::Typed { segments: segments.into_iter().map(share).collect(), held }
}

/// The part of the budget that rows need to stay in memory, if they may and it is there.
fn reserve(bytes: u64, task: &TaskContext) -> Option<Reservation> {
    if task.config.force_spill {
        return None;
    }
    task.memory.try_reserve(bytes)
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
