//! Commits an action: all of its additions count in one moment, or none does.
//!
//! The user's `clone` and `merge` run on copies, without a lock. Then all values and all outputs
//! are locked in the order of their addresses, and the copies replace the values if nothing has
//! changed since. What they replace is dropped after the locks.

use super::committed::Uncounted;
use super::value::{Snapshot, Spare, State};
use super::{Accumulate, Accumulator, CommittedDeltas, TaskDeltas, with_accumulators};
use emberline_core::error::{Error, Result};
use emberline_core::sync::MutexGuard;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most times that a `merge` may add to an accumulator whose `merge` adds again.
const MAX_ROUNDS: usize = 100;

/// Additions that count together. The keys are the addresses of accumulators and of outputs.
#[derive(Default)]
pub(crate) struct Transaction {
    outputs: BTreeMap<usize, Uncounted>,
    values: BTreeMap<usize, Box<dyn AnyUpdate>>,
}

/// A part of what a transaction changes.
pub(super) trait Part {
    fn lock(&mut self) -> Box<dyn Locked + '_>;
}

/// A locked part.
pub(super) trait Locked {
    /// Returns true if the part has not changed since the transaction read it.
    fn is_current(&self) -> bool;
    /// Makes the change. It drops nothing of the user.
    fn publish(&mut self);
}

trait AnyUpdate: Any + Part {}

/// The new value of an accumulator; the old one after it was published.
struct Update<A: Accumulate> {
    accumulator: Accumulator<A>,
    version: u64,
    next: Arc<A>,
    unused: Option<Spare<A>>,
}

impl<A: Accumulate> AnyUpdate for Update<A> {}

impl<A: Accumulate> Part for Update<A> {
    fn lock(&mut self) -> Box<dyn Locked + '_> {
        let Update { accumulator, version, next, unused } = self;
        Box::new(LockedValue { state: accumulator.value.lock(), version: *version, next, unused })
    }
}

struct LockedValue<'a, A> {
    state: MutexGuard<'a, State<A>>,
    version: u64,
    next: &'a mut Arc<A>,
    unused: &'a mut Option<Spare<A>>,
}

impl<A> Locked for LockedValue<'_, A> {
    fn is_current(&self) -> bool {
        self.state.version == self.version
    }

    fn publish(&mut self) {
        *self.unused = self.state.replace(self.next);
    }
}

impl Transaction {
    /// Adds partial values.
    pub(crate) fn merge(&mut self, deltas: &TaskDeltas) {
        deltas.merge_into(self);
    }

    /// Adds the partial values of outputs that have not counted yet.
    pub(crate) fn merge_outputs(&mut self, outputs: Arc<CommittedDeltas>) {
        let address = Arc::as_ptr(&outputs).addr();
        if self.outputs.contains_key(&address) {
            return;
        }
        let uncounted = outputs.uncounted();
        if uncounted.partitions.is_empty() {
            return;
        }
        uncounted.partitions.iter().for_each(|(_, deltas)| deltas.merge_into(self));
        self.outputs.insert(address, uncounted);
    }

    /// Runs `merge`, and adds what the user's code has added meanwhile.
    pub(crate) fn with_additions(mut self, merge: impl FnOnce(&mut Self)) -> Result<Self> {
        let mut more = with_accumulators(|| merge(&mut self)).1;
        for _ in 0..MAX_ROUNDS {
            if more.is_empty() {
                return Ok(self);
            }
            more = with_accumulators(|| self.merge(&more)).1;
        }
        let text = "merging an accumulator adds to an accumulator whose merging adds again, without end: \
                    change `Accumulate::merge`";
        Err(Error::invalid_argument(text))
    }

    /// Returns the new value of an accumulator.
    pub(super) fn value_of<A: Accumulate>(&mut self, accumulator: &Accumulator<A>) -> &mut A {
        let update = self.values.entry(accumulator.address()).or_insert_with(|| {
            let Snapshot { value, version } = accumulator.value.snapshot();
            let next = Arc::new(A::clone(&value));
            Box::new(Update { accumulator: accumulator.clone(), version, next, unused: None })
        });
        let update: &mut dyn Any = &mut **update;
        let update: Option<&mut Update<A>> = update.downcast_mut();
        Arc::make_mut(&mut update.expect("an address belongs to one accumulator").next)
    }

    /// Makes all additions visible, unless another thread has changed a value or counted an output
    /// meanwhile. Returns true if they are visible.
    pub(crate) fn publish(&mut self) -> bool {
        let outputs = self.outputs.values_mut().map(Part::lock);
        let values = self.values.values_mut().map(|update| update.lock());
        let mut parts: Vec<Box<dyn Locked + '_>> = outputs.chain(values).collect();
        let is_current = parts.iter().all(|part| part.is_current());
        if is_current {
            parts.iter_mut().for_each(|part| part.publish());
        }
        is_current
    }
}
