//! `count`: the number of rows.

use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the number of rows.
    ///
    /// Stored partitions and collections are counted without reading their rows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.range(0..1000_u32).filter(|n| n % 3 == 0).count()?, 334);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn count(&self) -> Result<u64> {
        run_action(Operation::new("count"), |frame| {
            let counts = self.run_all(frame, Iterator::count)?;
            Ok(counts.into_iter().map(|n| n as u64).sum())
        })
    }
}
