//! `zip`: the rows of two RDDs in pairs.

use crate::context::two_contexts;
use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::error::Error;
use emberline_core::lineage::{Dependency, LineageNode};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::raise;
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Pairs each row with the row of `other` at the same position.
    ///
    /// The action fails with `InvalidArgument` if the RDDs differ in the number of partitions, or
    /// in the number of rows of a partition.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.parallelize(vec![1, 2, 3]);
    /// assert_eq!(numbers.zip(&numbers.map(|n| n * n)).collect()?, [(1, 1), (2, 4), (3, 9)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn zip<U, Q>(
        &self,
        other: &Rdd<U, Q>,
    ) -> Rdd<(T, U), impl Fused<Item = (T, U)> + use<T, P, U, Q>>
    where
        U: Element,
        Q: Pipeline<Item = U>,
    {
        let operation = Operation::new("zip");
        let lineage = self.zipped_lineage(operation, other);
        let left = self.pipeline.clone();
        let right = other.pipeline.clone();
        Rdd::new(&self.context, lineage, Zip { left, right, operation })
    }

    /// Returns the lineage node of an operation that reads two parents partition by partition.
    pub(super) fn zipped_lineage<U, Q>(
        &self,
        operation: Operation,
        other: &Rdd<U, Q>,
    ) -> LineageNode
    where
        U: Element,
        Q: Pipeline<Item = U>,
    {
        let narrow = |lineage: &Arc<_>| Dependency::Narrow(Arc::clone(lineage));
        let parents = vec![narrow(&self.lineage), narrow(&other.lineage)];
        let left = self.num_partitions();
        let right = other.num_partitions();
        let mut lineage = self.context.lineage(operation, left, parents);
        lineage.set_problem(two_contexts(operation, &self.context, &other.context));
        lineage.set_problem(unequal_partitions(operation, left, right));
        lineage
    }
}
fn unequal_partitions(operation: Operation, left: usize, right: usize) -> Option<Error> {
    let what = || {
        format!(
            "the left RDD has {left} partitions and the right one {right}, but both need the same number: set it \
             at their sources, or use `repartition` or `coalesce`"
        )
    };
    (left != right).then(|| Error::invalid_argument(what()).in_operation(operation))
}

#[derive(Clone)]
struct Zip<P, Q> {
    left: P,
    right: Q,
    operation: Operation,
}

impl<P, Q> Sealed for Zip<P, Q> {}
impl<P: Pipeline, Q: Pipeline> Fused for Zip<P, Q> {}

impl<P: Pipeline, Q: Pipeline> Pipeline for Zip<P, Q> {
    type Item = (P::Item, Q::Item);
    type Rows = ZippedRows<P::Rows, Q::Rows>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        ZippedRows {
            left: self.left.open(partition, task),
            right: self.right.open(partition, task),
            operation: self.operation,
            partition,
        }
    }

    fn depth(&self) -> usize {
        self.left.depth().max(self.right.depth())
    }
}

struct ZippedRows<L, R> {
    left: L,
    right: R,
    operation: Operation,
    partition: usize,
}

impl<L: Iterator, R: Iterator> Iterator for ZippedRows<L, R> {
    type Item = (L::Item, R::Item);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match (self.left.next(), self.right.next()) {
            (Some(left), Some(right)) => Some((left, right)),
            (None, None) => None,
            (left, _) => unequal_rows(self.operation, self.partition, left.is_some()),
        }
    }

    // Only one side can be folded; rows of the other are pulled.
    #[inline]
    fn fold<B, G: FnMut(B, Self::Item) -> B>(self, init: B, mut g: G) -> B {
        let ZippedRows { left, mut right, operation, partition } = self;
        let accumulated = left.fold(init, |accumulated, row| match right.next() {
            Some(other) => g(accumulated, (row, other)),
            None => unequal_rows(operation, partition, true),
        });
        if right.next().is_some() {
            unequal_rows(operation, partition, false);
        }
        accumulated
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (left_min, left_max) = self.left.size_hint();
        let (right_min, right_max) = self.right.size_hint();
        (left_min.min(right_min), left_max.into_iter().chain(right_max).min())
    }
}

/// Fails the task, because the two sides of a partition have different numbers of rows.
#[cold]
fn unequal_rows(operation: Operation, partition: usize, left_has_more: bool) -> ! {
    let (longer, shorter) = if left_has_more { ("left", "right") } else { ("right", "left") };
    let what = format!(
        "the {longer} RDD has more rows in partition {partition} than the {shorter} one, but `zip` needs the same \
         number of rows on both sides"
    );
    raise(Error::invalid_argument(what).in_operation(operation))
}
