//! `sum`: all rows added.

use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use std::any::Any;
use std::iter::{Sum, empty, once};

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the sum of the rows, for all types that [`Iterator::sum`] supports.
    ///
    /// The sum of no rows is 0. Integers overflow as they do in std. The last digits of a sum of
    /// floats depend on the partitioning; see [`stats`](Rdd::stats) for an exact sum.
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
            let parts = self.run_all(frame, move |rows| blame(&action, || sum_of::<T, S>(rows)))?;
            let sum = sum_of(parts.into_iter().flatten());
            Ok(sum.unwrap_or_else(sum_of_nothing))
        })
    }
}

/// Returns the sum, or `None` of no rows.
fn sum_of<T, S: Sum<T>>(mut rows: impl Iterator<Item = T>) -> Option<S> {
    let first = rows.next()?;
    Some(once(first).chain(rows).sum())
}

/// Returns the sum of no rows. It is 0 for floats; std returns -0.
fn sum_of_nothing<S: Sum<S> + 'static>() -> S {
    let mut sum = empty::<S>().sum::<S>();
    let any: &mut dyn Any = &mut sum;
    if let Some(sum) = any.downcast_mut::<f64>() {
        *sum = 0.0;
    } else if let Some(sum) = any.downcast_mut::<f32>() {
        *sum = 0.0;
    } else if let Some(sum) = any.downcast_mut::<Option<f64>>() {
        *sum = Some(0.0);
    } else if let Some(sum) = any.downcast_mut::<Option<f32>>() {
        *sum = Some(0.0);
    }
    sum
}
