//! `filter_map`: filter and map in one pass.

use super::adapted::{Adaptor, At};
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each row into `f(row)` and keeps the results that are `Some`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.parallelize(vec!["7", "x"]).filter_map(|text| text.parse::<u8>().ok());
    /// assert_eq!(numbers.collect()?, [7]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn filter_map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(T) -> Option<U> + Send + Sync + 'static,
    {
        self.filter_mapped(Operation::new("filter_map"), size_of::<F>(), f)
    }

    pub(crate) fn filter_mapped<U, F>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        f: F,
    ) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(T) -> Option<U> + Send + Sync + 'static,
    {
        self.adapted::<F, FilterMap>(operation, closure_bytes, KeyEffect::Changed, f)
    }
}

pub(super) enum FilterMap {}

impl<R, U, F> Adaptor<R, F> for FilterMap
where
    R: Iterator + 'static,
    U: Element,
    F: Fn(R::Item) -> Option<U> + 'static,
{
    type Item = U;
    type Rows = FilterMappedRows<R, F>;

    fn adapt(rows: R, f: Arc<F>, operation: Operation, _: At<'_>) -> Self::Rows {
        FilterMappedRows { rows, f, operation }
    }
}

pub(super) struct FilterMappedRows<R, F> {
    rows: R,
    f: Arc<F>,
    operation: Operation,
}

impl<R: Iterator, U, F: Fn(R::Item) -> Option<U>> Iterator for FilterMappedRows<R, F> {
    type Item = U;

    #[inline]
    fn next(&mut self) -> Option<U> {
        let f = &*self.f;
        let operation = &self.operation;
        self.rows.find_map(|row| blame(operation, || f(row)))
    }

    #[inline]
    fn fold<B, G: FnMut(B, U) -> B>(self, init: B, mut g: G) -> B {
        let f = &*self.f;
        let operation = &self.operation;
        self.rows.fold(init, |accumulated, row| match blame(operation, || f(row)) {
            Some(mapped) => g(accumulated, mapped),
            None => accumulated,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.rows.size_hint().1)
    }
}
