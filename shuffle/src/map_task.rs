//! Runs the map side of a shuffle: one loop over the rows of a map task, which writes them to its
//! output.
//!
//! [`run`] is the only entry; other crates call it as `map_side::run`. A [`MapSideSpec`] chooses
//! the segment of each row: [`Distribute`] calls a closure, [`RoundRobin`] takes the segments in
//! turn, and [`Combine`] combines the values of each key and takes the sub-partition of the key.

use crate::aggregate::map_side_combiner::MapSideCombiner;
use crate::keys::hash::{Hashed, hash_of};
use crate::keys::sub_partitions::SubPartitions;
use crate::map_output::writer::MapWriter;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;

/// A way to turn rows of the type `T` into segments of a map output.
pub trait MapSideSpec<T> {
    /// The type of the rows of the output.
    type Row: Stored;

    /// Returns the number of segments of the output.
    fn segments(&self) -> usize;

    /// Writes `rows` to the output. It drives the rows by their `fold`, one loop for the whole
    /// pipeline.
    fn write(self, rows: impl Iterator<Item = T>, output: &mut MapWriter<Self::Row>);
}

/// Computes all rows of a map task and writes them as `spec` says. [`MapWriter::finish`] returns
/// the output.
///
/// If the disk fails, the task unwinds with the error.
pub fn run<T, S: MapSideSpec<T>>(
    spec: S,
    rows: impl Iterator<Item = T>,
    task: &TaskContext,
) -> MapWriter<S::Row> {
    let mut output = MapWriter::new(spec.segments(), task);
    spec.write(rows, &mut output);
    output
}

/// A map side that writes each row to the segment that a closure assigns to it.
pub struct Distribute<F> {
    /// The number of segments of the output.
    pub segments: usize,
    /// The closure that turns a row of the pipeline into a row of the output, and chooses its
    /// segment.
    pub assign: F,
}

/// A row of a map output and the segment to which it is assigned.
pub struct AssignedRow<R> {
    segment: usize,
    /// The hash of the row's key, or 0.
    hash: u64,
    row: R,
}

impl<R> AssignedRow<R> {
    /// Assigns a row to a segment that does not depend on the hash of a key.
    #[inline]
    pub fn new(segment: usize, row: R) -> Self {
        AssignedRow { segment, hash: 0, row }
    }

    /// Assigns a row to a segment that depends on the hash of its key. The output has a digest of
    /// these hashes, which detects keys that change when it is recomputed.
    #[inline]
    pub fn by_hash(segment: usize, hash: u64, row: R) -> Self {
        AssignedRow { segment, hash, row }
    }
}

impl<T, R: Stored, F: Fn(T) -> AssignedRow<R>> MapSideSpec<T> for Distribute<F> {
    type Row = R;

    fn segments(&self) -> usize {
        self.segments
    }

    #[inline]
    fn write(self, rows: impl Iterator<Item = T>, output: &mut MapWriter<R>) {
        rows.for_each(|row| {
            let AssignedRow { segment, hash, row } = (self.assign)(row);
            output.push_keyed(segment, hash, row);
        });
    }
}

/// A map side that writes rows to the segments in turn.
pub struct RoundRobin {
    /// The number of segments of the output.
    pub segments: usize,
    /// The segment of the first row.
    pub first: usize,
}

impl<T: Stored> MapSideSpec<T> for RoundRobin {
    type Row = T;

    fn segments(&self) -> usize {
        self.segments
    }

    #[inline]
    fn write(self, rows: impl Iterator<Item = T>, output: &mut MapWriter<T>) {
        let mut next = self.first;
        rows.for_each(|row| {
            output.push(next, row);
            next = if next + 1 == self.segments { 0 } else { next + 1 };
        });
    }
}

/// A map side that combines the values of each key, and writes combiners to the sub-partition of
/// the key.
pub struct Combine<'a, K, F, G> {
    /// The operation that is named if a closure panics.
    pub operation: Operation,
    /// The sub-partitions, which are the segments of the output.
    pub sub_partitions: &'a SubPartitions<K>,
    /// The closure that makes a combiner of the first value of a key.
    pub create: &'a F,
    /// The closure that adds a value to a combiner.
    pub merge: &'a G,
}

