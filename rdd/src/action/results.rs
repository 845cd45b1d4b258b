//! Runs the tasks of an action and collects their results.
//!
//! Nothing here depends on the type of the results, so it is compiled once.

use crate::accumulator::{TaskDeltas, with_accumulators};
use crate::context::Context;
use crate::driver::{ActionFrame, Pending};
use emberline_core::error::{Error, Result, internal};
use emberline_core::job::JobRequest;
use emberline_core::lineage::LineageNode;
use emberline_core::operation::Operation;
use emberline_core::quiet::Quiet;
use emberline_core::sync::Mutex;
use emberline_core::task::TaskContext;
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

/// The result of a task, of a type that its action knows.
pub(super) type AnyResult = Box<dyn Any + Send>;

/// Computes the result of the task of a partition.
pub(super) type Work = dyn Fn(usize, &TaskContext) -> Result<AnyResult> + Send + Sync;

/// The result of a task, and what it counted.
struct TaskResult {
    result: AnyResult,
    deltas: TaskDeltas,
    rows_read: u64,
}

type Slot = Mutex<Option<TaskResult>>;

/// Runs a task for each of `partitions`, and returns their results in order.
pub(super) fn run_tasks(
    context: &Context,
    lineage: &Arc<LineageNode>,
    frame: &ActionFrame,
    partitions: Range<usize>,
    work: Box<Work>,
) -> Result<Vec<AnyResult>> {
    let action = frame.action();
    let slots: Arc<[Slot]> = partitions.clone().map(|_| Mutex::new(None)).collect();
    let results = Arc::clone(&slots);
    let first = partitions.start;
    let task = move |task: &TaskContext| {
        let partition = task.attempt_id.partition;
        let (result, deltas) = with_accumulators(|| work(partition, task));
        let result = result?;
        let rows_read = task.metrics().rows_read;
        let done = TaskResult { result, deltas, rows_read };
        // An older result is dropped after the lock is released.
        let older = task.commit(|| Ok(results[partition - first].lock().replace(done)))?;
        drop(older);
        Ok(())
    };
    let request = JobRequest {
        action,
        lineage: Arc::clone(lineage),
        partitions: partitions.clone().collect(),
        task: Quiet::new(Arc::new(task)),
    };
    let ran = context.engine.run_job(request)?;
    let taken: Option<Vec<TaskResult>> = slots.iter().map(|slot| slot.lock().take()).collect();
    let done = taken.ok_or_else(|| lost_result(action))?;
    let rows_read = done.iter().map(|done| done.rows_read).sum();
    lineage.record_job(action, &partitions, rows_read);
    let (results, deltas): (_, Vec<TaskDeltas>) =
        done.into_iter().map(|done| (done.result, done.deltas)).unzip();
    let deltas = deltas.into_iter().filter(|deltas| !deltas.is_empty()).collect();
    frame.defer(Pending { ran, deltas });
    Ok(results)
}

/// Returns the error of an action whose task has no result, or one of another type.
#[cold]
pub(super) fn lost_result(action: Operation) -> Error {
    internal("a job succeeded but a task result is missing").in_action(action)
}
