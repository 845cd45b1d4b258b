//! `reduce`: all rows merged into one.

use crate::driver::{ActionFrame, run_action};
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
        run_action(Operation::new("reduce"), |frame| self.merged(frame, f))
    }

    /// Merges all rows in order with `f`.
    pub(super) fn merged<F>(&self, frame: &ActionFrame, f: F) -> Result<Option<T>>
    where
        F: Fn(T, T) -> T + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let in_task = Arc::clone(&f);
        let action = frame.action();
        let parts = self.run_all(frame, move |mut rows| {
            let first = rows.next()?;
            Some(rows.fold(first, |a, b| blame(&action, || in_task(a, b))))
        })?;
        Ok(parts.into_iter().flatten().reduce(|a, b| f(a, b)))
    }
}
