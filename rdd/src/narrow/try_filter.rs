//! `try_filter`: a predicate that may fail.

use super::try_map::fail;
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::BoxError;
use emberline_core::operation::Operation;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Keeps the rows for which a fallible `predicate` returns true.
    ///
    /// The first `Err` fails the action with `ClosureFailed`. Keeps the partitioner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let large = ctx.parallelize(vec!["7", "70"]).try_filter(|it| Ok(it.parse::<i32>()? > 9));
    /// assert_eq!(large.collect()?, ["70"]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn try_filter<F>(&self, predicate: F) -> Rdd<T, impl Fused<Item = T> + use<T, P, F>>
    where
        F: Fn(&T) -> Result<bool, BoxError> + Send + Sync + 'static,
    {
        let operation = Operation::new("try_filter");
        let predicate = move |row: &T| match predicate(row) {
            Ok(matches) => matches,
            Err(cause) => fail(operation, cause),
        };
        self.filtered(operation, size_of::<F>(), predicate)
    }
}
