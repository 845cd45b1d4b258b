//! `filter`: the rows that match a predicate.

use super::adapted::{Adaptor, At};
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Keeps the rows for which `predicate` returns true.
    ///
    /// Keeps the partitioner. A partition may become empty.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.range(0..6_u32).filter(|n| n % 2 == 0).collect()?, [0, 2, 4]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn filter<F>(&self, predicate: F) -> Rdd<T, impl Fused<Item = T> + use<T, P, F>>
    where
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        self.filtered(Operation::new("filter"), size_of::<F>(), predicate)
    }

    pub(crate) fn filtered<F>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        predicate: F,
    ) -> Rdd<T, impl Fused<Item = T> + use<T, P, F>>
    where
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        self.adapted::<F, Filter>(operation, closure_bytes, KeyEffect::Preserved, predicate)
    }
}

enum Filter {}

impl<R, F> Adaptor<R, F> for Filter
where
    R: Iterator<Item: Element> + 'static,
    F: Fn(&R::Item) -> bool + 'static,
{
    type Item = R::Item;
    type Rows = FilteredRows<R, F>;

    fn adapt(rows: R, predicate: Arc<F>, operation: Operation, _: At<'_>) -> Self::Rows {
        FilteredRows { rows, predicate, operation }
    }
}

struct FilteredRows<R, F> {
    rows: R,
    predicate: Arc<F>,
    operation: Operation,
}

impl<R: Iterator, F: Fn(&R::Item) -> bool> Iterator for FilteredRows<R, F> {
    type Item = R::Item;

    #[inline]
    fn next(&mut self) -> Option<R::Item> {
        let predicate = &*self.predicate;
        let operation = &self.operation;
        self.rows.find(|row| blame(operation, || predicate(row)))
    }

    #[inline]
    fn fold<B, G: FnMut(B, R::Item) -> B>(self, init: B, mut g: G) -> B {
        let predicate = &*self.predicate;
        let operation = &self.operation;
        self.rows.fold(init, |accumulated, row| {
            if blame(operation, || predicate(&row)) { g(accumulated, row) } else { accumulated }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.rows.size_hint().1)
    }
}
