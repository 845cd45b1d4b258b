//! The end of the scratch files of a context: a task that is still running finds them closed.

use crate::error::Error;
use crate::sync::{Condvar, Mutex};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The maximum time that closing waits for files that are being created.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Becomes closed once. Nothing is created after that.
#[derive(Default)]
pub(super) struct Closing {
    is_closed: AtomicBool,
    /// The number of files and directories that are being created.
    creating: Mutex<usize>,
    created: Condvar,
}

/// The creation of a file or directory, until this drops.
pub(super) struct Creating<'a>(&'a Closing);

impl Closing {
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Begins to create something, unless the scratch is closed.
    pub fn begin_create(&self) -> Result<Creating<'_>, ScratchClosed> {
        let mut creating = self.creating.lock();
        if self.is_closed() {
            return Err(ScratchClosed);
        }
        *creating += 1;
        Ok(Creating(self))
    }

    /// Refuses further files, and waits for those that are being created, which a broken disk must
    /// not delay for long.
    pub fn close(&self) {
        let deadline = Instant::now() + MAX_WAIT;
        let mut creating = self.creating.lock();
        self.is_closed.store(true, Ordering::Release);
        while *creating > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            creating = self.created.wait_timeout(creating, left).0;
        }
    }
}

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        *self.0.creating.lock() -= 1;
        self.0.created.notify_all();
    }
}

/// A scratch file was used after its context was dropped.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the context was dropped while this task was running; its scratch files are deleted")]
pub(super) struct ScratchClosed;

impl ScratchClosed {
    /// Returns true if an operation failed because the scratch is closed.
    pub fn is_cause_of(cause: &io::Error) -> bool {
        cause.get_ref().is_some_and(|inner| inner.is::<ScratchClosed>())
    }
}

impl From<ScratchClosed> for io::Error {
    fn from(closed: ScratchClosed) -> io::Error {
        io::Error::other(closed)
    }
}

impl From<ScratchClosed> for Error {
    fn from(closed: ScratchClosed) -> Error {
        Error::cancelled(closed.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use testkit::{DEADLINE, within};

    #[test]
    fn closing_waits_for_what_is_being_created_and_refuses_the_rest() {
        within(DEADLINE, || {
            let closing = Closing::default();
            let creating = closing.begin_create().unwrap();
            thread::scope(|scope| {
                let closer = scope.spawn(|| closing.close());
                while !closing.is_closed() {
                    thread::yield_now();
                }
                assert!(closing.begin_create().is_err());
                assert!(!closer.is_finished());
                drop(creating);
                closer.join().unwrap();
            });
            closing.close();
        });
    }

    #[test]
    fn a_creation_that_hangs_delays_closing_for_a_limited_time() {
        within(DEADLINE, || {
            let closing = Closing::default();
            let creating = closing.begin_create().unwrap();
            closing.close();
            assert!(closing.is_closed());
            drop(creating);
        });
    }
}
