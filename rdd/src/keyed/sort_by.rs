//! `sort_by`, `sort_by_key` and `sort_pairs`: a total order over all partitions.

use super::orders::{ByCompare, ByKeyOf, ByPairKey, sort_rows};
use super::shuffled::{ConcatRows, shuffle, wide};
use super::sort_sample::SampleKeys;
use crate::partitioner::KnownPartitioner;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::exclusive::Exclusive;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;
use emberline_shuffle::map_side::{self, AssignedRow, Distribute};
use emberline_shuffle::{
    Partitioner, Partitioning, RangePartitioner, RangeSubPartitions, RowOrder,
};
use std::cmp::Ordering;
use std::sync::Arc;

/// # Sorting and partitioning
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Sorts the rows by `key_of(row)`, ascending; see [`sort_pairs`](Rdd::sort_pairs) for pairs.
    ///
    /// The sort is stable. [`Reverse`](std::cmp::Reverse) sorts descending, and
    /// [`sort_by`](Rdd::sort_by) sorts floats. Shuffles once into ranges of keys, which the first
    /// action finds by a job that samples the keys; with few distinct keys some partitions are
    /// empty. Rows beyond the task memory limit spill.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// use std::cmp::Reverse;
    /// # let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["ccc", "a", "bb"]).map(str::to_string);
    /// assert_eq!(words.sort_by_key(|word| word.len()).collect()?, ["a", "bb", "ccc"]);
    /// assert_eq!(words.sort_by_key(|word| Reverse(word.len())).collect()?, ["ccc", "bb", "a"]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "sortBy")]
    #[track_caller]
    pub fn sort_by_key<K, F>(&self, key_of: F) -> Rdd<T>
    where
        T: Stored,
        K: Ord + Clone + Send + Sync + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        self.sorted_by_key(Operation::new("sort_by_key"), self.num_partitions().max(1), key_of)
    }

    /// Sorts the rows with a comparator, which must be a total order.
    ///
    /// The sort is stable. To sort descending, compare `b` with `a`. Shuffles once into ranges of
    /// rows, as [`sort_by_key`](Rdd::sort_by_key) does. Rows beyond the task memory limit spill.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let sorted = ctx.parallelize(vec![2.5, -1.0, f64::INFINITY]).sort_by(f64::total_cmp);
    /// assert_eq!(sorted.collect()?, [-1.0, 2.5, f64::INFINITY]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "sortBy")]
    #[track_caller]
    pub fn sort_by<F>(&self, compare: F) -> Rdd<T>
    where
        T: Stored,
        F: Fn(&T, &T) -> Ordering + Send + Sync + 'static,
    {
        self.sorted_by(Operation::new("sort_by"), self.num_partitions().max(1), compare)
    }

    pub(super) fn sorted_by<F>(&self, operation: Operation, partitions: usize, compare: F) -> Rdd<T>
    where
        T: Stored,
        F: Fn(&T, &T) -> Ordering + Send + Sync + 'static,
    {
        let order = Arc::new(ByCompare(compare));
        let sample_order = Arc::clone(&order);
        let shuffle_order = Arc::clone(&order);
        let ranges = Ranges {
            key_of: T::clone,
            compare: move |a: &T, b: &T| (sample_order.0)(a, b),
            range_of: move |bounds: &[T], row: &T| {
                bounds.partition_point(|bound| (shuffle_order.0)(bound, row) == Ordering::Less)
            },
        };
        let range = Arc::new(RangePartitioner::new(partitions));
        self.sorted(operation, range, None, ranges, order)
    }

    pub(super) fn sorted_by_key<K, F>(
        &self,
        operation: Operation,
        partitions: usize,
        key_of: F,
    ) -> Rdd<T>
    where
        T: Stored,
        K: Ord + Clone + Send + Sync + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        let order = Arc::new(ByKeyOf(key_of));
        let sample_order = Arc::clone(&order);
        let shuffle_order = Arc::clone(&order);
        let ranges = Ranges {
            key_of: move |row: &T| (sample_order.0)(row),
            compare: K::cmp,
            range_of: move |bounds: &[K], row: &T| {
                let key = (shuffle_order.0)(row);
                bounds.partition_point(|bound| *bound < key)
            },
        };
        let range = Arc::new(RangePartitioner::new(partitions));
        self.sorted(operation, range, None, ranges, order)
    }

    /// Partitions rows by range and sorts each partition.
    fn sorted<K, F, C, G, O>(
        &self,
        operation: Operation,
        range: Arc<RangePartitioner<K>>,
        partitioner: Option<KnownPartitioner>,
        ranges: Ranges<F, C, G>,
        order: Arc<O>,
    ) -> Rdd<T>
    where
        T: Stored,
        K: Clone + Send + Sync + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
        C: Fn(&K, &K) -> Ordering + Send + Sync + 'static,
        G: Fn(&[K], &T) -> usize + Send + Sync + 'static,
        O: RowOrder<T> + Send + Sync + 'static,
    {
        let partitions = range.count();
        let sub_partitions = Arc::new(RangeSubPartitions::new(partitions));
        let by_range = Arc::clone(&sub_partitions);
        let each = sub_partitions.each();
        let Ranges { key_of, compare, range_of } = ranges;
        let write_rows = move |rows: P::Rows, task: &TaskContext| {
            let assign = |row| {
                let segment =
                    blame(&operation, || by_range.index_of(|bounds| range_of(bounds, &row)));
                AssignedRow::new(segment, row)
            };
            map_side::run(Distribute { segments: partitions * each, assign }, rows, task)
        };
        let (outputs, edge) = shuffle(self, operation, partitions, write_rows);
        let mut lineage = self.context.lineage(operation, partitions, vec![edge]);
        lineage.prerequisite = Some(Arc::new(SampleKeys {
            rdd: self.for_lineage(),
            range,
            sub_partitions,
            key_of: Arc::new(key_of),
            compare,
            operation,
            sampling: Exclusive::default(),
            deltas: Arc::default(),
        }));
        let compute = move |partition, task: &TaskContext| {
            let outputs = Arc::clone(&outputs);
            let order = Arc::clone(&order);
            let task = task.clone();
            (partition * each..(partition + 1) * each).flat_map(move |segment| {
                let rows = ConcatRows::new(outputs.read(segment, &task));
                sort_rows(operation, rows, Arc::clone(&order), &task)
            })
        };
        wide(&self.context, lineage, partitioner, 0, compute)
    }
}

