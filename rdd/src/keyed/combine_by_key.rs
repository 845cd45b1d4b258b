//! `combine_by_key`: the base of `reduce_by_key`, `aggregate_by_key` and `distinct`.

use super::shuffled::{default_partitioning, shuffle, wide};
use crate::partitioner::KnownPartitioner;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::lineage::Dependency;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::{blame, or_raise};
use emberline_shuffle::map_side;
use emberline_shuffle::{
    Chunk, Hashed, Partitioning, SegmentReader, SpillingCombiner, SubPartitions, hash_of,
};
use std::sync::Arc;

/// # Aggregation by key
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Merges the values of each key into a combiner, which may have another type.
    ///
    /// `create` makes a combiner from a value, `merge_value` adds a value to a combiner, and
    /// `merge_combiners` merges the combiners of two partitions. Partitions, shuffle, order and
    /// memory are those of [`reduce_by_key`](Rdd::reduce_by_key).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let sales = ctx.parallelize(vec![('t', 3.0), ('r', 5.0), ('t', 4.0)]);
    /// let sums = sales.combine_by_key(
    ///     |price| (price, 1),
    ///     |(sum, n), price| (sum + price, n + 1),
    ///     |(sum, n), (more, m)| (sum + more, n + m),
    /// );
    /// let mut means = sums.map_values(|(sum, n)| sum / n as f64).collect()?;
    /// means.sort_by(|a, b| a.0.cmp(&b.0));
    /// assert_eq!(means, [('r', 5.0), ('t', 3.5)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "combineByKey")]
    #[track_caller]
    pub fn combine_by_key<C, F, G, H>(
        &self,
        create: F,
        merge_value: G,
        merge_combiners: H,
    ) -> Rdd<(K, C)>
    where
        K: Key,
        C: Stored,
        F: Fn(V) -> C + Send + Sync + 'static,
        G: Fn(C, V) -> C + Send + Sync + 'static,
        H: Fn(C, C) -> C + Send + Sync + 'static,
    {
        let aggregator = Aggregator { create, merge_value, merge_combiners };
        self.combined(
            Operation::new("combine_by_key"),
            self.default_partitioning_of_keys(),
            aggregator,
        )
    }

    /// Returns the partitioning of a keyed operation on this RDD alone, unless the user sets one.
    pub(crate) fn default_partitioning_of_keys(&self) -> Partitioning<K> {
        default_partitioning(&[(self.num_partitions(), self.partitioning())])
    }

    /// Combines the values of each key, without a shuffle if `partitioning` is that of the rows.
    pub(crate) fn combined<C, F, G, H>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
        aggregator: Aggregator<F, G, H>,
    ) -> Rdd<(K, C)>
    where
        K: Key,
        C: Stored,
        F: Fn(V) -> C + Send + Sync + 'static,
        G: Fn(C, V) -> C + Send + Sync + 'static,
        H: Fn(C, C) -> C + Send + Sync + 'static,
    {
        let aggregator = Arc::new(aggregator);
        let partitions = partitioning.partitions();
        let partitioner = Some(KnownPartitioner::new(&partitioning).in_hash_order(true));
        let node = |edge| {
            let mut lineage = self.context.lineage(operation, partitions, vec![edge]);
            lineage.info.closure_bytes = size_of::<F>() + size_of::<G>() + size_of::<H>();
            lineage
        };
        if self.partitioning().is_some_and(|own| own.same_as(&partitioning)) {
            let lineage = node(Dependency::Narrow(Arc::clone(&self.lineage)));
            let parent = self.pipeline.clone();
            let depth = parent.depth();
            let compute = move |partition, task: &TaskContext| {
                aggregator.fold_rows(operation, parent.open(partition, task), task)
            };
            return wide(&self.context, lineage, partitioner, depth, compute);
        }
        let sub_partitions = Arc::new(SubPartitions::new(partitioning));
        let map_aggregator = Arc::clone(&aggregator);
        let map_sub_partitions = Arc::clone(&sub_partitions);
        let write_rows = move |rows: P::Rows, task: &TaskContext| {
            let spec = map_side::Combine {
                operation,
                sub_partitions: &map_sub_partitions,
                create: &map_aggregator.create,
                merge: &map_aggregator.merge_value,
            };
            map_side::run(spec, rows, task)
        };
        let (outputs, edge) = shuffle(self, operation, partitions, write_rows);
        let compute = move |partition, task: &TaskContext| {
            let aggregator = aggregator.clone();
            let outputs = outputs.clone();
            let task = task.clone();
            let segments = sub_partitions.of_partition(partition);
            // Sub-partitions are alike: the next will have about as many keys.
            let mut keys = 0;
            segments.flat_map(move |segment| {
                let reader = outputs.read(segment, &task);
                Aggregator::merge(&aggregator, operation, reader, &mut keys, &task)
            })
        };
        wide(&self.context, node(edge), partitioner, 0, compute)
    }
}

/// The three closures of a combining operation.
pub(crate) struct Aggregator<F, G, H> {
    pub(crate) create: F,
    pub(crate) merge_value: G,
    pub(crate) merge_combiners: H,
}

impl<F, G, H: 'static> Aggregator<F, G, H> {
    /// Combines the rows of a partition that has all rows of its keys.
    fn fold_rows<K, V, C, R>(
        self: &Arc<Self>,
        operation: Operation,
        rows: R,
        task: &TaskContext,
    ) -> impl Iterator<Item = (K, C)> + use<K, V, C, F, G, H, R>
    where
        K: Key,
        C: Stored,
        R: Iterator<Item = (K, V)>,
        F: Fn(V) -> C + 'static,
        G: Fn(C, V) -> C + 'static,
        H: Fn(C, C) -> C + 'static,
    {
        let mut table = SpillingCombiner::new(task);
        rows.for_each(|(key, value)| {
            blame(&operation, || {
                table.merge(hash_of(&key), key, value, &self.create, &self.merge_value);
            });
        });
        self.finish(operation, table)
    }

    /// Merges the combiners of one sub-partition. `keys` is the expected number of keys, and is set
    /// to what the next sub-partition is expected to have.
    fn merge<K, C>(
        self: &Arc<Self>,
        operation: Operation,
        mut reader: SegmentReader<Hashed<K, C>>,
        keys: &mut usize,
        task: &TaskContext,
    ) -> impl Iterator<Item = (K, C)> + use<K, C, F, G, H>
    where
        K: Key,
        C: Stored,
        F: 'static,
        G: 'static,
        H: Fn(C, C) -> C + 'static,
    {
        let mut table = SpillingCombiner::new(task);
        while let Some(chunk) = or_raise(reader.next_chunk()) {
            table.reserve(chunk.rows().len().max(*keys));
            blame(&operation, || match chunk {
                Chunk::Shared(entries) => table.merge_shared(&entries, &self.merge_combiners),
                Chunk::Owned(entries) => table.merge_owned(entries, &self.merge_combiners),
            });
        }
        *keys = table.keys() + table.keys() / 8;
        self.finish(operation, table)
    }

    /// Returns the combiners in the order of the hash of their keys.
    fn finish<K, C>(
        self: &Arc<Self>,
        operation: Operation,
        table: SpillingCombiner<K, C>,
    ) -> impl Iterator<Item = (K, C)> + use<K, C, F, G, H>
    where
        K: Key,
        C: Stored,
        F: 'static,
        G: 'static,
        H: Fn(C, C) -> C + 'static,
    {
        let combine = Arc::clone(self);
        blame(&operation, || {
            table.finish(move |a, b| blame(&operation, || (combine.merge_combiners)(a, b)))
        })
    }
}
