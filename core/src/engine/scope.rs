//! What can be cancelled as one: the jobs of a spawned closure, or of a job group.
//!
//! A scope belongs to the thread that runs its closure. Each job that is asked for on that thread, of
//! whichever context, belongs to it, and so do the jobs of closures that are spawned from there.
//! A cancelled scope stays cancelled: a closure that ignores the error of its action gets it again at
//! the next.

use super::Message;
use crate::error::{Error, Result};
use crate::ids::{IdCounter, JobId};
use crate::job::Progress;
use crate::runner::PoolId;
use crate::scheduler::Input;
use crossbeam::channel::{Sender, bounded};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What can be cancelled as one.
pub struct CancelScope {
    context: PoolId,
    /// The job groups it is in.
    groups: Vec<Arc<str>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cancelled: Option<Error>,
    /// How many threads are just leaving something for good.
    leaving: usize,
    /// Whether something was left for good, and no job was asked for since.
    has_left: bool,
    /// The jobs that have not ended, and where their scheduler listens.
    running: Vec<(JobId, Sender<Message>)>,
    /// What the jobs that have ended had done.
    ended: Progress,
    on_cancel: Option<Box<dyn FnOnce(Error) + Send>>,
}

thread_local! {
    /// The scopes this thread is in, outermost first.
    static SCOPES: RefCell<Vec<Arc<CancelScope>>> = const { RefCell::new(Vec::new()) };
}

/// The scopes that this thread is in.
pub fn scopes_here() -> Vec<Arc<CancelScope>> {
    SCOPES.with_borrow(Vec::clone)
}

/// Runs `body` in these scopes and no others.
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

/// Leaves something for good, such as the name of an output, unless a scope of this thread has been
/// cancelled: one of the two comes first. Whoever cancels from now on, until the next job is asked for,
/// comes too late for that: the closure itself says how it ended.
pub fn commit_point<R>(leave: impl FnOnce() -> Result<R>) -> Result<R> {
    struct Leaving(Vec<Arc<CancelScope>>, bool);
    impl Drop for Leaving {
        fn drop(&mut self) {
            self.0.iter().for_each(|scope| scope.end_commit(self.1));
        }
    }
    let mut leaving = Leaving(Vec::new(), false);
    for scope in scopes_here() {
        scope.begin_commit()?;
        leaving.0.push(scope);
    }
    let left = leave()?;
    leaving.1 = true;
    Ok(left)
}

impl CancelScope {
    /// Cancels its jobs, those that it will ask for, and what waits for it. The first reason stays.
    /// What waits hears of it at the next job if something was just left for good.
    pub fn cancel(&self, why: &Error) {
        let mut state = self.lock();
        if state.cancelled.is_some() {
            return;
        }
        state.cancelled = Some(why.clone());
        let running = state.running.clone();
        drop(state);
        for (job, scheduler) in running {
            // An error means that the scheduler is gone, and the job with it.
            let _ = scheduler.send(Message::Input(Input::JobCancelled { job, why: why.clone() }));
        }
        tell(self.lock());
    }

    fn begin_commit(&self) -> Result<()> {
        let mut state = self.lock();
        match &state.cancelled {
            Some(why) => Err(why.clone()),
            None => {
                state.leaving += 1;
                Ok(())
            }
        }
    }

    fn end_commit(&self, has_left: bool) {
        let mut state = self.lock();
        state.leaving -= 1;
        state.has_left |= has_left;
        tell(state);
    }

    /// Another job is asked for: what was left for good is done with.
    pub(super) fn resume(&self) {
        let mut state = self.lock();
        state.has_left = false;
        tell(state);
    }

    /// Why it was cancelled, if it was.
    pub fn cancelled(&self) -> Option<Error> {
        self.lock().cancelled.clone()
    }

    /// Calls `on_cancel` when it is cancelled, or at once if it has been.
    pub fn on_cancel(&self, on_cancel: impl FnOnce(Error) + Send + 'static) {
        let mut state = self.lock();
        state.on_cancel = Some(Box::new(on_cancel));
        tell(state);
    }

    /// How far its jobs have come: asks the schedulers of those that run.
    pub fn progress(&self) -> Progress {
        let (mut all, running) = {
            let state = self.lock();
            (state.ended, state.running.clone())
        };
        for (job, scheduler) in running {
            let (tell, told) = bounded(1);
            let asked = scheduler.send(Message::Progress { job, tell });
            all.add(asked.ok().and_then(|()| told.recv().ok()).unwrap_or_default());
        }
        all
    }

    /// Counts a job among its own that was just submitted; a cancelled scope cancels it.
    pub(super) fn enter(&self, job: JobId, scheduler: &Sender<Message>) {
        let mut state = self.lock();
        match state.cancelled.clone() {
            None => state.running.push((job, scheduler.clone())),
            Some(why) => {
                let _ = scheduler.send(Message::Input(Input::JobCancelled { job, why }));
            }
        }
    }

