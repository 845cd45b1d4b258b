//! Forgetting the type of a pipeline, so that a loop variable, a struct field or two branches can
//! hold it. A boxed step hands rows over in chunks: one virtual call for up to a thousand rows.

use crate::pipeline::materialized::MaterializedRows;
use crate::pipeline::{Element, Pipeline, sealed::Sealed};
use emberline_core::lineage::drop_later;
use emberline_core::size::owns_heap;
use emberline_core::task::TaskContext;
use std::sync::Arc;
use std::vec;

/// A pipeline of any shape whose rows are `T`: what a plain `Rdd<T>` holds.
pub struct Boxed<T: 'static> {
    node: Option<Arc<dyn Node<T>>>,
    depth: usize,
}

/// A node that gives its partitions in chunks.
pub(crate) trait Node<T>: Send + Sync {
    fn open_chunks(&self, partition: usize, task: &TaskContext) -> Box<dyn Chunks<T>>;

    /// As [`Pipeline::materialized`].
    fn materialized(&self, _partition: usize, _task: &TaskContext) -> Option<MaterializedRows<T>> {
        None
    }
}

/// The rows of a partition behind one virtual call a chunk.
pub(crate) trait Chunks<T> {
    /// Adds up to `limit` rows to the empty `chunk`; none means the end.
    fn next_chunk(&mut self, chunk: &mut Vec<T>, limit: usize);
    /// Says how many rows there are, computing no more than that needs.
    fn count(self: Box<Self>) -> usize;
    /// Hands over all rows; `each` must take every row out of the chunk it is given.
    fn drain(self: Box<Self>, limit: usize, each: &mut dyn FnMut(&mut Vec<T>));
}

/// The most rows in a chunk.
const CHUNK_ROWS: usize = 1024;
/// The most rows in a chunk if they may own something: nobody may know how much.
const CHUNK_ROWS_WITH_HEAP: usize = 64;
/// The fewest rows a long chain shrinks its chunks to.
const CHUNK_ROWS_DEEP: usize = 16;
/// The most bytes of rows in a chunk, and the most that they own if that is known.
const CHUNK_BYTES: usize = 64 << 10;
/// A row that owns so little is light: a whole chunk of such rows is not too much.
const LIGHT_BYTES: u64 = (CHUNK_BYTES / CHUNK_ROWS_WITH_HEAP) as u64;
/// A light row stands for at most one less than so many others.
const MAX_TRUST: usize = 4;
/// Stack that must be free before a boxed step runs, and what is added when it is not.
const STACK_LEFT: usize = 128 << 10;
const STACK_MORE: usize = 2 << 20;

/// Runs one boxed step, on more stack if little is left: chains may be of any length.
fn on_enough_stack<R>(operation: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(STACK_LEFT, STACK_MORE, operation)
}

impl<T: Element> Boxed<T> {
    pub(crate) fn new<P: Pipeline<Item = T>>(pipeline: P) -> Self {
        let depth = pipeline.depth() + 1;
        Boxed { node: Some(Arc::new(Erased(pipeline))), depth }
    }

    /// A step that never had a type to forget, such as a shuffle's reading end.
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
        let node = self.node.clone().expect("a boxed pipeline has its node until it is dropped");
        let most = if owns_heap::<T>() { CHUNK_ROWS_WITH_HEAP } else { CHUNK_ROWS };
        let limit = (most / self.depth).max(CHUNK_ROWS_DEEP);
        let limit = limit.min(CHUNK_BYTES / size_of::<T>().max(1)).max(1);
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

/// A fused pipeline behind the chunked interface.
struct Erased<P>(P);

impl<T: Element, P: Pipeline<Item = T>> Node<T> for Erased<P> {
    fn open_chunks(&self, partition: usize, task: &TaskContext) -> Box<dyn Chunks<T>> {
        // A narrow step does not ask that its rows can be weighed.
        Box::new(RowChunks::new(self.0.open(partition, task), |_: &T| 0))
    }

    fn materialized(&self, partition: usize, task: &TaskContext) -> Option<MaterializedRows<T>> {
        self.0.materialized(partition, task)
    }
}

/// Any iterator behind the chunked interface.
pub(crate) struct RowChunks<R, W> {
    rows: R,
    owned: Owned<W>,
}

impl<T, R: Iterator<Item = T>, W: Fn(&T) -> u64> RowChunks<R, W> {
    /// The rows, and what one of them owns on the heap.
    pub(crate) fn new(rows: R, measure: W) -> Self {
        RowChunks { rows, owned: Owned { measure, bytes: 0, last: 0, trust: 0, alike: 0 } }
    }
}

/// What the rows of a chunk own on the heap. To measure a list is to walk it, so where several rows in
/// succession owned little, the last of them stands for a few that come behind it.
struct Owned<W> {
    measure: W,
    bytes: u64,
    /// What the row owned that was weighed last, and for how many others it still stands.
    last: u64,
    alike: usize,
    /// For how many the next light row will stand: the more, the more light ones came before it.
    trust: usize,
}

impl<W> Owned<W> {
    /// Adds a row; says whether the chunk is full.
    #[inline]
    fn add<T>(&mut self, row: &T) -> bool
    where
        W: Fn(&T) -> u64,
    {
        if !owns_heap::<T>() {
            return false;
        }
        match self.alike.checked_sub(1) {
            Some(alike) => self.alike = alike,
            None => {
                self.last = (self.measure)(row);
                let is_light = self.last <= LIGHT_BYTES;
                self.trust = if is_light { (self.trust + 1).min(MAX_TRUST) } else { 0 };
                self.alike = self.trust.saturating_sub(1);
            }
        }
        self.bytes = self.bytes.saturating_add(self.last);
        self.bytes >= CHUNK_BYTES as u64
    }
}

impl<T, R: Iterator<Item = T>, W: Fn(&T) -> u64> Chunks<T> for RowChunks<R, W> {
    fn next_chunk(&mut self, chunk: &mut Vec<T>, limit: usize) {
        if !owns_heap::<T>() {
            return chunk.extend(self.rows.by_ref().take(limit));
        }
        self.owned.bytes = 0;
        for row in self.rows.by_ref().take(limit) {
            let is_full = self.owned.add(&row);
            chunk.push(row);
            if is_full {
                break;
            }
        }
    }

