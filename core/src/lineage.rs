//! How an RDD came to be, without its rows: a graph of nodes, each with its parents.
//!
//! Five facts define a node, and the scheduler uses only them: its partitions, its dependencies,
//! how to compute (only across a shuffle: [`ShuffleDependency::run_map`]; narrow steps compute inside the
//! task that needs them), its partitioner (known to `rdd`), and where its blocks are kept
//! ([`StoredBlocks`]).

use crate::error::{Error, Result};
use crate::ids::{RddId, ShuffleId};
use crate::operation::Operation;
use crate::task::TaskContext;
use std::any::Any;
use std::cell::RefCell;
use std::iter::Sum;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// One node of the lineage.
pub struct LineageNode {
    id: RddId,
    operation: Operation,
    partitions: usize,
    fingerprint: u64,
    operators: usize,
    dependencies: Vec<Dependency>,
    name: Mutex<Option<String>>,
    last_action: Mutex<Option<LastAction>>,
    /// Bytes that the node's closures captured: what would travel with the stage.
    pub closure_bytes: usize,
    /// How the node's rows are known to be partitioned, for people.
    pub partitioner: Option<String>,
    /// Why the node can never be computed, such as an input that was not found when it was listed.
    pub problem: Option<Error>,
    /// The blocks of a persisted node.
    pub blocks: Option<Arc<dyn StoredBlocks>>,
    /// Work that must be done before the node's stage can run, such as sampling for a sort.
    pub preparation: Option<Arc<dyn Prerequisite>>,
}

/// What the last action on a node has read so far.
struct LastAction {
    action: Operation,
    partitions_end: usize,
    rows_read: u64,
}

/// An edge of the lineage.
#[derive(Clone)]
pub enum Dependency {
    /// A partition needs a few known partitions of the parent: computed in the same task.
    Narrow(Arc<LineageNode>),
    /// A partition needs rows from every partition of the parent: computed in an earlier stage.
    Shuffle(Arc<dyn ShuffleDependency>),
}

/// A shuffle as the scheduler sees it: work for each partition of a parent, and outputs that it
/// keeps and hands to the readers by itself.
pub trait ShuffleDependency: Send + Sync {
    /// The shuffle's name.
    fn id(&self) -> ShuffleId;
    /// The operation that asked for the shuffle.
    fn operation(&self) -> Operation;
    /// What the map tasks compute.
    fn parent(&self) -> &Arc<LineageNode>;
    /// The number of partitions after the shuffle.
    fn partitions(&self) -> usize;
    /// Computes one map partition and keeps its output, in place of an older one.
    fn run_map(&self, partition: usize, task: &TaskContext) -> Result<()>;
    /// A job that needed the shuffle has ended well: what its map tasks counted is final.
    fn on_job_success(&self) {}
    /// How much of its output is there now.
    fn storage_stats(&self) -> StorageStats {
        StorageStats::default()
    }
}

/// How much is there now of the outputs of a shuffle, or of the partitions of a persisted node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageStats {
    /// Map outputs, or partitions.
    pub parts: usize,
    /// Rows in them.
    pub rows: u64,
    /// What they take in memory, as the budget counts it.
    pub memory_bytes: u64,
    /// What they take in files.
    pub file_bytes: u64,
    /// Rows that were read to make them, as far as it was counted.
    pub rows_read: u64,
}

impl Sum for StorageStats {
    fn sum<I: Iterator<Item = StorageStats>>(parts: I) -> StorageStats {
        parts.fold(StorageStats::default(), |sum, part| StorageStats {
            parts: sum.parts + part.parts,
            rows: sum.rows + part.rows,
            memory_bytes: sum.memory_bytes.saturating_add(part.memory_bytes),
            file_bytes: sum.file_bytes.saturating_add(part.file_bytes),
            rows_read: sum.rows_read + part.rows_read,
        })
    }
}

/// Asks which partitions of a persisted node are stored.
pub trait StoredBlocks: Send + Sync {
    /// Whether the partition can be read without computing it.
    fn is_stored(&self, partition: usize) -> bool;
    /// Drops what is stored and stores nothing more.
    fn unpersist(&self) {}
    /// An action that needed the blocks has ended well: what was counted to make them is final.
    fn on_job_success(&self) {}
    /// How much is stored now.
    fn storage_stats(&self) -> StorageStats {
        StorageStats::default()
    }
    /// Where blocks are kept, for people, unless that is simply the memory.
    fn level(&self) -> Option<String> {
        None
    }
}

/// Work that runs jobs of its own before a node's stage can.
pub trait Prerequisite: Send + Sync {
    /// Does the work, once: later calls return at once. A failure may be tried again.
    fn prepare(&self) -> Result<()>;
}

impl LineageNode {
    /// A node with the given facts.
    pub fn new(
        id: RddId,
        operation: Operation,
        partitions: usize,
        dependencies: Vec<Dependency>,
    ) -> Self {
        let fingerprint = fingerprint(operation, &dependencies);
        let narrow = dependencies.iter().filter(|edge| matches!(edge, Dependency::Narrow(_)));
        let before = narrow.map(|edge| edge.parent().operators);
        LineageNode {
            id,
            operation,
            partitions,
            fingerprint,
            operators: before.fold(0, usize::saturating_add),
            dependencies,
            name: Mutex::new(None),
            last_action: Mutex::new(None),
            closure_bytes: 0,
            partitioner: None,
            problem: None,
            blocks: None,
            preparation: None,
        }
    }

