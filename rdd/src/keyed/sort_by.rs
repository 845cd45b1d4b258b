//! `sort_by` and `sort_by_key`: a total order over all partitions.
//!
//! The first action samples the keys (`sort_sample.rs`), which gives the bounds of a range partitioner;
//! the shuffle brings each range into one partition, in the order of the input; a stable sort finishes
//! it.

use super::orders::{ByCompare, ByKeyOf, ByPairKey, in_order};
use super::shuffled::{ConcatRows, shuffle, wide};
use super::sort_sample::SampleKeys;
use crate::partitioner::KnownPartitioner;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;
use emberline_shuffle::{
    MapWriter, Partitioner, Partitioning, RangePartitioner, RangeSubPartitions, RowOrder,
};
use std::cmp::Ordering;
use std::sync::{Arc, Mutex};

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Sorts all rows by `key_of(row)`, ascending; rows of equal keys keep their order. Use
    /// `std::cmp::Reverse` for descending, and
    /// [`sort_by`](Rdd::sort_by) for floats.
    ///
    /// The first action runs a job that samples the keys; nothing runs at this call.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: kept; with few distinct keys some stay empty
    /// - **Partitioner**: dropped
    /// - **Shuffle**: one
    /// - **Memory**: a task's share; what passes it is sorted in runs
    /// - **Order**: ascending over all partitions; stable
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    /// use std::cmp::Reverse;
    ///
    /// let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["ccc", "a", "bb"]).map(str::to_string);
    /// assert_eq!(words.sort_by_key(|word| word.len()).collect()?, ["a", "bb", "ccc"]);
    /// assert_eq!(words.sort_by_key(|word| Reverse(word.len())).first()?.as_deref(), Some("ccc"));
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn sort_by_key<K, F>(&self, key_of: F) -> Rdd<T>
    where
        T: Stored,
        K: Ord + Clone + Send + Sync + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        self.sorted_by_key(Operation::new("sort_by_key"), self.num_partitions().max(1), key_of)
    }

    /// Sorts all rows by a comparison of their own, which must be a total order: the way to sort
    /// floats, by `f64::total_cmp`.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: kept; with few distinct rows some stay empty
    /// - **Partitioner**: dropped
    /// - **Shuffle**: one
    /// - **Memory**: a task's share; what passes it is sorted in runs
    /// - **Order**: ascending over all partitions; stable
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let sorted = ctx.parallelize(vec![2.5, -1.0, f64::INFINITY]).sort_by(f64::total_cmp);
    /// assert_eq!(sorted.collect()?, [-1.0, 2.5, f64::INFINITY]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
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
        let (of_sample, of_place) = (Arc::clone(&order), Arc::clone(&order));
        let ranges = Ranges {
            key_of: T::clone,
            compare: move |a: &T, b: &T| (of_sample.0)(a, b),
            place: move |bounds: &[T], row: &T| {
                bounds.partition_point(|bound| (of_place.0)(bound, row) == Ordering::Less)
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
        let (of_sample, of_place) = (Arc::clone(&order), Arc::clone(&order));
        let ranges = Ranges {
            key_of: move |row: &T| (of_sample.0)(row),
            compare: K::cmp,
            place: move |bounds: &[K], row: &T| {
                let key = (of_place.0)(row);
                bounds.partition_point(|bound| *bound < key)
            },
        };
        let range = Arc::new(RangePartitioner::new(partitions));
        self.sorted(operation, range, None, ranges, order)
    }

    /// Range partitioning, then a sort of each partition.
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
        let slices = Arc::new(RangeSubPartitions::new(partitions));
        let (cut, each) = (Arc::clone(&slices), slices.each());
        let Ranges { key_of, compare, place } = ranges;
        let write = move |rows: P::Rows, _, to: &mut MapWriter<T>| {
            rows.for_each(|row| {
                let slice = blame(&operation, || cut.index_of(|bounds| place(bounds, &row)));
                to.push(slice, row);
            });
        };
        let (outputs, edge) = shuffle(self, operation, (partitions, each), write);
        let mut lineage = self.context.lineage(operation, partitions, vec![edge]);
        let (rdd, key_of, running) = (self.clone(), Arc::new(key_of), Mutex::new(()));
        let sample = SampleKeys { rdd, range, slices, key_of, compare, operation, running };
        lineage.preparation = Some(Arc::new(sample));
        let compute = move |partition, task: &TaskContext| {
            let (outputs, order, task) = (outputs.clone(), Arc::clone(&order), task.clone());
            (partition * each..(partition + 1) * each).flat_map(move |slice| {
                let rows = ConcatRows::new(outputs.read(slice, &task));
                in_order(operation, rows, Arc::clone(&order), &task)
            })
        };
        wide(&self.context, lineage, partitioner, 0, compute)
    }
}

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Sorts pairs by key, ascending; pairs of equal keys keep their order.
    ///
    /// The first action runs a job that samples the keys; nothing runs at this call.
    ///
    /// - **Shape**: `Rdd<(K, V)>` to `Rdd<(K, V)>`
    /// - **Partitions**: kept; with few distinct keys some stay empty
    /// - **Partitioner**: the ranges of the sort
    /// - **Shuffle**: one
    /// - **Memory**: a task's share; what passes it is sorted in runs
    /// - **Order**: ascending by key over all partitions; stable
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let pairs = ctx.parallelize(vec![("b", 1), ("a", 2), ("b", 0)]);
    /// let sorted = pairs.map(|(key, n)| (key.to_string(), n)).sort_pairs().collect()?;
    /// assert_eq!(sorted, [("a".into(), 2), ("b".into(), 1), ("b".into(), 0)]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
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
            place: |bounds: &[K], pair: &(K, V)| bounds.partition_point(|bound| *bound < pair.0),
        };
        let partitioner = Some(KnownPartitioner::new(&partitioning));
        self.sorted(operation, range, partitioner, ranges, Arc::new(ByPairKey))
    }
}

/// Which range a row goes to: the key of a sampled row, the order of keys, and how many of some bounds
/// lie below a row.
struct Ranges<F, C, G> {
    key_of: F,
    compare: C,
    place: G,
}