    pub(super) fn leave(&self, job: JobId, scheduler: &Sender<Message>, done: Progress) {
        let mut state = self.lock();
        let is_it =
            |(its, from): &(JobId, Sender<Message>)| *its == job && from.same_channel(scheduler);
        if let Some(at) = state.running.iter().position(is_it) {
            state.running.swap_remove(at);
            state.ended.add(done);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells who waits that the scope was cancelled, if it was and that did not come too late.
fn tell(mut state: MutexGuard<'_, State>) {
    if state.leaving > 0 || state.has_left {
        return;
    }
    let Some(why) = state.cancelled.clone() else { return };
    let on_cancel = state.on_cancel.take();
    drop(state);
    if let Some(on_cancel) = on_cancel {
        on_cancel(why);
    }
}

/// The open scopes of one context, by which groups and everything are cancelled.
#[derive(Default)]
pub(super) struct CancelScopes {
    numbers: IdCounter,
    open: Mutex<BTreeMap<u64, Weak<CancelScope>>>,
}

/// A scope while its closure runs, or waits to.
pub struct OpenScope {
    number: u64,
    scope: Arc<CancelScope>,
    among: Arc<CancelScopes>,
}

impl CancelScopes {
    /// Whether a closure of one runs or waits.
    pub fn are_open(&self) -> bool {
        !self.lock().is_empty()
    }

    /// A new scope of the context with this mark, inside those of this thread; of the group `name` as
    /// well, if there is one.
    pub fn open(self: &Arc<Self>, context: &PoolId, name: Option<&str>) -> OpenScope {
        let around = scopes_here();
        let ours = around.iter().filter(|scope| scope.context.is_same(context));
        let mut groups: Vec<Arc<str>> = ours.flat_map(|scope| scope.groups.clone()).collect();
        groups.extend(name.map(Arc::from));
        groups.sort_unstable();
        groups.dedup();
        let scope =
            Arc::new(CancelScope { context: context.clone(), groups, state: Mutex::default() });
        let number = self.numbers.next();
        self.lock().insert(number, Arc::downgrade(&scope));
        OpenScope { number, scope, among: Arc::clone(self) }
    }

    /// Cancels the open scopes of one group, or all.
    pub fn cancel(&self, group: Option<&str>, why: &Error) {
        let open: Vec<Arc<CancelScope>> = self.lock().values().filter_map(Weak::upgrade).collect();
        let is_meant = |scope: &&Arc<CancelScope>| {
            group.is_none_or(|group| scope.groups.iter().any(|name| **name == *group))
        };
        open.iter().filter(is_meant).for_each(|scope| scope.cancel(why));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<CancelScope>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenScope {
    /// Ends it: nobody can cancel it any more through its context.
    pub fn close(open: Self) {
        drop(open);
    }

    /// The scope.
    pub fn scope(&self) -> &Arc<CancelScope> {
        &self.scope
    }

    /// The scopes of this thread and this one.
    pub fn with_those_here(&self) -> Vec<Arc<CancelScope>> {
        let mut scopes = scopes_here();
        scopes.push(Arc::clone(&self.scope));
        scopes
    }
}

impl Drop for OpenScope {
    fn drop(&mut self) {
        self.among.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// An open scope, and how often who waits for it was told that it was cancelled.
    fn scope() -> (OpenScope, Arc<AtomicUsize>) {
        let open = Arc::new(CancelScopes::default()).open(&PoolId::default(), None);
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        open.scope().on_cancel(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        (open, told)
    }

    fn no() -> Error {
        Error::cancelled("no")
    }

    fn leave(open: &OpenScope, how: impl FnOnce() -> Result<()>) -> Result<()> {
        in_scopes(open.with_those_here(), || commit_point(how))
    }

    #[test]
    fn a_cancelled_scope_leaves_nothing() {
        let (open, told) = scope();
        open.scope().cancel(&no());
        assert_eq!(told.load(Ordering::SeqCst), 1);
        leave(&open, || panic!("it must not be called")).unwrap_err();
        open.scope().cancel(&no());
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn who_cancels_once_something_was_left_comes_too_late_until_the_next_job() {
        for during in [true, false] {
            let (open, told) = scope();
            let cancel = || open.scope().cancel(&no());
            leave(&open, || {
                during.then(cancel);
                Ok(())
            })
            .unwrap();
            cancel();
            assert_eq!(told.load(Ordering::SeqCst), 0);
            open.scope().resume();
            assert_eq!(told.load(Ordering::SeqCst), 1);
            assert!(open.scope().cancelled().is_some());
        }
    }

    #[test]
    fn what_could_not_be_left_is_cancelled_at_once() {
        let (open, told) = scope();
        let panics = || {
            open.scope().cancel(&no());
            assert_eq!(told.load(Ordering::SeqCst), 0);
            panic!("while it leaves");
        };
        assert!(catch_unwind(AssertUnwindSafe(|| leave(&open, panics))).is_err());
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn of_scopes_inside_each_other_each_can_prevent_it_and_none_stays_in_the_way() {
        let ((outer, told), (inner, _)) = (scope(), scope());
        inner.scope().cancel(&no());
        let both = vec![Arc::clone(outer.scope()), Arc::clone(inner.scope())];
        in_scopes(both, || commit_point(|| Ok(()))).unwrap_err();
        outer.scope().cancel(&no());
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }
}
