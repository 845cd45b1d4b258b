//! Boxed pipelines, without their type. Rows pass in chunks, which are bounded in rows, in bytes,
//! and after a shuffle also in the heap memory that rows own.

use crate::pipeline::materialized::MaterializedRows;
use crate::pipeline::parents::Parents;
use crate::pipeline::{Element, Pipeline, sealed::Sealed};
use emberline_core::lineage::drop_later;
use emberline_core::nesting::MIN_STACK_BYTES;
use emberline_core::size::owns_heap;
use emberline_core::task::TaskContext;
use std::sync::Arc;
use std::vec;

/// A pipeline of any type whose rows are `T`: the pipeline of a plain `Rdd<T>`.
pub struct Boxed<T: 'static> {
    node: Option<Arc<dyn Node<T>>>,
    depth: usize,
}

/// A pipeline that opens partitions as chunks.
pub(crate) trait Node<T>: Send + Sync {
    fn open_chunks(&self, partition: usize, task: &TaskContext) -> Box<dyn Chunks<T>>;

    fn materialized(&self, _partition: usize, _task: &TaskContext) -> Option<MaterializedRows<T>> {
        None
    }

    /// Returns the parents of a union.
    fn parents(&self) -> Option<&Parents<T>> {
        None
    }
}

/// The rows of a partition in chunks.
pub(crate) trait Chunks<T> {
    /// Adds up to `limit` rows to the empty `chunk`; adds none at the end.
    fn next_chunk(&mut self, chunk: &mut Vec<T>, limit: usize);
    /// Returns the next row, and computes no row after it.
    fn next_row(&mut self) -> Option<T>;
    /// Returns the number of rows, and computes no more than that needs.
    fn count(self: Box<Self>) -> usize;
    /// Passes all rows to `each` in chunks; `each` must empty the chunk.
    fn drain(self: Box<Self>, limit: usize, each: &mut dyn FnMut(&mut Vec<T>));
}

/// Maximum number of rows in a chunk.
const MAX_CHUNK_ROWS: usize = 1024;
/// Maximum number of rows in a chunk if they may own heap memory that cannot be measured.
const MAX_CHUNK_ROWS_WITH_HEAP: usize = 64;
/// Number of rows below which chunks do not shrink in a long chain.
const MIN_CHUNK_ROWS: usize = 16;
/// Maximum size of the rows of a chunk, and of the heap memory that they own if that is measured.
const MAX_CHUNK_BYTES: usize = 64 << 10;
/// Maximum heap size of a small row: a chunk of small rows does not exceed its limit.
const SMALL_ROW_BYTES: u64 = (MAX_CHUNK_BYTES / MAX_CHUNK_ROWS_WITH_HEAP) as u64;
/// Sampling interval for small rows: after several of them one row in this many is measured.
const MAX_SAMPLE_INTERVAL: usize = 4;
/// Size of a segment of the stack. One is allocated when less than [`MIN_STACK_BYTES`] are free.
const STACK_SEGMENT_BYTES: usize = 2 << 20;

/// Runs a call into a boxed pipeline on enough stack, since chains may have any length.
fn on_enough_stack<R>(call: impl FnOnce() -> R) -> R {
    let mut call = Some(call);
    let mut result = None;
    grow_stack(&mut || result = call.take().map(|call| call()));
    result.expect("the call returns or unwinds")
}

/// Runs `call` on enough stack. Without a type parameter, so that it is compiled once.
fn grow_stack(call: &mut dyn FnMut()) {
    stacker::maybe_grow(MIN_STACK_BYTES, STACK_SEGMENT_BYTES, call);
}

impl<T: Element> Boxed<T> {
    pub(crate) fn new<P: Pipeline<Item = T>>(pipeline: P) -> Self {
        let depth = pipeline.depth() + 1;
        Boxed { node: Some(Arc::new(Erased(pipeline))), depth }
    }

