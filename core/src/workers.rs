//! The threads that run the tasks of one context, and their queue.
//!
//! Each thread that runs tasks has a rayon pool of its own, of itself and one helper. Rayon work of
//! a closure runs there: a thread that waits for it runs other work of its pool meanwhile, which is
//! other rayon work of the same task, and never another task. Decision 18 compares this with one
//! pool for all tasks and with rayon's global pool.

use crate::error::{Result, internal};
use crate::faults::Faults;
use crate::quiet::drop_quietly;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::threads::start_thread;
use crate::unwind::{SharedFailure, share_failures};
use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuilder};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The threads of a pool that help with the rayon work of its task. One is enough for work that
/// waits for other work of the same pool.
const HELPERS: usize = 1;

/// The stack size of a thread: 8 MiB as for main threads, because closures may recurse.
const STACK_BYTES: usize = 8 << 20;

/// The maximum time for which threads that nothing has stopped are waited for when they are dropped:
/// those of a context that failed to start after them.
const MAX_UNSTARTED_WAIT: Duration = Duration::from_secs(1);

/// Runs a task. Returns false if the task was abandoned, so that its thread must end.
pub(crate) type RunTask<T> = dyn Fn(T) -> bool + Send + Sync;

/// The threads of one context that run tasks.
pub(crate) struct Workers<T: Send + 'static>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Notified when a task is queued or the threads must end.
    queued: Condvar,
    /// Notified when a thread ends.
    ended: Condvar,
    wanted_threads: usize,
    id: PoolId,
    run_task: Box<RunTask<T>>,
    faults: Option<Faults>,
}

struct State<T> {
    queue: VecDeque<T>,
    /// The threads that serve the queue.
    serving: usize,
    /// The serving threads that wait for a task.
    idle: usize,
    /// The idle threads that were notified and have not woken up.
    notified: usize,
    /// The threads that have not ended: the serving and the abandoned ones.
    alive: usize,
    threads_started: usize,
    has_stopped: bool,
}

/// The identity of the threads of one context.
#[derive(Clone, Default)]
pub struct PoolId(Arc<()>);

thread_local! {
    /// The context whose tasks, or their rayon work, this thread runs.
    static POOL_ID: RefCell<Option<PoolId>> = const { RefCell::new(None) };
}

impl PoolId {
    /// Returns true if both are ids of the same context.
    pub fn is_same(&self, other: &PoolId) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns true if this thread runs tasks of this context, or their rayon work.
    pub fn is_on_this_thread(&self) -> bool {
        POOL_ID.with_borrow(|id| id.as_ref().is_some_and(|id| id.is_same(self)))
    }
}

impl<T: Send + 'static> Workers<T> {
    /// Starts `threads` threads, which call `run_task`. If one cannot be started, the others end
    /// before this returns.
    pub fn start(
        threads: usize,
        id: PoolId,
        faults: Option<Faults>,
        run_task: Box<RunTask<T>>,
    ) -> Result<Self> {
        let workers = Workers(Arc::new(Shared {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                serving: 0,
                idle: 0,
                notified: 0,
                alive: 0,
                threads_started: 0,
                has_stopped: false,
            }),
            queued: Condvar::new(),
            ended: Condvar::new(),
            wanted_threads: threads,
            id,
            run_task,
            faults,
        }));
        let started = workers.start_missing();
        if started.is_err() {
            workers.stop(Duration::MAX);
        }
        started.map(|()| workers)
    }

    /// Starts threads until there are as many as wanted. The error is that of the first thread
    /// that could not be started.
    pub fn start_missing(&self) -> Result<()> {
        while let Some(number) = self.0.reserve_thread() {
            // If its pool cannot be built, dropping this undoes the reservation.
            let serving = Serving { shared: Arc::clone(&self.0), is_abandoned: false };
            let pool = self.0.build_pool(number)?;
            let own = Arc::clone(&pool);
            pool.spawn(move || {
                serving.serve();
                // The helper ends with its pool.
                drop(own);
            });
        }
        Ok(())
    }

    /// Returns true if there are threads for tasks, even if less than wanted.
    pub fn has_threads(&self) -> bool {
        self.0.state.lock().serving > 0
    }

    /// Appends a task to the queue.
    pub fn push(&self, task: T) {
        let mut state = self.0.state.lock();
        state.queue.push_back(task);
        let has_sleeper = state.idle > state.notified;
        state.notified += usize::from(has_sleeper);
        drop(state);
        if has_sleeper {
            self.0.queued.notify_one();
        }
    }

    /// Takes all tasks out of the queue.
    pub fn take_queue(&self) -> VecDeque<T> {
        std::mem::take(&mut self.0.state.lock().queue)
    }

    /// Abandons a thread whose task does not return: it no longer serves the queue.
    pub fn abandon_one(&self) {
        self.0.state.lock().serving -= 1;
    }

    /// Ends the threads after their current task, and waits for them at most for `timeout`.
    /// Returns true if all have ended.
    pub fn stop(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.0.stop();
        while state.alive > 0 {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            state = match left {
                None => self.0.ended.wait(state),
                Some(Duration::ZERO) => return false,
                Some(left) => self.0.ended.wait_timeout(state, left).0,
            };
        }
        true
    }
}

