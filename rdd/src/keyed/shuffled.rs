//! Connects the shuffle of `emberline_shuffle` to lineage and scheduler.
//!
//! [`shuffle`] makes the map side of an operation, whose tasks publish their outputs in a shared
//! table. [`wide`] makes the RDD that reads its segments from there.

use crate::accumulator::{CommittedDeltas, with_accumulators};
use crate::context::{Context, no_partitions};
use crate::partitioner::KnownPartitioner;
use crate::pipeline::boxed::{Boxed, Chunks, Node, RowChunks};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::faults::{Faults, after_publish, before_publish};
use emberline_core::ids::ShuffleId;
use emberline_core::lineage::{Dependency, LineageNode, ShuffleDependency, StorageStats, Updates};
use emberline_core::operation::Operation;
use emberline_core::size::heap_bytes;
use emberline_core::task::{CancelCheck, TaskContext};
use emberline_core::unwind::or_raise;
use emberline_shuffle::map_side::MapWriter;
use emberline_shuffle::{
    Changed, Chunk, MapOutput, MapOutputs, Partitioning, SegmentReader, SegmentSource,
};
use std::sync::Arc;
use std::vec;

/// The outputs of one shuffle, shared by its map tasks and its readers.
pub(crate) struct Outputs<R: Stored> {
    shuffle: ShuffleId,
    table: MapOutputs<R>,
    /// The number of threads that drop them.
    threads: usize,
}

impl<R: Stored> Drop for Outputs<R> {
    fn drop(&mut self) {
        self.table.drop_on(self.threads);
    }
}

impl<R: Stored> Outputs<R> {
    /// Reads one segment of every map output, a chunk at a time, in map-partition order. There is a
    /// segment for each partition after the shuffle, or for each sub-partition of one.
    pub(crate) fn read(&self, segment: usize, task: &TaskContext) -> SegmentReader<R> {
        self.table.read(Some(self.shuffle), segment, task)
    }

    /// Returns one segment of every map output, to be read more than once.
    pub(crate) fn segment(&self, segment: usize) -> SegmentSource<R> {
        SegmentSource { outputs: self.table.clone(), shuffle: Some(self.shuffle), segment }
    }
}

/// The map side of a shuffle: the dependency whose tasks the scheduler runs.
struct MapSide<P, R: Stored, M> {
    outputs: Arc<Outputs<R>>,
    context: Context,
    operation: Operation,
    parent: Arc<LineageNode>,
    pipeline: P,
    /// The partitions after the shuffle.
    partitions: usize,
    write_rows: M,
    deltas: Arc<CommittedDeltas>,
}

impl<P, R, M> ShuffleDependency for MapSide<P, R, M>
where
    P: Pipeline,
    R: Stored,
    M: Fn(P::Rows, &TaskContext) -> MapWriter<R> + Send + Sync + 'static,
{
    fn id(&self) -> ShuffleId {
        self.outputs.shuffle
    }

    fn operation(&self) -> Operation {
        self.operation
    }

    fn parent(&self) -> &Arc<LineageNode> {
        &self.parent
    }

    fn partitions(&self) -> usize {
        self.partitions
    }

    fn run_map(&self, partition: usize, task: &TaskContext) -> Result<()> {
        let task = &task.with_operators(self.parent.operators() + 1);
        let write = || (self.write_rows)(self.pipeline.open(partition, task), task);
        let (writer, deltas) = with_accumulators(write);
        // The pipeline has ended: serializing the last rows may not update an accumulator any more.
        let output = writer.finish()?;
        task.count_written(output.rows(), output.bytes());
        task.commit(|| {
            self.publish(partition, output, task.config.faults.as_ref())?;
            self.deltas.store(partition, deltas);
            Ok(())
        })
    }

    fn updates(&self) -> Option<Arc<Updates>> {
        Some(Arc::clone(&self.deltas) as Arc<Updates>)
    }

    fn storage_stats(&self) -> StorageStats {
        self.outputs.table.storage_stats()
    }
}

