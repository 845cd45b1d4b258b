//! One attempt of a task among its siblings: whether it should stop, and whether it may leave its
//! result.
//!
//! A straggler may have a copy that runs beside it, and a cancelled attempt may be on its way for a
//! while. Whatever an attempt leaves behind (a map output, a slot of the result, the name of a file,
//! what it added to accumulators) it leaves under one right, which the attempts of a slot share.

use crate::error::{Error, ErrorKind, Result};
use crate::ids::TaskId;
use crate::unwind::raised;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The right to leave the result of one slot: it belongs to the attempt that used it first.
#[derive(Default)]
pub struct CommitRight(Mutex<Option<TaskId>>);

/// One attempt, as its thread and the runner see it.
pub struct Attempt {
    id: TaskId,
    cancelled: AtomicBool,
    right: Arc<CommitRight>,
}

impl Attempt {
    /// An attempt that shares `right` with its siblings.
    pub fn new(id: TaskId, right: Arc<CommitRight>) -> Self {
        Attempt { id, cancelled: AtomicBool::new(false), right }
    }

    /// Its number.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Asks it to stop. From now on it leaves nothing, unless it has already.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Leaves a part of the result, unless another attempt was first, this one was cancelled, or it has
    /// failed already and its closures hide that. An attempt that fails to leave it gives the right
    /// back.
    pub fn commit<R>(&self, leave: impl FnOnce() -> Result<R>) -> Result<R> {
        let mut first = self.right.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *first {
            Some(first) if first != self.id => return Err(Error::new(ErrorKind::Superseded)),
            None if self.is_cancelled() => return Err(Error::new(ErrorKind::Superseded)),
            _ => {}
        }
        if let Some(error) = raised() {
            return Err(error);
        }
        let left = leave()?;
        *first = Some(self.id);
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn siblings() -> (Attempt, Attempt) {
        let right = Arc::<CommitRight>::default();
        (Attempt::new(TaskId(1), Arc::clone(&right)), Attempt::new(TaskId(2), right))
    }

    fn is_superseded(result: Result<()>) -> bool {
        matches!(result.unwrap_err().kind(), ErrorKind::Superseded)
    }

    #[test]
    fn f101_the_first_of_two_attempts_leaves_its_result_and_the_other_is_denied() {
        let (first, second) = siblings();
        second.commit(|| Ok(())).unwrap();
        assert!(is_superseded(first.commit(|| panic!("it must not be called"))));
        // It may leave more, also when it was asked to stop too late.
        second.cancel();
        second.commit(|| Ok(())).unwrap();
    }

    #[test]
    fn f101_an_attempt_that_fails_to_leave_its_result_gives_the_right_back() {
        let (first, second) = siblings();
        let no = || Err::<(), _>(Error::invalid_argument("no"));
        assert!(first.commit(no).is_err());
        let panics = || first.commit::<()>(|| panic!("while it leaves"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        second.commit(|| Ok(())).unwrap();
    }

    #[test]
    fn f101_a_cancelled_attempt_leaves_nothing() {
        let (first, second) = siblings();
        first.cancel();
        assert!(is_superseded(first.commit(|| Ok(()))));
        second.commit(|| Ok(())).unwrap();
    }

    #[test]
    fn an_attempt_whose_failure_was_swallowed_leaves_nothing() {
        let (first, second) = siblings();
        crate::unwind::note_raised(&Error::corrupt("half a partition"));
        assert!(matches!(first.commit(|| Ok(())).unwrap_err().kind(), ErrorKind::Corrupt { .. }));
        let _ = crate::unwind::take_failure();
        second.commit(|| Ok(())).unwrap();
    }
}
