//! `map_partitions_with_index`: `map_partitions` with the index of the partition.

use super::adapted::{Adaptor, At};
use super::map_partitions::BlamedRows;
use crate::pipeline::{Element, Fused, PartitionRows, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each partition into the rows of `f(index, rows)`. Indices begin at 0.
    ///
    /// Otherwise like [`map_partitions`](Rdd::map_partitions).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.parallelize_with(2, vec![1, 2, 3, 4]);
    /// let sums = numbers.map_partitions_with_index(|index, rows| [(index, rows.sum::<i32>())]);
    /// assert_eq!(sums.collect()?, [(0, 3), (1, 7)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "mapPartitionsWithIndex")]
    #[track_caller]
    pub fn map_partitions_with_index<U, I, F>(
        &self,
        f: F,
    ) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + 'static,
        F: Fn(usize, PartitionRows<P::Rows>) -> I + Send + Sync + 'static,
    {
        let operation = Operation::new("map_partitions_with_index");
        self.adapted::<F, MapPartitionsWithIndex>(operation, size_of::<F>(), KeyEffect::Changed, f)
    }
}

enum MapPartitionsWithIndex {}

impl<R, I, F> Adaptor<R, F> for MapPartitionsWithIndex
where
    R: Iterator,
    I: IntoIterator<Item: Element> + 'static,
    F: Fn(usize, PartitionRows<R>) -> I,
{
    type Item = I::Item;
    type Rows = BlamedRows<I::IntoIter>;

    fn adapt(rows: R, f: Arc<F>, operation: Operation, at: At<'_>) -> Self::Rows {
        BlamedRows::of(operation, at.task, || f(at.partition, PartitionRows::new(rows, operation)))
    }
}
