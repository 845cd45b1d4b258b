//! Runs the tasks of an action and collects their results.
//!
//! An action may have a million tasks, so a result takes no more than its own size in one table, and
//! only tasks that changed accumulators take more. What does not depend on the type of the results
//! is compiled once.

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
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Computes the result of the task of a partition, and returns the function that stores it.
pub(super) type Work = dyn Fn(usize, &TaskContext) -> Result<Store> + Send + Sync;

/// Stores a result in the table of its action. Returns an older result, to be dropped without a
/// lock.
pub(super) type Store = Box<dyn FnOnce() -> Option<Box<dyn Any>>>;

/// The results of the tasks of an action.
pub(super) struct ResultTable<R> {
    first: usize,
    results: Mutex<Vec<Option<R>>>,
}

impl<R: Send + 'static> ResultTable<R> {
    /// Returns a table of a result for each of `partitions`.
    pub(super) fn new(partitions: &Range<usize>) -> Arc<Self> {
        let results = partitions.clone().map(|_| None).collect();
        Arc::new(ResultTable { first: partitions.start, results: Mutex::new(results) })
    }

    /// Returns the function that stores the result of a partition.
    pub(super) fn store(self: &Arc<Self>, partition: usize, result: R) -> Store {
        let table = Arc::clone(self);
        Box::new(move || {
            let older = table.results.lock()[partition - table.first].replace(result);
            older.map(|older| Box::new(older) as Box<dyn Any>)
        })
    }

    /// Takes all results.
    pub(super) fn take(&self, action: Operation) -> Result<Vec<R>> {
        let results = std::mem::take(&mut *self.results.lock());
        results.into_iter().collect::<Option<_>>().ok_or_else(|| lost_result(action))
    }
}

/// The counts of the tasks of an action.
#[derive(Default)]
struct Counted {
    rows_read: Vec<u64>,
    /// The accumulator updates of the tasks that have any.
    deltas: BTreeMap<usize, TaskDeltas>,
}

impl Counted {
    /// Stores what a task counted. Returns the updates of an older attempt, to be dropped without a
    /// lock.
    fn store(&mut self, slot: usize, rows_read: u64, deltas: TaskDeltas) -> Option<TaskDeltas> {
        self.rows_read[slot] = rows_read;
        match deltas.is_empty() {
            true => self.deltas.remove(&slot),
            false => self.deltas.insert(slot, deltas),
        }
    }
}

/// Runs a task for each of `partitions`, which stores its result.
pub(super) fn run_tasks(
    context: &Context,
    lineage: &Arc<LineageNode>,
    frame: &ActionFrame,
    partitions: Range<usize>,
    work: Box<Work>,
) -> Result<()> {
    let action = frame.action();
    let rows_read = vec![0; partitions.len()];
    let counted = Arc::new(Mutex::new(Counted { rows_read, ..Counted::default() }));
    let all = Arc::clone(&counted);
    let first = partitions.start;
    let task = move |task: &TaskContext| {
        let partition = task.attempt_id.partition;
        let (store, deltas) = with_accumulators(|| work(partition, task));
        let store = store?;
        let rows_read = task.metrics().rows_read;
        // What an older attempt stored is dropped after the lock is released.
        let older = task.commit(|| {
            let older = store();
            Ok((older, all.lock().store(partition - first, rows_read, deltas)))
        })?;
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
    let Counted { rows_read, deltas } = std::mem::take(&mut *counted.lock());
    lineage.record_job(action, &partitions, rows_read.iter().sum());
    frame.defer(Pending { ran, deltas: deltas.into_values().collect() });
    Ok(())
}

/// Returns the error of an action whose task has no result.
#[cold]
fn lost_result(action: Operation) -> Error {
    internal("a job succeeded but a task result is missing").in_action(action)
}
