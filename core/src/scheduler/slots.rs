//! The slots of a stage: which are pending, which are live, and how often each was launched.
//!
//! A stage may have a million slots, of which a few hundred are live at a time. So a slot that is
//! pending or done takes four bytes and a bit; more is recorded only while an attempt is live, or
//! while failed attempts count.

use crate::attempt::CommitRight;
use crate::error::Error;
use crate::ids::TaskId;
use crate::job::Progress;
use crate::scheduler::Limits;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The bits of a word of a set.
const BITS: usize = u64::BITS as usize;

/// All slots of a stage. Each is pending, live or done.
pub(super) struct Slots {
    pending: SlotSet,
    /// The attempts launched so far, of each slot.
    launches: Vec<u32>,
    /// The slots that are live, or have failed attempts that count.
    active: BTreeMap<usize, Slot>,
    /// The number of live slots.
    live: usize,
    /// The number of slots that were done before the stage existed, and still are.
    done_before: usize,
}

/// One slot that is live or has failed.
#[derive(Default)]
pub(super) struct Slot {
    /// The running attempt.
    first: Option<TaskId>,
    /// Its speculative attempt, if there is one.
    second: Option<TaskId>,
    /// The commit right that the live attempts share.
    right: Option<Arc<CommitRight>>,
    transient_failures: u32,
    closure_failures: u32,
    /// The errors of the failed attempts.
    failures: Vec<Error>,
}

impl Slots {
    /// Returns `len` slots, of which `pending` are pending and the others are done.
    pub fn new(len: usize, pending: impl IntoIterator<Item = usize>) -> Self {
        let mut set = SlotSet::new(len);
        for slot in pending {
            set.insert(slot);
        }
        let done_before = len - set.len;
        let launches = vec![0; len];
        Slots { pending: set, launches, active: BTreeMap::new(), live: 0, done_before }
    }

    /// Returns the number of slots.
    pub fn len(&self) -> usize {
        self.launches.len()
    }

    /// Returns the number of pending slots.
    pub fn pending(&self) -> usize {
        self.pending.len
    }

    /// Returns the number of live slots.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Returns the number of slots that are done.
    pub fn done(&self) -> usize {
        self.len() - self.pending.len - self.live
    }

    /// Returns the progress of the slots that were launched or wait to be launched, without those
    /// that were done before.
    pub fn progress(&self) -> Progress {
        Progress {
            tasks_done: self.done() - self.done_before,
            tasks: self.len() - self.done_before,
        }
    }

    /// Makes a slot pending that is not live.
    pub fn set_pending(&mut self, slot: usize) {
        if self.pending.insert(slot) && self.launches[slot] == 0 {
            self.done_before -= 1;
        }
    }

    /// Removes the first pending slot, whose attempt is about to be launched.
    pub fn pop_pending(&mut self) -> Option<usize> {
        self.pending.pop_first()
    }

    /// Records that an attempt was launched, and returns its number and its commit right.
    pub fn launch(&mut self, slot: usize, task: TaskId) -> (usize, Arc<CommitRight>) {
        let number = self.launches[slot];
        self.launches[slot] += 1;
        let state = self.active.entry(slot).or_default();
        match state.first {
            Some(_) => state.second = Some(task),
            None => {
                state.first = Some(task);
                self.live += 1;
                // A cancelled attempt that still runs has another right, and cannot commit.
                state.right = None;
            }
        }
        (number as usize, Arc::clone(state.right.get_or_insert_default()))
    }

    /// Returns true if exactly one attempt of a slot is live.
    pub fn has_one_attempt(&self, slot: usize) -> bool {
        self.active.get(&slot).is_some_and(|state| state.first.is_some() && state.second.is_none())
    }

    /// Records the success of an attempt: the slot is done. Returns the other live attempt.
    pub fn succeed(&mut self, slot: usize, task: TaskId) -> Option<TaskId> {
        let state = self.active.remove(&slot)?;
        self.live -= usize::from(state.first.is_some());
        [state.first, state.second].into_iter().flatten().find(|other| *other != task)
    }

