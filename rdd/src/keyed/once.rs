//! Work that runs once, for the first of several threads that need it. No lock is held while it
//! runs, since it runs jobs and user code.

use emberline_core::error::{Error, Result};
use emberline_core::sync::{Condvar, Mutex};
use std::thread::{self, ThreadId};

/// Work that one thread at a time runs, until it has succeeded.
#[derive(Default)]
pub(super) struct Once {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Running(ThreadId),
    Done,
}

impl Once {
    /// Runs `work`, or waits while another thread runs it. Returns at once when it has succeeded.
    ///
    /// # Errors
    ///
    /// Those of `work`, and `InvalidArgument` if `work` itself calls this.
    pub(super) fn run(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let this = thread::current().id();
        let mut state = self.state.lock();
        loop {
            match *state {
                State::Done => return Ok(()),
                State::Running(thread) if thread == this => return Err(calls_itself()),
                State::Running(_) => state = self.changed.wait(state),
                State::Idle => break,
            }
        }
        *state = State::Running(this);
        drop(state);
        let mut running = Running { once: self, after: State::Idle };
        work()?;
        running.after = State::Done;
        Ok(())
    }
}

#[cold]
fn calls_itself() -> Error {
    let text = "the sample of a sort needs itself: a key or an order of the sort runs an action on the sorted \
                RDD; sort by values that were computed before";
    Error::invalid_argument(text)
}

/// The work while it runs. Dropping it sets the state and wakes the waiting threads.
struct Running<'a> {
    once: &'a Once,
    after: State,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.once.state.lock() = self.after;
        self.once.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use testkit::{DEADLINE, within};

    #[test]
    fn of_many_threads_one_runs_the_work_and_the_others_wait() {
        within(DEADLINE, || {
            let (once, runs) = (Once::default(), AtomicUsize::new(0));
            let work = || {
                thread::yield_now();
                runs.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        once.run(work).unwrap();
                        assert_eq!(runs.load(Ordering::SeqCst), 1);
                    });
                }
            });
        });
    }

    #[test]
    fn failed_work_runs_again_and_work_that_needs_itself_is_an_error() {
        within(DEADLINE, || {
            let once = Once::default();
            assert!(once.run(|| Err(Error::invalid_argument("no"))).is_err());
            let panics = || once.run(|| std::panic::resume_unwind(Box::new("no")));
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            let error = once.run(|| once.run(|| Ok(()))).unwrap_err();
            assert!(error.to_string().contains("needs itself"), "{error}");
            once.run(|| Ok(())).unwrap();
            once.run(|| Err(Error::invalid_argument("it has succeeded"))).unwrap();
        });
    }
}
