//! The node behind every narrow step that is a closure over the rows of one parent.

use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use std::marker::PhantomData;
use std::sync::Arc;

/// What a step does to the iterator of its parent, as a type without a value: `map` is one, `filter`
/// another.
pub(crate) trait Adaptor<R, F>: 'static {
    type Item: Element;
    type Rows: Iterator<Item = Self::Item> + 'static;

    /// Wraps the rows of a partition in the step `f`.
    fn adapt(rows: R, f: Arc<F>, operation: Operation, at: At<'_>) -> Self::Rows;
}

/// Which partition is computed, in which task.
pub(crate) struct At<'a> {
    pub(crate) partition: usize,
    pub(crate) task: &'a TaskContext,
}

/// A parent, the closure of a step on it, and how the one is applied to the other.
pub(crate) struct Adapted<P, F, A> {
    parent: P,
    f: Arc<F>,
    operation: Operation,
    adaptor: PhantomData<fn() -> A>,
}

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// A step on this RDD. `closure_bytes` is the size of the user's closure, which `f` may wrap.
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
        let (parent, f) = (self.parent.clone(), Arc::clone(&self.f));
        Adapted { parent, f, operation: self.operation, adaptor: PhantomData }
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
