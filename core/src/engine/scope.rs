//! Cancellation scopes: the jobs of a spawned closure, or of a job group, which are cancelled
//! together.
//!
//! A scope belongs to the thread that runs its closure. Each job that this thread requests, of any
//! context, belongs to the scope, and so do the jobs of closures that are spawned from there. A
//! cancelled scope stays cancelled: a closure that ignores the error of one action gets it again
//! from the next.

use super::Message;
use crate::error::{Error, Result};
use crate::ids::{IdCounter, JobId};
use crate::job::Progress;
use crate::runner::PoolId;
use crate::scheduler::Input;
use crate::sync::{Mutex, MutexGuard};
use crossbeam::channel::{Sender, bounded};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Jobs that are cancelled together.
pub struct CancelScope {
    context: PoolId,
    /// The job groups that contain the scope.
    groups: Vec<Arc<str>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cancelled: Option<Error>,
    /// The number of threads inside [`commit_point`].
    committing: usize,
    /// True if something was committed and no job has been requested since.
    has_committed: bool,
    /// The jobs that have not ended, with the channel of their scheduler.
    running: Vec<(JobId, Sender<Message>)>,
    /// The progress of the jobs that have ended.
    ended: Progress,
    on_cancel: Option<Box<dyn FnOnce(Error) + Send>>,
}

thread_local! {
    /// The scopes of this thread, outermost first.
    static SCOPES: RefCell<Vec<Arc<CancelScope>>> = const { RefCell::new(Vec::new()) };
}

/// Returns the scopes of this thread.
pub fn current_scopes() -> Vec<Arc<CancelScope>> {
    SCOPES.with_borrow(Vec::clone)
}

/// Runs `body` in exactly these scopes.
pub fn in_scopes<R>(scopes: Vec<Arc<CancelScope>>, body: impl FnOnce() -> R) -> R {
    struct Restore(Vec<Arc<CancelScope>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SCOPES.replace(std::mem::take(&mut self.0));
        }
    }
    let _restore = Restore(SCOPES.replace(scopes));
    body()
}

/// Commits something permanently, such as the name of an output, unless a scope of this thread was
/// cancelled before. A cancellation after this point, and before the next job is requested, comes
/// too late: the closure itself returns its result. The lock is not held while `commit` runs.
pub fn commit_point<R>(commit: impl FnOnce() -> Result<R>) -> Result<R> {
    struct Committing {
        scopes: Vec<Arc<CancelScope>>,
        has_committed: bool,
    }
    impl Drop for Committing {
        fn drop(&mut self) {
            self.scopes.iter().for_each(|scope| scope.end_commit(self.has_committed));
        }
    }
    let mut committing = Committing { scopes: Vec::new(), has_committed: false };
    for scope in current_scopes() {
        scope.begin_commit()?;
        committing.scopes.push(scope);
    }
    let committed = commit()?;
    committing.has_committed = true;
    Ok(committed)
}

impl CancelScope {
    /// Cancels the jobs of the scope, the jobs that it will request, and its waiting closure. Only
    /// the first call has an effect. If an output was just committed, the waiting closure is
    /// notified when it requests its next job.
    pub fn cancel(&self, error: &Error) {
        let mut state = self.lock();
        if state.cancelled.is_some() {
            return;
        }
        state.cancelled = Some(error.clone());
        let running = state.running.clone();
        drop(state);
        for (job, scheduler) in running {
            let cancel = Input::JobCancelled { job, error: error.clone() };
            // A send error means that the scheduler has stopped and the job has ended.
            let _ = scheduler.send(Message::Input(cancel));
        }
        notify(self.lock());
    }

    /// Starts a commit, unless the scope is cancelled.
    fn begin_commit(&self) -> Result<()> {
        let mut state = self.lock();
        match &state.cancelled {
            Some(error) => Err(error.clone()),
            None => {
                state.committing += 1;
                Ok(())
            }
        }
    }

    /// Ends a commit that has succeeded or not.
    fn end_commit(&self, has_committed: bool) {
        let mut state = self.lock();
        state.committing -= 1;
        state.has_committed |= has_committed;
        notify(state);
    }

    /// Records that another job was requested, so that the last commit no longer delays a
    /// cancellation.
    pub(super) fn resume(&self) {
        let mut state = self.lock();
        state.has_committed = false;
        notify(state);
    }

    /// Returns the error of the cancellation, if the scope was cancelled.
    pub fn cancel_error(&self) -> Option<Error> {
        self.lock().cancelled.clone()
    }

    /// Registers a callback, which is called when the scope is cancelled, or at once if it already
    /// was.
    pub fn on_cancel(&self, on_cancel: impl FnOnce(Error) + Send + 'static) {
        let mut state = self.lock();
        let older = state.on_cancel.replace(Box::new(on_cancel));
        notify(state);
        // Dropped after the lock was released: it holds values of the user.
        drop(older);
    }

    /// Returns the progress of its jobs. Running jobs are queried from their schedulers.
    pub fn progress(&self) -> Progress {
        let state = self.lock();
        let mut all = state.ended;
        let running = state.running.clone();
        drop(state);
        for (job, scheduler) in running {
            let (reply, answer) = bounded(1);
            let sent = scheduler.send(Message::Progress { job, reply });
            all.add(sent.ok().and_then(|()| answer.recv().ok()).unwrap_or_default());
        }
        all
    }

    /// Adds a job that was just submitted. If the scope is cancelled, so is the job.
    pub(super) fn enter(&self, job: JobId, scheduler: &Sender<Message>) {
        let mut state = self.lock();
        match state.cancelled.clone() {
            None => state.running.push((job, scheduler.clone())),
            Some(error) => {
                let _ = scheduler.send(Message::Input(Input::JobCancelled { job, error }));
            }
        }
    }

