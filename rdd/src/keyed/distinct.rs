//! `distinct`: removes duplicate rows.

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

/// # Sets of rows
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Removes duplicate rows, keeping the first of equal rows.
    ///
    /// An RDD that has a partitioner keeps it and is not shuffled, since equal rows have equal
    /// keys; any other is shuffled by the hash of its rows, after removing the duplicates within
    /// each partition. Rows are ordered by their hash. Memory holds one entry per distinct row and
    /// spills beyond the task memory limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let mut rows = ctx.parallelize(vec![3, 1, 3, 2, 1]).distinct().collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [1, 2, 3]);
    /// # Ok::<(), Error>(())
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
        let parent = self.pipeline.clone();
        let depth = parent.depth();
        let compute = move |partition, task: &TaskContext| {
            distinct_rows(operation, parent.open(partition, task), task)
        };
        // Rows are ordered by the hash of the row, not of the key.
        let partitioner = self.partitioner.clone().map(|known| known.in_hash_order(false));
        wide(&self.context, lineage, partitioner, depth, compute)
    }

    pub(super) fn deduplicated(&self, operation: Operation, partitioning: Partitioning<T>) -> Rdd<T>
    where
        T: Key,
    {
        let keyed = self.mapped(operation, 0, KeyEffect::Changed, |row| (row, ()));
        let distinct = keyed.reduced(operation, partitioning, |(), ()| ());
        distinct.mapped(operation, 0, KeyEffect::Changed, |(row, ())| row).boxed()
    }
}

/// Returns the distinct rows of one partition, ordered by their hash.
fn distinct_rows<T: Key, R: Iterator<Item = T>>(
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
