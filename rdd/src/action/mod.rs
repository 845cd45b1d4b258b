//! Actions: they run a job and give its result. Only here is a job run.

mod aggregate;
mod collect;
mod collect_as_map;
mod count;
mod count_by_key;
mod count_by_value;
mod exact;
mod for_each;
mod lookup;
mod min_max;
mod reduce;
mod save_as_text_file;
mod stats;
mod sum;
mod take;
mod to_local_iterator;
mod top;

pub use stats::Stats;

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::job::JobRequest;
use emberline_core::runner::error_of;
use emberline_core::step::{Step, restore_failure, take_failure};
use emberline_core::task::TaskContext;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Runs `work` on some partitions and gives its results in partition order.
    pub(crate) fn run<R, F>(
        &self,
        action: Step,
        partitions: Range<usize>,
        work: F,
    ) -> Result<Vec<R>>
    where
        R: Send + 'static,
        F: Fn(P::Rows, &TaskContext) -> Result<R> + Send + Sync + 'static,
    {
        let slots = partitions.clone().map(|_| Mutex::new(None)).collect::<Vec<Mutex<Option<R>>>>();
        let slots = Arc::new(slots);
        let (results, pipeline, first) =
            (Arc::clone(&slots), self.pipeline.clone(), partitions.start);
        let rows_read = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&rows_read);
        let task = move |task: &TaskContext| {
            let partition = task.place.partition;
            let result = work(pipeline.open(partition, task), task)?;
            *results[partition - first].lock().unwrap_or_else(PoisonError::into_inner) =
                Some(result);
            counter.fetch_add(task.metrics().rows_read, Ordering::Relaxed);
            Ok(())
        };
        self.context.engine.run_job(JobRequest {
            action,
            lineage: Arc::clone(&self.lineage),
            partitions: partitions.clone().collect(),
            task: Arc::new(task),
        })?;
        self.lineage.note_job(action, &partitions, rows_read.load(Ordering::Relaxed));
        let taken =
            slots.iter().map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        taken.collect::<Option<Vec<R>>>().ok_or_else(|| {
            let what = "a job ended well without the result of each task".into();
            Error::new(ErrorKind::Internal { what }).in_action(action)
        })
    }

    /// [`run`](Rdd::run) on all partitions, for work that cannot fail but by unwinding.
    pub(crate) fn run_all<R, F>(&self, action: Step, work: F) -> Result<Vec<R>>
    where
        R: Send + 'static,
        F: Fn(P::Rows) -> R + Send + Sync + 'static,
    {
        self.run(action, 0..self.num_partitions(), move |rows, _| Ok(work(rows)))
    }
}

/// Merges results on the caller's thread; a panic of the user's closure is an error there too.
pub(crate) fn on_driver<R>(action: Step, merge: impl FnOnce() -> R) -> Result<R> {
    // What this thread notes goes into the error: left behind, it would blame another's failure.
    let of_the_caller = take_failure();
    let merged = catch_unwind(AssertUnwindSafe(merge));
    let _ = take_failure();
    restore_failure(of_the_caller);
    merged.map_err(|payload| error_of(payload, Some(action)).in_step(action).in_action(action))
}
