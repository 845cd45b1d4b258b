//! What can be cancelled as one: the jobs of a spawned closure, or of a job group.
//!
//! A scope belongs to the thread that runs its closure. Each job that is asked for on that thread, of
//! whichever context, belongs to it, and so do the jobs of closures that are spawned from there.
//! A cancelled scope stays cancelled: a closure that ignores the error of its action gets it again at
//! the next.

use super::Message;
use crate::error::Error;
use crate::ids::{IdCounter, JobId};
use crate::job::Progress;
use crate::runner::Mark;
use crate::scheduler::Input;
use crossbeam::channel::{Sender, bounded};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What can be cancelled as one.
pub struct Scope {
    context: Mark,
    /// The job groups it is in.
    groups: Vec<Arc<str>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cancelled: Option<Error>,
    /// The jobs that have not ended, and where their scheduler listens.
    running: Vec<(JobId, Sender<Message>)>,
    /// What the jobs that have ended had done.
    ended: Progress,
    on_cancel: Option<Box<dyn FnOnce(Error) + Send>>,
}

thread_local! {
    /// The scopes this thread is in, outermost first.
    static SCOPES: RefCell<Vec<Arc<Scope>>> = const { RefCell::new(Vec::new()) };
}

/// The scopes that this thread is in.
pub fn scopes_here() -> Vec<Arc<Scope>> {
    SCOPES.with_borrow(Vec::clone)
}

/// Runs `body` in these scopes and no others.
pub fn in_scopes<R>(scopes: Vec<Arc<Scope>>, body: impl FnOnce() -> R) -> R {
    struct Restore(Vec<Arc<Scope>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SCOPES.replace(std::mem::take(&mut self.0));
        }
    }
    let _restore = Restore(SCOPES.replace(scopes));
    body()
}

impl Scope {
    /// Cancels its jobs, those that it will ask for, and what waits for it. The first reason stays.
    pub fn cancel(&self, why: &Error) {
        let mut state = self.lock();
        if state.cancelled.is_some() {
            return;
        }
        state.cancelled = Some(why.clone());
        let (running, on_cancel) = (state.running.clone(), state.on_cancel.take());
        drop(state);
        for (job, scheduler) in running {
            // An error means that the scheduler is gone, and the job with it.
            let _ = scheduler.send(Message::Input(Input::JobCancelled { job, why: why.clone() }));
        }
        if let Some(tell) = on_cancel {
            tell(why.clone());
        }
    }

    /// Why it was cancelled, if it was.
    pub fn cancelled(&self) -> Option<Error> {
        self.lock().cancelled.clone()
    }

    /// Calls `tell` when it is cancelled, or at once if it has been.
    pub fn on_cancel(&self, tell: impl FnOnce(Error) + Send + 'static) {
        let mut state = self.lock();
        match state.cancelled.clone() {
            None => state.on_cancel = Some(Box::new(tell)),
            Some(why) => {
                drop(state);
                tell(why);
            }
        }
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

/// The open scopes of one context, by which groups and everything are cancelled.
#[derive(Default)]
pub(super) struct Scopes {
    numbers: IdCounter,
    open: Mutex<BTreeMap<u64, Weak<Scope>>>,
}

/// A scope while its closure runs, or waits to.
pub struct OpenScope {
    number: u64,
    scope: Arc<Scope>,
    among: Arc<Scopes>,
}

impl Scopes {
    /// Whether a closure of one runs or waits.
    pub fn are_open(&self) -> bool {
        !self.lock().is_empty()
    }

    /// A new scope of the context with this mark, inside those of this thread; of the group `name` as
    /// well, if there is one.
    pub fn open(self: &Arc<Self>, context: &Mark, name: Option<&str>) -> OpenScope {
        let around = scopes_here();
        let ours = around.iter().filter(|scope| scope.context.is_same(context));
        let mut groups: Vec<Arc<str>> = ours.flat_map(|scope| scope.groups.clone()).collect();
        groups.extend(name.map(Arc::from));
        groups.sort_unstable();
        groups.dedup();
        let scope = Arc::new(Scope { context: context.clone(), groups, state: Mutex::default() });
        let number = self.numbers.next();
        self.lock().insert(number, Arc::downgrade(&scope));
        OpenScope { number, scope, among: Arc::clone(self) }
    }

    /// Cancels the open scopes of one group, or all.
    pub fn cancel(&self, group: Option<&str>, why: &Error) {
        let open: Vec<Arc<Scope>> = self.lock().values().filter_map(Weak::upgrade).collect();
        let is_meant = |scope: &&Arc<Scope>| {
            group.is_none_or(|group| scope.groups.iter().any(|name| **name == *group))
        };
        open.iter().filter(is_meant).for_each(|scope| scope.cancel(why));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Scope>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenScope {
    /// Ends it: nobody can cancel it any more through its context.
    pub fn close(open: Self) {
        drop(open);
    }

    /// The scope.
    pub fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// The scopes of this thread and this one.
    pub fn with_those_here(&self) -> Vec<Arc<Scope>> {
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