impl<T: Send + 'static> Drop for Workers<T> {
    /// Ends the threads, if nothing else did. A context that cannot be started has no tasks, so
    /// none of its threads is left.
    fn drop(&mut self) {
        if !self.0.state.lock().has_stopped {
            self.stop(MAX_UNSTARTED_WAIT);
        }
    }
}

impl<T: Send + 'static> Shared<T> {
    /// Counts a thread that is about to start and returns its number, or `None` if there are
    /// enough.
    fn reserve_thread(&self) -> Option<usize> {
        let mut state = self.state.lock();
        if state.has_stopped || state.serving >= self.wanted_threads {
            return None;
        }
        state.serving += 1;
        state.alive += 1;
        state.threads_started += 1;
        Some(state.threads_started - 1)
    }

    /// Builds the pool of one thread for tasks and its helper.
    fn build_pool(&self, number: usize) -> Result<Arc<ThreadPool>> {
        let mut failure = None;
        let shared = SharedFailure::default();
        let start = |thread: ThreadBuilder| {
            let name = format!("emberline-{number}{}", if thread.index() == 0 { "" } else { "r" });
            let builder = thread::Builder::new().name(name).stack_size(STACK_BYTES);
            let id = self.id.clone();
            let shared = Arc::clone(&shared);
            let body = move || {
                share_failures(shared);
                POOL_ID.set(Some(id));
                thread.run();
            };
            let started = start_thread(builder, self.faults.as_ref(), "tasks", body);
            started.map(drop).map_err(|error| {
                failure = Some(error);
                io::ErrorKind::Other.into()
            })
        };
        let builder = ThreadPoolBuilder::new().num_threads(1 + HELPERS);
        // Tasks catch panics themselves; one of a `rayon::spawn` would end the process.
        let pool = builder.panic_handler(drop_quietly).spawn_handler(start).build();
        match (pool, failure) {
            (Ok(pool), _) => Ok(Arc::new(pool)),
            (Err(_), Some(error)) => Err(error),
            (Err(error), None) => Err(internal(error)),
        }
    }

    /// Waits for a task. Returns `None` when the threads must end.
    fn next_task(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if state.has_stopped {
                return None;
            }
            if let Some(task) = state.queue.pop_front() {
                return Some(task);
            }
            state.idle += 1;
            state = self.queued.wait(state);
            state.idle -= 1;
            state.notified = state.notified.saturating_sub(1);
        }
    }

    /// Asks the threads to end.
    fn stop(&self) -> MutexGuard<'_, State<T>> {
        let mut state = self.state.lock();
        state.has_stopped = true;
        self.queued.notify_all();
        state
    }
}

/// One thread, counted until this drops.
struct Serving<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    is_abandoned: bool,
}

impl<T: Send + 'static> Serving<T> {
    fn serve(mut self) {
        while let Some(task) = self.shared.next_task() {
            self.is_abandoned = !(self.shared.run_task)(task);
            if self.is_abandoned {
                return;
            }
        }
    }
}

impl<T: Send + 'static> Drop for Serving<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.serving -= usize::from(!self.is_abandoned);
        state.alive -= 1;
        drop(state);
        self.shared.ended.notify_all();
    }
}