    /// Returns the parents of a boxed union.
    pub(crate) fn parents(&self) -> Option<&Parents<T>> {
        self.node.as_ref()?.parents()
    }

    /// Returns a boxed pipeline of a node, such as the reduce side of a shuffle.
    pub(crate) fn from_node(node: impl Node<T> + 'static, depth: usize) -> Self {
        Boxed { node: Some(Arc::new(node)), depth: depth + 1 }
    }
}

impl<T> Clone for Boxed<T> {
    fn clone(&self) -> Self {
        Boxed { node: self.node.clone(), depth: self.depth }
    }
}

impl<T: 'static> Drop for Boxed<T> {
    fn drop(&mut self) {
        if let Some(node) = self.node.take()
            && Arc::strong_count(&node) == 1
        {
            drop_later(Box::new(node));
        }
    }
}

impl<T> Sealed for Boxed<T> {}

impl<T: Element> Pipeline for Boxed<T> {
    type Item = T;
    type Rows = BoxedRows<T>;

    fn open(&self, partition: usize, task: &TaskContext) -> BoxedRows<T> {
        if let Some((parent, partition)) = self.parents().and_then(|it| it.single(partition)) {
            return parent.open(partition, task);
        }
        let node = self.node.clone().expect("a boxed pipeline has its node until it is dropped");
        let max = if owns_heap::<T>() { MAX_CHUNK_ROWS_WITH_HEAP } else { MAX_CHUNK_ROWS };
        let limit = (max / self.depth).max(MIN_CHUNK_ROWS);
        let limit = limit.min(MAX_CHUNK_BYTES / size_of::<T>().max(1)).max(1);
        let source = Source::Closed { node, partition };
        let chunk = Vec::new().into_iter();
        BoxedRows { source, chunk, next_limit: 1, limit, task: task.clone() }
    }

    fn materialized(&self, partition: usize, task: &TaskContext) -> Option<MaterializedRows<T>> {
        let node = self.node.as_ref()?;
        on_enough_stack(|| node.materialized(partition, task))
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn to_boxed(&self) -> Boxed<T> {
        self.clone()
    }
}

/// A typed pipeline as a node.
struct Erased<P>(P);

impl<T: Element, P: Pipeline<Item = T>> Node<T> for Erased<P> {
    fn open_chunks(&self, partition: usize, task: &TaskContext) -> Box<dyn Chunks<T>> {
        // A narrow operation does not require serde of its rows, so their heap size cannot be
        // measured.
        Box::new(RowChunks::new(self.0.open(partition, task), |_: &T| 0))
    }

    fn materialized(&self, partition: usize, task: &TaskContext) -> Option<MaterializedRows<T>> {
        self.0.materialized(partition, task)
    }
}

/// The rows of an iterator in chunks.
pub(crate) struct RowChunks<R, W> {
    rows: R,
    heap: ChunkHeap<W>,
}

impl<T, R: Iterator<Item = T>, W: Fn(&T) -> u64> RowChunks<R, W> {
    /// Returns the chunks of `rows`. `measure` returns the heap size of a row.
    pub(crate) fn new(rows: R, measure: W) -> Self {
        RowChunks {
            rows,
            heap: ChunkHeap { measure, bytes: 0, last: 0, interval: 0, until_sample: 0 },
        }
    }
}

/// Estimated heap size of the rows of a chunk. Measuring a list walks it, so after several small
/// rows only one in [`MAX_SAMPLE_INTERVAL`] is measured, and stands for those between.
struct ChunkHeap<W> {
    measure: W,
    bytes: u64,
    last: u64,
    until_sample: usize,
    /// Sampling interval, which grows with each consecutive small row.
    interval: usize,
}

impl<W> ChunkHeap<W> {
    /// Adds a row, and returns true if the chunk is full.
    #[inline]
    fn add<T>(&mut self, row: &T) -> bool
    where
        W: Fn(&T) -> u64,
    {
        if const { !owns_heap::<T>() } {
            return false;
        }
        match self.until_sample.checked_sub(1) {
            Some(left) => self.until_sample = left,
            None => {
                self.last = (self.measure)(row);
                let is_small = self.last <= SMALL_ROW_BYTES;
                self.interval =
                    if is_small { (self.interval + 1).min(MAX_SAMPLE_INTERVAL) } else { 0 };
                self.until_sample = self.interval.saturating_sub(1);
            }
        }
        self.bytes = self.bytes.saturating_add(self.last);
        self.bytes >= MAX_CHUNK_BYTES as u64
    }
}

impl<T, R: Iterator<Item = T>, W: Fn(&T) -> u64> Chunks<T> for RowChunks<R, W> {
    fn next_chunk(&mut self, chunk: &mut Vec<T>, limit: usize) {
        if const { !owns_heap::<T>() } {
            return chunk.extend(self.rows.by_ref().take(limit));
        }
        self.heap.bytes = 0;
        for row in self.rows.by_ref().take(limit) {
            let is_full = self.heap.add(&row);
            chunk.push(row);
            if is_full {
                break;
            }
        }
    }

