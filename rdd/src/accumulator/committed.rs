//! Additions that belong to stored outputs: map outputs, or stored partitions of an RDD.

use super::TaskDeltas;
use super::transaction::{Locked, Part};
use emberline_core::quiet::drop_quietly;
use emberline_core::sync::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The additions of each partition. `None` marks a partition that has counted: it counts once,
/// however often it is recomputed.
#[derive(Default)]
pub(crate) struct CommittedDeltas(Mutex<Partitions>);

type Partitions = BTreeMap<usize, Option<Arc<TaskDeltas>>>;

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
        let deltas = Arc::new(deltas);
        let mut committed = self.0.lock();
        let (published, is_first) = publish();
        let unused = match is_first {
            true => replace(&mut committed, partition, deltas),
            false => deltas,
        };
        // Dropped after the lock: dropping a partial value may run user code.
        drop(committed);
        drop_quietly(unused);
        (published, is_first)
    }

    /// Returns the additions that have not counted yet, by partition.
    pub(super) fn uncounted(self: Arc<Self>) -> Uncounted {
        let partitions = self.0.lock();
        let uncounted = partitions.iter().filter_map(|(at, deltas)| Some((*at, deltas.clone()?)));
        let uncounted = uncounted.collect();
        drop(partitions);
        Uncounted { outputs: self, partitions: uncounted }
    }
}

/// Additions of outputs that count with the action that is being committed.
pub(super) struct Uncounted {
    outputs: Arc<CommittedDeltas>,
    pub(super) partitions: Vec<(usize, Arc<TaskDeltas>)>,
}

impl Part for Uncounted {
    fn lock(&mut self) -> Box<dyn Locked + '_> {
        Box::new((self.outputs.0.lock(), &self.partitions))
    }
}

impl Locked for (MutexGuard<'_, Partitions>, &Vec<(usize, Arc<TaskDeltas>)>) {
    /// Returns true if no other action has counted them, and no recomputed output replaced them.
    fn is_current(&self) -> bool {
        self.1.iter().all(|(at, deltas)| match self.0.get(at) {
            Some(Some(stored)) => Arc::ptr_eq(stored, deltas),
            _ => false,
        })
    }

    fn publish(&mut self) {
        for (at, _) in self.1 {
            // The transaction holds what this replaces.
            self.0.insert(*at, None);
        }
    }
}

/// Stores the additions of a partition and returns those that do not count.
fn replace(
    committed: &mut Partitions,
    partition: usize,
    deltas: Arc<TaskDeltas>,
) -> Arc<TaskDeltas> {
    if deltas.is_empty() && !committed.contains_key(&partition) {
        return deltas;
    }
    match committed.entry(partition).or_insert_with(|| Some(Arc::default())) {
        Some(older) => std::mem::replace(older, deltas),
        None => deltas,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Accumulator, Transaction, Value, with_accumulators};
    use super::*;
    use std::sync::Weak;

    fn count() -> Accumulator<u64> {
        Accumulator { value: Arc::new(Value::new(0)), engine: Weak::new() }
    }

    fn commit(committed: &Arc<CommittedDeltas>) -> bool {
        let mut transaction = Transaction::default();
        transaction.merge_outputs(Arc::clone(committed));
        transaction.publish()
    }

    #[test]
    fn a_visible_partition_has_its_additions_and_only_the_first_attempt_counts() {
        let committed = Arc::new(CommittedDeltas::default());
        let count = count();
        let adding = |n| with_accumulators(|| count.add(n)).1;
        let is_locked = || committed.0.try_lock().is_none();
        // The partition becomes visible under the lock, so a merge waits for its additions.
        let published = committed.store_if_first(0, adding(1), || (is_locked(), true));
        assert_eq!(published, (true, true));
        assert!(!is_locked());
        committed.store_if_first(0, adding(10), || ((), false));
        assert!(commit(&committed));
        assert_eq!(count.value(), 1);
        committed.store_if_first(0, adding(100), || ((), true));
        assert!(commit(&committed));
        assert_eq!(count.value(), 1, "a recomputed partition counts once");
    }

    #[test]
    fn of_two_actions_that_commit_the_same_outputs_one_counts_them() {
        let committed = Arc::new(CommittedDeltas::default());
        let count = count();
        committed.store(0, with_accumulators(|| count.add(1)).1);
        let mut transactions = [Transaction::default(), Transaction::default()];
        for transaction in &mut transactions {
            transaction.merge_outputs(Arc::clone(&committed));
        }
        assert_eq!(transactions.each_mut().map(Transaction::publish), [true, false]);
        assert_eq!(count.value(), 1);
    }

    #[test]
    fn additions_that_a_recomputed_output_replaces_while_an_action_commits_do_not_count() {
        let committed = Arc::new(CommittedDeltas::default());
        let count = count();
        let adding = |n| with_accumulators(|| count.add(n)).1;
        committed.store(0, adding(1));
        let mut transaction = Transaction::default();
        transaction.merge_outputs(Arc::clone(&committed));
        committed.store(0, adding(2));
        assert!(!transaction.publish() && commit(&committed));
        assert_eq!(count.value(), 2);
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
        for (deltas, value) in [(taken, 1), (left, 11)] {
            let mut transaction = Transaction::default();
            transaction.merge(&deltas);
            assert!(transaction.publish());
            assert_eq!(count.value(), value);
        }
    }
}
