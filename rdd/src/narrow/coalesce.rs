//! `coalesce`: fewer partitions without a shuffle.

use super::chained::{ChainedRows, ParentPartition, chained, materialized_single};
use crate::context::no_partitions;
use crate::pipeline::materialized::MaterializedRows;
use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use crate::source::split_range;
use emberline_core::lineage::Dependency;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Merges neighboring partitions until at most `partitions` are left, without a shuffle.
    ///
    /// One task computes all partitions that it merges, back to the last shuffle or the source. See
    /// [`repartition`](Rdd::repartition) to distribute rows evenly or over more partitions.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.parallelize_with(4, 0..8);
    /// assert_eq!(numbers.coalesce(2).glom().collect()?, [[0, 1, 2, 3], [4, 5, 6, 7]]);
    /// assert_eq!(numbers.coalesce(9).num_partitions(), 4);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn coalesce(&self, partitions: usize) -> Rdd<T, impl Fused<Item = T> + use<T, P>> {
        let operation = Operation::new("coalesce");
        let inputs = self.num_partitions();
        let fewer = partitions.min(inputs);
        let parent = vec![Dependency::Narrow(Arc::clone(&self.lineage))];
        let mut lineage = self.context.lineage(operation, fewer, parent);
        lineage.set_problem(no_partitions(operation, partitions));
        let parent = Arc::from([self.pipeline.clone()]);
        Rdd::new(&self.context, lineage, Coalesced { parent, inputs, partitions: fewer })
    }
}

/// Groups of neighboring partitions of one parent.
struct Coalesced<P> {
    /// A list of one parent, as `chained` takes it.
    parent: Arc<[P]>,
    inputs: usize,
    partitions: usize,
}

impl<P> Clone for Coalesced<P> {
    fn clone(&self) -> Self {
        Coalesced { parent: Arc::clone(&self.parent), ..*self }
    }
}

impl<P> Sealed for Coalesced<P> {}
impl<P: Pipeline> Fused for Coalesced<P> {}

impl<P> Coalesced<P> {
    /// Returns the partitions of the parent that a partition consists of.
    fn parts(&self, partition: usize) -> Vec<ParentPartition> {
        let (low, high) = split_range(self.inputs as u64, self.partitions, partition);
        (low as usize..high as usize)
            .map(|input| ParentPartition { parent: 0, partition: input })
            .collect()
    }
}

impl<P: Pipeline> Pipeline for Coalesced<P> {
    type Item = P::Item;
    type Rows = ChainedRows<P>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        chained(&self.parent, self.parts(partition), task)
    }

    fn materialized(
        &self,
        partition: usize,
        task: &TaskContext,
    ) -> Option<MaterializedRows<P::Item>> {
        materialized_single(&self.parent, &self.parts(partition), task)
    }

    fn depth(&self) -> usize {
        self.parent.iter().map(P::depth).max().unwrap_or(0)
    }
}