/// # Sorting and partitioning
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Sorts the pairs by key, ascending.
    ///
    /// Order, shuffle and memory are those of [`sort_by_key`](Rdd::sort_by_key). The result has the
    /// ranges of keys as its partitioner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let pairs = ctx.parallelize(vec![('b', 1), ('a', 2), ('b', 0)]);
    /// assert_eq!(pairs.sort_pairs().collect()?, [('a', 2), ('b', 1), ('b', 0)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "sortByKey")]
    #[track_caller]
    pub fn sort_pairs(&self) -> Rdd<(K, V)>
    where
        K: Stored + Ord,
        V: Stored,
    {
        self.sorted_pairs(Operation::new("sort_pairs"), self.num_partitions().max(1))
    }

    pub(super) fn sorted_pairs(&self, operation: Operation, partitions: usize) -> Rdd<(K, V)>
    where
        K: Stored + Ord,
        V: Stored,
    {
        let range = Arc::new(RangePartitioner::new(partitions));
        let partitioning = Partitioning::By(Arc::clone(&range) as Arc<dyn Partitioner<K>>);
        let ranges = Ranges {
            key_of: |pair: &(K, V)| pair.0.clone(),
            compare: K::cmp,
            range_of: |bounds: &[K], pair: &(K, V)| bounds.partition_point(|bound| *bound < pair.0),
        };
        let partitioner = Some(KnownPartitioner::new(&partitioning));
        self.sorted(operation, range, partitioner, ranges, Arc::new(ByPairKey))
    }
}

/// The functions that assign rows to ranges.
struct Ranges<F, C, G> {
    key_of: F,
    compare: C,
    /// Returns the range of a row: the number of bounds that are less than its key.
    range_of: G,
}