    fn count(self: Box<Self>) -> usize {
        self.rows.count()
    }

    fn drain(self: Box<Self>, limit: usize, each: &mut dyn FnMut(&mut Vec<T>)) {
        let Self { rows, mut owned } = *self;
        owned.bytes = 0;
        let mut rest = rows.fold(Vec::with_capacity(limit), |mut chunk, row| {
            let is_full = owned.add(&row);
            chunk.push(row);
            if chunk.len() == limit || is_full {
                each(&mut chunk);
                owned.bytes = 0;
            }
            chunk
        });
        if !rest.is_empty() {
            each(&mut rest);
        }
    }
}

/// The rows of a boxed step. The first chunk has one row and later ones more, so that `take(1)`
/// computes one row.
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
    /// Fetches the next chunk and gives its first row.
    #[cold]
    fn refill(&mut self) -> Option<T> {
        self.task.check_cancelled();
        let mut chunks = std::mem::replace(&mut self.source, Source::Ended).open(&self.task)?;
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
        let (mut slot, task) = (Some(accumulated), &self.task);
        let mut each = |chunk: &mut Vec<T>| {
            // A join of hot keys or a sorted partition has many rows and no other look.
            task.check_cancelled();
            // A full chunk fills that of the step behind, which is then full too: the way back up a long
            // chain is as deep as the way down.
            if let Some(accumulated) = slot.take() {
                let fold = || chunk.drain(..).fold(accumulated, &mut g);
                slot = Some(on_enough_stack(fold));
            }
        };
        on_enough_stack(|| chunks.drain(self.limit, &mut each));
        slot.expect("every chunk gives the accumulated value back")
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
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    const DEADLINE: Duration = Duration::from_secs(60);

    /// Runs `work` on a thread of so large a stack, which must end it by the deadline.
    fn within(stack_bytes: usize, work: impl FnOnce() + Send + 'static) {
        let (ended, wait) = channel();
        let run = move || {
            work();
            let _ = ended.send(());
        };
        thread::Builder::new().stack_size(stack_bytes).spawn(run).unwrap();
        wait.recv_timeout(DEADLINE).expect("it ends in time and without a panic");
    }

    #[test]
    fn a_chunk_ends_with_the_heavy_row_or_with_a_few_behind_light_ones() {
        let of = |bytes: usize| vec![0_u8; bytes];
        let heavy = CHUNK_BYTES;
        let rows = (0..20).map(|n| of(if n < 10 { 8 } else { heavy }));
        let mut chunks = RowChunks::new(rows, |row: &Vec<u8>| row.len() as u64);
        let mut counts = Vec::new();
        loop {
            let mut chunk = Vec::new();
            chunks.next_chunk(&mut chunk, CHUNK_ROWS_WITH_HEAP);
            match chunk.len() {
                0 => break,
                rows => counts.push(rows),
            }
        }
        // Rows 0, 1, 3, 6 and 10 are weighed.
        assert_eq!(counts, [11, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        // The same where all rows are handed over; and light rows in between are not trusted for long.
        let rows = (0..400).map(|n| of(if n % 4 == 0 { 8 } else { heavy }));
        let chunks = RowChunks::new(rows, |row: &Vec<u8>| row.len() as u64);
        let mut most = 0;
        Box::new(chunks).drain(CHUNK_ROWS_WITH_HEAP, &mut |chunk| {
            let heavy = chunk.drain(..).filter(|row| row.len() == heavy).count();
            most = most.max(heavy);
        });
        assert_eq!(most, 1);
    }

    /// A task of an engine has 8 MiB; a thread that a program starts itself has 2.
    #[test]
    fn ten_thousand_boxed_steps_need_no_more_than_a_stack_of_2_mib() {
        within(2 << 20, || {
            let ctx = Context::local().unwrap();
            let mut rows = ctx.range_with(1, 0..3_000_u64).boxed();
            for _ in 0..10_000 {
                rows = rows.map(|n| n + 1).boxed();
            }
            let task = TaskContext::alone(Config::default());
            let open = || rows.pipeline.open(0, &task);
            assert_eq!(open().sum::<u64>(), (10_000..13_000).sum());
            assert_eq!((open().next(), open().count()), (Some(10_000), 3_000));
        });
    }
}
