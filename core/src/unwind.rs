//! Attributes panics and errors to the operation that caused them.
//!
//! Rows flow through one fused loop, which cannot know which closure is running. [`blame`] costs
//! nothing while closures return: only the landing pad of an unwinding closure records its operation.

use crate::error::Error;
use crate::operation::Operation;
use std::cell::{Cell, RefCell};

thread_local! {
    /// The innermost step whose closure is unwinding on this thread.
    static BLAMED: Cell<Option<Operation>> = const { Cell::new(None) };
    /// The first error raised on this thread since [`take_failure`].
    static RAISED: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Runs a user's closure; if it unwinds, notes that `step` was the one.
#[inline(always)]
pub fn blame<R>(operation: &Operation, call: impl FnOnce() -> R) -> R {
    let noted_on_unwind = Blame(operation);
    let result = call();
    std::mem::forget(noted_on_unwind);
    result
}

struct Blame<'a>(&'a Operation);

impl Drop for Blame<'_> {
    #[cold]
    fn drop(&mut self) {
        BLAMED.with(|blamed| {
            if blamed.get().is_none() {
                blamed.set(Some(*self.0));
            }
        });
    }
}

/// Takes back what [`blame`] noted: user code that was given an iterator caught what unwound in it
/// and went on.
pub fn clear_blame() {
    BLAMED.with(Cell::take);
}

/// What travels up the stack when a source, a shuffle read or a fallible closure fails in the
/// middle of an iteration. It is not a panic: no hook runs, and the runner turns it back into the
/// error it carries.
pub struct Raised(pub Error);

/// Leaves the running task with `error`. An iterator that ended early instead would look like the
/// end of the data, and a closure might commit half a partition.
#[cold]
pub fn raise(error: Error) -> ! {
    note_raised(&error);
    std::panic::resume_unwind(Box::new(Raised(error)))
}

/// Notes an error that fails the running task whatever its closures make of it.
pub fn note_raised(error: &Error) {
    RAISED.with(|raised| {
        raised.borrow_mut().get_or_insert_with(|| error.clone());
    });
}

/// Whether an error was raised on this thread since [`take_failure`], also if a closure caught it:
/// then what was computed since may be half of the truth.
pub fn has_raised() -> bool {
    RAISED.with(|raised| raised.borrow().is_some())
}

/// The error that was raised on this thread since [`take_failure`], which stays noted.
pub fn raised() -> Option<Error> {
    RAISED.with(|raised| raised.borrow().clone())
}

/// Unwraps a result inside an iteration; see [`raise`].
#[inline]
pub fn or_raise<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => raise(error),
    }
}

/// What this thread noted since the last call: the step whose closure unwound, and the error that
/// was raised (even if the user's code caught the unwinding and went on).
pub fn take_failure() -> (Option<Operation>, Option<Error>) {
    (BLAMED.with(Cell::take), RAISED.with(RefCell::take))
}

/// Puts back what [`take_failure`] took: a task that ran in the waiting time of another, because a
/// closure called rayon, must not wipe out what the outer one noted.
pub fn restore_failure((blamed, raised): (Option<Operation>, Option<Error>)) {
    BLAMED.with(|cell| cell.set(blamed));
    RAISED.with(|cell| *cell.borrow_mut() = raised);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn the_innermost_closure_that_unwinds_is_blamed() {
        let (outer, inner) = (Operation::new("map"), Operation::new("filter"));
        let _ = take_failure();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            blame(&outer, || blame(&inner, || std::panic::resume_unwind(Box::new("no"))))
        }));
        assert!(caught.is_err());
        assert_eq!(take_failure().0, Some(inner));
    }

    #[test]
    fn a_closure_that_returns_is_not_blamed() {
        let _ = take_failure();
        assert_eq!(blame(&Operation::new("map"), || 3), 3);
        assert_eq!(take_failure().0, None);
    }

    #[test]
    fn a_raised_error_is_remembered_even_when_caught() {
        let _ = take_failure();
        let error = Error::new(ErrorKind::Internal { what: "test".into() });
        let _ = catch_unwind(AssertUnwindSafe(|| raise(error)));
        assert!(take_failure().1.is_some());
    }
}
