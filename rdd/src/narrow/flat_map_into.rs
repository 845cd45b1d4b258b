//! `flat_map_into`: rows that a closure pushes while it borrows from its row.

use super::adapted::{Adaptor, At};
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use emberline_core::task::CancelCheck;
use emberline_core::unwind::{blame, raise_caught_panic};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

/// The output of the closure of [`Rdd::flat_map_into`].
pub struct Out<'a, U> {
    emit: &'a mut dyn FnMut(U),
}

impl<U> Out<'_, U> {
    /// Emits one row.
    #[inline(always)]
    pub fn push(&mut self, row: U) {
        (self.emit)(row);
    }
}

impl<U> Extend<U> for Out<'_, U> {
    fn extend<I: IntoIterator<Item = U>>(&mut self, rows: I) {
        rows.into_iter().for_each(|row| self.push(row));
    }
}

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each row into the rows that `f` pushes.
    ///
    /// `f` may push parts that borrow from its row, so splitting a row allocates no list. In a full
    /// scan each pushed row enters the rest of the fused loop at once. Pulling single rows, as
    /// `take` and boxed pipelines do, buffers the rows pushed for one input row.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let lines = ctx.parallelize(vec!["to be or".to_string(), "not".to_string()]);
    /// let lengths = lines.flat_map_into(|line: String, out| {
    ///     line.split(' ').for_each(|word| out.push(word.len()));
    /// });
    /// assert_eq!(lengths.collect()?, [2, 2, 2, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "flatMap")]
    #[track_caller]
    pub fn flat_map_into<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(T, &mut Out<'_, U>) + Send + Sync + 'static,
    {
        let operation = Operation::new("flat_map_into");
        self.adapted::<F, FlatMapInto<U>>(operation, size_of::<F>(), KeyEffect::Changed, f)
    }
}

/// The adaptor, with the type of the emitted rows, which does not follow from the closure's.
struct FlatMapInto<U>(PhantomData<fn() -> U>);

impl<R, U, F> Adaptor<R, F> for FlatMapInto<U>
where
    R: Iterator + 'static,
    U: Element,
    F: Fn(R::Item, &mut Out<'_, U>) + 'static,
{
    type Item = U;
    type Rows = FlatMappedIntoRows<R, U, F>;

    fn adapt(rows: R, f: Arc<F>, operation: Operation, at: At<'_>) -> Self::Rows {
        FlatMappedIntoRows {
            rows,
            pushed: VecDeque::new(),
            f,
            operation,
            cancel_check: CancelCheck::new(at.task),
        }
    }
}

struct FlatMappedIntoRows<R, U, F> {
    rows: R,
    pushed: VecDeque<U>,
    f: Arc<F>,
    operation: Operation,
    /// A closure may push rows endlessly.
    cancel_check: CancelCheck,
}

impl<R, U, F> Iterator for FlatMappedIntoRows<R, U, F>
where
    R: Iterator,
    F: Fn(R::Item, &mut Out<'_, U>),
{
    type Item = U;

    fn next(&mut self) -> Option<U> {
        while self.pushed.is_empty() {
            let row = self.rows.next()?;
            let f = &*self.f;
            let pushed = &mut self.pushed;
            let cancel_check = &mut self.cancel_check;
            let mut emit = |emitted| {
                cancel_check.tick();
                pushed.push_back(emitted);
            };
            blame(&self.operation, || f(row, &mut Out { emit: &mut emit }));
        }
        self.pushed.pop_front()
    }

    #[inline]
    fn fold<B, G: FnMut(B, U) -> B>(self, init: B, mut g: G) -> B {
        let f = &*self.f;
        let operation = &self.operation;
        let mut cancel_check = self.cancel_check;
        let accumulated = self.pushed.into_iter().fold(init, &mut g);
        self.rows.fold(accumulated, |accumulated, row| {
            // The accumulated value is in the slot, except while `g` runs.
            let mut slot = Some(accumulated);
            let mut emit = |emitted| {
                cancel_check.tick();
                slot = slot.take().map(|value| g(value, emitted));
            };
            blame(operation, || f(row, &mut Out { emit: &mut emit }));
            slot.unwrap_or_else(|| raise_caught_panic())
        })
    }
}
