//! `collect`: all rows.

use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns all rows, in the order of partitions and rows.
    ///
    /// The rows are not counted against the memory limit; see [`take`](Rdd::take) for a few.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.range(0..3_u8).map(|n| n * 2).collect()?, [0, 2, 4]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn collect(&self) -> Result<Vec<T>> {
        run_action(Operation::new("collect"), |frame| {
            let mut parts = self.all_rows(frame)?;
            if parts.len() == 1 {
                return Ok(parts.remove(0));
            }
            let mut rows = Vec::with_capacity(parts.iter().map(Vec::len).sum());
            parts.into_iter().for_each(|part| rows.extend(part));
            Ok(rows)
        })
    }
}
