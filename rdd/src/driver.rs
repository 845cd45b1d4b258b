//! The frame of an action: the work that the driver does around its jobs.
//!
//! The accumulator updates of the jobs stay pending until the whole action has succeeded; then they
//! are committed together: all of them count, or none does.
//!
//! The whole body of an action runs in [`run_action`], which turns a panic of user code on the
//! driver into an error: of the last merge of a `reduce`, of the `Hash` of a key, or of the
//! destructor of a row. Only an [`ActionFrame`] can run jobs, and only this module makes one, so no
//! action can forget the guard. What user code on the driver adds to accumulators counts with the
//! action. An action that user code runs there has a frame of its own, and commits when it succeeds.

use crate::accumulator::{
    CommittedDeltas, TaskDeltas, Transaction, until_done, with_accumulators, without_accumulators,
};
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::job::JobDependencies;
use emberline_core::operation::Operation;
use emberline_core::quiet::drop_quietly;
use emberline_core::runner::error_of;
use emberline_core::task::is_task_thread;
use emberline_core::unwind::{record_raised, restore_failure, take_failure};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Accumulator updates of one finished job, to be committed with its action.
#[derive(Default)]
pub(crate) struct Pending {
    /// Updates stored with the map outputs and blocks that the job needed.
    pub(crate) ran: JobDependencies,
    /// Updates of the result tasks, by partition, or of the driver.
    pub(crate) deltas: Vec<TaskDeltas>,
}

/// The last part of an action, which makes an output visible.
type Publish = Box<dyn FnOnce() -> Result<()>>;

/// An action on this thread: the right to run its jobs.
pub(crate) struct ActionFrame {
    action: Operation,
    pending: RefCell<Vec<Pending>>,
    publish: RefCell<Option<Publish>>,
}

impl ActionFrame {
    fn new(action: Operation) -> Self {
        ActionFrame { action, pending: RefCell::default(), publish: RefCell::default() }
    }

    /// Returns the action.
    pub(crate) fn action(&self) -> Operation {
        self.action
    }

    /// Defers the accumulator updates of a job until the action succeeds.
    pub(crate) fn defer(&self, pending: Pending) {
        self.pending.borrow_mut().push(pending);
    }

    /// Defers the publication of an output until nothing else of the action can fail: the
    /// accumulator updates have been merged then, but do not count yet.
    pub(crate) fn publish_at_end(&self, publish: impl FnOnce() -> Result<()> + 'static) {
        *self.publish.borrow_mut() = Some(Box::new(publish));
    }
}

/// Runs a whole action, and commits the accumulator updates of its jobs if it succeeds. A panic of
/// `body`, or of the destructor of what it captured, is an error of the action.
pub(crate) fn run_action<R>(
    action: Operation,
    body: impl FnOnce(&ActionFrame) -> Result<R>,
) -> Result<R> {
    let frame = ActionFrame::new(action);
    let result = run_body(&frame, body)?;
    match commit(frame) {
        Ok(()) => Ok(result),
        Err(error) => {
            drop_quietly(result);
            Err(of_action(action, error))
        }
    }
}

/// Runs an action that is a part of other ones, such as the sample of a sort, and returns the
/// accumulator updates of its tasks and of the driver instead of committing them. Updates that are
/// stored with outputs are not returned.
pub(crate) fn run_part<R>(
    action: Operation,
    body: impl FnOnce(&ActionFrame) -> Result<R>,
) -> Result<(R, Vec<TaskDeltas>)> {
    let frame = ActionFrame::new(action);
    let result = run_body(&frame, body)?;
    let pending = frame.pending.take();
    Ok((result, pending.into_iter().flat_map(|job| job.deltas).collect()))
}

fn run_body<R>(frame: &ActionFrame, body: impl FnOnce(&ActionFrame) -> Result<R>) -> Result<R> {
    let action = frame.action;
    let done = run_on_driver(action, || with_accumulators(|| body(frame)));
    let result = done.and_then(|(result, deltas)| {
        if !deltas.is_empty() {
            frame.defer(Pending { deltas: vec![deltas], ..Pending::default() });
        }
        result
    });
    result.map_err(|error| {
        drop_quietly((frame.pending.take(), frame.publish.take()));
        of_action(action, error)
    })
}

