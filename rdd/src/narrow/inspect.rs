//! `inspect`: a side effect for each row.

use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Calls `f` with a reference to each row and passes the row on.
    ///
    /// Keeps the partitioner. `f` runs for the rows that an action needs, again if recomputed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let rows = ctx.range(0..3_u32).inspect(|n| eprintln!("saw {n}"));
    /// assert_eq!(rows.count()?, 3);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn inspect<F>(&self, f: F) -> Rdd<T, impl Fused<Item = T> + use<T, P, F>>
    where
        F: Fn(&T) + Send + Sync + 'static,
    {
        let call = move |row: T| {
            f(&row);
            row
        };
        self.mapped(Operation::new("inspect"), size_of::<F>(), KeyEffect::Preserved, call)
    }
}
