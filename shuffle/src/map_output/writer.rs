//! Buffers the rows of a map task by segment, and flushes them as runs of its output.

use crate::map_output::buffers::{SegmentBuffers, SegmentRows};
use crate::map_output::builder::MapOutputBuilder;
use crate::map_output::output::MapOutput;
use crate::memory::meter::MemoryMeter;
use crate::memory::row_sizes::RowSizes;
use emberline_core::bounds::Stored;
use emberline_core::error::Result;
use emberline_core::size::{heap_bytes, owns_heap};
use emberline_core::task::TaskContext;
use emberline_core::unwind::or_raise;

/// The writer of one map output. Its buffers become a run each time they reach the memory limit, so
/// a map partition may be of any size.
pub struct MapWriter<R> {
    task: TaskContext,
    buffers: SegmentBuffers<R>,
    meter: MemoryMeter,
    output: MapOutputBuilder<R>,
    /// The sum of the hashes of the keys that chose the segments of rows.
    hashes: u64,
}

impl<R: Stored> MapWriter<R> {
    /// Makes a writer of rows into `segments` segments.
    pub(crate) fn new(segments: usize, task: &TaskContext) -> Self {
        let limit_bytes = task.operator_memory_limit();
        MapWriter {
            task: task.clone(),
            buffers: SegmentBuffers::new(segments, limit_bytes),
            meter: MemoryMeter::of(task, limit_bytes),
            output: MapOutputBuilder::new(segments),
            hashes: 0,
        }
    }

    /// Returns the task that writes.
    pub(crate) fn task(&self) -> &TaskContext {
        &self.task
    }

    /// Adds a row to a segment, and measures it. If the disk fails, it unwinds with the error.
    ///
    /// # Panics
    ///
    /// If there is no such segment; [`partition_of`](crate::Partitioning::partition_of) never
    /// returns one.
    #[inline]
    pub(crate) fn push(&mut self, segment: usize, row: R) {
        let heap = heap_bytes(&row);
        let more = self.buffers.push(segment, row, heap).saturating_add(heap);
        if more > 0 && self.meter.add_bytes(more) {
            self.flush();
        }
    }

    /// Adds rows that own no heap and are already divided by segment, as a run of their own after
    /// the rows pushed before. `hashes` is the sum of the hashes of their keys.
    pub(crate) fn push_run(&mut self, segments: Vec<Vec<R>>, hashes: u64) {
        debug_assert!(!owns_heap::<R>(), "rows that own heap are measured one by one");
        self.hashes = self.hashes.wrapping_add(hashes);
        self.meter.end();
        self.flush();
        let mut measured = Vec::with_capacity(segments.len());
        for rows in segments {
            measured.push(SegmentRows { rows, sizes: RowSizes::default() });
        }
        or_raise(self.output.add_run(measured, &self.task));
    }

    /// Adds a row to a segment that depends on the hash of its key. The sum of the hashes is a
    /// digest of the output: it detects keys that change when the output is recomputed.
    #[inline]
    pub(crate) fn push_keyed(&mut self, segment: usize, hash: u64, row: R) {
        self.hashes = self.hashes.wrapping_add(hash);
        self.push(segment, row);
    }

    /// Writes the buffered rows as a run.
    #[cold]
    fn flush(&mut self) {
        or_raise(self.output.add_run(self.buffers.take(), &self.task));
    }

    /// Writes the buffered rows as the last run, and returns the output.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn finish(mut self) -> Result<MapOutput<R>> {
        self.meter.end();
        self.output.count_keys(self.hashes);
        let segments = self.buffers.into_segments();
        self.output.add_run(segments, &self.task)?;
        self.output.finish(&self.task)
    }
}
