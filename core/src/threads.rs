//! Starts the threads of a context: those of tasks, the scheduler, the listeners and spawned
//! closures. A thread that the system refuses to start is an error with the system's cause, and
//! a fault plan can refuse one too.

use crate::error::{Error, Result};
use crate::faults::{Faults, refuse_thread};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// The time after which a thread that could not be started is tried again.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Starts a thread. The error names its work, such as `"tasks"`.
pub(crate) fn start_thread(
    builder: Builder,
    faults: Option<&Faults>,
    work: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>> {
    let started = refuse_thread(faults).and_then(|()| builder.spawn(body));
    started.map_err(|cause| {
        let advice = "(the system allows this user or process no more threads or no more memory: \
                      raise its limit, or lower `threads`)";
        Error::io(format!("starting a thread for {work} failed {advice}"), cause)
    })
}
