//! No test of an example may hang.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How long one test may take, building the examples included.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Held by a test until it ends.
pub struct Deadline(#[expect(dead_code, reason = "to drop it is to end")] Sender<()>);

/// Ends the process, with the name of this thread's test, if what it gives is not dropped in time.
pub fn deadline() -> Deadline {
    let name = thread::current().name().unwrap_or("a test").to_string();
    let (held, ended) = channel::<()>();
    thread::spawn(move || {
        if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name} was not done after {LIMIT:?}");
            std::process::exit(1);
        }
    });
    Deadline(held)
}
