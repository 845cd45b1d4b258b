//! The cancellation flag and the commit right of one task attempt.
//!
//! A straggler may have a speculative attempt, and a cancelled attempt may keep running for a
//! while. Everything that an attempt publishes (a map output, a slot of the result, the final name
//! of a file, accumulator updates) it commits under one right, which the attempts of a slot share.
//! That is one lock for a task and none for a row. An attempt that recorded a failure, or was
//! cancelled, may not commit. The lock is not held while an attempt publishes, since replacing an
//! older output drops rows; other attempts of the slot wait until it has succeeded or failed.

use crate::error::{Result, superseded};
use crate::ids::TaskId;
use crate::sync::{Condvar, Mutex};
use crate::unwind::failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The right to publish the result of one slot. It belongs to the attempt that used it first.
#[derive(Default)]
pub struct CommitRight {
    state: Mutex<RightState>,
    changed: Condvar,
}

#[derive(Default)]
struct RightState {
    owner: Owner,
    /// True if an attempt waits: without one, waking them would be a system call for each task.
    has_waiting: bool,
}

/// The owner of a [`CommitRight`].
#[derive(Clone, Copy, Default)]
enum Owner {
    #[default]
    Free,
    /// An attempt is publishing.
    Publishing,
    Committed(TaskId),
}

impl CommitRight {
    /// Returns the right to publish, unless another attempt has committed, or `is_cancelled`
    /// returns true.
    fn take(&self, attempt: TaskId, is_cancelled: impl FnOnce() -> bool) -> Result<Publishing<'_>> {
        let mut state = self.state.lock();
        while matches!(state.owner, Owner::Publishing) {
            state.has_waiting = true;
            state = self.changed.wait(state);
        }
        match state.owner {
            Owner::Committed(other) if other != attempt => return Err(superseded()),
            Owner::Free if is_cancelled() => return Err(superseded()),
            _ => {}
        }
        let before = std::mem::replace(&mut state.owner, Owner::Publishing);
        Ok(Publishing { right: self, after: before })
    }
}

/// The right while its owner publishes. Dropping it sets the owner and wakes waiting attempts.
struct Publishing<'a> {
    right: &'a CommitRight,
    after: Owner,
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        let mut state = self.right.state.lock();
        state.owner = self.after;
        let has_waiting = std::mem::take(&mut state.has_waiting);
        drop(state);
        if has_waiting {
            self.right.changed.notify_all();
        }
    }
}

/// One attempt of a task, shared by its thread and the runner.
pub struct Attempt {
    id: TaskId,
    cancelled: AtomicBool,
    right: Arc<CommitRight>,
}

impl Attempt {
    /// Returns an attempt that shares `right` with the other attempts of its slot.
    pub fn new(id: TaskId, right: Arc<CommitRight>) -> Self {
        Attempt { id, cancelled: AtomicBool::new(false), right }
    }

    /// Returns the id of the attempt.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Asks the attempt to stop. It cannot commit any more, unless it already has.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Returns true if the attempt was asked to stop.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Calls `publish`, unless another attempt has committed, this one was cancelled, or it has
    /// failed in a way that its closures caught. If `publish` fails, the right is free again.
    pub fn commit<R>(&self, publish: impl FnOnce() -> Result<R>) -> Result<R> {
        let mut publishing = self.right.take(self.id, || self.is_cancelled())?;
        if let Some(error) = failure() {
            return Err(error);
        }
        let published = publish()?;
        publishing.after = Owner::Committed(self.id);
        Ok(published)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn two_attempts() -> (Attempt, Attempt) {
        let right = Arc::<CommitRight>::default();
        (Attempt::new(TaskId(1), Arc::clone(&right)), Attempt::new(TaskId(2), right))
    }

    fn is_superseded(result: Result<()>) -> bool {
        crate::error::is_superseded(&result.unwrap_err())
    }

    // Case F101 of tests/PROMISES.md.
    #[test]
    fn the_first_of_two_attempts_commits_and_the_other_is_denied() {
        let (first, second) = two_attempts();
        second.commit(|| Ok(())).unwrap();
        assert!(is_superseded(first.commit(|| panic!("it must not be called"))));
        // It may commit more, even if it was cancelled after its first commit.
        second.cancel();
        second.commit(|| Ok(())).unwrap();
    }

    // Case F101 of tests/PROMISES.md.
    #[test]
    fn an_attempt_that_fails_to_commit_frees_the_right() {
        let (first, second) = two_attempts();
        let no = || Err::<(), _>(Error::invalid_argument("no"));
        assert!(first.commit(no).is_err());
        let panics = || first.commit::<()>(|| panic!("while it commits"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        second.commit(|| Ok(())).unwrap();
    }

    // Case F101 of tests/PROMISES.md.
    #[test]
    fn a_cancelled_attempt_commits_nothing() {
        let (first, second) = two_attempts();
        first.cancel();
        assert!(is_superseded(first.commit(|| Ok(()))));
        second.commit(|| Ok(())).unwrap();
    }

    #[test]
    fn an_attempt_waits_without_a_lock_while_another_one_publishes() {
        testkit::within(testkit::DEADLINE, || {
            for first_fails in [false, true] {
                let (first, second) = two_attempts();
                let may_end = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    let publishing = scope.spawn(|| {
                        first.commit(|| {
                            assert_eq!(crate::sync::held_locks(), 0);
                            while !may_end.load(Ordering::SeqCst) {
                                std::thread::yield_now();
                            }
                            if first_fails { Err(Error::corrupt("test")) } else { Ok(()) }
                        })
                    });
                    let waiting = scope.spawn(|| second.commit(|| Ok(())));
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    may_end.store(true, Ordering::SeqCst);
                    let ended =
                        [publishing, waiting].map(|attempt| attempt.join().unwrap().is_ok());
                    assert_eq!(ended.into_iter().filter(|is_ok| *is_ok).count(), 1);
                });
            }
        });
    }

    #[test]
    fn an_attempt_whose_closure_caught_a_raised_error_commits_nothing() {
        let (first, second) = two_attempts();
        crate::unwind::record_raised(&Error::corrupt("half a partition"));
        assert!(matches!(first.commit(|| Ok(())).unwrap_err().kind(), ErrorKind::Corrupt { .. }));
        let _ = crate::unwind::take_failure();
        second.commit(|| Ok(())).unwrap();
    }
}