impl<P, R: Stored, M> MapSide<P, R, M> {
    /// Makes an output visible to readers.
    fn publish(
        &self,
        partition: usize,
        output: MapOutput<R>,
        faults: Option<&Faults>,
    ) -> Result<()> {
        let Outputs { shuffle, table, .. } = &*self.outputs;
        before_publish(faults, *shuffle, partition, output.file());
        let published = table.put(partition, output);
        published.map_err(|changed| self.not_deterministic(partition, changed))?;
        after_publish(faults, *shuffle, partition, |damage| table.apply_damage(partition, damage));
        Ok(())
    }

    fn not_deterministic(&self, map_partition: usize, changed: Changed) -> Error {
        Error::new(ErrorKind::NotDeterministic {
            shuffle: self.outputs.shuffle,
            map_partition,
            rows_before: changed.before,
            rows_after: changed.now,
            operations: narrow_operations(&self.parent),
        })
    }
}

/// The most operations that an error names.
const MAX_OPERATIONS: usize = 8;

/// Returns the operations of the stage that ends in `last`, last one first, with call sites.
fn narrow_operations(last: &Arc<LineageNode>) -> String {
    let mut operations = Vec::new();
    let mut nodes = vec![last];
    while let Some(node) = nodes.pop().filter(|_| operations.len() < MAX_OPERATIONS) {
        operations.push(node.operation().to_string());
        nodes.extend(node.dependencies().iter().filter_map(Dependency::narrow));
    }
    operations.dedup();
    operations.join(", ")
}

impl<P, R: Stored, M> Drop for MapSide<P, R, M> {
    fn drop(&mut self) {
        self.context.engine.forget_shuffle(self.outputs.shuffle);
    }
}

/// Adds a shuffle into `partitions` partitions after `rdd`. `write_rows` writes the rows of a map
/// task, by a call of [`map_side::run`](emberline_shuffle::map_side::run).
pub(crate) fn shuffle<T, P, R, M>(
    rdd: &Rdd<T, P>,
    operation: Operation,
    partitions: usize,
    write_rows: M,
) -> (Arc<Outputs<R>>, Dependency)
where
    T: Element,
    P: Pipeline<Item = T>,
    R: Stored,
    M: Fn(P::Rows, &TaskContext) -> MapWriter<R> + Send + Sync + 'static,
{
    let shuffle = rdd.context.engine.next_shuffle_id();
    let table = MapOutputs::new(rdd.num_partitions());
    let threads = rdd.context.engine.config().threads;
    let outputs = Arc::new(Outputs { shuffle, table, threads });
    let map_side = MapSide {
        outputs: Arc::clone(&outputs),
        context: rdd.context.for_lineage(),
        operation,
        parent: Arc::clone(&rdd.lineage),
        pipeline: rdd.pipeline.clone(),
        partitions,
        write_rows,
        deltas: Arc::default(),
    };
    (outputs, Dependency::Shuffle(Arc::new(map_side)))
}

/// A boxed node that computes its rows by a function, such as the reduce side of a shuffle.
struct NodeFn<F, W> {
    compute: F,
    /// The function that returns the heap bytes of a row.
    measure: W,
}

impl<T: 'static, I, F, W> Node<T> for NodeFn<F, W>
where
    I: Iterator<Item = T> + 'static,
    F: Fn(usize, &TaskContext) -> I + Send + Sync,
    W: Fn(&T) -> u64 + Copy + Send + Sync + 'static,
{
    fn open_chunks(&self, partition: usize, task: &TaskContext) -> Box<dyn Chunks<T>> {
        let rows = (self.compute)(partition, task);
        let check = CancelCheck::new(task);
        Box::new(RowChunks::new(Cancellable { rows, check }, self.measure))
    }
}

/// The rows of a wide operation. A reader of chunks checks for cancellation at each chunk; `count`
/// reads no chunks and checks here, since a join of skewed keys may have billions of rows.
struct Cancellable<I> {
    rows: I,
    check: CancelCheck,
}

impl<I: Iterator> Iterator for Cancellable<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        self.rows.next()
    }

    #[inline]
    fn fold<B, G: FnMut(B, I::Item) -> B>(self, init: B, g: G) -> B {
        self.rows.fold(init, g)
    }

    fn count(self) -> usize {
        let mut check = self.check;
        self.rows.fold(0, |rows, _| {
            check.tick();
            rows + 1
        })
    }
}

