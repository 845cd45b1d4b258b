//! `sum`: all rows added.

use crate::driver::{run_action, run_on_driver};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use std::iter::Sum;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Adds the rows of each partition, then the sums of the partitions, in order: for any rows and
    /// sums that std's [`Iterator::sum`] knows. Without rows it is what std says, 0 for numbers.
    ///
    /// Integers that overflow panic or wrap as they do in std; a wider number is a
    /// [`map`](Rdd::map) away. The last digits of a sum of floats depend on how the rows are cut,
    /// since each addition rounds; [`stats`](Rdd::stats) rounds once.
    ///
    /// - **Shape**: `Rdd<T>` to `S`
    /// - **Partitions**: all, one task each
    /// - **Partitioner**: not used
    /// - **Shuffle**: none
    /// - **Memory**: one sum for each partition
    /// - **Order**: added in order
    ///
    /// # Errors
    ///
    /// The first error of a task.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// assert_eq!(ctx.range(0..5_u64).sum::<u64>()?, 10);
    /// let bytes = ctx.parallelize(vec![200_u8, 100]);
    /// assert_eq!(bytes.map(u64::from).sum::<u64>()?, 300);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn sum<S>(&self) -> Result<S>
    where
        S: Sum<T> + Sum<S> + Send + 'static,
    {
        let action = Operation::new("sum");
        run_action(action, || {
            let parts = self.run_all(action, move |rows| blame(&action, || rows.sum::<S>()))?;
            run_on_driver(action, || parts.into_iter().sum())
        })
    }
}
