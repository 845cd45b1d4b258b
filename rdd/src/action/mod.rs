//! Actions: they run a job and give its result. Only here is a job run.

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
mod save_as_text_file;
mod staging;
mod stats;
mod sum;
mod take;
mod to_local_iterator;
mod top;

pub use stats::{RunningStats, Stats};

use self::limit::{Gathered, ResultLimit};
use crate::accumulator::{TaskDeltas, with_accumulators};
use crate::driver::{Pending, defer, run_action};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::job::JobRequest;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Runs `work` on some partitions and gives its results in partition order.
    pub(crate) fn run<R, F>(
        &self,
        action: Operation,
        partitions: Range<usize>,
        work: F,
    ) -> Result<Vec<R>>
    where
        R: Send + 'static,
        F: Fn(P::Rows, &TaskContext) -> Result<R> + Send + Sync + 'static,
    {
        let slots: Arc<[Slot<R>]> = partitions.clone().map(|_| Mutex::new(None)).collect();
        let (results, pipeline, first) =
            (Arc::clone(&slots), self.pipeline.clone(), partitions.start);
        let task = move |task: &TaskContext| {
            let partition = task.place.partition;
            let (result, parts) = with_accumulators(|| work(pipeline.open(partition, task), task));
            let (result, rows_read) = (result?, task.metrics().rows_read);
            task.commit(|| {
                *lock(&results[partition - first]) = Some(Done { result, parts, rows_read });
                Ok(())
            })
        };
        let request = JobRequest {
            action,
            lineage: Arc::clone(&self.lineage),
            partitions: partitions.clone().collect(),
            task: Arc::new(task),
        };
        run_action(action, || {
            let ran = self.context.engine.run_job(request)?;
            let taken: Option<Vec<Done<R>>> = slots.iter().map(|slot| lock(slot).take()).collect();
            let done = taken.ok_or_else(|| lost_result(action))?;
            let rows_read = done.iter().map(|done| done.rows_read).sum();
            self.lineage.note_job(action, &partitions, rows_read);
            let (results, result_deltas) =
                done.into_iter().map(|done| (done.result, done.parts)).unzip();
            defer(Pending { ran, result_deltas });
            Ok(results)
        })
    }

    /// [`run`](Rdd::run) on all partitions, for work that cannot fail but by unwinding.
    pub(crate) fn run_all<R, F>(&self, action: Operation, work: F) -> Result<Vec<R>>
    where
        R: Send + 'static,
        F: Fn(P::Rows) -> R + Send + Sync + 'static,
    {
        self.run(action, 0..self.num_partitions(), move |rows, _| Ok(work(rows)))
    }

    /// What the rows that an action of this RDD hands to the program may take.
    fn result_limit(&self) -> ResultLimit {
        ResultLimit::new(self.context.engine.config())
    }

    /// All rows of each partition, for the program to hold.
    fn all_rows(&self, action: Operation) -> Result<Vec<Vec<T>>> {
        let limit = self.result_limit();
        let gather =
            move |rows: P::Rows, task: &TaskContext| Ok(limit.gather(task.place.partition, rows));
        let parts = self.run(action, 0..self.num_partitions(), gather)?;
        Ok(parts.into_iter().map(Gathered::into_rows).collect())
    }
}

/// What one task leaves: its result, what it added to accumulators, and how much it read.
struct Done<R> {
    result: R,
    parts: TaskDeltas,
    rows_read: u64,
}

type Slot<R> = Mutex<Option<Done<R>>>;

fn lock<R>(slot: &Slot<R>) -> MutexGuard<'_, Option<Done<R>>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lost_result(action: Operation) -> Error {
    let what = "a job ended well without the result of each task".into();
    Error::new(ErrorKind::Internal { what }).in_action(action)
}
