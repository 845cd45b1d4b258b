//! The pipeline of every narrow operation that is a closure over the rows of one parent.

use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use std::marker::PhantomData;
use std::sync::Arc;

/// A way to apply a closure to the rows of a parent, such as `map`. Its types have no values.
pub(crate) trait Adaptor<R, F>: 'static {
    type Item: Element;
    type Rows: Iterator<Item = Self::Item> + 'static;

    /// Applies `f` to the rows of a partition.
    fn adapt(rows: R, f: Arc<F>, operation: Operation, at: At<'_>) -> Self::Rows;
}

/// The partition that is computed, and its task.
pub(crate) struct At<'a> {
    pub(crate) partition: usize,
    pub(crate) task: &'a TaskContext,
}

/// A parent, a closure on its rows, and the adaptor that applies it.
pub(crate) struct Adapted<P, F, A> {
    parent: P,
    f: Arc<F>,
    operation: Operation,
    adaptor: PhantomData<fn() -> A>,
}

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the RDD of a narrow operation. `closure_bytes` is the size of the user's closure.
    pub(crate) fn adapted<F, A>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        key_effect: KeyEffect,
        f: F,
    ) -> Rdd<A::Item, Adapted<P, F, A>>
    where
        F: Send + Sync + 'static,
        A: Adaptor<P::Rows, F>,
    {
        let pipeline = Adapted::new(self.pipeline.clone(), f, operation);
        self.narrow(operation, closure_bytes, key_effect, pipeline)
    }
}

impl<P, F, A> Adapted<P, F, A> {
    pub(crate) fn new(parent: P, f: F, operation: Operation) -> Self {
        Adapted { parent, f: Arc::new(f), operation, adaptor: PhantomData }
    }
}

impl<P: Clone, F, A> Clone for Adapted<P, F, A> {
    fn clone(&self) -> Self {
        Adapted {
            parent: self.parent.clone(),
            f: Arc::clone(&self.f),
            operation: self.operation,
            adaptor: PhantomData,
        }
    }
}

impl<P, F, A> Sealed for Adapted<P, F, A> {}

impl<P, F, A> Fused for Adapted<P, F, A>
where
    P: Pipeline,
    F: Send + Sync + 'static,
    A: Adaptor<P::Rows, F>,
{
}

impl<P, F, A> Pipeline for Adapted<P, F, A>
where
    P: Pipeline,
    F: Send + Sync + 'static,
    A: Adaptor<P::Rows, F>,
{
    type Item = A::Item;
    type Rows = A::Rows;

    fn open(&self, partition: usize, task: &TaskContext) -> A::Rows {
        let at = At { partition, task };
        A::adapt(self.parent.open(partition, task), Arc::clone(&self.f), self.operation, at)
    }

    fn depth(&self) -> usize {
        self.parent.depth()
    }
}
