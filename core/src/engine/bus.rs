//! The way of an event to the listeners: a channel and one thread, only if anyone listens.

use crate::error::{Error, Result};
use crate::event::{EVENT_VERSION, Event, EventRecord, Listener};
use crate::runner::drop_quietly;
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Instant;

enum Note {
    Event(EventRecord),
    Flush(Sender<()>),
    Stop,
}

/// The end that emits. Cheap to clone and to use without listeners.
#[derive(Clone)]
pub(super) struct Emitter {
    started: Instant,
    notes: Option<Sender<Note>>,
    listener_thread: Option<ThreadId>,
}

impl Emitter {
    /// Starts the thread of the listeners, if there are any.
    pub fn start(listeners: Vec<Box<dyn Listener>>) -> Result<(Emitter, Option<JoinHandle<()>>)> {
        let started = Instant::now();
        if listeners.is_empty() {
            return Ok((Emitter { started, notes: None, listener_thread: None }, None));
        }
        let (notes, heard) = unbounded();
        let thread = thread::Builder::new()
            .name("emberline-listeners".into())
            .spawn(move || listen(&heard, listeners))
            .map_err(|error| Error::io("starting the thread of the listeners", error))?;
        let listener_thread = Some(thread.thread().id());
        Ok((Emitter { started, notes: Some(notes), listener_thread }, Some(thread)))
    }

    pub fn emit(&self, event: Event) {
        if let Some(notes) = &self.notes {
            let at_us = self.started.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
            let record = EventRecord { version: EVENT_VERSION, at_us, event };
            // An error means that the context has stopped: nobody listens any more.
            let _ = notes.send(Note::Event(record));
        }
    }

    /// Waits until every event so far was delivered.
    pub fn flush(&self) {
        let Some(notes) = &self.notes else { return };
        if self.is_listener_thread() {
            return;
        }
        let (done, wait) = bounded(1);
        if notes.send(Note::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    /// Lets the thread end after what was emitted before.
    pub fn stop(&self) {
        if let Some(notes) = &self.notes {
            let _ = notes.send(Note::Stop);
        }
    }

    pub fn is_listener_thread(&self) -> bool {
        self.listener_thread == Some(thread::current().id())
    }
}

fn listen(heard: &Receiver<Note>, mut listeners: Vec<Box<dyn Listener>>) {
    for note in heard {
        match note {
            Note::Event(record) => deliver(&record, &mut listeners),
            Note::Flush(done) => drop(done.send(())),
            Note::Stop => break,
        }
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
