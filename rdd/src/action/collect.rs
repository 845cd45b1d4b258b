//! `collect`: all rows.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Gives all rows in one `Vec`.
    ///
    /// - **Shape**: `Rdd<T>` to `Vec<T>`
    /// - **Partitions**: all, one task each
    /// - **Partitioner**: not used
    /// - **Shuffle**: none
    /// - **Memory**: all rows, outside the budget, up to
    ///   [`max_result_bytes`](crate::ContextBuilder::max_result_bytes); [`take`](Rdd::take) looks
    ///   at a few
    /// - **Order**: of the partitions, then of the rows
    ///
    /// # Errors
    ///
    /// `ResultTooLarge` past that limit; else the first error of a task, with the operation, its line, the partition and the cause.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// assert_eq!(ctx.range(0..3_u8).map(|n| n * 2).collect()?, [0, 2, 4]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn collect(&self) -> Result<Vec<T>> {
        let mut parts = self.all_rows(Operation::new("collect"))?;
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let mut rows = Vec::with_capacity(parts.iter().map(Vec::len).sum());
        parts.into_iter().for_each(|part| rows.extend(part));
        Ok(rows)
    }
}
