//! The threads of spawned closures, which request jobs and wait for them.
//!
//! They are separate from the task pool, because a closure that waits on a pool thread would keep a
//! task from running. They start on demand, end when they have been idle for a while, and are
//! limited to [`MAX_SPAWNED`], so ten thousand spawned closures are a queue and not threads. A
//! closure that waits for another one which is still in the queue runs it itself, so the limit
//! cannot cause a deadlock.

use super::Message;
use crate::error::{Error, Result};
use crate::faults::Faults;
use crate::quiet::drop_quietly;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::threads::start_thread;
use crossbeam::channel::Sender;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The maximum number of closures that run at the same time.
pub const MAX_SPAWNED: usize = 64;
/// The time after which an idle thread ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// A closure to spawn, which must catch its panics. It is called with an error if no thread can be
/// started for it.
pub type SpawnedWork = Box<dyn FnOnce(Result<()>) + Send>;

/// The queue and the threads of one context.
pub(super) struct Spawner(Arc<SpawnQueue>);

/// The queue of one context, shared with its threads.
pub(super) struct SpawnQueue {
    state: Mutex<State>,
    /// Notified when a closure is queued or the context ends.
    changed: Condvar,
    /// Notified when a closure has ended.
    ended: Condvar,
    scheduler: Sender<Message>,
    faults: Option<Faults>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Spawned>>,
    /// The number of threads, without those whose closures were abandoned.
    threads: usize,
    idle: usize,
    /// The number of closures that run, with the abandoned ones.
    running: usize,
    has_stopped: bool,
}

/// A spawned closure.
pub struct Spawned {
    work: Mutex<Work>,
    owner: Arc<SpawnQueue>,
}

/// The state of a spawned closure.
enum Work {
    Queued(SpawnedWork),
    /// Runs on a thread of its own, or on a thread that waits for it.
    Running {
        has_thread: bool,
    },
    /// Has ended or was abandoned.
    Done,
}

thread_local! {
    /// The address of the queue whose closures this thread runs, or 0.
    static QUEUE: Cell<usize> = const { Cell::new(0) };
}

impl Spawner {
    /// Returns a spawner without threads. It asks the scheduler to try again if one cannot be
    /// started.
    pub fn new(scheduler: Sender<Message>, faults: Option<Faults>) -> Self {
        Spawner(Arc::new(SpawnQueue {
            state: Mutex::default(),
            changed: Condvar::new(),
            ended: Condvar::new(),
            scheduler,
            faults,
        }))
    }

    /// Returns the queue.
    pub fn queue(&self) -> &Arc<SpawnQueue> {
        &self.0
    }

    /// Runs `work` on an idle or new thread, or queues it. If there is no thread and none can be
    /// started, it gets the error of the system.
    pub fn spawn(&self, work: SpawnedWork) -> Arc<Spawned> {
        let work = Mutex::new(Work::Queued(work));
        let spawned = Arc::new(Spawned { work, owner: Arc::clone(&self.0) });
        let mut state = self.0.lock();
        state.queue.push_back(Arc::clone(&spawned));
        let started = self.0.start_threads(&mut state, 1);
        self.0.after_start(state, started);
        self.0.changed.notify_one();
        spawned
    }

    /// Waits at most for `timeout` until no closure runs, not even an abandoned one. On a thread
    /// that runs one it returns at once.
    pub fn wait_until_idle(&self, timeout: Duration) {
        let Some(deadline) = Instant::now().checked_add(timeout) else { return };
        if self.0.is_on_this_thread() {
            return;
        }
        let mut state = self.0.lock();
        while state.running > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.0.ended.wait_timeout(state, left).0;
        }
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

    fn is_on_this_thread(&self) -> bool {
        QUEUE.get() == std::ptr::from_ref(self).addr()
    }

    /// Starts at most `max_threads` threads, if more closures wait than threads are idle.
    fn start_threads(self: &Arc<Self>, state: &mut State, max_threads: usize) -> Result<()> {
        let missing = state.queue.len().saturating_sub(state.idle).min(max_threads);
        for _ in 0..missing.min(MAX_SPAWNED.saturating_sub(state.threads)) {
            let owner = Arc::clone(self);
            let thread = thread::Builder::new().name("emberline-spawned".into());
            let faults = self.faults.as_ref();
            start_thread(thread, faults, "a spawned closure", move || owner.serve())?;
            state.threads += 1;
        }
        Ok(())
    }

    /// Starts threads that could not be started before.
    pub fn start_missing(self: &Arc<Self>) {
        let mut state = self.lock();
        let waiting = state.queue.len();
        let started = self.start_threads(&mut state, waiting);
        self.after_start(state, started);
    }

    /// Asks the scheduler to try again later if a thread could not be started. If there are no
    /// others either, the waiting closures get the error.
    fn after_start(&self, mut state: MutexGuard<'_, State>, started: Result<()>) {
        let Err(error) = started else { return };
        if state.threads > 0 {
            // A send error means that the context has ended, and with it the queue.
            let _ = self.scheduler.send(Message::RetrySpawns);
            return;
        }
        let waiting = std::mem::take(&mut state.queue);
        drop(state);
        waiting.iter().for_each(|spawned| spawned.refuse(&error));
    }

    /// Runs closures until none was queued for [`IDLE_TIMEOUT`].
    fn serve(self: &Arc<Self>) {
        QUEUE.set(Arc::as_ptr(self).addr());
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
        self.owner.lock().running += 1;
        let was_abandoned = self.begin(has_thread).is_some_and(|work| {
            work(Ok(()));
            !matches!(std::mem::replace(&mut *self.lock(), Work::Done), Work::Running { .. })
        });
        self.owner.lock().running -= 1;
        self.owner.ended.notify_all();
        !was_abandoned
    }

    /// Takes the closure if it waits.
    fn begin(&self, has_thread: bool) -> Option<SpawnedWork> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, Work::Running { has_thread }) {
            Work::Queued(work) => Some(work),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Runs the closure on this thread if it still waits and this thread is one for spawned
    /// closures: all threads may be waiting.
    pub fn run_if_waiting(&self) {
        if QUEUE.get() != 0 {
            self.run(false);
        }
    }

    /// Ends a waiting closure with an error.
    fn refuse(&self, error: &Error) {
        let before = std::mem::replace(&mut *self.lock(), Work::Done);
        if let Work::Queued(work) = before {
            work(Err(error.clone()));
        }
    }

    /// Abandons the closure: a waiting one never runs, and the thread of a running one no longer
    /// counts, so that a closure that never returns does not block others.
    pub fn abandon(&self) {
        let before = std::mem::replace(&mut *self.lock(), Work::Done);
        match before {
            Work::Queued(work) => drop_quietly(work),
            Work::Running { has_thread: true } => {
                self.owner.lock().threads -= 1;
                // The abandoned thread ends by itself.
                self.owner.start_missing();
            }
            Work::Running { has_thread: false } | Work::Done => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock()
    }
}
