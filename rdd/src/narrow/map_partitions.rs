//! `map_partitions`: a closure over the iterator of a partition.

use super::adapted::{Adaptor, At};
use crate::pipeline::user_rows::UserRows;
use crate::pipeline::{Element, Fused, PartitionRows, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use emberline_core::task::{CancelCheck, ROWS_PER_CHECK, TaskContext};
use emberline_core::unwind::{blame, record_caught_panic};
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each partition into the rows of `f(rows)`.
    ///
    /// `f` runs once for each partition, also for an empty one. It gets an iterator and may return
    /// a lazy one, so a partition can be larger than memory. The first `None` of that is its end.
    ///
    /// A panic of the rows that `f` pulls fails the action, also if `f` catches it: the rows that
    /// the panic took would be missing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.parallelize_with(2, vec![1, 2, 3, 4]);
    /// let sums = numbers.map_partitions(|rows| [rows.sum::<i32>()]);
    /// assert_eq!(sums.collect()?, [3, 7]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "mapPartitions")]
    #[track_caller]
    pub fn map_partitions<U, I, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + 'static,
        F: Fn(PartitionRows<P::Rows>) -> I + Send + Sync + 'static,
    {
        let operation = Operation::new("map_partitions");
        self.adapted::<F, MapPartitions>(operation, size_of::<F>(), KeyEffect::Changed, f)
    }
}

pub(super) enum MapPartitions {}

impl<R, I, F> Adaptor<R, F> for MapPartitions
where
    R: Iterator,
    I: IntoIterator<Item: Element> + 'static,
    F: Fn(PartitionRows<R>) -> I,
{
    type Item = I::Item;
    type Rows = BlamedRows<I::IntoIter>;

    fn adapt(rows: R, f: Arc<F>, operation: Operation, at: At<'_>) -> Self::Rows {
        BlamedRows::of(operation, at.task, || f(PartitionRows::new(rows, operation)))
    }
}

/// An iterator of the user's, maybe endless, whose panics are blamed on its operation.
pub(super) struct BlamedRows<R> {
    rows: UserRows<R>,
    operation: Operation,
    cancel_check: CancelCheck,
}

impl<R> BlamedRows<R> {
    /// Returns the rows of what `call` returns. `call` may have caught a panic.
    pub(super) fn of<I>(operation: Operation, task: &TaskContext, call: impl FnOnce() -> I) -> Self
    where
        I: IntoIterator<IntoIter = R, Item = R::Item>,
        R: Iterator,
    {
        let rows = blame(&operation, || call().into_iter());
        record_caught_panic();
        BlamedRows { rows: UserRows::new(rows), operation, cancel_check: CancelCheck::new(task) }
    }
}

impl<R: Iterator + 'static> Iterator for BlamedRows<R> {
    type Item = R::Item;

    #[inline]
    fn next(&mut self) -> Option<R::Item> {
        let row = blame(&self.operation, || self.rows.next())?;
        self.cancel_check.tick();
        Some(row)
    }

    // Downstream operations run inside this fold. `blame` keeps the operation that was blamed
    // first.
    #[inline]
    fn fold<B, G: FnMut(B, R::Item) -> B>(self, init: B, mut g: G) -> B {
        let BlamedRows { rows, operation, mut cancel_check } = self;
        blame(&operation, || {
            let counts = CancelCheck::is_needed::<R>(rows.claimed_size(), ROWS_PER_CHECK);
            rows.fold(init, |accumulated, row| {
                if counts {
                    cancel_check.tick();
                }
                g(accumulated, row)
            })
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}