impl<K, V, C, F, G> MapSideSpec<(K, V)> for Combine<'_, K, F, G>
where
    K: Key,
    C: Stored,
    F: Fn(V) -> C,
    G: Fn(C, V) -> C,
{
    type Row = Hashed<K, C>;

    fn segments(&self) -> usize {
        self.sub_partitions.count()
    }

    #[inline]
    fn write(self, rows: impl Iterator<Item = (K, V)>, output: &mut MapWriter<Hashed<K, C>>) {
        let operation = self.operation;
        let mut combiner =
            MapSideCombiner::new(self.sub_partitions, output, self.create, self.merge);
        rows.for_each(|(key, value)| {
            blame(&operation, || combiner.add(hash_of(&key), key, value));
        });
        blame(&operation, || combiner.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::partitioner::Partitioning;
    use crate::map_output::output::{MapOutput, MapOutputs, Segment};
    use emberline_core::config::Config;
    use emberline_core::size::estimate_rows;

    fn spilling() -> TaskContext {
        let config = Config { memory_limit_bytes: 1 << 20, force_spill: true, ..Config::default() };
        TaskContext::for_test(config)
    }

    /// Returns the rows of all segments.
    fn rows_of<R: Stored>(output: MapOutput<R>, segments: usize, task: &TaskContext) -> Vec<R> {
        let outputs = MapOutputs::own(output);
        let mut rows = Vec::new();
        for segment in 0..segments {
            let mut reader = outputs.read(None, segment, task);
            while let Some(chunk) = reader.next_chunk().unwrap() {
                rows.extend_from_slice(chunk.rows());
            }
        }
        rows
    }

    #[test]
    fn the_recorded_sizes_are_those_of_the_rows() {
        let text = |n: usize| "x".repeat(if n.is_multiple_of(1000) { n } else { n % 30 });
        for task in [spilling(), TaskContext::for_test(Config::default())] {
            let assign = |row: String| AssignedRow::new(row.len() % 7, row);
            let spec = Distribute { segments: 7, assign };
            let output = run(spec, (0..20_000).map(text), &task).finish().unwrap();
            let bytes = output.bytes();
            let is_spilled = output.file().is_some();
            let rows = rows_of(output, 7, &task);
            assert_eq!((rows.len(), bytes), (20_000, estimate_rows(&rows)));
            let spilled = if is_spilled { bytes } else { 0 };
            assert_eq!(task.metrics().estimated_bytes, spilled);
        }
    }

    #[test]
    fn the_sizes_of_combiners_that_grew_are_those_at_the_end() {
        for task in [spilling(), TaskContext::for_test(Config::default())] {
            let sub_partitions = SubPartitions::new(Partitioning::<String>::Hash(2));
            let spec = Combine {
                operation: Operation::new("test"),
                sub_partitions: &sub_partitions,
                create: &|n: u32| vec![n],
                merge: &|mut list: Vec<u32>, n| {
                    list.push(n);
                    list
                },
            };
            let rows = (0..50_000_u32).map(|n| ((n % 3_000).to_string(), n));
            let output = run(spec, rows, &task).finish().unwrap();
            let bytes = output.bytes();
            let rows = rows_of(output, sub_partitions.count(), &task);
            assert_eq!(bytes, estimate_rows(&rows));
        }
    }

    /// Returns the number of rows of each frame of a segment that is in one run.
    fn frames_of(output: &MapOutput<String>, segment: usize) -> Vec<usize> {
        let [run] = &output.untyped.runs[..] else { panic!("not one run") };
        let opened = output.untyped.open(run, segment, &mut None).unwrap();
        let Some(Segment::Frames(mut frames)) = opened else { panic!("not in the file") };
        let mut counts = Vec::new();
        while let Some(rows) = frames.next_rows::<String>().unwrap() {
            counts.push(rows.len());
        }
        counts
    }

    #[test]
    fn an_oversized_row_leaves_the_frames_of_other_segments_unchanged() {
        let config = Config { task_memory_bytes: 16 << 20, force_spill: true, ..Config::default() };
        let task = TaskContext::for_test(config);
        let write = |oversized_bytes: usize| {
            let text = |n: usize| match n {
                6_001 => "x".repeat(oversized_bytes),
                // Sizes that differ a little: the largest row decides how many are in a frame.
                _ => "x".repeat(n / 3 % 9),
            };
            let assign = |n: usize| AssignedRow::new(n % 3, text(n));
            let spec = Distribute { segments: 3, assign };
            run(spec, 0..60_000, &task).finish().unwrap()
        };
        let without = write(1);
        let with = write(1 << 20);
        for segment in [0, 2] {
            let frames = frames_of(&without, segment);
            assert!(frames.len() > 2, "the rows of a segment are in several frames: {frames:?}");
            assert_eq!(frames_of(&with, segment), frames, "segment {segment}");
        }
        let frames = frames_of(&with, 6_001 % 3);
        assert!(frames.contains(&1), "the oversized row has a frame of its own: {frames:?}");
    }

    #[test]
    fn round_robin_starts_at_the_given_segment() {
        let task = TaskContext::for_test(Config::default());
        let output = run(RoundRobin { segments: 3, first: 2 }, 0..5_u8, &task).finish().unwrap();
        assert_eq!(rows_of(output, 3, &task), [1, 4, 2, 0, 3]);
    }
}
