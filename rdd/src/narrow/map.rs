//! `map`: one row for each row. `inspect`, `key_by`, `map_values` and `try_map` are built on it.

use super::adapted::{Adaptor, At};
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each row into `f(row)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.parallelize(vec!["a", "bcd"]).map(|word| word.len()).collect()?, [1, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(T) -> U + Send + Sync + 'static,
    {
        self.mapped(Operation::new("map"), size_of::<F>(), KeyEffect::Changed, f)
    }

    /// Maps rows for an operation built on `map`; `closure_bytes` is the size of its closure.
    pub(crate) fn mapped<U, F>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        key_effect: KeyEffect,
        f: F,
    ) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(T) -> U + Send + Sync + 'static,
    {
        self.adapted::<F, Map>(operation, closure_bytes, key_effect, f)
    }
}

enum Map {}

impl<R, U, F> Adaptor<R, F> for Map
where
    R: Iterator + 'static,
    U: Element,
    F: Fn(R::Item) -> U + 'static,
{
    type Item = U;
    type Rows = MappedRows<R, F>;

    fn adapt(rows: R, f: Arc<F>, operation: Operation, _: At<'_>) -> Self::Rows {
        MappedRows { rows, f, operation }
    }
}

struct MappedRows<R, F> {
    rows: R,
    f: Arc<F>,
    operation: Operation,
}

impl<R: Iterator, U, F: Fn(R::Item) -> U> Iterator for MappedRows<R, F> {
    type Item = U;

    #[inline]
    fn next(&mut self) -> Option<U> {
        let row = self.rows.next()?;
        Some(blame(&self.operation, || (self.f)(row)))
    }

    #[inline]
    fn fold<B, G: FnMut(B, U) -> B>(self, init: B, mut g: G) -> B {
        let f = &*self.f;
        let operation = &self.operation;
        self.rows.fold(init, |accumulated, row| g(accumulated, blame(operation, || f(row))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}
