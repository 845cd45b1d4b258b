//! What tasks added that is counted with what they leave: a map output, or a stored partition.

use super::TaskDeltas;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the map tasks of one shuffle, or the stored partitions of one RDD, have added. Each partition
/// counts once, however often it is computed.
#[derive(Default)]
pub(crate) struct CommittedDeltas(Mutex<BTreeMap<usize, Option<TaskDeltas>>>);

impl CommittedDeltas {
    /// Keeps what a partition added, in place of an earlier attempt, until an action ends well.
    pub(crate) fn keep(&self, partition: usize, parts: TaskDeltas) {
        self.keep_with(partition, parts, || ((), true));
    }

    /// Keeps what a partition added if `put` says that it was the first to show others what that
    /// partition is. Whoever finds it there and ends well also finds what it added.
    pub(crate) fn keep_with<R>(
        &self,
        partition: usize,
        parts: TaskDeltas,
        put: impl FnOnce() -> (R, bool),
    ) -> (R, bool) {
        let mut kept = self.lock();
        let (shown, is_first) = put();
        let unused = match is_first {
            true => replace(&mut kept, partition, parts),
            false => parts,
        };
        // Dropped after the lock: dropping a part may run the user's code.
        drop(kept);
        drop(unused);
        (shown, is_first)
    }

    /// Adds all that is kept to its accumulators.
    pub(crate) fn merge(&self) {
        let kept: Vec<TaskDeltas> = self.lock().values_mut().filter_map(Option::take).collect();
        kept.into_iter().for_each(TaskDeltas::merge);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Option<TaskDeltas>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the parts of a partition, and gives those that do not count.
fn replace(
    kept: &mut BTreeMap<usize, Option<TaskDeltas>>,
    partition: usize,
    parts: TaskDeltas,
) -> TaskDeltas {
    if parts.0.is_empty() && !kept.contains_key(&partition) {
        return parts;
    }
    match kept.entry(partition).or_insert_with(|| Some(TaskDeltas::default())) {
        Some(older) => std::mem::replace(older, parts),
        None => parts, // the partition was merged, and is computed again
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Accumulator, with_accumulators};
    use super::*;
    use std::sync::{Arc, Weak};

    fn count() -> Accumulator<u64> {
        Accumulator { value: Arc::new(Mutex::new(0)), engine: Weak::new() }
    }

    #[test]
    fn whoever_finds_a_partition_finds_what_it_added_and_who_was_first_counts() {
        let kept = CommittedDeltas::default();
        let count = count();
        let adding = |n| with_accumulators(|| count.add(n)).1;
        let merge_waits = || kept.0.try_lock().is_err();
        // Others see the partition from here on, and a merge waits for what it added.
        assert_eq!(kept.keep_with(0, adding(1), || (merge_waits(), true)), (true, true));
        assert!(!merge_waits());
        kept.keep_with(0, adding(10), || ((), false));
        kept.merge();
        assert_eq!(count.value(), 1);
        kept.keep_with(0, adding(100), || ((), true));
        kept.merge();
        assert_eq!(count.value(), 1, "a partition that is computed again counts once");
    }

    #[test]
    fn a_task_gives_what_it_has_added_once() {
        let count = count();
        let (taken, left) = with_accumulators(|| {
            count.add(1);
            let taken = TaskDeltas::take_counted();
            count.add(10);
            taken
        });
        taken.merge();
        assert_eq!(count.value(), 1);
        left.merge();
        assert_eq!(count.value(), 11);
    }
}
