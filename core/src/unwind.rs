//! Attributes panics and errors to the operation that caused them.
//!
//! Rows pass through one fused loop, which does not know which closure is running. [`blame`] is
//! free while closures return: only the landing pad of an unwinding closure records its operation.
//! Measured with callgrind, the narrow chain takes 180 instructions where the hand-written loop
//! takes 180.
//!
//! User code that pulls rows may catch a panic of an operation before it, and continue without the
//! rows that the panic took. So every unwinding through [`blame`] or [`watch`] is recorded, and a task
//! whose closures caught one fails: it stores and commits nothing ([`has_failed`]).
//!
//! A source or a shuffle read that fails in the middle of an iteration calls [`raise`], which
//! unwinds with the error as payload. The runner converts it back into an error value.

use crate::error::{Error, ErrorKind};
use crate::operation::Operation;
use crate::sync::Mutex;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

thread_local! {
    /// The innermost operation whose closure is unwinding on this thread.
    static BLAMED: Cell<Option<Operation>> = const { Cell::new(None) };
    /// True if a call of [`blame`] or [`watch`] unwound on this thread.
    static HAS_UNWOUND: Cell<bool> = const { Cell::new(false) };
    /// The first error raised on this thread since the last [`take_failure`].
    static RAISED: RefCell<Option<Error>> = const { RefCell::new(None) };
    /// The error of rayon work, shared by a thread that runs tasks and its helper.
    static IN_RAYON_WORK: RefCell<Option<SharedFailure>> = const { RefCell::new(None) };
}

/// The first error in the rayon work of a task, which fails the task even if its closures ignore it.
pub type SharedFailure = Arc<Mutex<Option<Error>>>;

/// Shares the errors of rayon work between the threads that call this with the same value.
pub fn share_failures(shared: SharedFailure) {
    IN_RAYON_WORK.set(Some(shared));
}

/// Returns true if this thread runs tasks or their rayon work.
pub fn shares_failures() -> bool {
    IN_RAYON_WORK.with_borrow(Option::is_some)
}

/// Records an error of rayon work on a helper, which fails the task that waits for it.
pub fn record_in_rayon_work(error: &Error) {
    if let Some(shared) = shared_failure() {
        shared.lock().get_or_insert_with(|| error.clone());
    }
}

/// Takes the error that the helper of this thread recorded.
pub fn take_failure_of_rayon_work() -> Option<Error> {
    shared_failure().and_then(|shared| shared.lock().take())
}

fn shared_failure() -> Option<SharedFailure> {
    IN_RAYON_WORK.with_borrow(Clone::clone)
}

/// Runs a closure of the user and records `operation` if it unwinds.
#[inline(always)]
pub fn blame<R>(operation: &Operation, call: impl FnOnce() -> R) -> R {
    let records_on_unwind = Blame(Some(operation));
    let result = call();
    std::mem::forget(records_on_unwind);
    result
}

/// Runs a pull of rows by user code, and records if it unwinds.
#[inline(always)]
pub fn watch<R>(call: impl FnOnce() -> R) -> R {
    let records_on_unwind = Blame(None);
    let result = call();
    std::mem::forget(records_on_unwind);
    result
}

/// Records its operation when it drops, which happens only during unwinding.
struct Blame<'a>(Option<&'a Operation>);

impl Drop for Blame<'_> {
    #[cold]
    fn drop(&mut self) {
        HAS_UNWOUND.set(true);
        if BLAMED.get().is_none() {
            BLAMED.set(self.0.copied());
        }
    }
}

/// Fails the running task if user code that has just returned caught a panic of the rows that it
/// pulled.
pub fn record_caught_panic() {
    if HAS_UNWOUND.take() {
        record_raised(&caught_panic(BLAMED.take()));
    }
}

/// Unwinds out of the running task after user code caught a panic that took a value with it.
#[cold]
pub fn raise_caught_panic() -> ! {
    raise(failure().unwrap_or_else(|| caught_panic(None)))
}

/// Returns the error of a panic in `blamed` that user code caught.
#[cold]
fn caught_panic(blamed: Option<Operation>) -> Error {
    let message = "another closure, which pulled these rows, caught the panic, so rows are missing: let panics of \
                   rows pass, or return an error with `try_map`"
        .to_string();
    let error = Error::new(ErrorKind::Panicked { message });
    match blamed {
        Some(operation) => error.in_operation(operation),
        None => error,
    }
}

