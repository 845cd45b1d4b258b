//! `generate`: rows that a closure makes for each partition.

use crate::context::Context;
use crate::pipeline::user_rows::UserRows;
use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::operation::Operation;
use emberline_core::task::{ROWS_PER_CHECK, TaskContext};
use emberline_core::unwind::blame;
use std::sync::Arc;

/// # Sources
impl Context {
    /// Creates an RDD from a closure that makes the rows of a partition.
    ///
    /// `f` runs in the task, lazily. It must return the same rows for a partition each time, since
    /// a lost partition is computed again. The first `None` of its iterator is the end.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let rows = ctx.generate(3, |partition| std::iter::repeat_n(partition, partition));
    /// assert_eq!(rows.collect()?, [1, 2, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn generate<T, I, F>(
        &self,
        partitions: usize,
        f: F,
    ) -> Rdd<T, impl Fused<Item = T> + use<T, I, F>>
    where
        T: Element,
        I: IntoIterator<Item = T> + 'static,
        F: Fn(usize) -> I + Send + Sync + 'static,
    {
        let operation = Operation::new("generate");
        let mut lineage = self.source_lineage(operation, partitions);
        lineage.info.closure_bytes = size_of::<F>();
        Rdd::new(self, lineage, Generated { f: Arc::new(f), operation })
    }
}

struct Generated<F> {
    f: Arc<F>,
    operation: Operation,
}

impl<F> Clone for Generated<F> {
    fn clone(&self) -> Self {
        Generated { f: Arc::clone(&self.f), operation: self.operation }
    }
}

impl<F> Sealed for Generated<F> {}

impl<T, I, F> Fused for Generated<F>
where
    T: Element,
    I: IntoIterator<Item = T> + 'static,
    F: Fn(usize) -> I + Send + Sync + 'static,
{
}

impl<T, I, F> Pipeline for Generated<F>
where
    T: Element,
    I: IntoIterator<Item = T> + 'static,
    F: Fn(usize) -> I + Send + Sync + 'static,
{
    type Item = T;
    type Rows = GeneratedRows<I::IntoIter>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        let rows = blame(&self.operation, || (self.f)(partition).into_iter());
        GeneratedRows {
            rows: UserRows::new(rows),
            counter: RowCounter { rows: 0, task: task.clone() },
            operation: self.operation,
        }
    }

    fn depth(&self) -> usize {
        0
    }
}

struct GeneratedRows<R> {
    rows: UserRows<R>,
    counter: RowCounter,
    operation: Operation,
}

/// Counts rows read, in batches and at the end.
struct RowCounter {
    rows: usize,
    task: TaskContext,
}

impl RowCounter {
    #[inline]
    fn tick(&mut self) {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS_PER_CHECK) {
            self.task.check_cancelled();
            self.task.count_read(ROWS_PER_CHECK);
        }
    }
}

impl Drop for RowCounter {
    fn drop(&mut self) {
        self.task.count_read(self.rows % ROWS_PER_CHECK);
    }
}

impl<R: Iterator> Iterator for GeneratedRows<R> {
    type Item = R::Item;

    #[inline]
    fn next(&mut self) -> Option<R::Item> {
        let row = blame(&self.operation, || self.rows.next())?;
        self.counter.tick();
        Some(row)
    }

    fn fold<B, G: FnMut(B, R::Item) -> B>(self, init: B, mut g: G) -> B {
        let rows = self.rows;
        let mut counter = self.counter;
        let counted = |accumulated, row| {
            counter.tick();
            g(accumulated, row)
        };
        // Downstream operations run inside this fold. `blame` keeps the operation that was blamed
        // first.
        blame(&self.operation, || rows.fold(init, counted))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}
