//! What the unit tests share: no test may hang.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
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

/// Lets the whole run of the tests fail if what this gives still lives after `limit`. For what runs on
/// the test's own thread and could only hang in an endless loop, which nothing but that can end.
pub fn deadline(limit: Duration) -> Deadline {
    let test = thread::current().name().unwrap_or("a test").to_string();
    deadline_or(limit, move || {
        eprintln!("{test}: no end after {limit:?}");
        std::process::exit(101)
    })
}

/// Drop it in time.
pub struct Deadline(#[expect(dead_code, reason = "its drop is what counts")] Sender<()>);

fn deadline_or(limit: Duration, late: impl FnOnce() + Send + 'static) -> Deadline {
    let (dropped, wait) = channel();
    thread::spawn(move || {
        if wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            late();
        }
    });
    Deadline(dropped)
}

#[test]
fn a_deadline_fires_unless_it_is_dropped_in_time() {
    within(DEADLINE, || {
        let (fired, heard) = channel();
        let fire = |what: &'static str| {
            let fired = fired.clone();
            move || fired.send(what).unwrap_or(())
        };
        drop(deadline_or(DEADLINE, fire("in time")));
        let late = deadline_or(Duration::from_millis(1), fire("late"));
        assert_eq!(heard.recv(), Ok("late"));
        drop((late, fired));
        assert!(heard.recv().is_err(), "the first one never fires");
    });
}
