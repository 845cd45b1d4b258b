//! Jobs in the background and in groups: `Context::spawn`, `Context::job_group`, and how they are
//! cancelled.

#[cfg(feature = "ctrl-c")]
pub(crate) mod ctrl_c;
mod handle;

pub use handle::JobHandle;

use crate::context::Context;
use crate::driver::run_on_driver;
use emberline_core::engine::{OpenScope, in_scopes};
use emberline_core::error::{Error, Result};
use emberline_core::operation::Operation;
use emberline_core::runner::AbandonedTask;
use emberline_core::task::refuse_nested;
use handle::Promise;
use std::sync::Arc;

impl Context {
    /// Runs `work`, which asks for jobs, on a thread of the context's own, and returns at once with a
    /// handle to its result: a future, or something to [`wait`](JobHandle::wait) for.
    ///
    /// `work` may call any number of actions. Its threads are none of those that run tasks; 64 such
    /// closures run at the same time, and later ones wait their turn without a thread. A panic in it is
    /// the error of the handle. Jobs of a closure that was spawned inside a
    /// [`job_group`](Context::job_group) belong to that group.
    ///
    /// Dropping the handle cancels nothing: the closure runs to its end. Dropping the last `Context`
    /// cancels what was spawned, even if RDDs are still there.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let numbers = ctx.range(0..100_000_u64);
    /// let (odd, even) = (numbers.filter(|n| n % 2 == 1), numbers.filter(|n| n % 2 == 0));
    /// let odd = ctx.spawn(move || odd.count());
    /// let even = ctx.spawn(move || even.count());
    /// assert_eq!((odd.wait()?, even.wait()?), (50_000, 50_000));
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<T, F>(&self, work: F) -> JobHandle<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let operation = Operation::new("spawn");
        let open = self.engine.open_scope(None);
        let (scope, promise) = (Arc::clone(open.scope()), Promise::new());
        let spawned = refuse_nested(operation).and_then(|()| {
            let keeper = Arc::clone(&promise).keeper(operation);
            let around = open.with_those_here();
            self.engine.spawn(Box::new(move || {
                let outcome = in_scopes(around, || run_on_driver(operation, work));
                keeper.keep(outcome.and_then(|result| result));
                OpenScope::close(open);
            }))
        });
        match &spawned {
            Err(error) => promise.complete(Err(error.clone().in_action(operation))),
            Ok(spawned) => {
                let (promise, spawned) = (Arc::clone(&promise), Arc::clone(spawned));
                scope.on_cancel(move |why| {
                    promise.complete(Err(why.in_action(operation)));
                    spawned.give_up();
                });
            }
        }
        JobHandle::new(promise, scope, spawned.ok(), &self.engine)
    }

    /// Runs `body` here and now. All jobs that it asks for on this thread, and those of closures that
    /// it spawns, belong to the group `name`, which [`cancel_group`](Context::cancel_group) cancels
    /// from another thread. Groups may lie inside each other: a job belongs to all around it.
    ///
    /// Once it was cancelled, every further action of this `body` fails with the same reason. The next
    /// call with the same name begins afresh.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let endless = ctx.range(0..4_u64).flat_map(|_| 0..u64::MAX);
    /// let report = ctx.job_group("nightly", || ctx.spawn(move || endless.count()));
    /// let other = ctx.range(0..1_000_u64);
    /// let other = ctx.spawn(move || other.count());
    ///
    /// ctx.cancel_group("nightly", "the morning has come");
    /// assert!(report.wait().unwrap_err().to_string().contains("the morning has come"));
    /// assert_eq!(other.wait()?, 1_000);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn job_group<R>(&self, name: impl AsRef<str>, body: impl FnOnce() -> R) -> R {
        let open = self.engine.open_scope(Some(name.as_ref()));
        in_scopes(open.with_those_here(), body)
    }

    /// Cancels the jobs of a group that run or wait, and what their calls of
    /// [`job_group`](Context::job_group) would still ask for. Their error is
    /// [`Cancelled`](ErrorKind::Cancelled) with this reason. It is no error if there is no such group.
    pub fn cancel_group(&self, name: impl AsRef<str>, reason: impl Into<String>) {
        self.engine.cancel(Some(name.as_ref()), Error::cancelled(reason));
    }

    /// Cancels every job of this context that runs or waits, and every spawned closure and group. What
    /// is asked for later runs as ever.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let endless = ctx.range(0..4_u64).flat_map(|_| 0..u64::MAX);
    /// let handle = ctx.spawn(move || endless.count());
    /// ctx.cancel_all("we are closing");
    /// assert!(matches!(handle.wait().unwrap_err().kind(), ErrorKind::Cancelled { .. }));
    /// assert_eq!(ctx.range(0..10_u64).count()?, 10);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn cancel_all(&self, reason: impl Into<String>) {
        self.engine.cancel(None, Error::cancelled(reason));
    }

    /// The cancelled tasks whose closure has not come back, for half a second or more. Whoever waited
    /// for them was given the error at once, and other threads took the place of theirs; but no
    /// program can end a thread from outside, so those are left to them, with what they hold.
    pub fn abandoned_tasks(&self) -> Vec<AbandonedTask> {
        self.engine.abandoned_tasks()
    }
}
