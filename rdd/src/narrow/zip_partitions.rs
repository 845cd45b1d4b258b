//! `zip_partitions`: a closure over the iterators of two partitions.

use super::map_partitions::BlamedRows;
use crate::pipeline::{Element, Fused, PartitionRows, Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each pair of partitions with the same index into the rows of `f(rows, other_rows)`.
    ///
    /// The action fails with `InvalidArgument` if the numbers of partitions differ; those of
    /// rows may. `f` runs once for each pair, also for empty ones, and may return a lazy iterator.
    /// A panic of the rows fails the action, also if `f` catches it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.parallelize_with(2, vec![1, 2, 3, 4]);
    /// let words = ctx.parallelize_with(2, vec!["one", "two", "three"]);
    /// let sizes = numbers.zip_partitions(&words, |left, right| [(left.count(), right.count())]);
    /// assert_eq!(sizes.collect()?, [(2, 1), (2, 2)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "zipPartitions")]
    #[track_caller]
    pub fn zip_partitions<U, V, Q, I, F>(
        &self,
        other: &Rdd<U, Q>,
        f: F,
    ) -> Rdd<V, impl Fused<Item = V> + use<T, P, U, V, Q, I, F>>
    where
        U: Element,
        V: Element,
        Q: Pipeline<Item = U>,
        I: IntoIterator<Item = V> + 'static,
        F: Fn(PartitionRows<P::Rows>, PartitionRows<Q::Rows>) -> I + Send + Sync + 'static,
    {
        let operation = Operation::new("zip_partitions");
        let mut lineage = self.zipped_lineage(operation, other);
        lineage.info.closure_bytes = size_of::<F>();
        let pipeline = ZipPartitions {
            left: self.pipeline.clone(),
            right: other.pipeline.clone(),
            f: Arc::new(f),
            operation,
        };
        Rdd::new(&self.context, lineage, pipeline)
    }
}

struct ZipPartitions<P, Q, F> {
    left: P,
    right: Q,
    f: Arc<F>,
    operation: Operation,
}

impl<P: Clone, Q: Clone, F> Clone for ZipPartitions<P, Q, F> {
    fn clone(&self) -> Self {
        ZipPartitions {
            left: self.left.clone(),
            right: self.right.clone(),
            f: Arc::clone(&self.f),
            operation: self.operation,
        }
    }
}

impl<P, Q, F> Sealed for ZipPartitions<P, Q, F> {}

impl<P, Q, I, F> Fused for ZipPartitions<P, Q, F>
where
    P: Pipeline,
    Q: Pipeline,
    I: IntoIterator<Item: Element> + 'static,
    F: Fn(PartitionRows<P::Rows>, PartitionRows<Q::Rows>) -> I + Send + Sync + 'static,
{
}

impl<P, Q, I, F> Pipeline for ZipPartitions<P, Q, F>
where
    P: Pipeline,
    Q: Pipeline,
    I: IntoIterator<Item: Element> + 'static,
    F: Fn(PartitionRows<P::Rows>, PartitionRows<Q::Rows>) -> I + Send + Sync + 'static,
{
    type Item = I::Item;
    type Rows = BlamedRows<I::IntoIter>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        let left = PartitionRows::new(self.left.open(partition, task), self.operation);
        let right = PartitionRows::new(self.right.open(partition, task), self.operation);
        BlamedRows::of(self.operation, task, || (self.f)(left, right))
    }

    fn depth(&self) -> usize {
        self.left.depth().max(self.right.depth())
    }
}
