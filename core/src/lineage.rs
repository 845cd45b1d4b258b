//! The untyped lineage graph: nodes without rows, each with its parents.
//!
//! Five facts define a node: its partitions, its dependencies, its compute function (visible here
//! only for shuffles, as [`ShuffleDependency::run_map`]; narrow operations are computed inside the
//! task that needs them), its partitioner (known to `rdd`), and its stored blocks
//! ([`StoredBlocks`]). The scheduler uses only these. [`NodeInfo`] has the rest: names and sizes
//! for people.
//!
//! A node is a struct and not a trait, because no other crate would implement it.

use crate::config::MAX_PARTITIONS;
use crate::error::{Error, Result};
use crate::ids::{RddId, ShuffleId};
use crate::operation::Operation;
use crate::quiet::drop_quietly;
use crate::sync::Mutex;
use crate::task::TaskContext;
use std::any::Any;
use std::cell::RefCell;
use std::iter::Sum;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One node of the lineage.
pub struct LineageNode {
    id: RddId,
    operation: Operation,
    partitions: usize,
    dependencies: Vec<Dependency>,
    /// The number of nodes in the stage that hold rows, this one included.
    operators: usize,
    /// The blocks of a persisted node.
    pub blocks: Option<Arc<dyn StoredBlocks>>,
    /// Work that must be done before the stage of the node can run, such as sampling for a sort.
    pub prerequisite: Option<Arc<dyn Prerequisite>>,
    problem: Option<Error>,
    /// True if an action has counted the accumulator updates of all ancestors. It is set only while
    /// the node is stored.
    has_counted: AtomicBool,
    /// Facts about the node that the scheduler does not use.
    pub info: NodeInfo,
}

/// Facts about a node for `explain`, events and reports. No decision of the scheduler depends on
/// them.
#[derive(Default)]
pub struct NodeInfo {
    /// The bytes that the closures of the node captured.
    pub closure_bytes: usize,
    /// A description of the partitioner, if it is known.
    pub partitioner: Option<String>,
    fingerprint: u64,
    name: Mutex<Option<String>>,
    last_action: Mutex<Option<LastAction>>,
}

/// The jobs of the last action on a node.
struct LastAction {
    action: Operation,
    /// The end of the partitions that its jobs have read.
    partitions_end: usize,
    rows_read: u64,
}

/// An edge of the lineage.
#[derive(Clone)]
pub enum Dependency {
    /// A partition needs known partitions of the parent, which are computed in the same task.
    Narrow(Arc<LineageNode>),
    /// A partition needs rows from every partition of the parent, which are computed in an earlier
    /// stage.
    Shuffle(Arc<dyn ShuffleDependency>),
}

/// Accumulator updates that are stored with an output, of a type that `rdd` knows.
pub type Updates = dyn Any + Send + Sync;

/// A shuffle as the scheduler sees it: a task for each partition of the parent. The map outputs are
/// stored and passed to the readers outside the scheduler.
pub trait ShuffleDependency: Send + Sync {
    /// Returns the id of the shuffle.
    fn id(&self) -> ShuffleId;
    /// Returns the operation that shuffles.
    fn operation(&self) -> Operation;
    /// Returns the node whose partitions the map tasks compute.
    fn parent(&self) -> &Arc<LineageNode>;
    /// Returns the number of partitions after the shuffle.
    fn partitions(&self) -> usize;
    /// Computes one map partition and stores its output, replacing an older one.
    fn run_map(&self, partition: usize, task: &TaskContext) -> Result<()>;
    /// Returns the accumulator updates of the map tasks, which count with the first action that
    /// needs the shuffle and succeeds.
    fn updates(&self) -> Option<Arc<Updates>> {
        None
    }
    /// Returns the size of the map outputs that are stored now.
    fn storage_stats(&self) -> StorageStats {
        StorageStats::default()
    }
}

