//! `try_flat_map`: `flat_map` with a closure that may fail.

use super::try_map::fail;
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::BoxError;
use emberline_core::operation::Operation;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each row into the rows of a fallible `f(row)`.
    ///
    /// The first `Err` fails the action with `ClosureFailed`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let texts = ctx.parallelize(vec!["1", "2"]);
    /// let counts = texts.try_flat_map(|text| Ok(0..text.parse::<i32>()?));
    /// assert_eq!(counts.collect()?, [0, 0, 1]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn try_flat_map<U, I, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + 'static,
        F: Fn(T) -> Result<I, BoxError> + Send + Sync + 'static,
    {
        let operation = Operation::new("try_flat_map");
        let f = move |row| match f(row) {
            Ok(rows) => rows,
            Err(cause) => fail(operation, cause),
        };
        self.flat_mapped(operation, size_of::<F>(), f)
    }
}
