//! The threads of spawned closures, which request jobs and wait for them.
//!
//! They are separate from the task pool, because a closure that waits on a pool thread would keep a
//! task from running. They start on demand, end when they have been idle for a while, and are
//! limited to [`MAX_SPAWNED`], so ten thousand spawned closures are a queue and not threads. A
//! closure that waits for another one which is still in the queue runs it itself, so the limit
//! cannot cause a deadlock.

use crate::error::{Error, Result};
use crate::quiet::drop_quietly;
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The maximum number of closures that run at the same time.
pub const MAX_SPAWNED: usize = 64;
/// The time after which an idle thread ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue and the threads of one context.
#[derive(Default)]
pub(super) struct Spawner(Arc<SpawnQueue>);

#[derive(Default)]
struct SpawnQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Spawned>>,
    /// The number of threads, without those whose closures were abandoned.
    threads: usize,
    idle: usize,
    has_stopped: bool,
}

/// A spawned closure.
pub struct Spawned {
    work: Mutex<Work>,
    owner: Arc<SpawnQueue>,
}

/// The state of a spawned closure.
enum Work {
    Queued(Box<dyn FnOnce() + Send>),
    /// Runs on a thread of its own, or on a thread that waits for it.
    Running {
        has_thread: bool,
    },
    /// Has ended or was abandoned.
    Done,
}

thread_local! {
    /// True if this thread runs spawned closures.
    static IS_SPAWNED: Cell<bool> = const { Cell::new(false) };
}

impl Spawner {
    /// Runs `work` on an idle or new thread, or queues it. It must catch its panics.
    pub fn spawn(&self, work: Box<dyn FnOnce() + Send>) -> Result<Arc<Spawned>> {
        let work = Mutex::new(Work::Queued(work));
        let spawned = Arc::new(Spawned { work, owner: Arc::clone(&self.0) });
        let mut state = self.0.lock();
        state.queue.push_back(Arc::clone(&spawned));
        let started = self.0.start_thread(&mut state);
        if let Err(error) = started
            && state.threads == 0
        {
            state.queue.pop_back();
            drop(state);
            return Err(error);
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
        waiting.iter().for_each(|spawned| spawned.abandon());
        self.0.changed.notify_all();
    }
}

impl SpawnQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Starts a thread if more closures wait than threads are idle.
    fn start_thread(self: &Arc<Self>, state: &mut State) -> Result<()> {
        if state.idle >= state.queue.len() || state.threads >= MAX_SPAWNED {
            return Ok(());
        }
        let owner = Arc::clone(self);
        let thread = thread::Builder::new().name("emberline-spawned".into());
        let started = thread.spawn(move || owner.serve());
        started
            .map_err(|error| Error::io("starting a thread for a spawned closure failed", error))?;
        state.threads += 1;
        Ok(())
    }

    /// Runs closures until none was queued for [`IDLE_TIMEOUT`].
    fn serve(self: &Arc<Self>) {
        IS_SPAWNED.set(true);
        loop {
            let mut state = self.lock();
            let mut has_timed_out = false;
            let next = loop {
                if let Some(next) = state.queue.pop_front() {
                    break next;
                }
                if state.has_stopped || has_timed_out {
                    state.threads -= 1;
                    return;
                }
                state.idle += 1;
                (state, has_timed_out) = self.changed.wait_timeout(state, IDLE_TIMEOUT);
                state.idle -= 1;
            };
            drop(state);
            if !next.run(true) {
                return;
            }
        }
    }
}

impl Spawned {
    /// Runs the closure if it waits. Returns false if the closure was abandoned meanwhile, so that
    /// its thread no longer counts.
    fn run(&self, has_thread: bool) -> bool {
        let work = {
            let mut state = self.lock();
            match std::mem::replace(&mut *state, Work::Running { has_thread }) {
                Work::Queued(work) => work,
                other => {
                    *state = other;
                    return true;
                }
            }
        };
        work();
        matches!(std::mem::replace(&mut *self.lock(), Work::Done), Work::Running { .. })
    }

    /// Runs the closure on this thread if it still waits and this thread is one for spawned
    /// closures: all threads may be waiting.
    pub fn run_if_waiting(&self) {
        if IS_SPAWNED.get() {
            self.run(false);
        }
    }

    /// Abandons the closure: a waiting one never runs, and the thread of a running one no longer
    /// counts, so that a closure that never returns does not block others.
    pub fn abandon(&self) {
        let before = std::mem::replace(&mut *self.lock(), Work::Done);
        match before {
            Work::Queued(work) => drop_quietly(work),
            Work::Running { has_thread: true } => {
                let mut state = self.owner.lock();
                state.threads -= 1;
                // The abandoned thread ends by itself. If no thread can be started for the waiting
                // closures, the next `spawn` tries again.
                let _ = self.owner.start_thread(&mut state);
            }
            Work::Running { has_thread: false } | Work::Done => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock()
    }
}