    fn next_row(&mut self) -> Option<T> {
        self.rows.next()
    }

    fn count(self: Box<Self>) -> usize {
        self.rows.count()
    }

    fn drain(self: Box<Self>, limit: usize, each: &mut dyn FnMut(&mut Vec<T>)) {
        let Self { rows, mut heap } = *self;
        heap.bytes = 0;
        let mut rest = rows.fold(Vec::with_capacity(limit), |mut chunk, row| {
            let is_full = heap.add(&row);
            chunk.push(row);
            if chunk.len() == limit || is_full {
                each(&mut chunk);
                heap.bytes = 0;
            }
            chunk
        });
        if !rest.is_empty() {
            each(&mut rest);
        }
    }
}

/// The rows of a boxed partition. Chunks grow from one row, for closures that pull a few. An action
/// such as `take` pulls single rows.
pub struct BoxedRows<T: 'static> {
    source: Source<T>,
    chunk: vec::IntoIter<T>,
    next_limit: usize,
    limit: usize,
    task: TaskContext,
}

/// A parent is opened at the first pull, so that opening a long chain needs no stack.
enum Source<T> {
    Closed { node: Arc<dyn Node<T>>, partition: usize },
    Open(Box<dyn Chunks<T>>),
    Ended,
}

impl<T> Source<T> {
    fn open(self, task: &TaskContext) -> Option<Box<dyn Chunks<T>>> {
        match self {
            Source::Closed { node, partition } => {
                Some(on_enough_stack(|| node.open_chunks(partition, task)))
            }
            Source::Open(chunks) => Some(chunks),
            Source::Ended => None,
        }
    }
}

impl<T: 'static> BoxedRows<T> {
    #[cold]
    fn refill(&mut self) -> Option<T> {
        self.task.check_cancelled();
        let mut chunks = std::mem::replace(&mut self.source, Source::Ended).open(&self.task)?;
        if self.task.pulls_single_rows() {
            return self.pull(chunks);
        }
        let mut chunk = Vec::with_capacity(self.next_limit);
        on_enough_stack(|| chunks.next_chunk(&mut chunk, self.next_limit));
        if chunk.is_empty() {
            on_enough_stack(|| drop(chunks));
            return None;
        }
        self.source = Source::Open(chunks);
        self.next_limit = (self.next_limit * 2).min(self.limit);
        self.chunk = chunk.into_iter();
        self.chunk.next()
    }

    /// Returns the next row of `chunks`, without a chunk.
    fn pull(&mut self, mut chunks: Box<dyn Chunks<T>>) -> Option<T> {
        let row = on_enough_stack(|| chunks.next_row());
        match row.is_some() {
            true => self.source = Source::Open(chunks),
            false => on_enough_stack(|| drop(chunks)),
        }
        row
    }
}