    /// Records the failure of an attempt: the slot is pending, unless another attempt is live.
    pub fn fail(&mut self, slot: usize, task: TaskId) {
        let Some(state) = self.active.get_mut(&slot) else { return };
        if state.second == Some(task) {
            state.second = None;
        } else if state.first == Some(task) {
            state.first = state.second.take();
        }
        if state.first.is_some() {
            return;
        }
        self.live -= 1;
        if state.failures.is_empty() {
            self.active.remove(&slot);
        }
        self.set_pending(slot);
    }

    /// Counts a failed attempt of a slot, and returns the last error if no further attempt is
    /// allowed.
    pub fn count_failure(&mut self, slot: usize, error: Error, limits: &Limits) -> Option<Error> {
        self.active.entry(slot).or_default().count_failure(error, limits)
    }

    /// Makes all live slots pending and resets the counts of failures. Returns the attempts that
    /// were live, in the order of their slots.
    pub fn stop(&mut self) -> Vec<TaskId> {
        let mut stopped = Vec::new();
        for (slot, state) in std::mem::take(&mut self.active) {
            if state.first.is_some() {
                self.set_pending(slot);
            }
            stopped.extend([state.first, state.second].into_iter().flatten());
        }
        self.live = 0;
        stopped
    }
}

impl Slot {
    fn count_failure(&mut self, error: Error, limits: &Limits) -> Option<Error> {
        let is_last = if error.is_transient() {
            self.transient_failures += 1;
            self.transient_failures as usize >= limits.transient_attempts
        } else {
            self.closure_failures += 1;
            self.closure_failures as usize >= limits.closure_attempts
        };
        if is_last || error.is_final() {
            let attempts = self.failures.len() + 1;
            return Some(error.after_attempts(attempts, std::mem::take(&mut self.failures)));
        }
        self.failures.push(error);
        None
    }
}

/// A set of slots, in one bit each.
struct SlotSet {
    words: Vec<u64>,
    /// No word before this one has a bit.
    first_word: usize,
    len: usize,
}

impl SlotSet {
    fn new(slots: usize) -> Self {
        SlotSet { words: vec![0; slots.div_ceil(BITS)], first_word: 0, len: 0 }
    }

    /// Adds a slot. Returns true if it was not in the set.
    fn insert(&mut self, slot: usize) -> bool {
        let word = slot / BITS;
        let bit = 1 << (slot % BITS);
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(is_new);
        self.first_word = self.first_word.min(word);
        is_new
    }

    /// Removes the first slot.
    fn pop_first(&mut self) -> Option<usize> {
        let words = self.words.get(self.first_word..)?;
        let empty = words.iter().position(|word| *word != 0).unwrap_or(words.len());
        self.first_word += empty;
        let word = self.words.get_mut(self.first_word)?;
        let bit = word.trailing_zeros() as usize;
        *word &= *word - 1;
        self.len -= 1;
        Some(self.first_word * BITS + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_of_slots_returns_them_in_order(
            slots in prop::collection::vec(0_usize..300, 0..80),
            pops in prop::collection::vec(any::<bool>(), 80),
        ) {
            let (mut set, mut expected) = (SlotSet::new(300), BTreeSet::new());
            for (slot, pops) in slots.into_iter().zip(pops) {
                prop_assert_eq!(set.insert(slot), expected.insert(slot));
                if pops {
                    prop_assert_eq!(set.pop_first(), expected.pop_first());
                }
                prop_assert_eq!(set.len, expected.len());
            }
            while let Some(first) = expected.pop_first() {
                prop_assert_eq!(set.pop_first(), Some(first));
            }
            prop_assert_eq!(set.pop_first(), None);
        }
    }

    #[test]
    fn a_slot_that_was_done_before_counts_once_it_is_pending() {
        let mut slots = Slots::new(3, [1]);
        assert_eq!(slots.progress(), Progress { tasks_done: 0, tasks: 1 });
        let slot = slots.pop_pending().unwrap();
        slots.launch(slot, TaskId(0));
        assert_eq!((slots.succeed(slot, TaskId(0)), slots.live()), (None, 0));
        assert_eq!(slots.progress(), Progress { tasks_done: 1, tasks: 1 });
        [0, 1].into_iter().for_each(|slot| slots.set_pending(slot));
        assert_eq!(slots.progress(), Progress { tasks_done: 0, tasks: 2 });
    }
}
