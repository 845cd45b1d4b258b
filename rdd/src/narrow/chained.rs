//! Consecutive partitions of one or several parents, for `coalesce` and `union`.

use crate::pipeline::Pipeline;
use crate::pipeline::materialized::MaterializedRows;
use emberline_core::task::TaskContext;
use std::iter::Flatten;
use std::sync::Arc;
use std::vec;

/// The rows of a list of partitions, of which only one is open at a time.
pub(super) type ChainedRows<P> = Flatten<Opening<P>>;

/// A partition of one of several parents.
#[derive(Clone, Copy)]
pub(super) struct ParentPartition {
    pub(super) parent: usize,
    pub(super) partition: usize,
}

/// An iterator that opens one partition after the other.
pub(super) struct Opening<P> {
    parents: Arc<[P]>,
    left: vec::IntoIter<ParentPartition>,
    task: TaskContext,
}

/// Chains the rows of partitions of `parents`.
pub(super) fn chained<P: Pipeline>(
    parents: &Arc<[P]>,
    partitions: Vec<ParentPartition>,
    task: &TaskContext,
) -> ChainedRows<P> {
    let opening =
        Opening { parents: Arc::clone(parents), left: partitions.into_iter(), task: task.clone() };
    opening.flatten()
}

/// Returns the materialized rows of a list of one partition, or `None` for longer lists.
pub(super) fn materialized_single<P: Pipeline>(
    parents: &[P],
    partitions: &[ParentPartition],
    task: &TaskContext,
) -> Option<MaterializedRows<P::Item>> {
    let [ParentPartition { parent, partition }] = *partitions else { return None };
    parents[parent].materialized(partition, task)
}

impl<P: Pipeline> Iterator for Opening<P> {
    type Item = P::Rows;

    fn next(&mut self) -> Option<P::Rows> {
        // Many partitions may be empty.
        self.task.check_cancelled();
        let ParentPartition { parent, partition } = self.left.next()?;
        Some(self.parents[parent].open(partition, &self.task))
    }
}
