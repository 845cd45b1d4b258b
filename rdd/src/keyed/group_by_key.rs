//! `group_by_key` and `group_by_key_iter`: bring the values of each key together.

use super::group::collect_group;
use super::join_input::JoinInput;
use super::shuffled::wide_of;
use crate::partitioner::KnownPartitioner;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_core::size::heap_bytes;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;
use emberline_shuffle::{Group, Partitioning};

/// # Grouping
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Collects the values of each key into a `Vec`.
    ///
    /// Shuffles every value. To sum, count or pick values, use
    /// [`reduce_by_key`](Rdd::reduce_by_key) or [`aggregate_by_key`](Rdd::aggregate_by_key), which
    /// shuffle one value per key and partition. An RDD that has a partitioner keeps it and is not
    /// shuffled; otherwise the result is hash-partitioned into as many partitions. Rows are ordered
    /// by the hash of the key, values by partition and row. Rows beyond the task memory limit
    /// spill.
    ///
    /// # Errors
    ///
    /// The action fails with [`GroupTooLarge`](crate::ErrorKind::GroupTooLarge) if the values of a
    /// key exceed the task memory limit; see [`group_by_key_iter`](Rdd::group_by_key_iter).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let pairs = ctx.parallelize(vec![(1, 'a'), (2, 'b'), (1, 'c')]);
    /// let mut groups = pairs.group_by_key().collect()?;
    /// groups.sort();
    /// assert_eq!(groups, [(1, vec!['a', 'c']), (2, vec!['b'])]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "groupByKey")]
    #[track_caller]
    pub fn group_by_key(&self) -> Rdd<(K, Vec<V>)>
    where
        K: Key,
        V: Stored,
    {
        self.grouped_lists(Operation::new("group_by_key"), self.default_partitioning_of_keys())
    }

    /// Groups the values of each key into a [`Group`], which is read by iterating it.
    ///
    /// A group may be larger than memory: the values of a skewed key are read from the shuffle each
    /// time it is iterated. It can be neither shuffled nor cached; the result of
    /// [`map_values`](Rdd::map_values) on it can. Partitions, shuffle and order are those of
    /// [`group_by_key`](Rdd::group_by_key).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let groups = ctx.parallelize(vec![(1, 4.0), (1, 8.0)]).group_by_key_iter();
    /// let spreads = groups.map_values(|group| {
    ///     let mean = group.iter().sum::<f64>() / group.len() as f64;
    ///     group.iter().map(|x| (x - mean).abs()).fold(0.0, f64::max)
    /// });
    /// assert_eq!(spreads.collect()?, [(1, 2.0)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "groupByKey")]
    #[track_caller]
    pub fn group_by_key_iter(&self) -> Rdd<(K, Group<V>)>
    where
        K: Key,
        V: Stored,
    {
        self.grouped_groups(
            Operation::new("group_by_key_iter"),
            self.default_partitioning_of_keys(),
        )
    }

    pub(super) fn grouped_lists(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
    ) -> Rdd<(K, Vec<V>)>
    where
        K: Key,
        V: Stored,
    {
        self.map_groups(operation, partitioning, collect::<V>, heap_bytes)
    }

    pub(super) fn grouped_groups(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
    ) -> Rdd<(K, Group<V>)>
    where
        K: Key,
        V: Stored,
    {
        self.map_groups(operation, partitioning, stream::<V>, group_bytes)
    }

    /// Groups by key and maps each group with `finish`. `heap_bytes_of` measures a resulting row.
    fn map_groups<U: Element, W>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
        finish: Finish<V, U>,
        heap_bytes_of: W,
    ) -> Rdd<(K, U)>
    where
        K: Key,
        V: Stored,
        W: Fn(&(K, U)) -> u64 + Copy + Send + Sync + 'static,
    {
        let (input, edge) = JoinInput::of(self, operation, &partitioning);
        let lineage = self.context.lineage(operation, partitioning.partitions(), vec![edge]);
        let depth = input.depth();
        let task_memory_limit_bytes = self.context.engine.config().task_memory_limit();
        let compute = move |partition, task: &TaskContext| {
            let opened = input.open(operation, partition, task);
            let task = task.clone();
            let pieces = if input.is_ordered() { 1 } else { input.sub_partitions() };
            (0..pieces).flat_map(move |index| {
                let groups = blame(&operation, || opened.groups(index, &task)).into_groups();
                groups.map(move |(_, key, values)| {
                    (key, finish(operation, task_memory_limit_bytes, values))
                })
            })
        };
        let partitioner = Some(KnownPartitioner::new(&partitioning).in_hash_order(true));
        wide_of(&self.context, lineage, partitioner, depth, heap_bytes_of, compute)
    }
}

/// Turns the values of a key into the value of the resulting row, given the task memory limit.
type Finish<V, U> = fn(Operation, u64, Group<V>) -> U;

fn collect<V: Stored>(
    operation: Operation,
    task_memory_limit_bytes: u64,
    values: Group<V>,
) -> Vec<V> {
    collect_group(operation, task_memory_limit_bytes, values, "group_by_key_iter")
}

fn stream<V>(_: Operation, _: u64, values: Group<V>) -> Group<V> {
    values
}

fn group_bytes<K: Key, V: Stored>((key, group): &(K, Group<V>)) -> u64 {
    heap_bytes(key) + group.heap_bytes()
}