    /// The node's name in events and `explain`.
    pub fn id(&self) -> RddId {
        self.id
    }

    /// The operation that made the node, and where the user called it.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The number of partitions.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Says that the node holds rows while it is computed, as wide operations do.
    pub fn holds_rows(&mut self) {
        self.operators = self.operators.saturating_add(1);
    }

    /// The nodes that hold rows at the same time while this one is computed, itself among them: those
    /// before it in its stage. They share what the task may hold.
    pub fn operators(&self) -> usize {
        self.operators
    }

    /// The parents.
    pub fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    /// What the user called the node.
    pub fn name(&self) -> Option<String> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the node a name, in place of an older one.
    pub fn set_name(&self, name: String) {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
    }

    /// Rows that the tasks of the last action on this very node read, if one ended well.
    pub fn rows_read(&self) -> Option<u64> {
        let last = self.last_action.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|last| last.rows_read)
    }

    /// Notes a job that ended well. One that goes on where a job of the same action ended belongs to
    /// it, as when `take` looks at a few partitions more.
    pub fn note_job(&self, action: Operation, partitions: &Range<usize>, rows_read: u64) {
        let mut last = self.last_action.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = |last: &&LastAction| {
            let joined = last.partitions_end == partitions.start && partitions.start > 0;
            joined && last.action == action
        };
        let before = last.as_ref().filter(goes_on).map_or(0, |last| last.rows_read);
        let (rows_read, partitions_end) = (before + rows_read, partitions.end);
        *last = Some(LastAction { action, partitions_end, rows_read });
    }

    /// Whether every partition is stored, so that no parent is needed.
    pub fn is_stored(&self) -> bool {
        let all = |blocks: &Arc<dyn StoredBlocks>| {
            (0..self.partitions).all(|partition| blocks.is_stored(partition))
        };
        self.blocks.as_ref().is_some_and(all)
    }

    /// The node as a number that is the same in every run of one binary: its operation, the line it
    /// was called at, and its parents.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

fn fingerprint(operation: Operation, dependencies: &[Dependency]) -> u64 {
    let parents = dependencies.iter().map(|edge| edge.parent().fingerprint);
    let text = format!("{operation}:{}", operation.call_site.column());
    let own = text.bytes().fold(0xcbf2_9ce4_8422_2325, mix_byte);
    parents.fold(own, |hash, parent| parent.to_le_bytes().into_iter().fold(hash, mix_byte))
}

/// One step of FNV-1a.
fn mix_byte(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

impl Dependency {
    /// The node at the other end.
    pub fn parent(&self) -> &Arc<LineageNode> {
        match self {
            Dependency::Narrow(parent) => parent,
            Dependency::Shuffle(shuffle) => shuffle.parent(),
        }
    }

    /// The node that is computed in the same task, if it is one.
    pub fn narrow(&self) -> Option<&Arc<LineageNode>> {
        match self {
            Dependency::Narrow(parent) => Some(parent),
            Dependency::Shuffle(_) => None,
        }
    }

    /// The shuffle, if it is one.
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
        if let Some(preparation) = self.preparation.take() {
            drop_later(Box::new(preparation));
        }
    }
}

thread_local! {
    static DROPPING: RefCell<Option<Vec<Box<dyn Any>>>> = const { RefCell::new(None) };
}

/// Drops `value`, but never inside another drop of this kind: a chain of a million parents comes
/// apart in a loop, on any stack.
pub fn drop_later(value: Box<dyn Any>) {
    let waiting = DROPPING.try_with(|dropping| match dropping.borrow_mut().as_mut() {
        Some(queue) => {
            queue.push(value);
            None
        }
        None => Some(value),
    });
    // `Err`: the thread is ending and took the queue with it; then the value is dropped in place.
    let Ok(Some(first)) = waiting else { return };
    let _ = DROPPING.try_with(|dropping| *dropping.borrow_mut() = Some(Vec::new()));
    drop(first);
    while let Ok(Some(next)) =
        DROPPING.try_with(|dropping| dropping.borrow_mut().as_mut().and_then(Vec::pop))
    {
        drop(next);
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
    fn jobs_that_go_on_count_as_one_action_and_a_new_action_counts_afresh() {
        let node = LineageNode::new(RddId(0), Operation::new("range"), 9, vec![]);
        let (take, count) = (Operation::new("take"), Operation::new("count"));
        assert_eq!(node.rows_read(), None);
        node.note_job(take, &(0..1), 5);
        node.note_job(take, &(1..5), 20);
        assert_eq!(node.rows_read(), Some(25));
        node.note_job(count, &(5..9), 7);
        assert_eq!(node.rows_read(), Some(7));
        node.note_job(take, &(0..1), 3);
        node.note_job(take, &(0..1), 2);
        assert_eq!(node.rows_read(), Some(2));
    }

    #[test]
    fn a_fingerprint_tells_operations_and_parents_apart() {
        let node = |operation, parents| {
            Arc::new(LineageNode::new(RddId(9), Operation::new(operation), 2, parents))
        };
        let (a, b) = (node("range", vec![]), node("parallelize", vec![]));
        let over =
            |parent: &Arc<LineageNode>| node("map", vec![Dependency::Narrow(parent.clone())]);
        assert_ne!(over(&a).fingerprint(), over(&b).fingerprint());
        assert_eq!(over(&a).fingerprint(), over(&a).fingerprint());
    }
}
