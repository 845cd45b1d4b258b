//! Additions that belong to stored outputs: map outputs, or stored partitions of an RDD.

use super::TaskDeltas;
use emberline_core::sync::{Mutex, MutexGuard};
use std::collections::BTreeMap;

/// The additions of each partition. `None` marks a partition that has been merged: it counts once,
/// however often it is recomputed.
#[derive(Default)]
pub(crate) struct CommittedDeltas(Mutex<BTreeMap<usize, Option<TaskDeltas>>>);

impl CommittedDeltas {
    /// Stores the additions of a partition in place of an earlier attempt's.
    pub(crate) fn store(&self, partition: usize, deltas: TaskDeltas) {
        self.store_if_first(partition, deltas, || ((), true));
    }

    /// Stores the additions if `publish` returns true: this attempt made the partition visible. One
    /// lock covers both, so an action that reads the partition also counts its additions.
    pub(crate) fn store_if_first<R>(
        &self,
        partition: usize,
        deltas: TaskDeltas,
        publish: impl FnOnce() -> (R, bool),
    ) -> (R, bool) {
        let mut committed = self.lock();
        let (published, is_first) = publish();
        let unused = match is_first {
            true => replace(&mut committed, partition, deltas),
            false => deltas,
        };
        // Dropped after the lock: dropping a partial value may run user code.
        drop(committed);
        drop(unused);
        (published, is_first)
    }

    /// Adds everything stored to its accumulators.
    pub(crate) fn merge(&self) {
        let deltas: Vec<TaskDeltas> = self.lock().values_mut().filter_map(Option::take).collect();
        deltas.into_iter().for_each(TaskDeltas::merge);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Option<TaskDeltas>>> {
        self.0.lock()
    }
}

/// Stores the additions of a partition and returns those that do not count.
fn replace(
    committed: &mut BTreeMap<usize, Option<TaskDeltas>>,
    partition: usize,
    deltas: TaskDeltas,
) -> TaskDeltas {
    if deltas.0.is_empty() && !committed.contains_key(&partition) {
        return deltas;
    }
    match committed.entry(partition).or_insert_with(|| Some(TaskDeltas::default())) {
        Some(older) => std::mem::replace(older, deltas),
        None => deltas,
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
    fn a_visible_partition_has_its_additions_and_only_the_first_attempt_counts() {
        let committed = CommittedDeltas::default();
        let count = count();
        let adding = |n| with_accumulators(|| count.add(n)).1;
        let is_locked = || committed.0.try_lock().is_none();
        // The partition becomes visible under the lock, so a merge waits for its additions.
        let published = committed.store_if_first(0, adding(1), || (is_locked(), true));
        assert_eq!(published, (true, true));
        assert!(!is_locked());
        committed.store_if_first(0, adding(10), || ((), false));
        committed.merge();
        assert_eq!(count.value(), 1);
        committed.store_if_first(0, adding(100), || ((), true));
        committed.merge();
        assert_eq!(count.value(), 1, "a recomputed partition counts once");
    }

    #[test]
    fn taken_additions_do_not_count_again_with_the_task() {
        let count = count();
        let (taken, left) = with_accumulators(|| {
            count.add(1);
            let taken = TaskDeltas::take();
            count.add(10);
            taken
        });
        taken.merge();
        assert_eq!(count.value(), 1);
        left.merge();
        assert_eq!(count.value(), 11);
    }
}
