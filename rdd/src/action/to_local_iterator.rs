//! `to_local_iterator`: all rows, one partition at a time.

use super::limit::Gathered;
use crate::driver::{ActionFrame, run_action};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use std::vec;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns an iterator over all rows, which runs one job for each partition when it reaches it.
    ///
    /// Holds the rows of one partition, not counted against the memory limit. [Cache](Rdd::cache)
    /// the RDD first if its shuffles or sources should not be repeated.
    ///
    /// # Errors
    ///
    /// The iterator yields the first error of a task and then ends; `ResultTooLarge` if one
    /// partition exceeds [`max_result_bytes`](crate::ContextBuilder::max_result_bytes).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let mut sum = 0;
    /// for row in ctx.range(0..1000_u64).map(|n| n * 2).to_local_iterator() {
    ///     sum += row?;
    /// }
    /// assert_eq!(sum, 999_000);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "toLocalIterator")]
    #[track_caller]
    pub fn to_local_iterator(&self) -> impl Iterator<Item = Result<T>> + use<T, P> {
        let rows = Vec::new().into_iter();
        LocalRows { rdd: self.clone(), action: Operation::new("to_local_iterator"), next: 0, rows }
    }
}

/// The rows of one partition, and the index of the next partition.
struct LocalRows<T: 'static, P> {
    rdd: Rdd<T, P>,
    action: Operation,
    next: usize,
    rows: vec::IntoIter<T>,
}

impl<T: Element, P: Pipeline<Item = T>> LocalRows<T, P> {
    fn fetch(&mut self, frame: &ActionFrame) -> Result<()> {
        // Free the rows of the previous partition before the next one is computed.
        self.rows = Vec::new().into_iter();
        let end = (self.next + 1).min(self.rdd.num_partitions());
        let limit = self.rdd.result_limit();
        let gather = move |rows: P::Rows, task: &TaskContext| {
            Ok(limit.gather(task.attempt_id.partition, rows))
        };
        let parts = self.rdd.run(frame, self.next..end, gather)?;
        let rows = parts.into_iter().next().map(Gathered::into_rows);
        self.rows = rows.unwrap_or_default().into_iter();
        self.next += 1;
        Ok(())
    }
}

impl<T: Element, P: Pipeline<Item = T>> Iterator for LocalRows<T, P> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        // One job runs even without partitions, since only a job reports an error of the lineage.
        let jobs = self.rdd.num_partitions().max(1);
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            if self.next >= jobs {
                return None;
            }
            if let Err(error) = run_action(self.action, |frame| self.fetch(frame)) {
                self.next = jobs;
                return Some(Err(error));
            }
        }
    }
}
