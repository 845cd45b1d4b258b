//! `count`: how many rows.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Counts the rows. The steps before it run, as for any action; rows that are stored or lie in a
    /// collection are not looked at.
    ///
    /// - **Shape**: `Rdd<T>` to `u64`
    /// - **Partitions**: all, one task each
    /// - **Partitioner**: not used
    /// - **Shuffle**: none
    /// - **Memory**: constant
    /// - **Order**: not used
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
    /// assert_eq!(ctx.range(0..1000_u32).filter(|n| n % 3 == 0).count()?, 334);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn count(&self) -> Result<u64> {
        let counts = self.run_all(Operation::new("count"), Iterator::count)?;
        Ok(counts.into_iter().map(|n| n as u64).sum())
    }
}
