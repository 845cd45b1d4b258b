//! `filter_map`: choose and turn in one step.

use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::{Keys, Rdd};
use emberline_core::step::{Step, blame};
use emberline_core::task::TaskContext;
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each row into `f(row)` and keeps those that are `Some`.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<U>`
    /// - **Partitions**: kept
    /// - **Partitioner**: dropped
    /// - **Shuffle**: none
    /// - **Memory**: constant
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let numbers = ctx.parallelize(vec!["7", "x", "9"]).filter_map(|text| text.parse::<u8>().ok());
    /// assert_eq!(numbers.collect()?, [7, 9]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn filter_map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(T) -> Option<U> + Send + Sync + 'static,
    {
        self.filter_mapped(Step::new("filter_map"), size_of::<F>(), f)
    }

    pub(crate) fn filter_mapped<U, F>(
        &self,
        step: Step,
        closure_bytes: usize,
        f: F,
    ) -> Rdd<U, FilterMapped<P, F>>
    where
        U: Element,
        F: Fn(T) -> Option<U> + Send + Sync + 'static,
    {
        let pipeline = FilterMapped { parent: self.pipeline.clone(), f: Arc::new(f), step };
        self.narrow(step, closure_bytes, Keys::Changed, pipeline)
    }
}

pub(crate) struct FilterMapped<P, F> {
    parent: P,
    f: Arc<F>,
    step: Step,
}

impl<P: Clone, F> Clone for FilterMapped<P, F> {
    fn clone(&self) -> Self {
        FilterMapped { parent: self.parent.clone(), f: Arc::clone(&self.f), step: self.step }
    }
}

impl<P, F> Sealed for FilterMapped<P, F> {}

impl<P, U, F> Fused for FilterMapped<P, F>
where
    P: Pipeline,
    U: Element,
    F: Fn(P::Item) -> Option<U> + Send + Sync + 'static,
{
}

impl<P, U, F> Pipeline for FilterMapped<P, F>
where
    P: Pipeline,
    U: Element,
    F: Fn(P::Item) -> Option<U> + Send + Sync + 'static,
{
    type Item = U;
    type Rows = FilterMappedRows<P::Rows, F>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        let rows = self.parent.open(partition, task);
        FilterMappedRows { rows, f: Arc::clone(&self.f), step: self.step }
    }

    fn depth(&self) -> usize {
        self.parent.depth()
    }
}

pub(crate) struct FilterMappedRows<R, F> {
    rows: R,
    f: Arc<F>,
    step: Step,
}

impl<R: Iterator, U, F: Fn(R::Item) -> Option<U>> Iterator for FilterMappedRows<R, F> {
    type Item = U;

    #[inline]
    fn next(&mut self) -> Option<U> {
        let (f, step) = (&*self.f, &self.step);
        self.rows.find_map(|row| blame(step, || f(row)))
    }

    #[inline]
    fn fold<B, G: FnMut(B, U) -> B>(self, init: B, mut g: G) -> B {
        let (f, step) = (&*self.f, &self.step);
        self.rows.fold(init, |accumulated, row| match blame(step, || f(row)) {
            Some(turned) => g(accumulated, turned),
            None => accumulated,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.rows.size_hint().1)
    }
}
