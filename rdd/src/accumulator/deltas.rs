//! The partial values of a task, which it adds to without a lock.

use super::transaction::Transaction;
use super::{Accumulate, Accumulator};
use emberline_core::quiet::drop_quietly;
use std::any::Any;
use std::cell::RefCell;

thread_local! {
    /// The additions of the task on this thread; `None` on a thread without one.
    static TASK: RefCell<Option<TaskDeltas>> = const { RefCell::new(None) };
}

/// The additions of one task, sorted by the address of their accumulator.
#[derive(Default)]
pub(crate) struct TaskDeltas(Vec<(usize, Option<Box<dyn AnyDelta>>)>);

/// The partial value of one task.
pub(super) struct Delta<A: Accumulate> {
    accumulator: Accumulator<A>,
    pub(super) value: A,
}

/// A [`Delta`] with its type erased.
trait AnyDelta: Any + Send + Sync {
    fn address(&self) -> usize;
    /// Adds the partial value of the same accumulator.
    fn absorb(&mut self, later: Box<dyn AnyDelta>);
    /// Adds the partial value to the value in a transaction.
    fn merge_into(&self, transaction: &mut Transaction);
}

impl<A: Accumulate> AnyDelta for Delta<A> {
    fn address(&self) -> usize {
        self.accumulator.address()
    }

    fn absorb(&mut self, later: Box<dyn AnyDelta>) {
        if let Ok(later) = (later as Box<dyn Any>).downcast::<Self>() {
            self.value.merge(later.value);
        }
    }

    fn merge_into(&self, transaction: &mut Transaction) {
        let later = self.value.clone();
        transaction.value_of(&self.accumulator).merge(later);
    }
}

impl TaskDeltas {
    /// Takes the partial value of the task on this thread, or returns `None` without a task. The
    /// user's `add`, which may add to other accumulators, runs while the value is taken out.
    pub(super) fn take_out<A: Accumulate>(accumulator: &Accumulator<A>) -> Option<Box<Delta<A>>> {
        let existing = TASK.with_borrow_mut(|deltas| {
            let deltas = deltas.as_mut()?;
            let at = deltas.index_of(accumulator.address());
            Some(deltas.0[at].1.take())
        })?;
        let delta = existing.and_then(|delta| (delta as Box<dyn Any>).downcast::<Delta<A>>().ok());
        Some(delta.unwrap_or_else(|| {
            let value = accumulator.value.snapshot().value.zero();
            Box::new(Delta { accumulator: accumulator.clone(), value })
        }))
    }

    pub(super) fn put_back<A: Accumulate>(delta: Box<Delta<A>>) {
        let other = TASK.with_borrow_mut(|deltas| {
            let deltas = deltas.as_mut()?;
            let at = deltas.index_of(delta.address());
            deltas.0[at].1.replace(delta)
        });
        // Only an `add` that adds to its own accumulator has put another one there.
        if let Some(other) = other {
            TaskDeltas(vec![(other.address(), Some(other))]).merge_into_task();
        }
    }

    /// Returns the index of an accumulator, which is added if it is new.
    #[inline]
    fn index_of(&mut self, address: usize) -> usize {
        self.0.binary_search_by_key(&address, |(address, _)| *address).unwrap_or_else(|at| {
            self.0.insert(at, (address, None));
            at
        })
    }

    /// Takes the additions so far of this task, which then no longer count with its result.
    pub(crate) fn take() -> TaskDeltas {
        TASK.with_borrow_mut(|deltas| deltas.as_mut().map(std::mem::take)).unwrap_or_default()
    }

    /// Adds these to the additions of the task on this thread.
    pub(crate) fn merge_into_task(self) {
        for later in self.0.into_iter().filter_map(|(_, delta)| delta) {
            let address = later.address();
            let own = TASK.with_borrow_mut(|deltas| {
                let deltas = deltas.as_mut()?;
                let at = deltas.index_of(address);
                deltas.0[at].1.take()
            });
            let merged = match own {
                Some(mut own) => {
                    own.absorb(later);
                    own
                }
                None => later,
            };
            TASK.with_borrow_mut(|deltas| {
                if let Some(deltas) = deltas {
                    let at = deltas.index_of(address);
                    deltas.0[at].1 = Some(merged);
                }
            });
        }
    }

    /// Adds the partial values to the values in a transaction.
    pub(super) fn merge_into(&self, transaction: &mut Transaction) {
        self.0
            .iter()
            .filter_map(|(_, delta)| delta.as_ref())
            .for_each(|it| it.merge_into(transaction));
    }

    /// Returns true if nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Runs the work of a task, or of an action on the driver, and returns its result with its
/// additions.
pub(crate) fn with_accumulators<R>(work: impl FnOnce() -> R) -> (R, TaskDeltas) {
    let _restore = Restore(TASK.replace(Some(TaskDeltas::default())));
    let result = work();
    (result, TASK.take().unwrap_or_default())
}

/// Runs work of the program, whose additions count at once.
pub(crate) fn without_accumulators<R>(work: impl FnOnce() -> R) -> R {
    let _restore = Restore(TASK.take());
    work()
}

/// Restores the additions of the outer work on drop.
struct Restore(Option<TaskDeltas>);

impl Drop for Restore {
    fn drop(&mut self) {
        drop_quietly(TASK.replace(self.0.take()));
    }
}
