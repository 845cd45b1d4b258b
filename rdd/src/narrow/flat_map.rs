//! `flat_map`: any number of rows for each row.

use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::{Keys, Rdd};
use emberline_core::step::{Step, blame};
use emberline_core::task::TaskContext;
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each row into the rows of `f(row)`, which are taken as they are needed.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<U>`
    /// - **Partitions**: kept
    /// - **Partitioner**: dropped
    /// - **Shuffle**: none
    /// - **Memory**: what `f` returns for one row
    /// - **Order**: kept: the rows of the first row, then those of the second
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let countdowns = ctx.parallelize(vec![2, 0, 3]).flat_map(|n| (0..n).rev());
    /// assert_eq!(countdowns.collect()?, [1, 0, 2, 1, 0]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map<U, I, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + 'static,
        F: Fn(T) -> I + Send + Sync + 'static,
    {
        self.flat_mapped(Step::new("flat_map"), size_of::<F>(), f)
    }

    pub(crate) fn flat_mapped<U, I, F>(
        &self,
        step: Step,
        closure_bytes: usize,
        f: F,
    ) -> Rdd<U, FlatMapped<P, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + 'static,
        F: Fn(T) -> I + Send + Sync + 'static,
    {
        let pipeline = FlatMapped { parent: self.pipeline.clone(), f: Arc::new(f), step };
        self.narrow(step, closure_bytes, Keys::Changed, pipeline)
    }
}

pub(crate) struct FlatMapped<P, F> {
    parent: P,
    f: Arc<F>,
    step: Step,
}

impl<P: Clone, F> Clone for FlatMapped<P, F> {
    fn clone(&self) -> Self {
        FlatMapped { parent: self.parent.clone(), f: Arc::clone(&self.f), step: self.step }
    }
}

impl<P, F> Sealed for FlatMapped<P, F> {}

impl<P, U, I, F> Fused for FlatMapped<P, F>
where
    P: Pipeline,
    U: Element,
    I: IntoIterator<Item = U> + 'static,
    F: Fn(P::Item) -> I + Send + Sync + 'static,
{
}

impl<P, U, I, F> Pipeline for FlatMapped<P, F>
where
    P: Pipeline,
    U: Element,
    I: IntoIterator<Item = U> + 'static,
    F: Fn(P::Item) -> I + Send + Sync + 'static,
{
    type Item = U;
    type Rows = FlatMappedRows<P::Rows, I::IntoIter, F>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        let rows = self.parent.open(partition, task);
        FlatMappedRows { rows, inner: None, f: Arc::clone(&self.f), step: self.step }
    }

    fn depth(&self) -> usize {
        self.parent.depth()
    }
}

pub(crate) struct FlatMappedRows<R, J, F> {
    rows: R,
    inner: Option<J>,
    f: Arc<F>,
    step: Step,
}

impl<R, I, F> Iterator for FlatMappedRows<R, I::IntoIter, F>
where
    R: Iterator,
    I: IntoIterator,
    F: Fn(R::Item) -> I,
{
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        loop {
            if let Some(inner) = &mut self.inner
                && let Some(row) = blame(&self.step, || inner.next())
            {
                return Some(row);
            }
            let row = self.rows.next()?;
            self.inner = Some(blame(&self.step, || (self.f)(row).into_iter()));
        }
    }

    // Steps further down run inside this fold; what they blamed first stays blamed.
    #[inline]
    fn fold<B, G: FnMut(B, I::Item) -> B>(self, init: B, mut g: G) -> B {
        let (f, step) = (&*self.f, &self.step);
        let accumulated = match self.inner {
            Some(inner) => blame(step, || inner.fold(init, &mut g)),
            None => init,
        };
        self.rows.fold(accumulated, |accumulated, row| {
            blame(step, || f(row).into_iter().fold(accumulated, &mut g))
        })
    }
}
