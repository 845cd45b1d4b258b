//! Repeats work that another thread has overtaken.
//!
//! Of several threads that change one accumulator, one always succeeds. A thread that loses often
//! takes a turn: the others wait for it, but only for a short time, since the user's code that runs
//! in a turn may wait for them.

use emberline_core::error::{Error, Result};
use emberline_core::sync::{Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// The number of failures before a thread takes a turn.
const FAILURES_BEFORE_TURN: usize = 8;
/// The number of failures after which the accumulator changes whenever it is changed.
const MAX_FAILURES: usize = 200;
/// The longest time for which other threads wait for an attempt.
const MAX_WAIT: Duration = Duration::from_secs(1);

static TURN: Mutex<Option<Turn>> = Mutex::new(None);
static TURN_ENDED: Condvar = Condvar::new();

/// The turn of one thread, of all accumulators.
struct Turn {
    thread: ThreadId,
    until: Instant,
}

/// Repeats `attempt` until it returns a result.
///
/// # Errors
///
/// The first error of `attempt`, or an error if the user's code changes what it merges each time.
pub(crate) fn until_done<R>(mut attempt: impl FnMut() -> Result<Option<R>>) -> Result<R> {
    let began = Instant::now();
    for _ in 0..FAILURES_BEFORE_TURN {
        wait_for_turn();
        if let Some(done) = attempt()? {
            return Ok(done);
        }
    }
    let turn = OwnTurn { wait: (began.elapsed() / 4 + Duration::from_millis(1)).min(MAX_WAIT) };
    for _ in FAILURES_BEFORE_TURN..MAX_FAILURES {
        turn.begin();
        if let Some(done) = attempt()? {
            return Ok(done);
        }
    }
    let text = format!(
        "an accumulator was changed while its additions were merged, {MAX_FAILURES} times in sequence: an \
         `Accumulate` implementation must not change its own accumulator, nor run actions that do"
    );
    Err(Error::invalid_argument(text))
}

/// Waits while another thread has a turn, at most until its time is over.
fn wait_for_turn() {
    let this = thread::current().id();
    let mut turn = TURN.lock();
    while let Some(until) = turn.as_ref().filter(|turn| turn.thread != this).map(|turn| turn.until)
    {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        turn = TURN_ENDED.wait_timeout(turn, left).0;
    }
}

/// The turn of this thread, until it is dropped.
struct OwnTurn {
    wait: Duration,
}

impl OwnTurn {
    /// Begins the turn, or extends it.
    fn begin(&self) {
        wait_for_turn();
        let turn = Turn { thread: thread::current().id(), until: Instant::now() + self.wait };
        *TURN.lock() = Some(turn);
    }
}

impl Drop for OwnTurn {
    fn drop(&mut self) {
        let this = thread::current().id();
        let ended = TURN.lock().take_if(|turn| turn.thread == this);
        if ended.is_some() {
            TURN_ENDED.notify_all();
        }
    }
}
