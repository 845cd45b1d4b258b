//! `try_map`: `map` with a closure that may fail.

use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::error::{BoxError, Error, ErrorKind};
use emberline_core::operation::Operation;
use emberline_core::unwind::raise;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each row into the value of a fallible `f(row)`.
    ///
    /// The first `Err` fails the action with `ClosureFailed`, which has the cause, the partition
    /// and the line of this call. `?` in `f` accepts any error.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let parse = |texts: Vec<&'static str>| {
    ///     ctx.parallelize(texts).try_map(|text| Ok(text.parse::<i32>()?)).collect()
    /// };
    /// assert_eq!(parse(vec!["1", "2"])?, [1, 2]);
    /// let error = parse(vec!["1", "two"]).unwrap_err();
    /// assert!(error.to_string().contains("invalid digit"));
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn try_map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(T) -> Result<U, BoxError> + Send + Sync + 'static,
    {
        let operation = Operation::new("try_map");
        let f = move |row| match f(row) {
            Ok(mapped) => mapped,
            Err(cause) => fail(operation, cause),
        };
        self.mapped(operation, size_of::<F>(), KeyEffect::Changed, f)
    }
}

/// Fails the task with the error of a fallible closure.
#[cold]
pub(super) fn fail(operation: Operation, cause: BoxError) -> ! {
    raise(Error::new(ErrorKind::ClosureFailed).caused_by(cause).in_operation(operation))
}
