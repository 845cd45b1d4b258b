//! What the unit tests share: no test may hang.

use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

/// How long one test may take before it counts as hanging.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Runs a test's body on a thread of its own and gives up on it after `limit`.
pub fn within<R: Send + 'static>(limit: Duration, body: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, wait) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || drop(done.send(body())));
    match wait.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("no end after {limit:?}"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("the body sent nothing"))
        }
    }
}
