//! What an action asks of the engine.

use crate::error::Result;
use crate::lineage::{LineageNode, ShuffleDependency, StoredBlocks};
use crate::operation::Operation;
use crate::task::TaskContext;
use std::fmt;
use std::sync::Arc;

/// The work of one task of the result stage. It keeps its typed value itself; the engine learns
/// only whether it ended well.
pub type ResultTask = Arc<dyn Fn(&TaskContext) -> Result<()> + Send + Sync>;

/// One job: run `task` for some partitions of `lineage`.
#[derive(Clone)]
pub struct JobRequest {
    /// The action, and where it was called.
    pub action: Operation,
    /// The node whose partitions the tasks read.
    pub lineage: Arc<LineageNode>,
    /// Which partitions; each one task, in this order.
    pub partitions: Vec<usize>,
    /// The work.
    pub task: ResultTask,
}

/// How far work has come, in tasks. A loss may add to both numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tasks that have ended well.
    pub tasks_done: usize,
    /// All tasks that are known by now; those of stages that were skipped are not among them.
    pub tasks: usize,
}

impl Progress {
    /// Counts what other work has done.
    pub fn add(&mut self, other: Progress) {
        self.tasks_done += other.tasks_done;
        self.tasks += other.tasks;
    }
}

/// What a job that ended well needed: the shuffles and the persisted nodes of its lineage, parents
/// first.
#[derive(Default)]
pub struct Ran {
    /// The shuffles.
    pub shuffles: Vec<Arc<dyn ShuffleDependency>>,
    /// Where persisted nodes keep their blocks.
    pub blocks: Vec<Arc<dyn StoredBlocks>>,
}

impl Ran {
    /// Says that what their tasks counted is final.
    pub fn on_job_success(&self) {
        self.shuffles.iter().for_each(|shuffle| shuffle.on_job_success());
        self.blocks.iter().for_each(|blocks| blocks.on_job_success());
    }
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ran({} shuffles, {} persisted nodes)", self.shuffles.len(), self.blocks.len())
    }
}