/// The size of the stored map outputs of a shuffle, or of the stored partitions of a persisted
/// node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageStats {
    /// The number of map partitions whose output is stored, or of stored partitions.
    pub stored_partitions: usize,
    /// Their rows.
    pub rows: u64,
    /// Their bytes in memory, as the memory pool counts them.
    pub memory_bytes: u64,
    /// Their bytes in files.
    pub file_bytes: u64,
    /// The rows read to compute them, where they were counted.
    pub rows_read: u64,
}

impl Sum for StorageStats {
    fn sum<I: Iterator<Item = StorageStats>>(parts: I) -> StorageStats {
        parts.fold(StorageStats::default(), |sum, part| StorageStats {
            stored_partitions: sum.stored_partitions + part.stored_partitions,
            rows: sum.rows + part.rows,
            memory_bytes: sum.memory_bytes.saturating_add(part.memory_bytes),
            file_bytes: sum.file_bytes.saturating_add(part.file_bytes),
            rows_read: sum.rows_read + part.rows_read,
        })
    }
}

/// The blocks of a persisted node.
pub trait StoredBlocks: Send + Sync {
    /// Returns true if the partition can be read without computing it.
    fn is_stored(&self, partition: usize) -> bool;
    /// Drops all blocks and stores no more.
    fn unpersist(&self) {}
    /// Returns the accumulator updates of the tasks that computed the blocks, which count with the
    /// first action that needs the blocks and succeeds.
    fn updates(&self) -> Option<Arc<Updates>> {
        None
    }
    /// Returns the size of the blocks that are stored now.
    fn storage_stats(&self) -> StorageStats {
        StorageStats::default()
    }
    /// Returns the name of the storage level, or `None` for plain memory.
    fn level(&self) -> Option<String> {
        None
    }
}

/// Work that runs jobs of its own before the stage of a node can run, such as sampling for a sort.
pub trait Prerequisite: Send + Sync {
    /// Runs the work once; later calls return at once. A failed call may be repeated.
    fn prepare(&self) -> Result<()>;
    /// Returns the accumulator updates of the work, which count with the first action that needs it
    /// and succeeds.
    fn updates(&self) -> Option<Arc<Updates>> {
        None
    }
}

impl LineageNode {
    /// Returns a node with the given facts. One of more than [`MAX_PARTITIONS`] can never be
    /// computed, and has no partitions, so that nothing is allocated for each of them.
    pub fn new(
        id: RddId,
        operation: Operation,
        partitions: usize,
        dependencies: Vec<Dependency>,
    ) -> Self {
        let fingerprint = fingerprint(operation, &dependencies);
        let problem = too_many_partitions(operation, partitions);
        let partitions = if problem.is_some() { 0 } else { partitions };
        let narrow = dependencies.iter().filter(|edge| matches!(edge, Dependency::Narrow(_)));
        let before = narrow.map(|edge| edge.parent().operators);
        LineageNode {
            id,
            operation,
            partitions,
            operators: before.fold(0, usize::saturating_add),
            dependencies,
            blocks: None,
            prerequisite: None,
            problem,
            has_counted: AtomicBool::new(false),
            info: NodeInfo { fingerprint, ..NodeInfo::default() },
        }
    }

    /// Returns the id of the node in events and `explain`.
    pub fn id(&self) -> RddId {
        self.id
    }

    /// Returns the operation that made the node, and its call site.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the number of partitions.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Returns the reason why the node can never be computed, such as an input that was not found.
    pub fn problem(&self) -> Option<&Error> {
        self.problem.as_ref()
    }

    /// Records the reason, if there is one, why the node can never be computed. The first counts.
    pub fn set_problem(&mut self, problem: Option<Error>) {
        self.problem = self.problem.take().or(problem);
    }

    /// Marks the node as one that holds rows in memory while it is computed, as wide operations do.
    pub fn set_holds_rows(&mut self) {
        self.operators = self.operators.saturating_add(1);
    }

