//! `group_by_key` and `group_by_key_iter`: all values of a key together.

use super::group::into_list;
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

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Brings the values of each key together in a `Vec`. To sum, count or pick values, use
    /// [`reduce_by_key`](Rdd::reduce_by_key) or [`aggregate_by_key`](Rdd::aggregate_by_key): they
    /// move one value for each key and partition, this moves all.
    ///
    /// - **Shape**: `Rdd<(K, V)>` to `Rdd<(K, Vec<V>)>`, one row for each key
    /// - **Partitions**: of the partitioner it already has, else kept
    /// - **Partitioner**: the one it already has, else by hash
    /// - **Shuffle**: one, without map-side combine; none if already partitioned so
    /// - **Memory**: a task's share; what passes it is sorted in runs. A group that
    ///   passes it is the error `GroupTooLarge`, which names
    ///   [`group_by_key_iter`](Rdd::group_by_key_iter)
    /// - **Order**: by the hash of the key; values in the order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let mut groups = ctx.parallelize(vec![(1, 'a'), (2, 'b'), (1, 'c')]).group_by_key().collect()?;
    /// groups.sort();
    /// assert_eq!(groups, [(1, vec!['a', 'c']), (2, vec!['b'])]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn group_by_key(&self) -> Rdd<(K, Vec<V>)>
    where
        K: Key,
        V: Stored,
    {
        self.grouped_lists(Operation::new("group_by_key"), self.default_partitioning_of_keys())
    }

    /// Brings the values of each key together in a [`Group`], which is read by iterating it. A group
    /// can be neither shuffled nor cached; what [`map_values`](Rdd::map_values) makes of it can.
    ///
    /// - **Shape**: `Rdd<(K, V)>` to `Rdd<(K, Group<V>)>`, one row for each key
    /// - **Partitions**: of the partitioner it already has, else kept
    /// - **Partitioner**: the one it already has, else by hash
    /// - **Shuffle**: one, without map-side combine; none if already partitioned so
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
    /// let groups = ctx.parallelize(vec![(1, 4.0), (1, 8.0)]).group_by_key_iter();
    /// let spreads = groups.map_values(|group| {
    ///     let mean = group.iter().sum::<f64>() / group.len() as f64;
    ///     group.iter().map(|x| (x - mean).abs()).fold(0.0, f64::max)
    /// });
    /// assert_eq!(spreads.collect()?, [(1, 2.0)]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
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
        self.gathered(operation, partitioning, (limited::<V>, heap_bytes))
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
        self.gathered(operation, partitioning, (unlimited::<V>, group_bytes))
    }

    /// Groups by key and gives each group to `finish`; `measure` says what such a row owns.
    pub(super) fn gathered<U: Element, W>(
        &self,
        operation: Operation,
        by: Partitioning<K>,
        (finish, measure): (Finish<V, U>, W),
    ) -> Rdd<(K, U)>
    where
        K: Key,
        V: Stored,
        W: Fn(&(K, U)) -> u64 + Copy + Send + Sync + 'static,
    {
        let (side, edge) = JoinInput::of(self, operation, &by);
        let lineage = self.context.lineage(operation, by.partitions(), vec![edge]);
        let depth = side.depth();
        let share = self.context.engine.config().task_memory_limit();
        let compute = move |partition, task: &TaskContext| {
            let (opened, task) = (side.open(operation, partition, task), task.clone());
            let pieces = if side.is_ordered() { 1 } else { side.slices() };
            (0..pieces).flat_map(move |slice| {
                let groups = blame(&operation, || opened.groups(slice, &task)).into_groups();
                groups.map(move |(_, key, values)| (key, finish(operation, share, values)))
            })
        };
        let partitioner = Some(KnownPartitioner::new(&by).in_hash_order(true));
        wide_of(&self.context, lineage, partitioner, (depth, measure), compute)
    }
}

/// What becomes of a group, of which the step and the task's share are known.
pub(super) type Finish<V, U> = fn(Operation, u64, Group<V>) -> U;

/// A group as a `Vec`, unless it passes a task's share.
pub(super) fn limited<V: Stored>(operation: Operation, share: u64, values: Group<V>) -> Vec<V> {
    into_list(operation, share, values, "group_by_key_iter")
}

fn group_bytes<K: Key, V: Stored>((key, group): &(K, Group<V>)) -> u64 {
    heap_bytes(key) + group.heap_bytes()
}

fn unlimited<V>(_: Operation, _: u64, values: Group<V>) -> Group<V> {
    values
}
