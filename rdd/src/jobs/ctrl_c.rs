//! Ctrl-C cancels what runs, in contexts that asked for it, and so does a request to end (SIGTERM, SIGHUP),
//! which the crate that hears them does not tell apart. The handler of a signal belongs to the
//! process, so this is the one thing here that is process-wide: it is made when the first context asks.

use emberline_core::engine::Engine;
use emberline_core::error::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A second one within this time ends the process.
const IMPATIENCE: Duration = Duration::from_secs(2);
const REASON: &str = "Ctrl-C was pressed, or the process was asked to end";
/// What a shell says of a program that ended by Ctrl-C.
const STATUS: i32 = 130;

struct Listening {
    contexts: Vec<Weak<Engine>>,
    has_handler: bool,
    last: Option<Instant>,
}

static LISTENING: Mutex<Listening> =
    Mutex::new(Listening { contexts: Vec::new(), has_handler: false, last: None });

/// Lets Ctrl-C cancel what runs in a context.
pub(crate) fn listen(engine: &Arc<Engine>) -> Result<()> {
    let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    if !listening.has_handler {
        ctrlc::set_handler(pressed).map_err(|error| {
            let problem = "cancel_on_ctrl_c: the program has a handler of its own for Ctrl-C; call \
                           cancel_all from there";
            Error::new(ErrorKind::InvalidConfig { problems: vec![problem.into()] }).caused_by(error)
        })?;
        listening.has_handler = true;
    }
    listening.contexts.retain(|context| context.strong_count() > 0);
    listening.contexts.push(Arc::downgrade(engine));
    Ok(())
}

/// Runs on a thread of its own.
fn pressed() {
    let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    let contexts: Vec<Arc<Engine>> = listening.contexts.iter().filter_map(Weak::upgrade).collect();
    let now = Instant::now();
    let is_impatient = listening.last.replace(now).is_some_and(|last| now - last < IMPATIENCE);
    let has_nothing_to_cancel = !contexts.iter().any(|context| context.is_busy());
    if has_nothing_to_cancel || is_impatient {
        std::process::exit(STATUS);
    }
    drop(listening);
    contexts.iter().for_each(|context| context.cancel(None, Error::cancelled(REASON)));
}
