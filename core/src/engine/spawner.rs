//! The threads that run spawned closures, which are the program's and not tasks: they ask for jobs
//! and wait for them.
//!
//! They are apart from the pool, since a closure that waits there would keep a task from running. They
//! start on demand and end when they have been idle for a while. There are only so many at a time, so
//! that ten thousand spawned closures are ten thousand entries of a queue and not threads. A closure
//! that waits for another one which is still in the queue runs it itself, so the bound cannot make
//! them wait for each other for ever.

use crate::error::{Error, Result};
use crate::runner::drop_quietly;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Closures that run at the same time.
pub const MAX_SPAWNED: usize = 64;
/// How long a thread waits for another closure.
const IDLE: Duration = Duration::from_secs(1);

/// The queue and the threads of one context.
#[derive(Default)]
pub(super) struct Spawner(Arc<Desk>);

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Spawned>>,
    /// Threads that count towards the bound: not those of closures that were given up.
    threads: usize,
    idle: usize,
    has_stopped: bool,
}

/// A closure that was spawned.
pub struct Spawned {
    work: Mutex<Work>,
    desk: Arc<Desk>,
}

enum Work {
    Waits(Box<dyn FnOnce() + Send>),
    /// On a thread of its own, or on one that waits for it.
    Runs {
        has_thread: bool,
    },
    /// It ended, or nobody wants it any more.
    Over,
}

thread_local! {
    /// Whether this thread runs spawned closures.
    static IS_SPAWNED: Cell<bool> = const { Cell::new(false) };
}

impl Spawner {
    /// Runs `work` on a thread that is free, or later. It must catch its panics.
    pub fn spawn(&self, work: Box<dyn FnOnce() + Send>) -> Result<Arc<Spawned>> {
        let work = Mutex::new(Work::Waits(work));
        let spawned = Arc::new(Spawned { work, desk: Arc::clone(&self.0) });
        let mut state = self.0.lock();
        state.queue.push_back(Arc::clone(&spawned));
        let started = self.0.start_thread(&mut state);
        if started.is_err() && state.threads == 0 {
            state.queue.pop_back();
            drop(state);
            return started.map(|()| spawned);
        }
        self.0.changed.notify_one();
        Ok(spawned)
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.has_stopped = true;
        let waiting = std::mem::take(&mut state.queue);
        drop(state);
        waiting.iter().for_each(|spawned| spawned.give_up());
        self.0.changed.notify_all();
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread if a closure waits that no idle one will take.
    fn start_thread(self: &Arc<Self>, state: &mut State) -> Result<()> {
        if state.idle >= state.queue.len() || state.threads >= MAX_SPAWNED {
            return Ok(());
        }
        let desk = Arc::clone(self);
        let thread = thread::Builder::new().name("emberline-spawned".into());
        let started = thread.spawn(move || desk.serve());
        started.map_err(|error| Error::io("starting a thread for a spawned closure", error))?;
        state.threads += 1;
        Ok(())
    }

    /// What one thread does: closure after closure, until none came for a while.
    fn serve(self: &Arc<Self>) {
        IS_SPAWNED.set(true);
        loop {
            let mut state = self.lock();
            let mut waited = false;
            let next = loop {
                if let Some(next) = state.queue.pop_front() {
                    break next;
                }
                if state.has_stopped || waited {
                    state.threads -= 1;
                    return;
                }
                state.idle += 1;
                let (woken, time) =
                    self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
                state = woken;
                state.idle -= 1;
                waited = time.timed_out();
            };
            drop(state);
            if !next.run(true) {
                return;
            }
        }
    }
}

impl Spawned {
    /// Runs it if it waits. Says whether the thread still counts: not if its closure was given up
    /// meanwhile.
    fn run(&self, has_thread: bool) -> bool {
        let work = {
            let mut state = self.lock();
            match std::mem::replace(&mut *state, Work::Runs { has_thread }) {
                Work::Waits(work) => work,
                other => {
                    *state = other;
                    return true;
                }
            }
        };
        work();
        matches!(std::mem::replace(&mut *self.lock(), Work::Over), Work::Runs { .. })
    }

    /// Runs it on this thread if that is one for spawned closures and it waits: nobody else might
    /// come to it.
    pub fn help(&self) {
        if IS_SPAWNED.get() {
            self.run(false);
        }
    }

    /// Nobody wants it any more: if it waits it never runs, and if it runs its thread counts no
    /// longer, so that one which never returns does not keep others from running.
    pub fn give_up(&self) {
        let before = std::mem::replace(&mut *self.lock(), Work::Over);
        match before {
            Work::Waits(work) => drop_quietly(work),
            Work::Runs { has_thread: true } => {
                let mut state = self.desk.lock();
                state.threads -= 1;
                // It ends by itself; no thread for those that wait now is no reason to fail.
                let _ = self.desk.start_thread(&mut state);
            }
            Work::Runs { has_thread: false } | Work::Over => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
