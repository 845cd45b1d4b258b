//! Pipelines whose closure reads rows by reference (see the README of `pipeline`).

use crate::pipeline::materialized::MaterializedRows;
use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;
use std::sync::Arc;

/// A closure over references to the rows of a parent, as a pipeline.
pub(super) struct Lending<P, F> {
    parent: P,
    f: Arc<F>,
    operation: Operation,
}

impl<P, F> Lending<P, F> {
    pub(super) fn new(parent: P, f: F, operation: Operation) -> Self {
        Lending { parent, f: Arc::new(f), operation }
    }
}

impl<P: Clone, F> Clone for Lending<P, F> {
    fn clone(&self) -> Self {
        Lending { parent: self.parent.clone(), f: Arc::clone(&self.f), operation: self.operation }
    }
}

impl<P, F> Sealed for Lending<P, F> {}

impl<P, U, F> Fused for Lending<P, F>
where
    P: Pipeline,
    U: Element,
    F: Fn(&P::Item) -> U + Send + Sync + 'static,
{
}

impl<P, U, F> Pipeline for Lending<P, F>
where
    P: Pipeline,
    U: Element,
    F: Fn(&P::Item) -> U + Send + Sync + 'static,
{
    type Item = U;
    type Rows = LentRows<P::Item, P::Rows, F>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        let rows = match self.parent.materialized(partition, task) {
            Some(rows) => Lent::Materialized(rows),
            None => Lent::Computed(self.parent.open(partition, task)),
        };
        LentRows { rows, f: Arc::clone(&self.f), operation: self.operation }
    }

    fn depth(&self) -> usize {
        self.parent.depth()
    }
}

/// The results of a closure over references to rows.
pub(super) struct LentRows<T, R, F> {
    rows: Lent<T, R>,
    f: Arc<F>,
    operation: Operation,
}

enum Lent<T, R> {
    /// Rows that are in memory, read in place.
    Materialized(MaterializedRows<T>),
    /// Rows that are computed, lent to the closure and dropped.
    Computed(R),
}

impl<T, R, U, F> Iterator for LentRows<T, R, F>
where
    R: Iterator<Item = T>,
    F: Fn(&T) -> U,
{
    type Item = U;

    #[inline]
    fn next(&mut self) -> Option<U> {
        let f = &*self.f;
        let operation = &self.operation;
        match &mut self.rows {
            Lent::Materialized(rows) => rows.next_ref().map(|row| blame(operation, || f(row))),
            Lent::Computed(rows) => rows.next().map(|row| blame(operation, || f(&row))),
        }
    }

    #[inline]
    fn fold<B, G: FnMut(B, U) -> B>(self, init: B, mut g: G) -> B {
        let f = &*self.f;
        let operation = &self.operation;
        match self.rows {
            Lent::Materialized(rows) => {
                rows.fold_refs(init, |b, row| g(b, blame(operation, || f(row))))
            }
            Lent::Computed(rows) => rows.fold(init, |b, row| g(b, blame(operation, || f(&row)))),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.rows {
            Lent::Materialized(rows) => rows.left(),
            Lent::Computed(rows) => rows.size_hint(),
        }
    }
}