/// The payload that unwinds the stack when a source, a shuffle read or a fallible closure fails in
/// the middle of an iteration. It is not a panic: no panic hook runs, and the runner converts it
/// back into the error.
pub struct Raised(pub Error);

/// Unwinds out of the running task with `error`. An iterator that ended early instead would look
/// like the end of the data, and a closure might commit half a partition.
#[cold]
pub fn raise(error: Error) -> ! {
    record_raised(&error);
    std::panic::resume_unwind(Box::new(Raised(error)))
}

/// Records an error that fails the running task even if a closure catches it.
pub fn record_raised(error: &Error) {
    RAISED.with(|raised| {
        raised.borrow_mut().get_or_insert_with(|| error.clone());
    });
}

/// Returns true if an error was raised or a panic unwound on this thread since the last
/// [`take_failure`], even if a closure caught it. Rows computed since then may be incomplete.
pub fn has_failed() -> bool {
    HAS_UNWOUND.get() || RAISED.with(|raised| raised.borrow().is_some())
}

/// Returns the error that was raised on this thread since the last [`take_failure`], that of a
/// panic that a closure caught, or that of rayon work of the task, and leaves it recorded.
pub fn failure() -> Option<Error> {
    let raised = RAISED.with(|raised| raised.borrow().clone());
    let own = raised.or_else(|| HAS_UNWOUND.get().then(|| caught_panic(BLAMED.get())));
    own.or_else(|| shared_failure().and_then(|shared| shared.lock().clone()))
}

/// Unwraps a result inside an iteration, and raises its error; see [`raise`].
#[inline]
pub fn or_raise<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => raise(error),
    }
}

/// The failure that a thread recorded.
#[derive(Debug)]
pub struct Failure {
    /// The operation whose closure unwound.
    pub blamed: Option<Operation>,
    /// The error that was raised, even if user code caught it and continued.
    pub raised: Option<Error>,
    has_unwound: bool,
}

impl Failure {
    /// Returns the error of work that returned a value although something in it failed.
    pub fn into_caught(self) -> Option<Error> {
        let Failure { blamed, raised, has_unwound } = self;
        raised.or_else(|| has_unwound.then(|| caught_panic(blamed)))
    }
}

/// Takes the failure that this thread recorded since the last call.
pub fn take_failure() -> Failure {
    Failure {
        blamed: BLAMED.take(),
        raised: RAISED.with(RefCell::take),
        has_unwound: HAS_UNWOUND.take(),
    }
}

/// Restores the failure that [`take_failure`] returned, after work that has failures of its own.
pub fn restore_failure(failure: Failure) {
    BLAMED.set(failure.blamed);
    RAISED.with(|cell| *cell.borrow_mut() = failure.raised);
    HAS_UNWOUND.set(failure.has_unwound);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn the_innermost_unwinding_closure_is_blamed() {
        let outer = Operation::new("map");
        let inner = Operation::new("filter");
        let _ = take_failure();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            blame(&outer, || blame(&inner, || std::panic::resume_unwind(Box::new("no"))))
        }));
        assert!(caught.is_err());
        assert_eq!(take_failure().blamed, Some(inner));
    }

    #[test]
    fn a_closure_that_returns_is_not_blamed() {
        let _ = take_failure();
        assert_eq!(blame(&Operation::new("map"), || 3), 3);
        assert_eq!(take_failure().blamed, None);
    }

    #[test]
    fn a_caught_panic_is_the_failure_of_the_task() {
        let map = Operation::new("map");
        let _ = take_failure();
        let panics = || watch(|| blame(&map, || std::panic::resume_unwind(Box::new("no"))));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err() && has_failed());
        assert_eq!(failure().and_then(|error| error.operation()), Some(map));
        record_caught_panic();
        assert!(has_failed());
        let caught = take_failure().into_caught().unwrap();
        assert!(matches!(caught.kind(), ErrorKind::Panicked { .. }) && !has_failed());
    }

    #[test]
    fn a_raised_error_stays_recorded_when_caught() {
        let _ = take_failure();
        let error = Error::corrupt("test");
        let _ = catch_unwind(AssertUnwindSafe(|| raise(error)));
        assert!(take_failure().raised.is_some());
    }
}
