//! `map_partitions`: work on a partition as an iterator.

use super::adapted::{Adaptor, At};
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{Keys, Rdd};
use emberline_core::step::{Step, blame, forgive};
use emberline_core::task::{Pace, ROWS_PER_CHECK, TaskContext};
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each partition into the rows of `f(rows)`. `f` runs once for each partition, also for
    /// an empty one, and gets a real iterator: what it returns may be lazy, so a partition can be
    /// larger than memory.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<U>`
    /// - **Partitions**: kept
    /// - **Partitioner**: dropped
    /// - **Shuffle**: none
    /// - **Memory**: what `f` holds
    /// - **Order**: as `f` gives it
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let sums = ctx.parallelize_with(2, vec![1, 2, 3, 4]).map_partitions(|rows| [rows.sum::<i32>()]);
    /// assert_eq!(sums.collect()?, [3, 7]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn map_partitions<U, I, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + 'static,
        F: Fn(P::Rows) -> I + Send + Sync + 'static,
    {
        let step = Step::new("map_partitions");
        self.adapted::<F, MapPartitions>(step, size_of::<F>(), Keys::Changed, f)
    }
}

pub(super) enum MapPartitions {}

impl<R, I, F> Adaptor<R, F> for MapPartitions
where
    I: IntoIterator<Item: Element> + 'static,
    F: Fn(R) -> I,
{
    type Item = I::Item;
    type Rows = BlamedRows<I::IntoIter>;

    fn adapt(rows: R, f: Arc<F>, step: Step, at: At<'_>) -> Self::Rows {
        BlamedRows::of(step, at.task, || f(rows))
    }
}

/// An iterator of the user's, whose panics are blamed on the step that made it. It may have no end,
/// whatever it reads.
pub(super) struct BlamedRows<R> {
    rows: R,
    step: Step,
    pace: Pace,
}

impl<R> BlamedRows<R> {
    /// The rows of what `call` returns; it may have caught what unwound in its input.
    pub(super) fn of<I>(step: Step, task: &TaskContext, call: impl FnOnce() -> I) -> Self
    where
        I: IntoIterator<IntoIter = R, Item = R::Item>,
        R: Iterator,
    {
        let rows = blame(&step, || call().into_iter());
        forgive();
        BlamedRows { rows, step, pace: Pace::new(task) }
    }
}

impl<R: Iterator> Iterator for BlamedRows<R> {
    type Item = R::Item;

    #[inline]
    fn next(&mut self) -> Option<R::Item> {
        let row = blame(&self.step, || self.rows.next())?;
        self.pace.step();
        Some(row)
    }

    // Steps further down run inside this fold; what they blamed first stays blamed.
    #[inline]
    fn fold<B, G: FnMut(B, R::Item) -> B>(self, init: B, mut g: G) -> B {
        let BlamedRows { rows, step, mut pace } = self;
        blame(&step, || {
            let counts = Pace::is_needed(rows.size_hint(), ROWS_PER_CHECK);
            rows.fold(init, |accumulated, row| {
                if counts {
                    pace.step();
                }
                g(accumulated, row)
            })
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}
