//! `for_each` and `for_each_partition`: side effects.

use crate::driver::run_action;
use crate::pipeline::{Element, PartitionRows, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Calls `f` with each row, on the threads of the tasks.
    ///
    /// Partitions run at the same time. A retried task calls `f` again for its rows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let sum = ctx.accumulator(0_u64);
    /// let adder = sum.clone();
    /// ctx.range(0..10_u64).for_each(move |n| adder.add(n))?;
    /// assert_eq!(sum.value(), 45);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "foreach")]
    #[track_caller]
    pub fn for_each<F>(&self, f: F) -> Result<()>
    where
        F: Fn(T) + Send + Sync + 'static,
    {
        let action = Operation::new("for_each");
        run_action(action, move |frame| {
            self.run_all(frame, move |rows| rows.for_each(|row| blame(&action, || f(row))))?;
            Ok(())
        })
    }

    /// Calls `f` once for each partition with an iterator of its rows, also for empty partitions.
    ///
    /// Use it to open a resource, such as a connection, once for many rows. Rows that `f` does not
    /// take are not computed. A retried task calls `f` again. A panic of the rows fails the action,
    /// also if `f` catches it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let sums = ctx.accumulator(Vec::new());
    /// let log = sums.clone();
    /// ctx.range_with(2, 0..10_u64).for_each_partition(move |rows| log.add(rows.sum::<u64>()))?;
    /// assert_eq!(sums.value(), [10, 35]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "foreachPartition")]
    #[track_caller]
    pub fn for_each_partition<F>(&self, f: F) -> Result<()>
    where
        F: Fn(PartitionRows<P::Rows>) + Send + Sync + 'static,
    {
        let action = Operation::new("for_each_partition");
        run_action(action, move |frame| {
            let work = move |rows| blame(&action, || f(PartitionRows::new(rows, action)));
            self.run_all(frame, work)?;
            Ok(())
        })
    }
}