/// Makes the RDD of a wide operation: `compute` returns the rows of a partition.
pub(crate) fn wide<T, I, F>(
    context: &Context,
    lineage: LineageNode,
    partitioner: Option<KnownPartitioner>,
    depth: usize,
    compute: F,
) -> Rdd<T>
where
    T: Stored,
    I: Iterator<Item = T> + 'static,
    F: Fn(usize, &TaskContext) -> I + Send + Sync + 'static,
{
    wide_of(context, lineage, partitioner, depth, heap_bytes, compute)
}

/// Makes the RDD of a wide operation; `measure` returns the heap bytes of a row.
pub(crate) fn wide_of<T, I, F, W>(
    context: &Context,
    mut lineage: LineageNode,
    partitioner: Option<KnownPartitioner>,
    depth: usize,
    measure: W,
    compute: F,
) -> Rdd<T>
where
    T: Element,
    I: Iterator<Item = T> + 'static,
    W: Fn(&T) -> u64 + Copy + Send + Sync + 'static,
    F: Fn(usize, &TaskContext) -> I + Send + Sync + 'static,
{
    lineage.set_problem(no_partitions(lineage.operation(), lineage.partitions()));
    lineage.set_holds_rows();
    let operators = lineage.operators();
    let compute =
        move |partition, task: &TaskContext| compute(partition, &task.with_operators(operators));
    let pipeline = Boxed::from_node(NodeFn { compute, measure }, depth);
    Rdd::partitioned(context, lineage, pipeline, partitioner)
}

/// The rows of a partition after a shuffle, in the order of its segments, chunk by chunk.
pub(crate) struct ConcatRows<R: 'static> {
    reader: SegmentReader<R>,
    chunk: ChunkRows<R>,
}

enum ChunkRows<R> {
    Shared { rows: Arc<Vec<R>>, next: usize },
    Owned(vec::IntoIter<R>),
}

impl<R: Stored> ConcatRows<R> {
    pub(crate) fn new(reader: SegmentReader<R>) -> Self {
        ConcatRows { reader, chunk: ChunkRows::Owned(Vec::new().into_iter()) }
    }

    fn next_in_chunk(&mut self) -> Option<R> {
        match &mut self.chunk {
            ChunkRows::Owned(rows) => rows.next(),
            ChunkRows::Shared { rows, next } => {
                let row = rows.get(*next)?.clone();
                *next += 1;
                Some(row)
            }
        }
    }
}

impl<R: Stored> Iterator for ConcatRows<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        loop {
            if let Some(row) = self.next_in_chunk() {
                return Some(row);
            }
            self.chunk = match or_raise(self.reader.next_chunk())? {
                Chunk::Shared(rows) => ChunkRows::Shared { rows, next: 0 },
                Chunk::Owned(rows) => ChunkRows::Owned(rows.into_iter()),
            };
        }
    }

    fn fold<B, G: FnMut(B, R) -> B>(mut self, init: B, mut g: G) -> B {
        let mut accumulated = match self.chunk {
            ChunkRows::Owned(rows) => rows.fold(init, &mut g),
            ChunkRows::Shared { rows, next } => rows[next..].iter().cloned().fold(init, &mut g),
        };
        while let Some(chunk) = or_raise(self.reader.next_chunk()) {
            accumulated = match chunk {
                Chunk::Shared(rows) => rows.iter().cloned().fold(accumulated, &mut g),
                Chunk::Owned(rows) => rows.into_iter().fold(accumulated, &mut g),
            };
        }
        accumulated
    }
}

/// Returns the default partitioning of an operation on inputs (partitions, known partitioning).
///
/// It is that of the input with the most partitions among those with a known partitioning, if these
/// are more than a tenth of the most partitions of any input, else by hash into those.
pub(crate) fn default_partitioning<K: 'static>(
    inputs: &[(usize, Option<Partitioning<K>>)],
) -> Partitioning<K> {
    // An RDD of no partitions is shuffled into one.
    let most = inputs.iter().map(|(partitions, _)| *partitions).max().unwrap_or(1).max(1);
    let known = inputs.iter().filter_map(|(_, known)| known.as_ref());
    let largest = known.reduce(|a, b| if b.partitions() > a.partitions() { b } else { a });
    match largest {
        Some(known) if known.partitions().saturating_mul(10) > most => known.clone(),
        _ => Partitioning::Hash(most),
    }
}