    /// Removes a job that has ended.
    pub(super) fn leave(&self, job: JobId, scheduler: &Sender<Message>, done: Progress) {
        let mut state = self.lock();
        let is_this_job =
            |(its, from): &(JobId, Sender<Message>)| *its == job && from.same_channel(scheduler);
        if let Some(at) = state.running.iter().position(is_this_job) {
            let ended = state.running.swap_remove(at);
            state.ended.add(done);
            drop(state);
            drop(ended);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Calls the callback if the scope was cancelled, unless the cancellation came too late.
fn notify(mut state: MutexGuard<'_, State>) {
    if state.committing > 0 || state.has_committed {
        return;
    }
    let Some(error) = state.cancelled.clone() else { return };
    let on_cancel = state.on_cancel.take();
    drop(state);
    if let Some(on_cancel) = on_cancel {
        on_cancel(error);
    }
}

/// The open scopes of one context, used to cancel a group or everything.
#[derive(Default)]
pub(super) struct CancelScopes {
    numbers: IdCounter,
    open: Mutex<BTreeMap<u64, Weak<CancelScope>>>,
}

/// A scope while its closure runs or waits.
pub struct OpenScope {
    number: u64,
    scope: Arc<CancelScope>,
    registry: Arc<CancelScopes>,
}

impl CancelScopes {
    /// Returns true if the closure of a scope runs or waits.
    pub fn are_open(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Opens a scope of the given context inside those of this thread, as a member of the group
    /// `name` if there is one.
    pub fn open(self: &Arc<Self>, context: &PoolId, name: Option<&str>) -> OpenScope {
        let current = current_scopes();
        let ours = current.iter().filter(|scope| scope.context.is_same(context));
        let mut groups: Vec<Arc<str>> = ours.flat_map(|scope| scope.groups.clone()).collect();
        groups.extend(name.map(Arc::from));
        groups.sort_unstable();
        groups.dedup();
        let scope =
            Arc::new(CancelScope { context: context.clone(), groups, state: Mutex::default() });
        let number = self.numbers.next();
        self.lock().insert(number, Arc::downgrade(&scope));
        OpenScope { number, scope, registry: Arc::clone(self) }
    }

    /// Cancels the open scopes of one group, or all.
    pub fn cancel(&self, group: Option<&str>, error: &Error) {
        let open: Vec<Arc<CancelScope>> = self.lock().values().filter_map(Weak::upgrade).collect();
        let is_member = |scope: &&Arc<CancelScope>| {
            group.is_none_or(|group| scope.groups.iter().any(|name| **name == *group))
        };
        open.iter().filter(is_member).for_each(|scope| scope.cancel(error));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<CancelScope>>> {
        self.open.lock()
    }
}

impl OpenScope {
    /// Closes the scope: its context can no longer cancel it.
    pub fn close(open: Self) {
        drop(open);
    }

    /// Returns the scope.
    pub fn scope(&self) -> &Arc<CancelScope> {
        &self.scope
    }

    /// Returns the scopes of this thread followed by this one.
    pub fn with_current(&self) -> Vec<Arc<CancelScope>> {
        let mut scopes = current_scopes();
        scopes.push(Arc::clone(&self.scope));
        scopes
    }
}

impl Drop for OpenScope {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Returns an open scope and the number of calls of its callback.
    fn scope() -> (OpenScope, Arc<AtomicUsize>) {
        let open = Arc::new(CancelScopes::default()).open(&PoolId::default(), None);
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        open.scope().on_cancel(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        (open, calls)
    }

    fn cancelled() -> Error {
        Error::cancelled("test")
    }

    fn commit(open: &OpenScope, work: impl FnOnce() -> Result<()>) -> Result<()> {
        in_scopes(open.with_current(), || commit_point(work))
    }

    #[test]
    fn a_cancelled_scope_commits_nothing() {
        let (open, calls) = scope();
        open.scope().cancel(&cancelled());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        commit(&open, || panic!("it must not be called")).unwrap_err();
        open.scope().cancel(&cancelled());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_cancellation_after_a_commit_takes_effect_at_the_next_job() {
        for during in [true, false] {
            let (open, calls) = scope();
            let cancel = || open.scope().cancel(&cancelled());
            commit(&open, || {
                during.then(cancel);
                Ok(())
            })
            .unwrap();
            cancel();
            assert_eq!(calls.load(Ordering::SeqCst), 0);
            open.scope().resume();
            assert_eq!(calls.load(Ordering::SeqCst), 1);
            assert!(open.scope().cancel_error().is_some());
        }
    }

    #[test]
    fn a_cancellation_during_a_failed_commit_takes_effect_at_once() {
        let (open, calls) = scope();
        let panics = || {
            open.scope().cancel(&cancelled());
            assert_eq!(calls.load(Ordering::SeqCst), 0);
            panic!("while it commits");
        };
        assert!(catch_unwind(AssertUnwindSafe(|| commit(&open, panics))).is_err());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_cancelled_inner_scope_prevents_a_commit_and_the_outer_one_stays_usable() {
        let (outer, calls) = scope();
        let (inner, _) = scope();
        inner.scope().cancel(&cancelled());
        let both = vec![Arc::clone(outer.scope()), Arc::clone(inner.scope())];
        in_scopes(both, || commit_point(|| Ok(()))).unwrap_err();
        outer.scope().cancel(&cancelled());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}
