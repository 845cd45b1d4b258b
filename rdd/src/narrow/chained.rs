//! Partitions of one or several parents, one behind the other: what `coalesce` and `union` open.

use crate::pipeline::Pipeline;
use crate::pipeline::materialized::MaterializedRows;
use emberline_core::task::TaskContext;
use std::iter::Flatten;
use std::sync::Arc;
use std::vec;

/// The rows of a list of partitions. A partition is opened when the one before it has ended, so only
/// one is open at a time.
pub(super) type ChainedRows<P> = Flatten<Opening<P>>;

/// Partitions that are opened one by one, each as the number of its parent and its own.
pub(super) struct Opening<P> {
    parents: Arc<[P]>,
    left: vec::IntoIter<(usize, usize)>,
    task: TaskContext,
}

/// Chains partitions of `parents`, each given as the number of its parent and its own.
pub(super) fn chained<P: Pipeline>(
    parents: &Arc<[P]>,
    partitions: Vec<(usize, usize)>,
    task: &TaskContext,
) -> ChainedRows<P> {
    let (parents, left) = (Arc::clone(parents), partitions.into_iter());
    Opening { parents, left, task: task.clone() }.flatten()
}

/// As [`Pipeline::materialized`]: the rows of a list of partitions lie in one place if it is a list of one.
pub(super) fn materialized_single<P: Pipeline>(
    parents: &[P],
    partitions: &[(usize, usize)],
    task: &TaskContext,
) -> Option<MaterializedRows<P::Item>> {
    let [(parent, partition)] = *partitions else { return None };
    parents[parent].materialized(partition, task)
}

impl<P: Pipeline> Iterator for Opening<P> {
    type Item = P::Rows;

    fn next(&mut self) -> Option<P::Rows> {
        let (parent, partition) = self.left.next()?;
        Some(self.parents[parent].open(partition, &self.task))
    }
}
