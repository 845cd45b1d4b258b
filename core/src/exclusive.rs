//! Work that one thread at a time runs without a lock, such as a job or a call of the user's code.

use crate::sync::{Condvar, Mutex};
use std::thread::{self, ThreadId};

/// The right to run some work, which one thread at a time has.
#[derive(Default)]
pub struct Exclusive {
    thread: Mutex<Option<ThreadId>>,
    ended: Condvar,
}

impl Exclusive {
    /// Runs `work` when no other thread runs in here. Returns `None` if this thread does: it would
    /// wait for itself.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        let this = thread::current().id();
        let mut thread = self.thread.lock();
        while thread.is_some_and(|thread| thread != this) {
            thread = self.ended.wait(thread);
        }
        if thread.replace(this).is_some() {
            return None;
        }
        drop(thread);
        let _running = Running(self);
        Some(work())
    }
}

/// The work while it runs. Dropping it wakes the waiting threads.
struct Running<'a>(&'a Exclusive);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.thread.lock() = None;
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::held_locks;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use testkit::{DEADLINE, within};

    #[test]
    fn one_thread_at_a_time_runs_the_work_without_a_lock() {
        within(DEADLINE, || {
            let (exclusive, inside) = (Exclusive::default(), AtomicUsize::new(0));
            let work = || {
                assert_eq!((inside.fetch_add(1, Ordering::SeqCst), held_locks()), (0, 0));
                thread::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
            };
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| (0..50).for_each(|_| exclusive.run(work).unwrap()));
                }
            });
        });
    }

    #[test]
    fn work_that_needs_itself_is_refused_and_a_panic_frees_the_right() {
        within(DEADLINE, || {
            let exclusive = Exclusive::default();
            assert_eq!(exclusive.run(|| exclusive.run(|| 1)), Some(None));
            let panics = || exclusive.run(|| std::panic::resume_unwind(Box::new("no")));
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            assert_eq!(exclusive.run(|| 2), Some(2));
        });
    }
}
