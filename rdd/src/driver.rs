//! The frame of an action: the work that the driver does around its jobs.
//!
//! The accumulator updates of the jobs stay pending until the whole action has succeeded; then they
//! are committed together.
//!
//! The whole body of an action runs in [`run_action`], which turns a panic of user code on the
//! driver into an error: of the last merge of a `reduce`, of the `Hash` of a key, or of the
//! destructor of a row. Only an [`ActionFrame`] can run jobs, and only `run_action` makes one, so no
//! action can forget the guard.

use crate::accumulator::TaskDeltas;
use emberline_core::error::Result;
use emberline_core::job::JobDependencies;
use emberline_core::operation::Operation;
use emberline_core::quiet::drop_quietly;
use emberline_core::runner::error_of;
use emberline_core::unwind::{restore_failure, take_failure};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// Accumulator updates of the jobs of the action on this thread; `None` outside an action.
    static PENDING: RefCell<Option<Vec<Pending>>> = const { RefCell::new(None) };
}

/// Accumulator updates of one finished job, to be committed with its action.
pub(crate) struct Pending {
    /// Updates stored with the map outputs and blocks that the job needed.
    pub(crate) ran: JobDependencies,
    /// Updates of the result tasks, by partition.
    pub(crate) result_deltas: Vec<TaskDeltas>,
}

/// Runs a whole action, and commits the accumulator updates of its jobs if it succeeds. An action
/// inside another one, such as the sample of a sort, is committed with the outer action. A panic of
/// `body`, or of the destructor of what it captured, is an error of the action.
pub(crate) fn run_action<R>(
    action: Operation,
    body: impl FnOnce(&ActionFrame) -> Result<R>,
) -> Result<R> {
    let frame = ActionFrame::begin(action);
    let result = run_on_driver(action, || body(&frame)).and_then(|result| result);
    let result = result.map_err(|error| error.in_operation(action).in_action(action))?;
    match frame.commit() {
        Ok(()) => Ok(result),
        Err(error) => {
            drop_quietly(result);
            Err(error)
        }
    }
}

/// An action on this thread: the right to run its jobs. If it is the outermost one, its updates are
/// dropped with it.
pub(crate) struct ActionFrame {
    action: Operation,
    is_outermost: bool,
}

impl ActionFrame {
    fn begin(action: Operation) -> Self {
        let is_outermost = PENDING.with_borrow(Option::is_none);
        if is_outermost {
            PENDING.set(Some(Vec::new()));
        }
        ActionFrame { action, is_outermost }
    }

    /// Returns the action.
    pub(crate) fn action(&self) -> Operation {
        self.action
    }

    /// Ends the action and commits its updates, if it is the outermost one.
    fn commit(self) -> Result<()> {
        if !self.is_outermost {
            return Ok(());
        }
        let action = self.action;
        let pending = PENDING.take().unwrap_or_default();
        drop(self);
        run_on_driver(action, || {
            for Pending { ran, result_deltas } in pending {
                ran.on_job_success();
                result_deltas.into_iter().for_each(TaskDeltas::merge);
            }
        })
    }
}

impl Drop for ActionFrame {
    fn drop(&mut self) {
        if self.is_outermost {
            drop_quietly(PENDING.take());
        }
    }
}

/// Defers the accumulator updates of a job until its action succeeds.
pub(crate) fn defer(pending: Pending) {
    PENDING.with_borrow_mut(|action| action.get_or_insert_default().push(pending));
}

/// Runs the user's closures on the driver, and returns a panic of them as an error of the action.
pub(crate) fn run_on_driver<R>(action: Operation, work: impl FnOnce() -> R) -> Result<R> {
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
    let _ = take_failure();
    restore_failure(failure_of_caller);
    outcome
        .map_err(|payload| error_of(payload, Some(action)).in_operation(action).in_action(action))
}
