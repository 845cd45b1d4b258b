//! `inspect`: look at rows on their way.

use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Calls `f` with each row as it passes. Rows that are computed again are seen again, and rows
    /// that no action needs are not seen.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: kept
    /// - **Partitioner**: kept
    /// - **Shuffle**: none
    /// - **Memory**: constant
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let rows = ctx.range(0..3_u32).inspect(|n| eprintln!("saw {n}"));
    /// assert_eq!(rows.count()?, 3);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn inspect<F>(&self, f: F) -> Rdd<T, impl Fused<Item = T> + use<T, P, F>>
    where
        F: Fn(&T) + Send + Sync + 'static,
    {
        let look = move |row: T| {
            f(&row);
            row
        };
        self.mapped(Operation::new("inspect"), size_of::<F>(), KeyEffect::Preserved, look)
    }
}
