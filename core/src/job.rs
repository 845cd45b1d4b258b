//! The request that an action passes to the engine, and the progress of its job.

use crate::error::Result;
use crate::lineage::{LineageNode, Prerequisite, ShuffleDependency, StoredBlocks, Updates};
use crate::operation::Operation;
use crate::quiet::Quiet;
use crate::task::TaskContext;
use std::fmt;
use std::sync::Arc;

/// The work of one task of the result stage. It stores its typed result itself; the engine sees
/// only success or failure.
pub type ResultTask = Arc<dyn Fn(&TaskContext) -> Result<()> + Send + Sync>;

/// A job: run `task` for some partitions of `lineage`.
pub struct JobRequest {
    /// The action and its call site.
    pub action: Operation,
    /// The node whose partitions the tasks read.
    pub lineage: Arc<LineageNode>,
    /// The partitions to compute, one task each, in this order.
    pub partitions: Vec<usize>,
    /// The work of each task. What its closures captured is dropped quietly, since any thread of the
    /// engine may be the last to hold it.
    pub task: Quiet<ResultTask>,
}

/// Progress in tasks. A lost output may increase both numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tasks that succeeded.
    pub tasks_done: usize,
    /// All tasks known so far, without those of skipped stages.
    pub tasks: usize,
}

impl Progress {
    /// Adds the progress of other work.
    pub fn add(&mut self, other: Progress) {
        self.tasks_done += other.tasks_done;
        self.tasks += other.tasks;
    }
}

/// The prerequisites, shuffles and persisted nodes in the lineage of a job that succeeded, parents
/// first.
#[derive(Default)]
pub struct JobDependencies {
    /// The prerequisites.
    pub prerequisites: Vec<Arc<dyn Prerequisite>>,
    /// The shuffles.
    pub shuffles: Vec<Arc<dyn ShuffleDependency>>,
    /// The blocks of the persisted nodes.
    pub blocks: Vec<Arc<dyn StoredBlocks>>,
    /// The nodes that were stored before the job, and whose ancestors may have updates that have
    /// not counted.
    pub(crate) stored: Vec<Arc<LineageNode>>,
}

impl JobDependencies {
    /// Records that all of these updates have counted, so that later jobs need not look for them.
    pub fn set_counted(&self) {
        self.stored.iter().for_each(|node| node.set_counted());
    }

    /// Returns the accumulator updates that are stored with them.
    pub fn updates(&self) -> impl Iterator<Item = Arc<Updates>> {
        let prerequisites = self.prerequisites.iter().map(|prerequisite| prerequisite.updates());
        let shuffles = self.shuffles.iter().map(|shuffle| shuffle.updates());
        let blocks = self.blocks.iter().map(|blocks| blocks.updates());
        prerequisites.chain(shuffles).chain(blocks).flatten()
    }
}

impl fmt::Debug for JobDependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "JobDependencies({} shuffles, {} persisted nodes)",
            self.shuffles.len(),
            self.blocks.len()
        )
    }
}
