//! `take`, `first` and `is_empty`: the first rows, from as few partitions as possible.

use crate::driver::{ActionFrame, run_action};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the first `n` rows, or all rows if there are fewer.
    ///
    /// Runs a job on the first partition, and further jobs until there are enough rows. Each
    /// computes at most four times as many partitions as all jobs before it. No row of a partition
    /// after the last one that is needed is computed, except by operations that need all rows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.range(5..1_000_000_u64).take(3)?, [5, 6, 7]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn take(&self, n: usize) -> Result<Vec<T>> {
        run_action(Operation::new("take"), |frame| self.taken(frame, n))
    }

    /// Returns the first row, or `None` if there are no rows.
    ///
    /// Computes as few partitions as [`take(1)`](Rdd::take).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.range(0..9_u32).filter(|n| *n > 6).first()?, Some(7));
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn first(&self) -> Result<Option<T>> {
        run_action(Operation::new("first"), |frame| Ok(self.taken(frame, 1)?.pop()))
    }

    /// Returns true if there are no rows.
    ///
    /// Computes as few partitions as [`take(1)`](Rdd::take).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.range(0..9_u32);
    /// assert!(!numbers.is_empty()?);
    /// assert!(numbers.filter(|n| *n > 60).is_empty()?);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "isEmpty")]
    #[track_caller]
    pub fn is_empty(&self) -> Result<bool> {
        run_action(Operation::new("is_empty"), |frame| Ok(self.taken(frame, 1)?.is_empty()))
    }

    fn taken(&self, frame: &ActionFrame, n: usize) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        let mut scanned = 0;
        let limit = self.result_limit();
        let row_bytes = size_of::<T>();
        if self.num_partitions() == 0 {
            // Only a job reports an error of the lineage, such as zero partitions.
            self.run(frame, 0..0, |_, _| Ok(()))?;
        }
        while rows.len() < n && scanned < self.num_partitions() {
            let found = rows.len();
            let left = n - found;
            let max_partitions = limit.partitions_per_job(row_bytes, left);
            let batch = next_batch(scanned, found, n).min(max_partitions);
            let next = scanned.saturating_add(batch).min(self.num_partitions());
            let task_limit = limit.clone();
            let work = move |pipeline: &P, task: &TaskContext| {
                let partition = task.attempt_id.partition;
                let rows = pipeline.open(partition, &task.with_single_rows(true));
                Ok(task_limit.reserve(row_bytes, found).gather(rows.take(left)).into_rows())
            };
            for part in self.run_opening(frame, scanned..next, work)? {
                rows.extend(part);
            }
            scanned = next;
        }
        rows.truncate(n);
        limit.check(row_bytes, rows.len())?;
        Ok(rows)
    }
}

/// Growth of the number of partitions from job to job.
const MAX_GROWTH: usize = 4;
/// Excess of the partitions scanned over the number that the rows found so far suggest.
const SAFETY_FACTOR: f64 = 1.5;

/// Returns the number of partitions of the next job: one at first, [`MAX_GROWTH`] times those
/// scanned while no row was found, and then as many as the rows found suggest, with some excess.
fn next_batch(scanned: usize, found: usize, wanted: usize) -> usize {
    if scanned == 0 {
        return 1;
    }
    let max = scanned.saturating_mul(MAX_GROWTH);
    if found == 0 {
        return max;
    }
    let suggested = SAFETY_FACTOR * (wanted - found) as f64 * scanned as f64 / found as f64;
    (suggested.ceil() as usize).clamp(1, max)
}

#[cfg(test)]
mod tests {
    use super::next_batch;

    // Case B051 of tests/spark_cases.md.
    #[test]
    fn fifty_rows_of_one_row_partitions_take_four_jobs() {
        let mut scanned = 0;
        let mut batches = Vec::new();
        while scanned < 50 {
            let batch = next_batch(scanned, scanned, 50);
            batches.push(batch);
            scanned += batch;
        }
        assert_eq!(batches, [1, 4, 20, 38]);
    }
}
