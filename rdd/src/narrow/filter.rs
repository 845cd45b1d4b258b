//! `filter`: the rows that a predicate keeps.

use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::{Keys, Rdd};
use emberline_core::step::{Step, blame};
use emberline_core::task::TaskContext;
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Keeps the rows for which `predicate` is true.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: kept, also when they become empty
    /// - **Partitioner**: kept
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
    /// assert_eq!(ctx.range(0..6_u32).filter(|n| n % 2 == 0).collect()?, [0, 2, 4]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn filter<F>(&self, predicate: F) -> Rdd<T, impl Fused<Item = T> + use<T, P, F>>
    where
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        self.filtered(Step::new("filter"), size_of::<F>(), predicate)
    }

    pub(crate) fn filtered<F>(
        &self,
        step: Step,
        closure_bytes: usize,
        predicate: F,
    ) -> Rdd<T, Filtered<P, F>>
    where
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        let pipeline =
            Filtered { parent: self.pipeline.clone(), predicate: Arc::new(predicate), step };
        self.narrow(step, closure_bytes, Keys::Kept, pipeline)
    }
}

pub(crate) struct Filtered<P, F> {
    parent: P,
    predicate: Arc<F>,
    step: Step,
}

impl<P: Clone, F> Clone for Filtered<P, F> {
    fn clone(&self) -> Self {
        let predicate = Arc::clone(&self.predicate);
        Filtered { parent: self.parent.clone(), predicate, step: self.step }
    }
}

impl<P, F> Sealed for Filtered<P, F> {}

impl<P, F> Fused for Filtered<P, F>
where
    P: Pipeline,
    F: Fn(&P::Item) -> bool + Send + Sync + 'static,
{
}

impl<P, F> Pipeline for Filtered<P, F>
where
    P: Pipeline,
    F: Fn(&P::Item) -> bool + Send + Sync + 'static,
{
    type Item = P::Item;
    type Rows = FilteredRows<P::Rows, F>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        let rows = self.parent.open(partition, task);
        FilteredRows { rows, predicate: Arc::clone(&self.predicate), step: self.step }
    }

    fn depth(&self) -> usize {
        self.parent.depth()
    }
}

pub(crate) struct FilteredRows<R, F> {
    rows: R,
    predicate: Arc<F>,
    step: Step,
}

impl<R: Iterator, F: Fn(&R::Item) -> bool> Iterator for FilteredRows<R, F> {
    type Item = R::Item;

    #[inline]
    fn next(&mut self) -> Option<R::Item> {
        let (predicate, step) = (&*self.predicate, &self.step);
        self.rows.find(|row| blame(step, || predicate(row)))
    }

    #[inline]
    fn fold<B, G: FnMut(B, R::Item) -> B>(self, init: B, mut g: G) -> B {
        let (predicate, step) = (&*self.predicate, &self.step);
        self.rows.fold(init, |accumulated, row| {
            if blame(step, || predicate(&row)) { g(accumulated, row) } else { accumulated }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.rows.size_hint().1)
    }
}
