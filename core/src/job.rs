//! What an action asks of the engine.

use crate::error::Result;
use crate::lineage::Lineage;
use crate::step::Step;
use crate::task::TaskContext;
use std::sync::Arc;

/// The work of one task of the result stage. It keeps its typed value itself; the engine learns
/// only whether it ended well.
pub type ResultTask = Arc<dyn Fn(&TaskContext) -> Result<()> + Send + Sync>;

/// One job: run `task` for some partitions of `lineage`.
#[derive(Clone)]
pub struct JobRequest {
    /// The action, and where it was called.
    pub action: Step,
    /// The node whose partitions the tasks read.
    pub lineage: Arc<Lineage>,
    /// Which partitions; each one task, in this order.
    pub partitions: Vec<usize>,
    /// The work.
    pub task: ResultTask,
}