    /// Returns the number of nodes in the stage up to this one that hold rows in memory at the same
    /// time. They divide the task memory limit.
    pub fn operators(&self) -> usize {
        self.operators
    }

    /// Returns the edges to the parents.
    pub fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    /// Returns the name that the user set.
    pub fn name(&self) -> Option<String> {
        self.info.name.lock().clone()
    }

    /// Sets the name, replacing an older one.
    pub fn set_name(&self, name: String) {
        *self.info.name.lock() = Some(name);
    }

    /// Returns the rows that the tasks of the last successful action on this node read.
    pub fn rows_read(&self) -> Option<u64> {
        let last = self.info.last_action.lock();
        last.as_ref().map(|last| last.rows_read)
    }

    /// Records a job that succeeded. A job whose partitions continue those of the previous job of
    /// the same action counts as part of it, as when `take` reads a few more partitions.
    pub fn record_job(&self, action: Operation, partitions: &Range<usize>, rows_read: u64) {
        let mut last = self.info.last_action.lock();
        let is_continued = |last: &&LastAction| {
            let is_adjacent = last.partitions_end == partitions.start && partitions.start > 0;
            is_adjacent && last.action == action
        };
        let rows_before = last.as_ref().filter(is_continued).map_or(0, |last| last.rows_read);
        *last = Some(LastAction {
            action,
            partitions_end: partitions.end,
            rows_read: rows_before + rows_read,
        });
    }

    /// Returns true if every partition is stored, so that no parent is needed. A node without
    /// partitions is not, since one of its parents may be the reason.
    pub fn is_stored(&self) -> bool {
        let all = |blocks: &Arc<dyn StoredBlocks>| {
            (0..self.partitions).all(|partition| blocks.is_stored(partition))
        };
        self.partitions > 0 && self.blocks.as_ref().is_some_and(all)
    }

    /// Returns true if the ancestors may have accumulator updates that no action has counted,
    /// although this node may be stored: the action that stored it has failed.
    pub(crate) fn may_hide_updates(&self) -> bool {
        self.blocks.is_some() && !self.has_counted.load(Ordering::Relaxed)
    }

    /// Records that an action has counted the accumulator updates of all ancestors.
    pub(crate) fn set_counted(&self) {
        self.has_counted.store(true, Ordering::Relaxed);
    }

    /// Returns a number that is the same in every run of one binary. It depends on the operation,
    /// its call site and the parents.
    pub fn fingerprint(&self) -> u64 {
        self.info.fingerprint
    }
}

/// Returns the error of an operation with too many partitions.
fn too_many_partitions(operation: Operation, partitions: usize) -> Option<Error> {
    (partitions > MAX_PARTITIONS).then(|| {
        let what =
            format!("the number of partitions is {partitions}; set at most {MAX_PARTITIONS}");
        Error::invalid_argument(what).in_operation(operation)
    })
}

/// Hashes an operation, its call site and the fingerprints of its parents.
fn fingerprint(operation: Operation, dependencies: &[Dependency]) -> u64 {
    let parents = dependencies.iter().map(|edge| edge.parent().info.fingerprint);
    let text = format!("{operation}:{}", operation.call_site.column());
    let own = text.bytes().fold(0xcbf2_9ce4_8422_2325, mix_byte);
    parents.fold(own, |hash, parent| parent.to_le_bytes().into_iter().fold(hash, mix_byte))
}

