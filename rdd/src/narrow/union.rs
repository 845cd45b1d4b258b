//! `union`: the rows of two RDDs.

use crate::context::two_contexts;
use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::lineage::Dependency;
use emberline_core::step::Step;
use emberline_core::task::TaskContext;
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Puts the rows of `other` behind the rows of this RDD; duplicates stay.
    ///
    /// When both were partitioned by one shuffle or by equal partitioners, partitions of one number
    /// are joined end to end and the partitioner is kept; else the partitions of `other` follow.
    ///
    /// - **Shape**: `Rdd<T>` and `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: the sum; kept when both have one partitioner
    /// - **Partitioner**: kept when both have the same, else dropped
    /// - **Shuffle**: none
    /// - **Memory**: constant
    /// - **Order**: this RDD's rows first: over all, or in each partition when both have one
    ///   partitioner
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let both = ctx.parallelize(vec![1, 2]).union(&ctx.parallelize(vec![2, 3]));
    /// assert_eq!(both.collect()?, [1, 2, 2, 3]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn union<Q>(&self, other: &Rdd<T, Q>) -> Rdd<T, impl Fused<Item = T> + use<T, P, Q>>
    where
        Q: Pipeline<Item = T>,
    {
        let step = Step::new("union");
        let narrow = |lineage: &Arc<_>| Dependency::Narrow(Arc::clone(lineage));
        let parents = vec![narrow(&self.lineage), narrow(&other.lineage)];
        let shared = self.partitioner.clone().filter(|own| {
            let theirs = other.partitioner.as_ref();
            theirs.is_some_and(|theirs| own.same_as(theirs))
        });
        let (own, theirs) = (self.num_partitions(), other.num_partitions());
        let split = if shared.is_some() { None } else { Some(own) };
        let partitions = if shared.is_some() { own } else { own + theirs };
        let mut lineage = self.context.lineage(step, partitions, parents);
        lineage.problem = two_contexts(step, &self.context, &other.context);
        let (left, right) = (self.pipeline.clone(), other.pipeline.clone());
        Rdd::partitioned(&self.context, lineage, Union { left, right, split }, shared)
    }
}

/// Two parents. With a split, partitions from there on are the right parent's; without one,
/// partitions of one number are joined end to end.
#[derive(Clone)]
struct Union<P, Q> {
    left: P,
    right: Q,
    split: Option<usize>,
}

impl<P, Q> Sealed for Union<P, Q> {}
impl<P: Pipeline, Q: Pipeline<Item = P::Item>> Fused for Union<P, Q> {}

impl<P: Pipeline, Q: Pipeline<Item = P::Item>> Pipeline for Union<P, Q> {
    type Item = P::Item;
    type Rows = UnionRows<P::Rows, Q::Rows>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        let (left, right) = match self.split {
            None => (Some(partition), Some(partition)),
            Some(split) if partition < split => (Some(partition), None),
            Some(split) => (None, Some(partition - split)),
        };
        UnionRows {
            left: left.map(|partition| self.left.open(partition, task)),
            right: right.map(|partition| self.right.open(partition, task)),
        }
    }

    fn depth(&self) -> usize {
        self.left.depth().max(self.right.depth())
    }
}

struct UnionRows<L, R> {
    left: Option<L>,
    right: Option<R>,
}

impl<L: Iterator, R: Iterator<Item = L::Item>> Iterator for UnionRows<L, R> {
    type Item = L::Item;

    #[inline]
    fn next(&mut self) -> Option<L::Item> {
        if let Some(left) = &mut self.left {
            match left.next() {
                Some(row) => return Some(row),
                None => self.left = None,
            }
        }
        self.right.as_mut()?.next()
    }

    #[inline]
    fn fold<B, G: FnMut(B, L::Item) -> B>(self, init: B, mut g: G) -> B {
        let accumulated = self.left.into_iter().flatten().fold(init, &mut g);
        self.right.into_iter().flatten().fold(accumulated, g)
    }
}
