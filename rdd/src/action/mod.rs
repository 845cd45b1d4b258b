//! Actions: operations that run jobs and return a result. All jobs of the crate are run here. The
//! README of this folder lists the files and explains the result limit and staging directories.

mod aggregate;
mod collect;
mod collect_as_map;
mod count;
mod count_by_key;
mod count_by_value;
mod exact;
mod for_each;
mod limit;
mod lookup;
mod min_max;
pub(crate) mod output;
mod reduce;
mod results;
mod save_as_text_file;
mod staging;
mod stats;
mod sum;
mod take;
mod to_local_iterator;
mod top;

pub use stats::{RunningStats, Stats};

use self::limit::{Gathered, ResultLimit};
use self::results::{ResultTable, run_tasks};
use crate::driver::ActionFrame;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::task::TaskContext;
use std::ops::Range;
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Runs a job of `work` on some partitions, and returns the results in partition order.
    pub(crate) fn run<R, F>(
        &self,
        frame: &ActionFrame,
        partitions: Range<usize>,
        work: F,
    ) -> Result<Vec<R>>
    where
        R: Send + 'static,
        F: Fn(P::Rows, &TaskContext) -> Result<R> + Send + Sync + 'static,
    {
        let open =
            |pipeline: &P, task: &TaskContext| pipeline.open(task.attempt_id.partition, task);
        self.run_opening(frame, partitions, move |pipeline, task| work(open(pipeline, task), task))
    }

    /// Runs a job like [`run`](Rdd::run) of `work` that opens its partition itself.
    fn run_opening<R, F>(
        &self,
        frame: &ActionFrame,
        partitions: Range<usize>,
        work: F,
    ) -> Result<Vec<R>>
    where
        R: Send + 'static,
        F: Fn(&P, &TaskContext) -> Result<R> + Send + Sync + 'static,
    {
        let _bookkeeping = self.context.engine.reserve_tasks(partitions.len())?;
        let pipeline = self.pipeline.clone();
        let results = ResultTable::new(&partitions);
        let table = Arc::clone(&results);
        let work = move |partition, task: &TaskContext| {
            let result = work(&pipeline, task)?;
            Ok(table.store(partition, result))
        };
        run_tasks(&self.context, &self.lineage, frame, partitions, Box::new(work))?;
        results.take(frame.action())
    }

    /// Runs a job of `work` on all partitions; `work` can fail only by unwinding.
    pub(crate) fn run_all<R, F>(&self, frame: &ActionFrame, work: F) -> Result<Vec<R>>
    where
        R: Send + 'static,
        F: Fn(P::Rows) -> R + Send + Sync + 'static,
    {
        self.run(frame, 0..self.num_partitions(), move |rows, _| Ok(work(rows)))
    }

    fn result_limit(&self) -> ResultLimit {
        ResultLimit::new(self.context.engine.config())
    }

    fn all_rows(&self, frame: &ActionFrame) -> Result<Vec<Vec<T>>> {
        let limit = self.result_limit();
        let gather = move |rows: P::Rows, task: &TaskContext| {
            Ok(limit.gather(task.attempt_id.partition, rows))
        };
        let parts = self.run(frame, 0..self.num_partitions(), gather)?;
        Ok(parts.into_iter().map(Gathered::into_rows).collect())
    }
}
