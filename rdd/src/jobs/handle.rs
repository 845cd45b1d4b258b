//! The handle to what was spawned, and the promise behind it.

use emberline_core::engine::{CancelScope, Engine, Spawned};
use emberline_core::error::{Error, Result};
use emberline_core::job::Progress;
use emberline_core::operation::Operation;
use emberline_core::runner::drop_quietly;
use emberline_core::task::refuse_nested;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What [`Context::spawn`](crate::Context::spawn) returns: the way to the result of a closure that runs
/// elsewhere. It is a [`Future`] for any executor, and can be waited for without one.
///
/// Dropping it does not cancel: the closure runs to its end and nobody hears of it.
///
/// ```
/// # use emberline_rdd as emberline;
/// use emberline::prelude::*;
/// use std::time::Duration;
///
/// let ctx = Context::local()?;
/// let endless = ctx.range(0..4_u64).flat_map(|_| 0..u64::MAX);
/// let handle = ctx.spawn(move || endless.count());
/// assert!(handle.wait_timeout(Duration::from_millis(10)).is_none());
/// println!("{} of {} tasks", handle.progress().tasks_done, handle.progress().tasks);
/// handle.cancel("nobody needs it");
/// assert!(handle.is_finished());
/// assert!(handle.wait().unwrap_err().to_string().contains("nobody needs it"));
/// # Ok::<(), emberline_rdd::Error>(())
/// ```
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
    /// [`Cancelled`](crate::ErrorKind::Cancelled) or [`TimedOut`](crate::ErrorKind::TimedOut); inside a
    /// task, [`NestedAction`](crate::ErrorKind::NestedAction).
    #[track_caller]
    pub fn wait(self) -> Result<T> {
        refuse_nested(Operation::new("wait"))?;
        self.help();
        self.promise.wait(None).unwrap_or_else(|| Err(taken()))
    }

    /// Waits for the result, but no longer than `limit`; nothing if it is not there by then. The result
    /// is given once: later calls get an error.
    #[track_caller]
    pub fn wait_timeout(&self, limit: Duration) -> Option<Result<T>> {
        if let Err(error) = refuse_nested(Operation::new("wait_timeout")) {
            return Some(Err(error));
        }
        let until = Instant::now().checked_add(limit);
        self.promise.wait(until)
    }

    /// Cancels the closure. The handle has its error, [`Cancelled`](crate::ErrorKind::Cancelled) with
    /// this reason, before this returns; the tasks stop within a few thousand rows, and each further
    /// action of the closure fails. Does nothing if it is finished.
    ///
    /// It comes too late for an output of [`save_as_text_file`](crate::Rdd::save_as_text_file) or
    /// [`checkpoint`](crate::Rdd::checkpoint) that is just getting its name or has it: until the closure
    /// asks for another job, what it returns is the result.
    pub fn cancel(&self, reason: impl Into<String>) {
        if !self.is_finished() {
            self.scope.cancel(&Error::cancelled(reason));
        }
    }

    /// Cancels the closure with [`TimedOut`](crate::ErrorKind::TimedOut) if it is not finished once
    /// `limit` has passed, counted from this call.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    /// use std::time::Duration;
    ///
    /// let ctx = Context::local()?;
    /// let endless = ctx.range(0..4_u64).flat_map(|_| 0..u64::MAX);
    /// let handle = ctx.spawn(move || endless.count()).timeout(Duration::from_millis(20));
    /// assert!(matches!(handle.wait().unwrap_err().kind(), ErrorKind::TimedOut { .. }));
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn timeout(self, limit: Duration) -> Self {
        if let Some(engine) = self.engine.upgrade() {
            engine.cancel_after(limit, &self.scope);
        }
        self
    }

    /// Whether there is a result, or an error.
    pub fn is_finished(&self) -> bool {
        self.promise.lock().is_finished
    }

    /// How far the jobs have come that the closure has asked for so far.
    pub fn progress(&self) -> Progress {
        self.scope.progress()
    }

    fn help(&self) {
        if let Some(spawned) = &self.spawned {
            spawned.help();
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

/// Where the result is put once, and taken once.
pub(super) struct Promise<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
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

    /// Puts the result, unless there is one: the first stays.
    pub fn complete(&self, result: Result<T>) {
        let mut state = self.lock();
        if state.is_finished {
            drop(state);
            drop_quietly(result);
            return;
        }
        (state.result, state.is_finished) = (Some(result), true);
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        // An executor's code, on whichever thread this is.
        drop_quietly(waker.map(Woken));
    }

    /// What completes the promise in any case, also if the closure is dropped before it ran.
    pub fn keeper(self: Arc<Self>, operation: Operation) -> Keeper<T> {
        Keeper { promise: self, operation }
    }

    /// The result, if it is there in time.
    fn wait(&self, until: Option<Instant>) -> Option<Result<T>> {
        let mut state = self.lock();
        while !state.is_finished {
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return None,
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        Some(state.result.take().unwrap_or_else(|| Err(taken())))
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<T>> {
        let mut state = self.lock();
        if !state.is_finished {
            state.waker = Some(waker.clone());
            return Poll::Pending;
        }
        Poll::Ready(state.result.take().unwrap_or_else(|| Err(taken())))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes when it drops, so that [`drop_quietly`] catches what an executor may do.
struct Woken(Waker);

impl Drop for Woken {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

pub(super) struct Keeper<T> {
    promise: Arc<Promise<T>>,
    operation: Operation,
}

impl<T> Keeper<T> {
    pub fn keep(self, result: Result<T>) {
        self.promise.complete(result.map_err(|error| error.in_action(self.operation)));
    }
}

impl<T> Drop for Keeper<T> {
    fn drop(&mut self) {
        self.promise
            .complete(Err(Error::cancelled("the context was dropped").in_action(self.operation)));
    }
}

fn taken() -> Error {
    Error::invalid_argument("the result of this handle was taken before; it is given once")
}
