//! Cancels jobs on Ctrl-C, SIGTERM and SIGHUP, which the crate `ctrlc` does not distinguish. The
//! handler belongs to the process; the first context that asks installs it.

use emberline_core::engine::Engine;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::sync::Mutex;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A second signal within this time ends the process.
const EXIT_WINDOW: Duration = Duration::from_secs(2);
const REASON: &str = "interrupted by a signal (Ctrl-C, SIGTERM or SIGHUP)";
/// The conventional exit status after Ctrl-C.
const EXIT_STATUS: i32 = 130;

struct Listening {
    contexts: Vec<Weak<Engine>>,
    has_handler: bool,
    last: Option<Instant>,
}

static LISTENING: Mutex<Listening> =
    Mutex::new(Listening { contexts: Vec::new(), has_handler: false, last: None });

/// Registers a context whose jobs Ctrl-C cancels.
pub(crate) fn listen(engine: &Arc<Engine>) -> Result<()> {
    let mut listening = LISTENING.lock();
    if !listening.has_handler {
        check_threads_start()?;
        ctrlc::set_handler(on_signal).map_err(|error| {
            let problem = "cancel_on_ctrl_c: the program has its own Ctrl-C handler; call cancel_all \
                           there";
            Error::new(ErrorKind::InvalidConfig { problems: vec![problem.into()] }).caused_by(error)
        })?;
        listening.has_handler = true;
    }
    listening.contexts.retain(|context| context.strong_count() > 0);
    listening.contexts.push(Arc::downgrade(engine));
    Ok(())
}

/// Fails if no thread can be started. The crate `ctrlc` would install its handler and fail then,
/// which leaves a process that ignores Ctrl-C.
fn check_threads_start() -> Result<()> {
    let failed = |cause| Error::io("starting the thread for Ctrl-C failed", cause);
    let thread = std::thread::Builder::new().spawn(|| ()).map_err(failed)?;
    let _ = thread.join();
    Ok(())
}

/// Handles a signal, on the thread of the crate `ctrlc`.
fn on_signal() {
    let mut listening = LISTENING.lock();
    let contexts: Vec<Arc<Engine>> = listening.contexts.iter().filter_map(Weak::upgrade).collect();
    let now = Instant::now();
    let is_second = listening.last.replace(now).is_some_and(|last| now - last < EXIT_WINDOW);
    drop(listening);
    let has_nothing_to_cancel = !contexts.iter().any(|context| context.is_busy());
    if has_nothing_to_cancel || is_second {
        std::process::exit(EXIT_STATUS);
    }
    contexts.iter().for_each(|context| context.cancel(None, Error::cancelled(REASON)));
}
