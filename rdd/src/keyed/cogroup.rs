//! `cogroup` and `cogroup_iter`: group two RDDs by key, the base of all joins that shuffle.

use super::group::collect_group;
use super::join_input::JoinInput;
use super::shuffled::{default_partitioning, wide_of};
use crate::context::two_contexts;
use crate::partitioner::KnownPartitioner;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_core::size::heap_bytes;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;
use emberline_shuffle::{Group, Partitioning, SubPartitionGroups, into_co_groups};
use std::sync::Arc;

/// The values of one key from two RDDs.
type Both<V, W> = (Vec<V>, Vec<W>);
/// The groups of one key from two RDDs.
type BothGroups<V, W> = (Group<V>, Group<W>);

/// # Joins
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Collects the values of each key into one `Vec` from this RDD and one from `other`.
    ///
    /// A key of one RDD only has an empty `Vec` from the other. Partitions, shuffle, order and
    /// memory are those of [`join`](Rdd::join).
    ///
    /// # Errors
    ///
    /// The action fails with [`GroupTooLarge`](crate::ErrorKind::GroupTooLarge) if a `Vec` exceeds
    /// the task memory limit; [`cogroup_iter`](Rdd::cogroup_iter) has no such limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let left = ctx.parallelize(vec![(1, 'a'), (2, 'b')]);
    /// let right = ctx.parallelize(vec![(1, true)]);
    /// let mut rows = left.cogroup(&right).collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [(1, (vec!['a'], vec![true])), (2, (vec!['b'], vec![]))]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "groupWith")]
    #[track_caller]
    pub fn cogroup<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Rdd<(K, Both<V, W>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.cogrouped_lists(
            Operation::new("cogroup"),
            self.default_partitioning_with(other),
            other,
        )
    }

    /// Groups the values of each key into one [`Group`] from this RDD and one from `other`.
    ///
    /// Groups are read by iterating them and may be larger than memory. They can be neither
    /// shuffled nor cached; the result of [`map_values`](Rdd::map_values) on them can. Partitions,
    /// shuffle, order and memory are those of [`join`](Rdd::join).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let bids = ctx.parallelize(vec![('p', 3), ('p', 5), ('i', 2)]);
    /// let asks = ctx.parallelize(vec![('p', 4)]);
    /// let spread = bids.cogroup_iter(&asks).filter_map(|(item, (bids, asks))| {
    ///     Some((item, asks.iter().min()? - bids.iter().max()?))
    /// });
    /// assert_eq!(spread.collect()?, [('p', -1)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "cogroup")]
    #[track_caller]
    pub fn cogroup_iter<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Rdd<(K, BothGroups<V, W>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.cogrouped_groups(
            Operation::new("cogroup_iter"),
            self.default_partitioning_with(other),
            other,
        )
    }

    pub(super) fn cogrouped_lists<W, Q>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
        other: &Rdd<(K, W), Q>,
    ) -> Rdd<(K, Both<V, W>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        let task_memory_limit_bytes = self.context.engine.config().task_memory_limit();
        self.cogrouped_by(operation, partitioning, other, move |left, right| {
            collect_pairs_of_groups(operation, task_memory_limit_bytes, left, right)
        })
    }

    pub(super) fn cogrouped_groups<W, Q>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
        other: &Rdd<(K, W), Q>,
    ) -> Rdd<(K, BothGroups<V, W>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        let heap_bytes_of = |(key, (left, right)): &(K, BothGroups<V, W>)| {
            heap_bytes(key) + left.heap_bytes() + right.heap_bytes()
        };
        self.cogrouped_with_size(operation, partitioning, other, heap_bytes_of, |left, right| {
            into_co_groups(left.into_groups(), right.into_groups())
                .map(|(key, values, others)| (key, (values, others)))
        })
    }

    /// Returns the partitioning of an operation on two RDDs, unless the user sets one.
    pub(crate) fn default_partitioning_with<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Partitioning<K>
    where
        W: Element,
        Q: Pipeline<Item = (K, W)>,
    {
        default_partitioning(&[
            (self.num_partitions(), self.partitioning()),
            (other.num_partitions(), other.partitioning()),
        ])
    }

    /// Groups both sides by key and passes the groups of a partition to `merge`.
    pub(crate) fn cogrouped_by<W, Q, U, I, F>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
        other: &Rdd<(K, W), Q>,
        merge: F,
    ) -> Rdd<(K, U)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
        U: Stored,
        I: Iterator<Item = (K, U)> + 'static,
        F: Fn(SubPartitionGroups<K, V>, SubPartitionGroups<K, W>) -> I + Send + Sync + 'static,
    {
        self.cogrouped_with_size(operation, partitioning, other, heap_bytes, merge)
    }

    /// Groups both sides like [`cogrouped_by`](Rdd::cogrouped_by), with a measure of heap memory.
    fn cogrouped_with_size<W, Q, U, I, F, H>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
        other: &Rdd<(K, W), Q>,
        heap_bytes_of: H,
        merge: F,
    ) -> Rdd<(K, U)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
        U: Element,
        H: Fn(&(K, U)) -> u64 + Copy + Send + Sync + 'static,
        I: Iterator<Item = (K, U)> + 'static,
        F: Fn(SubPartitionGroups<K, V>, SubPartitionGroups<K, W>) -> I + Send + Sync + 'static,
    {
        let (left, left_edge) = JoinInput::of(self, operation, &partitioning);
        let (right, right_edge) = JoinInput::of(other, operation, &partitioning);
        let edges = vec![left_edge, right_edge];
        let mut lineage = self.context.lineage(operation, partitioning.partitions(), edges);
        lineage.set_problem(two_contexts(operation, &self.context, &other.context));
        let depth = left.depth().max(right.depth());
        let merge = Arc::new(merge);
        let compute = move |partition, task: &TaskContext| {
            let left_input = left.open(operation, partition, task);
            let right_input = right.open(operation, partition, task);
            let task = task.clone();
            let merge = Arc::clone(&merge);
            // An input that is ordered by hash has no sub-partitions, so the other is read whole
            // too.
            let is_whole = left.is_ordered() || right.is_ordered();
            let pieces = if is_whole { 1 } else { left.sub_partitions() };
            (0..pieces).flat_map(move |index| {
                let (left, right) = blame(&operation, || match is_whole {
                    true => (left_input.whole(&task), right_input.whole(&task)),
                    false => (left_input.groups(index, &task), right_input.groups(index, &task)),
                });
                merge(left, right)
            })
        };
        let partitioner = Some(KnownPartitioner::new(&partitioning).in_hash_order(true));
        wide_of(&self.context, lineage, partitioner, depth, heap_bytes_of, compute)
    }
}

/// Collects both groups of each key. Raises `GroupTooLarge` for one that is too large.
pub(super) fn collect_pairs_of_groups<K: Key, V: Stored, W: Stored>(
    operation: Operation,
    task_memory_limit_bytes: u64,
    left: SubPartitionGroups<K, V>,
    right: SubPartitionGroups<K, W>,
) -> impl Iterator<Item = (K, Both<V, W>)> + 'static {
    let groups = into_co_groups(left.into_groups(), right.into_groups());
    groups.map(move |(key, values, others)| {
        let values = collect_group(operation, task_memory_limit_bytes, values, "cogroup_iter");
        let others = collect_group(operation, task_memory_limit_bytes, others, "cogroup_iter");
        (key, (values, others))
    })
}
