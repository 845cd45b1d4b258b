//! The handle of a spawned closure, and the promise that holds its result.

use emberline_core::engine::{CancelScope, Engine, Spawned};
use emberline_core::error::{Error, Result};
use emberline_core::job::Progress;
use emberline_core::operation::Operation;
use emberline_core::quiet::drop_quietly;
use emberline_core::sync::{Condvar, Mutex, MutexGuard};
use emberline_core::task::refuse_nested;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The handle of a closure on another thread, made by [`Context::spawn`](crate::Context::spawn).
///
/// It is a [`Future`] for any executor, and has `wait`. Dropping it does not cancel the closure.
///
/// ```
/// # use emberline_rdd::prelude::*;
/// use std::time::Duration;
/// let ctx = Context::local()?;
/// let endless = ctx.range(0..4_u64).flat_map(|_| 0..u64::MAX);
/// let handle = ctx.spawn(move || endless.count());
/// assert!(handle.wait_timeout(Duration::from_millis(10)).is_none());
/// println!("{} of {} tasks", handle.progress().tasks_done, handle.progress().tasks);
/// handle.cancel("not needed");
/// assert!(handle.is_finished());
/// assert!(handle.wait().unwrap_err().to_string().contains("not needed"));
/// # Ok::<(), Error>(())
/// ```
#[doc(alias = "FutureAction")]
pub struct JobHandle<T> {
    promise: Arc<Promise<T>>,
    scope: Arc<CancelScope>,
    spawned: Option<Arc<Spawned>>,
    engine: Weak<Engine>,
}

impl<T> JobHandle<T> {
    pub(super) fn new(
        promise: Arc<Promise<T>>,
        scope: Arc<CancelScope>,
        spawned: Option<Arc<Spawned>>,
        engine: &Arc<Engine>,
    ) -> Self {
        JobHandle { promise, scope, spawned, engine: Arc::downgrade(engine) }
    }

    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// The error of the closure, [`Panicked`](crate::ErrorKind::Panicked) if it panicked,
    /// [`Cancelled`](crate::ErrorKind::Cancelled) or [`TimedOut`](crate::ErrorKind::TimedOut);
    /// inside a task, [`NestedAction`](crate::ErrorKind::NestedAction).
    #[track_caller]
    pub fn wait(self) -> Result<T> {
        refuse_nested(Operation::new("wait"))?;
        self.help();
        self.promise.wait(None).unwrap_or_else(|| Err(taken()))
    }

    /// Waits for the result for at most `limit`. Returns `None` if it takes longer. The result is
    /// returned once: later calls return an error.
    #[track_caller]
    pub fn wait_timeout(&self, limit: Duration) -> Option<Result<T>> {
        if let Err(error) = refuse_nested(Operation::new("wait_timeout")) {
            return Some(Err(error));
        }
        let until = Instant::now().checked_add(limit);
        self.promise.wait(until)
    }

    /// Cancels the closure, which then fails with [`Cancelled`](crate::ErrorKind::Cancelled) and
    /// this reason.
    ///
    /// The handle has its error before this returns; tasks stop within a few thousand rows, and
    /// further actions of the closure fail. Does nothing if the closure has finished. It comes too
    /// late for an output of [`save_as_text_file`](crate::Rdd::save_as_text_file) or
    /// [`checkpoint`](crate::Rdd::checkpoint) that is being renamed or is complete: until the
    /// closure starts another job, its own result counts.
    pub fn cancel(&self, reason: impl Into<String>) {
        if !self.is_finished() {
            self.scope.cancel(&Error::cancelled(reason));
        }
    }

    /// Cancels the closure if it runs for another `limit`; it fails with `TimedOut`.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// use std::time::Duration;
    /// let ctx = Context::local()?;
    /// let endless = ctx.range(0..4_u64).flat_map(|_| 0..u64::MAX);
    /// let handle = ctx.spawn(move || endless.count()).timeout(Duration::from_millis(20));
    /// assert!(matches!(handle.wait().unwrap_err().kind(), ErrorKind::TimedOut { .. }));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn timeout(self, limit: Duration) -> Self {
        if let Some(engine) = self.engine.upgrade() {
            engine.cancel_after(limit, &self.scope);
        }
        self
    }

    /// Returns true if the closure has finished or was cancelled.
    pub fn is_finished(&self) -> bool {
        self.promise.lock().is_finished
    }

    /// Returns the progress of the jobs that the closure has started so far.
    pub fn progress(&self) -> Progress {
        self.scope.progress()
    }

    fn help(&self) {
        if let Some(spawned) = &self.spawned {
            spawned.run_if_waiting();
        }
    }
}

impl<T> Future for JobHandle<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        self.help();
        self.promise.poll(context.waker())
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// The result of a closure: set once, and taken once.
pub(super) struct Promise<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// A result that was not taken is dropped quietly, by whichever thread holds the promise last.
impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        drop_quietly(self.state.get_mut().result.take());
    }
}

struct State<T> {
    result: Option<Result<T>>,
    is_finished: bool,
    waker: Option<Waker>,
}

impl<T> Promise<T> {
    pub fn new() -> Arc<Self> {
        let state = State { result: None, is_finished: false, waker: None };
        Arc::new(Promise { state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Sets the result, unless one is set.
    pub fn complete(&self, result: Result<T>) {
        let mut state = self.lock();
        if state.is_finished {
            drop(state);
            drop_quietly(result);
            return;
        }
        state.result = Some(result);
        state.is_finished = true;
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        // This runs the executor's code, which may panic.
        drop_quietly(waker.map(WakeOnDrop));
    }

    /// Returns a guard that completes the promise, also if the closure is dropped before it runs.
    pub fn completer(self: Arc<Self>, operation: Operation) -> Completer<T> {
        Completer { promise: self, operation }
    }

    /// Waits for the result until a time. Returns `None` if it takes longer.
    fn wait(&self, until: Option<Instant>) -> Option<Result<T>> {
        let mut state = self.lock();
        while !state.is_finished {
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(state),
                Some(Duration::ZERO) => return None,
                Some(left) => self.changed.wait_timeout(state, left).0,
            };
        }
        Some(state.result.take().unwrap_or_else(|| Err(taken())))
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<T>> {
        // Cloned and dropped outside of the lock: both run the executor's code.
        let mut waker = Some(waker.clone());
        let mut state = self.lock();
        if !state.is_finished {
            std::mem::swap(&mut state.waker, &mut waker);
            drop(state);
            drop(waker);
            return Poll::Pending;
        }
        let result = state.result.take();
        drop(state);
        Poll::Ready(result.unwrap_or_else(|| Err(taken())))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock()
    }
}

/// A waker that wakes on drop, so that [`drop_quietly`] catches panics of the executor.
struct WakeOnDrop(Waker);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

/// Completes a promise with the result of the closure, or on drop with an error.
pub(super) struct Completer<T> {
    promise: Arc<Promise<T>>,
    operation: Operation,
}

impl<T> Completer<T> {
    pub fn complete(self, result: Result<T>) {
        self.promise.complete(result.map_err(|error| error.in_action(self.operation)));
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        self.promise
            .complete(Err(Error::cancelled("the context was dropped").in_action(self.operation)));
    }
}

fn taken() -> Error {
    Error::invalid_argument("result already taken: a handle returns its result only once")
}
