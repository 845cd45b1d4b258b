//! `flat_map`: any number of rows for each row.

use super::adapted::{Adaptor, At};
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use emberline_core::task::CancelCheck;
use emberline_core::unwind::blame;
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each row into the rows of `f(row)`.
    ///
    /// The iterator that `f` returns is consumed lazily.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let countdowns = ctx.parallelize(vec![2, 0, 3]).flat_map(|n| (0..n).rev());
    /// assert_eq!(countdowns.collect()?, [1, 0, 2, 1, 0]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "flatMap")]
    #[track_caller]
    pub fn flat_map<U, I, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + 'static,
        F: Fn(T) -> I + Send + Sync + 'static,
    {
        self.flat_mapped(Operation::new("flat_map"), size_of::<F>(), f)
    }

    pub(crate) fn flat_mapped<U, I, F>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        f: F,
    ) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + 'static,
        F: Fn(T) -> I + Send + Sync + 'static,
    {
        self.adapted::<F, FlatMap>(operation, closure_bytes, KeyEffect::Changed, f)
    }
}

pub(super) enum FlatMap {}

impl<R, I, F> Adaptor<R, F> for FlatMap
where
    R: Iterator + 'static,
    I: IntoIterator<Item: Element> + 'static,
    F: Fn(R::Item) -> I + 'static,
{
    type Item = I::Item;
    type Rows = FlatMappedRows<R, I::IntoIter, F>;

    fn adapt(rows: R, f: Arc<F>, operation: Operation, at: At<'_>) -> Self::Rows {
        FlatMappedRows { rows, inner: None, f, operation, cancel_check: CancelCheck::new(at.task) }
    }
}

/// Maximum number of rows of one list that are counted for cancellation together.
const MAX_ROWS_COUNTED_TOGETHER: usize = 1024;

pub(super) struct FlatMappedRows<R, J, F> {
    rows: R,
    inner: Option<J>,
    f: Arc<F>,
    operation: Operation,
    /// The rows of one row may be endless.
    cancel_check: CancelCheck,
}

impl<R, I, F> Iterator for FlatMappedRows<R, I::IntoIter, F>
where
    R: Iterator,
    I: IntoIterator + 'static,
    F: Fn(R::Item) -> I,
{
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        loop {
            if let Some(inner) = &mut self.inner {
                if let Some(row) = blame(&self.operation, || inner.next()) {
                    self.cancel_check.tick();
                    return Some(row);
                }
                // An iterator of the user's may return rows after its end.
                blame(&self.operation, || self.inner = None);
            }
            let row = self.rows.next()?;
            self.inner = Some(blame(&self.operation, || (self.f)(row).into_iter()));
        }
    }

    // Downstream operations run inside this fold. `blame` keeps the operation that was blamed
    // first.
    #[inline]
    fn fold<B, G: FnMut(B, I::Item) -> B>(self, init: B, mut g: G) -> B {
        let f = &*self.f;
        let operation = &self.operation;
        let mut cancel_check = self.cancel_check;
        let mut each = |inner: I::IntoIter, accumulated| {
            let hint = inner.size_hint();
            let counts = CancelCheck::is_needed::<I::IntoIter>(hint, MAX_ROWS_COUNTED_TOGETHER);
            if !counts {
                cancel_check.tick_rows(hint.1.unwrap_or(0));
            }
            inner.fold(accumulated, |accumulated, row| {
                if counts {
                    cancel_check.tick();
                }
                g(accumulated, row)
            })
        };
        let accumulated = match self.inner {
            Some(inner) => blame(operation, || each(inner, init)),
            None => init,
        };
        self.rows.fold(accumulated, |accumulated, row| {
            blame(operation, || each(f(row).into_iter(), accumulated))
        })
    }
}
