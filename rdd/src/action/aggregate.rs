//! `aggregate` and `fold`: all rows folded into one value.

use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use std::sync::Arc;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Folds all rows with `f`, starting from `zero`.
    ///
    /// `zero` is used once for each partition and once for the result, so it must be neutral.
    /// Results of partitions are merged in order, so `f` need not be commutative.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let rows = ctx.parallelize_with(2, vec![1, 2, 3, 4]);
    /// assert_eq!(rows.fold(0, |a, b| a + b)?, 10);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn fold<F>(&self, zero: T, f: F) -> Result<T>
    where
        T: Clone + Sync,
        F: Fn(T, T) -> T + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let merge = Arc::clone(&f);
        self.aggregated_rows(
            Operation::new("fold"),
            zero,
            move |a, b| f(a, b),
            move |a, b| merge(a, b),
        )
    }

    /// Folds each partition with `merge_row`, then the partial results with `merge_accumulators`.
    ///
    /// `zero` is used once for each partition and once for the result, so it must be neutral.
    /// Results of partitions are merged in order, so the closures need not be commutative.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let (sum, n) = ctx.range(1..5_u32).aggregate(
    ///     (0, 0),
    ///     |(sum, n), row| (sum + row, n + 1),
    ///     |(sum, n), (more, m)| (sum + more, n + m),
    /// )?;
    /// assert_eq!((sum, n), (10, 4));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "treeAggregate")]
    #[track_caller]
    pub fn aggregate<A, F, G>(&self, zero: A, merge_row: F, merge_accumulators: G) -> Result<A>
    where
        A: Clone + Send + Sync + 'static,
        F: Fn(A, T) -> A + Send + Sync + 'static,
        G: Fn(A, A) -> A + Send + Sync + 'static,
    {
        self.aggregated_rows(Operation::new("aggregate"), zero, merge_row, merge_accumulators)
    }

    fn aggregated_rows<A, F, G>(
        &self,
        action: Operation,
        zero: A,
        merge_row: F,
        merge: G,
    ) -> Result<A>
    where
        A: Clone + Send + Sync + 'static,
        F: Fn(A, T) -> A + Send + Sync + 'static,
        G: Fn(A, A) -> A + Send + Sync + 'static,
    {
        run_action(action, move |frame| {
            let in_task = zero.clone();
            let parts = self.run_all(frame, move |rows| {
                rows.fold(in_task.clone(), |a, row| blame(&action, || merge_row(a, row)))
            })?;
            Ok(parts.into_iter().fold(zero, merge))
        })
    }
}
