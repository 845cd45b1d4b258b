//! Time limits of tests.

use crate::scale::scaled;
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// The usual time limit of a test, long enough for a busy machine.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// The exit status of a test process that [`deadline`] ends, the one that `cargo test` uses.
const FAILED: i32 = 101;

/// Runs `body` on its own thread and panics, with the name of the test, if it takes longer than `limit`,
/// which is multiplied by the scale of the generators ([`scaled`]).
pub fn within<R: Send + 'static>(limit: Duration, body: impl FnOnce() -> R + Send + 'static) -> R {
    run_limited(limit * scaled(1) as u32, thread::Builder::new(), body)
}

/// Runs `body` on a thread with a stack of `bytes` and panics if it takes longer than [`DEADLINE`].
pub fn on_stack<R: Send + 'static>(bytes: usize, body: impl FnOnce() -> R + Send + 'static) -> R {
    run_limited(DEADLINE, thread::Builder::new().stack_size(bytes), body)
}

fn run_limited<R: Send + 'static>(
    limit: Duration,
    builder: thread::Builder,
    body: impl FnOnce() -> R + Send + 'static,
) -> R {
    let name = test_name();
    let (done, ended) = channel();
    let run = move || {
        let result = body();
        let _ = done.send(());
        result
    };
    let thread = builder.name(name.clone()).spawn(run).expect("a test can start a thread");
    if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
        panic!("{name} did not end within {limit:?}");
    }
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Ends the process with a failure unless the returned guard is dropped within `limit`. For tests that
/// run on their own thread and could only hang in an endless loop.
pub fn deadline(limit: Duration) -> Deadline {
    let name = test_name();
    deadline_or(limit, move || {
        eprintln!("{name} did not end within {limit:?}");
        std::process::exit(FAILED)
    })
}

/// A guard of [`deadline`] that a test holds until it ends.
pub struct Deadline(#[expect(dead_code, reason = "dropping it ends the wait")] Sender<()>);

fn deadline_or(limit: Duration, late: impl FnOnce() + Send + 'static) -> Deadline {
    let (guard, dropped) = channel();
    thread::spawn(move || {
        if dropped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            late();
        }
    });
    Deadline(guard)
}

/// Waits up to two seconds until `holds` returns true, and panics with `what` if it never does.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{what} did not come true");
}

/// Returns the name of the test that runs on this thread.
fn test_name() -> String {
    thread::current().name().unwrap_or("a test").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_fires_unless_it_is_dropped_in_time() {
        within(DEADLINE, || {
            let (fired, received) = channel();
            let fire = |what: &'static str| {
                let fired = fired.clone();
                move || fired.send(what).unwrap_or(())
            };
            drop(deadline_or(DEADLINE, fire("in time")));
            let late = deadline_or(Duration::from_millis(1), fire("late"));
            assert_eq!(received.recv(), Ok("late"));
            drop(late);
            drop(fired);
            assert!(received.recv().is_err(), "the first one never fires");
        });
    }

    #[test]
    fn a_body_returns_its_result_and_its_panic() {
        assert_eq!(within(DEADLINE, || 7), 7);
        let panic = thread::spawn(|| within(DEADLINE, || panic!("seven"))).join();
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"seven"));
    }

    #[test]
    fn a_body_that_takes_too_long_is_a_panic() {
        let (_held, wait) = channel::<()>();
        let late = thread::spawn(move || within(Duration::from_millis(1), move || wait.recv()));
        assert!(late.join().is_err());
    }
}
