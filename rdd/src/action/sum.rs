//! `sum`: all rows added.

use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use std::iter::Sum;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the sum of the rows, for all types that [`Iterator::sum`] supports.
    ///
    /// Integers overflow as they do in std. The last digits of a sum of floats depend on the
    /// partitioning; see [`stats`](Rdd::stats) for an exact sum.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.range(0..5_u64).sum::<u64>()?, 10);
    /// let bytes = ctx.parallelize(vec![200_u8, 100]);
    /// assert_eq!(bytes.map(u64::from).sum::<u64>()?, 300);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn sum<S>(&self) -> Result<S>
    where
        S: Sum<T> + Sum<S> + Send + 'static,
    {
        let action = Operation::new("sum");
        run_action(action, |frame| {
            let parts = self.run_all(frame, move |rows| blame(&action, || rows.sum::<S>()))?;
            Ok(parts.into_iter().sum())
        })
    }
}
