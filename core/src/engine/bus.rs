//! The listener bus: delivers events on a separate thread, which exists only if there are
//! listeners.
//!
//! No action waits for a listener; only `flush_listeners` does. The end of a context also waits, as
//! long as the listeners make progress: one that takes seconds for a single event is abandoned with
//! its thread.

use crate::error::Result;
use crate::event::{EVENT_VERSION, Event, EventRecord, Listener};
use crate::faults::Faults;
use crate::quiet::drop_quietly;
use crate::threads::start_thread;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

/// The maximum time a listener may take for one event before waiting for it stops.
const LISTENER_TIMEOUT: Duration = Duration::from_secs(5);

/// A message to the thread of the listeners.
enum BusMessage {
    Event(EventRecord),
    Flush(Sender<()>),
    Stop,
}

/// The sending end of the bus. It is cheap to clone, and cheap to use without listeners.
#[derive(Clone)]
pub(super) struct Emitter {
    started: Instant,
    bus_thread: Option<BusThread>,
}

/// The thread of the listeners, as seen by a sender.
#[derive(Clone)]
struct BusThread {
    messages: Sender<BusMessage>,
    thread: ThreadId,
    /// The number of messages handled.
    handled: Arc<AtomicU64>,
    /// Closed when the thread ends.
    ended: Receiver<()>,
}

impl Emitter {
    /// Starts the thread of the listeners, if there are any.
    pub fn start(
        listeners: Vec<Box<dyn Listener>>,
        faults: Option<&Faults>,
    ) -> Result<(Emitter, Option<JoinHandle<()>>)> {
        let started = Instant::now();
        if listeners.is_empty() {
            return Ok((Emitter { started, bus_thread: None }, None));
        }
        let (messages, inbox) = unbounded();
        let (end, ended) = bounded(0);
        let handled = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&handled);
        let builder = thread::Builder::new().name("emberline-listeners".into());
        let thread = start_thread(builder, faults, "the listeners", move || {
            listen(&inbox, listeners, &counter);
            drop(end);
        })?;
        let bus_thread = BusThread { messages, thread: thread.thread().id(), handled, ended };
        Ok((Emitter { started, bus_thread: Some(bus_thread) }, Some(thread)))
    }

    /// Sends an event.
    pub fn emit(&self, event: Event) {
        if let Some(bus_thread) = &self.bus_thread {
            let at_us = self.started.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
            let record = EventRecord { version: EVENT_VERSION, at_us, event };
            // An error means that the context has stopped and its listeners are dropped.
            let _ = bus_thread.messages.send(BusMessage::Event(record));
        }
    }

    /// Waits until every event so far was delivered, or a listener exceeds its time limit.
    pub fn flush(&self) {
        let Some(bus_thread) = &self.bus_thread else { return };
        if self.is_listener_thread() {
            return;
        }
        let (done, wait) = bounded(1);
        if bus_thread.messages.send(BusMessage::Flush(done)).is_ok() {
            bus_thread.wait_for(&wait);
        }
    }

    /// Ends the thread after the events emitted before.
    pub fn stop(&self) {
        if let Some(bus_thread) = &self.bus_thread {
            let _ = bus_thread.messages.send(BusMessage::Stop);
        }
    }

    /// Waits for the end of the thread after [`stop`](Self::stop), and returns true if it ended. It
    /// stops waiting if a listener exceeds its time.
    pub fn wait_for_end(&self) -> bool {
        let bus_thread = self.bus_thread.as_ref().filter(|_| !self.is_listener_thread());
        bus_thread.is_some_and(|bus_thread| bus_thread.wait_for(&bus_thread.ended))
    }

    fn is_listener_thread(&self) -> bool {
        self.bus_thread
            .as_ref()
            .is_some_and(|bus_thread| bus_thread.thread == thread::current().id())
    }
}

impl BusThread {
    /// Waits for a message or for the channel to close, while the listeners make progress.
    fn wait_for(&self, message: &Receiver<()>) -> bool {
        loop {
            let before = self.handled.load(Ordering::Relaxed);
            match message.recv_timeout(LISTENER_TIMEOUT) {
                Err(RecvTimeoutError::Timeout)
                    if self.handled.load(Ordering::Relaxed) == before =>
                {
                    return false;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }
}

/// Handles messages until the bus stops.
fn listen(
    inbox: &Receiver<BusMessage>,
    mut listeners: Vec<Box<dyn Listener>>,
    handled: &AtomicU64,
) {
    for message in inbox {
        match message {
            BusMessage::Event(record) => deliver(&record, &mut listeners),
            BusMessage::Flush(done) => drop(done.send(())),
            BusMessage::Stop => break,
        }
        handled.fetch_add(1, Ordering::Relaxed);
    }
    listeners.into_iter().for_each(drop_quietly);
}

/// Delivers an event. A listener that panics is dropped; the others and the run continue.
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
