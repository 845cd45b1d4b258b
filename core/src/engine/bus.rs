//! The way of an event to the listeners: a channel and one thread, only if anyone listens.

use crate::error::{Error, Result};
use crate::event::{EVENT_VERSION, Event, EventRecord, Listener};
use crate::runner::drop_quietly;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

/// How long a listener may take for one event before nobody waits for it any more.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

enum Note {
    Event(EventRecord),
    Flush(Sender<()>),
    Stop,
}

/// The end that emits. Cheap to clone and to use without listeners.
#[derive(Clone)]
pub(super) struct Emitter {
    started: Instant,
    listening: Option<Listening>,
}

/// The thread of the listeners, as seen by who emits.
#[derive(Clone)]
struct Listening {
    notes: Sender<Note>,
    thread: ThreadId,
    /// The notes that were dealt with.
    done: Arc<AtomicU64>,
    /// Closed when the thread ends.
    ended: Receiver<()>,
}

impl Emitter {
    /// Starts the thread of the listeners, if there are any.
    pub fn start(listeners: Vec<Box<dyn Listener>>) -> Result<(Emitter, Option<JoinHandle<()>>)> {
        let started = Instant::now();
        if listeners.is_empty() {
            return Ok((Emitter { started, listening: None }, None));
        }
        let (notes, heard) = unbounded();
        let (ends, ended) = bounded(0);
        let done = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&done);
        let thread = thread::Builder::new()
            .name("emberline-listeners".into())
            .spawn(move || {
                listen(&heard, listeners, &counter);
                drop(ends);
            })
            .map_err(|error| Error::io("starting the thread of the listeners", error))?;
        let listening = Listening { notes, thread: thread.thread().id(), done, ended };
        Ok((Emitter { started, listening: Some(listening) }, Some(thread)))
    }

    pub fn emit(&self, event: Event) {
        if let Some(listening) = &self.listening {
            let at_us = self.started.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
            let record = EventRecord { version: EVENT_VERSION, at_us, event };
            // An error means that the context has stopped: nobody listens any more.
            let _ = listening.notes.send(Note::Event(record));
        }
    }

    /// Waits until every event so far was delivered, or a listener does not come back from one.
    pub fn flush(&self) {
        let Some(listening) = &self.listening else { return };
        if self.is_listener_thread() {
            return;
        }
        let (done, wait) = bounded(1);
        if listening.notes.send(Note::Flush(done)).is_ok() {
            listening.wait_for(&wait);
        }
    }

    /// Lets the thread end after what was emitted before.
    pub fn stop(&self) {
        if let Some(listening) = &self.listening {
            let _ = listening.notes.send(Note::Stop);
        }
    }

    /// Waits for the end of the thread, which was told to stop. Says whether it came: a thread whose
    /// listener does not come back is not waited for.
    pub fn has_ended(&self) -> bool {
        let listening = self.listening.as_ref().filter(|_| !self.is_listener_thread());
        listening.is_some_and(|listening| listening.wait_for(&listening.ended))
    }

    fn is_listener_thread(&self) -> bool {
        self.listening.as_ref().is_some_and(|it| it.thread == thread::current().id())
    }
}

impl Listening {
    /// Waits for a message, or for nobody to send one any more, while the listeners get on.
    fn wait_for(&self, message: &Receiver<()>) -> bool {
        loop {
            let before = self.done.load(Ordering::Relaxed);
            match message.recv_timeout(CANCEL_GRACE) {
                Err(RecvTimeoutError::Timeout) if self.done.load(Ordering::Relaxed) == before => {
                    return false;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }
}

fn listen(heard: &Receiver<Note>, mut listeners: Vec<Box<dyn Listener>>, done: &AtomicU64) {
    for note in heard {
        match note {
            Note::Event(record) => deliver(&record, &mut listeners),
            Note::Flush(done) => drop(done.send(())),
            Note::Stop => break,
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    listeners.into_iter().for_each(drop_quietly);
}

/// A listener that panics is dropped; the others and the run go on.
fn deliver(record: &EventRecord, listeners: &mut Vec<Box<dyn Listener>>) {
    let mut number = 0;
    while let Some(listener) = listeners.get_mut(number) {
        match catch_unwind(AssertUnwindSafe(|| listener.on_event(record))) {
            Ok(()) => number += 1,
            Err(payload) => {
                drop_quietly(payload);
                drop_quietly(listeners.remove(number));
            }
        }
    }
}