/// Returns an error with its action. An error without an operation belongs to the action, unless the
/// program ended the action from outside.
fn of_action(action: Operation, error: Error) -> Error {
    let is_from_outside =
        matches!(error.kind(), ErrorKind::Cancelled { .. } | ErrorKind::TimedOut { .. });
    let error = if is_from_outside { error } else { error.in_operation(action) };
    error.in_action(action)
}

/// Ends an action: publishes its output, and makes its updates visible in one step. If it fails,
/// none of them counts.
fn commit(frame: ActionFrame) -> Result<()> {
    let ActionFrame { action, pending, publish } = frame;
    let mut publish = publish.into_inner();
    let mut publish = || publish.take().map_or(Ok(()), |publish| run_on_driver(action, publish)?);
    let pending = pending.into_inner();
    let committed = match pending.iter().any(Pending::may_have_updates) {
        true => until_done(|| try_to_commit(action, &pending, &mut publish)),
        false => publish(),
    };
    if committed.is_ok() {
        pending.iter().for_each(|job| job.ran.set_counted());
    }
    drop_quietly(pending);
    committed
}

impl Pending {
    fn may_have_updates(&self) -> bool {
        !self.deltas.is_empty() || self.ran.updates().next().is_some()
    }
}

/// Merges updates into copies of the accumulators, and makes these visible unless another thread
/// has changed an accumulator meanwhile.
fn try_to_commit(
    action: Operation,
    pending: &[Pending],
    publish: &mut dyn FnMut() -> Result<()>,
) -> Result<Option<()>> {
    let merge = || Transaction::default().with_additions(|all| merge(pending, all));
    let mut merged = run_on_driver(action, merge)??;
    let published = publish();
    let is_visible = published.is_ok() && merged.publish();
    drop_quietly(merged);
    published.map(|()| is_visible.then_some(()))
}

/// Adds the pending updates to a transaction, in the order of jobs, stages and partitions.
fn merge(pending: &[Pending], all: &mut Transaction) {
    for job in pending {
        let outputs = job.ran.updates().filter_map(|it| it.downcast::<CommittedDeltas>().ok());
        outputs.for_each(|outputs| all.merge_outputs(outputs));
        job.deltas.iter().for_each(|deltas| all.merge(deltas));
    }
}

/// Runs a closure of the program that is no part of an action, and returns its panic as an error of
/// `operation`. What it adds to accumulators counts at once.
pub(crate) fn run_as_program<R>(operation: Operation, work: impl FnOnce() -> R) -> Result<R> {
    run_on_driver(operation, || without_accumulators(work))
}

/// Runs user code on the driver, and returns a panic of it as an error of the action.
fn run_on_driver<R>(action: Operation, work: impl FnOnce() -> R) -> Result<R> {
    let mut work = Some(work);
    let mut result = None;
    let caught = catch_on_driver(action, &mut || result = work.take().map(|work| work()));
    if let Err(error) = caught {
        // The destructor of a value that the work captured may have panicked after its result.
        drop_quietly(result);
        return Err(error);
    }
    Ok(result.expect("the work did not unwind"))
}

fn catch_on_driver(action: Operation, work: &mut dyn FnMut()) -> Result<()> {
    // The failure that this thread records while unwinding belongs to this error only. One that the
    // caller recorded before, and one that would stay recorded after, must not be blamed for
    // another failure.
    let failure_of_caller = take_failure();
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let recorded = take_failure();
    restore_failure(failure_of_caller);
    // Inside a task an action is refused, and the task fails even if its closure ignores that.
    if let Some(refusal) = recorded.raised.filter(|_| is_task_thread()) {
        record_raised(&refusal);
    }
    outcome
        .map_err(|payload| error_of(payload, Some(action)).in_operation(action).in_action(action))
}
