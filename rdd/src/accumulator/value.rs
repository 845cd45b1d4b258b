//! The value of an accumulator. No user code runs under its lock: readers clone a snapshot, and a
//! change is made on a copy, which replaces the value if it has not changed meanwhile.

use super::Accumulate;
use emberline_core::sync::{Mutex, MutexGuard};
use std::mem::needs_drop;
use std::sync::Arc;

/// The value of an accumulator.
pub(super) struct Value<A>(Mutex<State<A>>);

pub(super) struct State<A> {
    current: Arc<A>,
    /// Increases with each change.
    pub(super) version: u64,
    spare: Option<Spare<A>>,
}

/// The value before the last addition of the program. The next addition is made there, since
/// copying a long list for each addition would take quadratic time.
pub(super) struct Spare<A> {
    value: Arc<A>,
    missing: Arc<A>,
}

/// A value at some moment.
pub(super) struct Snapshot<A> {
    pub(super) value: Arc<A>,
    pub(super) version: u64,
}

impl<A: Accumulate> Value<A> {
    pub(super) fn new(start: A) -> Self {
        Value(Mutex::new(State { current: Arc::new(start), version: 0, spare: None }))
    }

    pub(super) fn snapshot(&self) -> Snapshot<A> {
        let state = self.0.lock();
        Snapshot { value: Arc::clone(&state.current), version: state.version }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<A>> {
        self.0.lock()
    }

    /// Replaces the value with `next` if the value has this version, and then leaves the old value
    /// in `next`.
    pub(super) fn replace(&self, version: u64, next: &mut Arc<A>) -> bool {
        let mut state = self.0.lock();
        if state.version != version {
            return false;
        }
        let spare = state.replace(next);
        drop(state);
        drop(spare);
        true
    }

    /// Adds `delta`, unless the value changes meanwhile. Returns true if it was added.
    pub(super) fn try_merge(&self, delta: &Arc<A>) -> bool {
        let mut state = self.0.lock();
        let now = Snapshot { value: Arc::clone(&state.current), version: state.version };
        let spare = state.spare.take();
        drop(state);
        let mut next = spare.and_then(Spare::into_current).unwrap_or_else(|| A::clone(&now.value));
        next.merge(A::clone(delta));
        let mut state = self.0.lock();
        if state.version != now.version {
            return false;
        }
        let older = std::mem::replace(&mut state.current, Arc::new(next));
        state.version += 1;
        let spare = needs_drop::<A>().then(|| Spare { value: older, missing: Arc::clone(delta) });
        let unused = std::mem::replace(&mut state.spare, spare);
        drop(state);
        drop(unused);
        true
    }
}

impl<A> State<A> {
    /// Replaces the value with `next`, and leaves the old value there. The caller drops what this
    /// returns after the lock.
    #[must_use]
    pub(super) fn replace(&mut self, next: &mut Arc<A>) -> Option<Spare<A>> {
        std::mem::swap(&mut self.current, next);
        self.version += 1;
        self.spare.take()
    }
}

impl<A: Accumulate> Spare<A> {
    /// Adds the missing addition, unless a reader still has the value.
    fn into_current(self) -> Option<A> {
        let mut value = Arc::into_inner(self.value)?;
        value.merge(A::clone(&self.missing));
        Some(value)
    }
}