/// Computes one round of FNV-1a.
fn mix_byte(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

impl Dependency {
    /// Returns the node at the other end of the edge.
    pub fn parent(&self) -> &Arc<LineageNode> {
        match self {
            Dependency::Narrow(parent) => parent,
            Dependency::Shuffle(shuffle) => shuffle.parent(),
        }
    }

    /// Returns the parent if it is computed in the same task.
    pub fn narrow(&self) -> Option<&Arc<LineageNode>> {
        match self {
            Dependency::Narrow(parent) => Some(parent),
            Dependency::Shuffle(_) => None,
        }
    }

    /// Returns the shuffle, if the edge is one.
    pub fn shuffle(&self) -> Option<&Arc<dyn ShuffleDependency>> {
        match self {
            Dependency::Narrow(_) => None,
            Dependency::Shuffle(shuffle) => Some(shuffle),
        }
    }
}

impl Drop for LineageNode {
    fn drop(&mut self) {
        for dependency in self.dependencies.drain(..) {
            match dependency {
                Dependency::Narrow(parent) => drop_later(Box::new(parent)),
                Dependency::Shuffle(shuffle) => drop_later(Box::new(shuffle)),
            }
        }
        if let Some(prerequisite) = self.prerequisite.take() {
            drop_later(Box::new(prerequisite));
        }
    }
}

thread_local! {
    /// The values that wait to be dropped, while a drop is running on this thread.
    static DROPPING: RefCell<Option<Vec<Box<dyn Any>>>> = const { RefCell::new(None) };
}

/// Drops `value`, but never inside another drop of this kind. A chain of a million parents is
/// therefore dropped in a loop and needs no deep stack. A destructor that panics does not keep the
/// other values from being dropped.
pub fn drop_later(value: Box<dyn Any>) {
    let not_queued = DROPPING.try_with(|dropping| match dropping.borrow_mut().as_mut() {
        Some(queue) => {
            queue.push(value);
            None
        }
        None => Some(value),
    });
    // `Err`: the thread is ending and its queue has been dropped, so the value is dropped in place.
    let Ok(Some(first)) = not_queued else { return };
    let _ = DROPPING.try_with(|dropping| *dropping.borrow_mut() = Some(Vec::new()));
    // Nothing here unwinds, so the queue is always removed.
    drop_quietly(first);
    while let Ok(Some(next)) =
        DROPPING.try_with(|dropping| dropping.borrow_mut().as_mut().and_then(Vec::pop))
    {
        drop_quietly(next);
    }
    let _ = DROPPING.try_with(|dropping| dropping.borrow_mut().take());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_a_hundred_thousand_parents_drops_on_a_small_stack() {
        let work = || {
            let mut node =
                Arc::new(LineageNode::new(RddId(0), Operation::new("source"), 1, vec![]));
            for id in 1..100_000 {
                let parents = vec![Dependency::Narrow(node)];
                node = Arc::new(LineageNode::new(RddId(id), Operation::new("map"), 1, parents));
            }
        };
        testkit::on_stack(1 << 20, work);
    }

    #[test]
    fn consecutive_jobs_of_one_action_are_summed_and_a_new_action_starts_at_zero() {
        let node = LineageNode::new(RddId(0), Operation::new("range"), 9, vec![]);
        let take = Operation::new("take");
        let count = Operation::new("count");
        assert_eq!(node.rows_read(), None);
        node.record_job(take, &(0..1), 5);
        node.record_job(take, &(1..5), 20);
        assert_eq!(node.rows_read(), Some(25));
        node.record_job(count, &(5..9), 7);
        assert_eq!(node.rows_read(), Some(7));
        node.record_job(take, &(0..1), 3);
        node.record_job(take, &(0..1), 2);
        assert_eq!(node.rows_read(), Some(2));
    }

    #[test]
    fn a_fingerprint_depends_on_the_operation_and_the_parents() {
        let node = |operation, parents| {
            Arc::new(LineageNode::new(RddId(9), Operation::new(operation), 2, parents))
        };
        let a = node("range", vec![]);
        let b = node("parallelize", vec![]);
        let over =
            |parent: &Arc<LineageNode>| node("map", vec![Dependency::Narrow(parent.clone())]);
        assert_ne!(over(&a).fingerprint(), over(&b).fingerprint());
        assert_eq!(over(&a).fingerprint(), over(&a).fingerprint());
    }
}
