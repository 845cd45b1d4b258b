//! `cogroup` and `cogroup_iter`: the values of a key from two RDDs side by side.

use super::group::into_list;
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
/// The same, to be iterated.
type BothGroups<V, W> = (Group<V>, Group<W>);

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Brings the values of each key of either RDD together: a list from this one and a list from
    /// `other`, empty where the key is absent. Lists that are only read once are better as
    /// [`cogroup_iter`](Rdd::cogroup_iter) groups.
    ///
    /// - **Shape**: `Rdd<(K, V)>` and `Rdd<(K, W)>` to `Rdd<(K, (Vec<V>, Vec<W>))>`
    /// - **Partitions**: of the larger partitioner either has (unless that has at most a tenth of
    ///   the other side's partitions), else the most of the two
    /// - **Partitioner**: that one, else by hash
    /// - **Shuffle**: one for each side that is not already partitioned so
    /// - **Memory**: a task's share; what passes it is sorted in runs. A list that passes
    ///   it is the error `GroupTooLarge`, which names `cogroup_iter`
    /// - **Order**: by the hash of the key; values in the order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let left = ctx.parallelize(vec![(1, 'a'), (2, 'b')]);
    /// let right = ctx.parallelize(vec![(1, true)]);
    /// let mut rows = left.cogroup(&right).collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [(1, (vec!['a'], vec![true])), (2, (vec!['b'], vec![]))]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn cogroup<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Rdd<(K, Both<V, W>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.cogrouped_lists(Operation::new("cogroup"), self.partitioning_with(other), other)
    }

    /// Brings the values of each key of either RDD together as [`Group`]s, which are read by
    /// iterating them: one from this RDD and one from `other`, empty where the key is absent. A group
    /// can be neither shuffled nor cached; what [`map_values`](Rdd::map_values) makes of it can.
    ///
    /// - **Shape**: `Rdd<(K, V)>` and `Rdd<(K, W)>` to `Rdd<(K, (Group<V>, Group<W>))>`
    /// - **Partitions**: of the larger partitioner either has (unless that has at most a tenth of
    ///   the other side's partitions), else the most of the two
    /// - **Partitioner**: that one, else by hash
    /// - **Shuffle**: one for each side that is not already partitioned so
    /// - **Memory**: a task's share; what passes it is sorted in runs, and a hot key's rows
    ///   are read where they lie
    /// - **Order**: by the hash of the key; values in the order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let bids = ctx.parallelize(vec![("pen", 3), ("pen", 5), ("ink", 2)]).map(|(k, n)| (k.to_string(), n));
    /// let asks = ctx.parallelize(vec![("pen", 4)]).map(|(k, n)| (k.to_string(), n));
    /// let spread = bids.cogroup_iter(&asks).filter_map(|(what, (bids, asks))| {
    ///     Some((what, asks.iter().min()? - bids.iter().max()?))
    /// });
    /// assert_eq!(spread.collect()?, [("pen".to_string(), -1)]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn cogroup_iter<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Rdd<(K, BothGroups<V, W>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.cogrouped_groups(Operation::new("cogroup_iter"), self.partitioning_with(other), other)
    }

    pub(super) fn cogrouped_lists<W, Q>(
        &self,
        operation: Operation,
        by: Partitioning<K>,
        other: &Rdd<(K, W), Q>,
    ) -> Rdd<(K, Both<V, W>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        let share = self.context.engine.config().task_memory_limit();
        self.cogrouped_by(operation, by, other, move |left, right| {
            lists_of_both(operation, share, left, right)
        })
    }

    pub(super) fn cogrouped_groups<W, Q>(
        &self,
        operation: Operation,
        by: Partitioning<K>,
        other: &Rdd<(K, W), Q>,
    ) -> Rdd<(K, BothGroups<V, W>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        let measure = |(key, (left, right)): &(K, BothGroups<V, W>)| {
            heap_bytes(key) + left.heap_bytes() + right.heap_bytes()
        };
        self.cogrouped_by_of(operation, by, other, measure, |left, right| {
            into_co_groups(left.into_groups(), right.into_groups())
                .map(|(key, values, others)| (key, (values, others)))
        })
    }

    /// The partitioning of an operation on two RDDs when the user does not say.
    pub(crate) fn partitioning_with<W, Q>(&self, other: &Rdd<(K, W), Q>) -> Partitioning<K>
    where
        W: Element,
        Q: Pipeline<Item = (K, W)>,
    {
        default_partitioning(&[
            (self.num_partitions(), self.partitioning()),
            (other.num_partitions(), other.partitioning()),
        ])
    }

    /// Groups both sides by key and gives the groups of a partition to `merge`.
    pub(crate) fn cogrouped_by<W, Q, U, I, F>(
        &self,
        operation: Operation,
        by: Partitioning<K>,
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
        self.cogrouped_by_of(operation, by, other, heap_bytes, merge)
    }

    /// As [`cogrouped_by`](Rdd::cogrouped_by), for rows of any type: `measure` says what one owns.
    fn cogrouped_by_of<W, Q, U, I, F, H>(
        &self,
        operation: Operation,
        by: Partitioning<K>,
        other: &Rdd<(K, W), Q>,
        measure: H,
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
        let (left, left_edge) = JoinInput::of(self, operation, &by);
        let (right, right_edge) = JoinInput::of(other, operation, &by);
        let edges = vec![left_edge, right_edge];
        let mut lineage = self.context.lineage(operation, by.partitions(), edges);
        lineage.problem = two_contexts(operation, &self.context, &other.context);
        let depth = left.depth().max(right.depth());
        let merge = Arc::new(merge);
        let compute = move |partition, task: &TaskContext| {
            let opened =
                (left.open(operation, partition, task), right.open(operation, partition, task));
            let ((left_side, right_side), task) = (opened, task.clone());
            let merge = Arc::clone(&merge);
            // Where one side lies in order, the other is read in that order too.
            let is_whole = left.is_ordered() || right.is_ordered();
            let pieces = if is_whole { 1 } else { left.slices() };
            (0..pieces).flat_map(move |slice| {
                let (left, right) = blame(&operation, || match is_whole {
                    true => (left_side.whole(&task), right_side.whole(&task)),
                    false => (left_side.groups(slice, &task), right_side.groups(slice, &task)),
                });
                merge(left, right)
            })
        };
        let partitioner = Some(KnownPartitioner::new(&by).in_hash_order(true));
        wide_of(&self.context, lineage, partitioner, (depth, measure), compute)
    }
}

/// Both lists of each key, of which none may pass a task's share.
pub(super) fn lists_of_both<K: Key, V: Stored, W: Stored>(
    operation: Operation,
    share: u64,
    left: SubPartitionGroups<K, V>,
    right: SubPartitionGroups<K, W>,
) -> impl Iterator<Item = (K, Both<V, W>)> + 'static {
    let groups = into_co_groups(left.into_groups(), right.into_groups());
    groups.map(move |(key, a, b)| {
        let list = "cogroup_iter";
        (key, (into_list(operation, share, a, list), into_list(operation, share, b, list)))
    })
}
