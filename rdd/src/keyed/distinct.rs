//! `distinct`: each row once.

use super::shuffled::wide;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::bounds::Key;
use emberline_core::lineage::Dependency;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;
use emberline_shuffle::{Partitioning, SpillingCombiner, hash_of};
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Keeps one of equal rows, the first.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: kept
    /// - **Partitioner**: kept if there is one, else none
    /// - **Shuffle**: one, with map-side combine; none if the RDD has a partitioner, since equal
    ///   rows have equal keys
    /// - **Memory**: a table of distinct rows in a task's share; what passes it goes in runs
    /// - **Order**: by the hash of the row
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let mut rows = ctx.parallelize(vec![3, 1, 3, 2, 1]).distinct().collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [1, 2, 3]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn distinct(&self) -> Rdd<T>
    where
        T: Key,
    {
        let operation = Operation::new("distinct");
        let partitions = self.num_partitions();
        if self.partitioner.is_none() {
            return self.deduplicated(operation, Partitioning::Hash(partitions.max(1)));
        }
        let narrow = vec![Dependency::Narrow(Arc::clone(&self.lineage))];
        let lineage = self.context.lineage(operation, partitions, narrow);
        let (parent, depth) = (self.pipeline.clone(), self.pipeline.depth());
        let compute = move |partition, task: &TaskContext| {
            first_of_equals(operation, parent.open(partition, task), task)
        };
        // They come in the order of the hash of rows, not of keys.
        let partitioner = self.partitioner.clone().map(|known| known.in_hash_order(false));
        wide(&self.context, lineage, partitioner, depth, compute)
    }

    pub(super) fn deduplicated(&self, operation: Operation, by: Partitioning<T>) -> Rdd<T>
    where
        T: Key,
    {
        let marked = self.mapped(operation, 0, KeyEffect::Changed, |row| (row, ()));
        let distinct = marked.reduced(operation, by, |first, _| first);
        distinct.mapped(operation, 0, KeyEffect::Changed, |(row, ())| row).boxed()
    }
}

/// The distinct rows of one partition, in the order of their hash.
fn first_of_equals<T: Key, R: Iterator<Item = T>>(
    operation: Operation,
    rows: R,
    task: &TaskContext,
) -> impl Iterator<Item = T> + use<T, R> {
    let mut table = SpillingCombiner::new(task);
    rows.for_each(|row| {
        blame(&operation, || table.merge(hash_of(&row), row, (), &|()| (), &|(), ()| ()));
    });
    blame(&operation, || table.finish(|(), ()| ())).map(|(row, ())| row)
}
