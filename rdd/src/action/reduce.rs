//! `reduce`: all rows merged into one.

use crate::driver::{run_action, run_on_driver};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use std::sync::Arc;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Merges all rows with `f`, which must be associative, or returns `None` if there are no rows.
    ///
    /// Results of partitions are merged in order, so `f` need not be commutative.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.range(1..6_u32).reduce(|a, b| a * b)?, Some(120));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "treeReduce")]
    #[track_caller]
    pub fn reduce<F>(&self, f: F) -> Result<Option<T>>
    where
        F: Fn(T, T) -> T + Send + Sync + 'static,
    {
        self.merged(Operation::new("reduce"), f)
    }

    /// Merges all rows in order with `f`, for `action`.
    pub(super) fn merged<F>(&self, action: Operation, f: F) -> Result<Option<T>>
    where
        F: Fn(T, T) -> T + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let in_task = Arc::clone(&f);
        run_action(action, || {
            let parts = self.run_all(action, move |mut rows| {
                let first = rows.next()?;
                Some(rows.fold(first, |a, b| blame(&action, || in_task(a, b))))
            })?;
            run_on_driver(action, || parts.into_iter().flatten().reduce(|a, b| f(a, b)))
        })
    }
}