impl<T: 'static> Iterator for BoxedRows<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.chunk.next().or_else(|| self.refill())
    }

    fn count(mut self) -> usize {
        let source = std::mem::replace(&mut self.source, Source::Ended);
        let rest = source.open(&self.task).map_or(0, |chunks| on_enough_stack(|| chunks.count()));
        self.chunk.len() + rest
    }

    fn fold<B, G: FnMut(B, T) -> B>(mut self, init: B, mut g: G) -> B {
        let accumulated = std::mem::take(&mut self.chunk).fold(init, &mut g);
        let source = std::mem::replace(&mut self.source, Source::Ended);
        let Some(chunks) = source.open(&self.task) else { return accumulated };
        let task = &self.task;
        let mut slot = Some(accumulated);
        let mut each = |chunk: &mut Vec<T>| {
            // A join of skewed keys or a sorted partition has many rows and no other cancellation
            // check.
            task.check_cancelled();
            // A full chunk fills the chunk of the next boxed pipeline, which then is full too, so
            // the calls up a long chain nest as deeply as the calls down.
            if let Some(accumulated) = slot.take() {
                let fold = || chunk.drain(..).fold(accumulated, &mut g);
                slot = Some(on_enough_stack(fold));
            }
        };
        on_enough_stack(|| chunks.drain(self.limit, &mut each));
        slot.expect("each chunk returns the accumulated value")
    }
}

impl<T: 'static> Drop for BoxedRows<T> {
    fn drop(&mut self) {
        if let Source::Open(chunks) = std::mem::replace(&mut self.source, Source::Ended) {
            on_enough_stack(|| drop(chunks));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use emberline_core::config::Config;
    use testkit::on_stack;

    #[test]
    fn a_chunk_ends_at_an_oversized_row_or_a_few_rows_after_small_ones() {
        let of = |bytes: usize| vec![0_u8; bytes];
        let oversized = MAX_CHUNK_BYTES;
        let rows = (0..20).map(|n| of(if n < 10 { 8 } else { oversized }));
        let mut chunks = RowChunks::new(rows, |row: &Vec<u8>| row.len() as u64);
        let mut counts = Vec::new();
        loop {
            let mut chunk = Vec::new();
            chunks.next_chunk(&mut chunk, MAX_CHUNK_ROWS_WITH_HEAP);
            match chunk.len() {
                0 => break,
                rows => counts.push(rows),
            }
        }
        // Rows 0, 1, 3, 6 and 10 are measured.
        assert_eq!(counts, [11, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        // The same for `drain`; and small rows in between do not extend the sampling interval for
        // long.
        let rows = (0..400).map(|n| of(if n % 4 == 0 { 8 } else { oversized }));
        let chunks = RowChunks::new(rows, |row: &Vec<u8>| row.len() as u64);
        let mut max = 0;
        Box::new(chunks).drain(MAX_CHUNK_ROWS_WITH_HEAP, &mut |chunk| {
            let large = chunk.drain(..).filter(|row| row.len() == oversized).count();
            max = max.max(large);
        });
        assert_eq!(max, 1);
    }

    // Threads of the engine have 8 MiB of stack, those of a program 2 MiB.
    #[test]
    fn ten_thousand_boxed_pipelines_run_on_a_stack_of_2_mib() {
        on_stack(2 << 20, || {
            let ctx = Context::local().unwrap();
            let mut rows = ctx.range_with(1, 0..3_000_u64).boxed();
            for _ in 0..10_000 {
                rows = rows.map(|n| n + 1).boxed();
            }
            let task = TaskContext::for_test(Config::default());
            let open = || rows.pipeline.open(0, &task);
            assert_eq!(open().sum::<u64>(), (10_000..13_000).sum());
            assert_eq!((open().next(), open().count()), (Some(10_000), 3_000));
        });
    }
}
