//! Background jobs, job groups, and cancellation.
//! - `handle`: [`JobHandle`], the future of a spawned closure.
//! - `ctrl_c`: cancels jobs on Ctrl-C.

#[cfg(feature = "ctrl-c")]
pub(crate) mod ctrl_c;
mod handle;

pub use handle::JobHandle;

use crate::context::Context;
use crate::driver::run_as_program;
use emberline_core::engine::{OpenScope, in_scopes};
use emberline_core::error::{Error, Result};
use emberline_core::operation::Operation;
use emberline_core::quiet::drop_quietly;
use emberline_core::runner::AbandonedTask;
use emberline_core::task::refuse_nested;
use handle::Promise;
use std::sync::Arc;

/// # Jobs
impl Context {
    /// Runs `work`, a closure of any number of actions, on another thread, and returns a handle.
    ///
    /// The handle is a future and can also be [waited](JobHandle::wait) for. Dropping it cancels
    /// nothing; dropping the last `Context` does. At most 64 closures run at the same time, on
    /// threads that run no tasks; further ones wait in a queue. A panic is the error of the handle.
    /// The jobs belong to the [`job_group`](Context::job_group) in which `spawn` is called.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// let numbers = ctx.range(0..100_000_u64);
    /// let odd = numbers.filter(|n| n % 2 == 1);
    /// let even = numbers.filter(|n| n % 2 == 0);
    /// let odd = ctx.spawn(move || odd.count());
    /// let even = ctx.spawn(move || even.count());
    /// assert_eq!((odd.wait()?, even.wait()?), (50_000, 50_000));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "collectAsync")]
    #[doc(alias = "countAsync")]
    #[track_caller]
    pub fn spawn<T, F>(&self, work: F) -> JobHandle<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let operation = Operation::new("spawn");
        let open = self.engine.open_scope(None);
        let scope = Arc::clone(open.scope());
        let promise = Promise::new();
        let spawned = refuse_nested(operation).map(|()| {
            let completer = Arc::clone(&promise).completer(operation);
            let around = open.with_current();
            self.engine.spawn(Box::new(move |started| {
                let outcome = match started {
                    Ok(()) => in_scopes(around, || run_as_program(operation, work)),
                    Err(error) => {
                        drop_quietly(work);
                        Err(error)
                    }
                };
                completer.complete(outcome.and_then(|result| result));
                OpenScope::close(open);
            }))
        });
        match &spawned {
            Err(error) => promise.complete(Err(error.clone().in_action(operation))),
            Ok(spawned) => {
                let promise = Arc::clone(&promise);
                let spawned = Arc::clone(spawned);
                scope.on_cancel(move |error| {
                    promise.complete(Err(error.in_action(operation)));
                    spawned.abandon();
                });
            }
        }
        JobHandle::new(promise, scope, spawned.ok(), &self.engine)
    }

    /// Runs `body` on this thread. Its jobs, and those of closures that it spawns, belong to the
    /// group `name`, which [`cancel_group`](Context::cancel_group) cancels from any thread.
    ///
    /// Groups may be nested. After a cancellation every further action of this `body` fails with
    /// the same reason; a later call with the same name is not affected.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// let endless = ctx.range(0..4_u64).flat_map(|_| 0..u64::MAX);
    /// let report = ctx.job_group("nightly", || ctx.spawn(move || endless.count()));
    /// let other = ctx.range(0..1_000_u64);
    /// let other = ctx.spawn(move || other.count());
    /// ctx.cancel_group("nightly", "deadline passed");
    /// assert!(report.wait().unwrap_err().to_string().contains("deadline passed"));
    /// assert_eq!(other.wait()?, 1_000);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "setJobGroup")]
    pub fn job_group<R>(&self, name: impl AsRef<str>, body: impl FnOnce() -> R) -> R {
        let open = self.engine.open_scope(Some(name.as_ref()));
        in_scopes(open.with_current(), body)
    }

    /// Cancels the running and queued jobs of a group, and the further actions of its `body`.
    ///
    /// They fail with [`Cancelled`](crate::ErrorKind::Cancelled) and this reason. A group that does
    /// not exist is no error.
    #[doc(alias = "cancelJobGroup")]
    pub fn cancel_group(&self, name: impl AsRef<str>, reason: impl Into<String>) {
        self.engine.cancel(Some(name.as_ref()), Error::cancelled(reason));
    }

    /// Cancels all running and queued jobs, spawned closures and groups, but no later actions.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// let endless = ctx.range(0..4_u64).flat_map(|_| 0..u64::MAX);
    /// let handle = ctx.spawn(move || endless.count());
    /// ctx.cancel_all("shutting down");
    /// assert!(matches!(handle.wait().unwrap_err().kind(), ErrorKind::Cancelled { .. }));
    /// assert_eq!(ctx.range(0..10_u64).count()?, 10);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "cancelAllJobs")]
    pub fn cancel_all(&self, reason: impl Into<String>) {
        self.engine.cancel(None, Error::cancelled(reason));
    }

    /// Returns the cancelled tasks that have not stopped for half a second or more.
    ///
    /// Their jobs have ended, and other threads have replaced theirs. A thread cannot be stopped
    /// from outside, so a stuck closure keeps its thread and its memory until it returns.
    pub fn abandoned_tasks(&self) -> Vec<AbandonedTask> {
        self.engine.abandoned_tasks()
    }
}
