//! `Rdd::union` and `Context::union`: the rows of two or more RDDs.

use super::chained::{ChainedRows, ParentPartition, chained, materialized_single};
use crate::context::{Context, two_contexts};
use crate::partitioner::KnownPartitioner;
use crate::pipeline::materialized::MaterializedRows;
use crate::pipeline::parents::{Layout, Parents};
use crate::pipeline::{Boxed, Element, Fused, Pipeline, gather, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::lineage::Dependency;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Appends the rows of `other`, with duplicates.
    ///
    /// The partitions of `other` follow those of this RDD. If both have the same partitioner,
    /// partitions with the same index are concatenated instead, and the partitioner is unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let both = ctx.parallelize(vec![1, 2]).union(&ctx.parallelize(vec![2, 3]));
    /// assert_eq!(both.collect()?, [1, 2, 2, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn union<Q>(&self, other: &Rdd<T, Q>) -> Rdd<T, impl Fused<Item = T> + use<T, P, Q>>
    where
        Q: Pipeline<Item = T>,
    {
        let operation = Operation::new("union");
        let narrow = |lineage: &Arc<_>| Dependency::Narrow(Arc::clone(lineage));
        let parents = vec![narrow(&self.lineage), narrow(&other.lineage)];
        let left_partitions = self.num_partitions();
        let right_partitions = other.num_partitions();
        let inputs = [
            (left_partitions, self.partitioner.as_ref()),
            (right_partitions, other.partitioner.as_ref()),
        ];
        let shared = shared_partitioner(inputs.into_iter());
        let by_index = shared.is_some() && left_partitions > 0 && right_partitions > 0;
        let layout = if by_index { Layout::ByIndex } else { Layout::Consecutive };
        let partitions = if by_index {
            left_partitions
        } else {
            left_partitions.saturating_add(right_partitions)
        };
        let mut lineage = self.context.lineage(operation, partitions, parents);
        lineage.set_problem(two_contexts(operation, &self.context, &other.context));
        let left = self.pipeline.clone();
        let right = other.pipeline.clone();
        let union = Union { left, right, layout, left_partitions, right_partitions };
        Rdd::partitioned(&self.context, lineage, union, shared)
    }
}

#[derive(Clone)]
struct Union<P, Q> {
    left: P,
    right: Q,
    layout: Layout,
    left_partitions: usize,
    right_partitions: usize,
}

impl<P, Q> Sealed for Union<P, Q> {}
impl<P: Pipeline, Q: Pipeline<Item = P::Item>> Fused for Union<P, Q> {}

impl<P, Q> Union<P, Q> {
    /// Returns the left and the right parent partition that a partition consists of.
    fn parts(&self, partition: usize) -> (Option<usize>, Option<usize>) {
        match self.layout {
            Layout::ByIndex => (Some(partition), Some(partition)),
            Layout::Consecutive => match partition.checked_sub(self.left_partitions) {
                None => (Some(partition), None),
                Some(right) => (None, Some(right)),
            },
        }
    }
}

impl<P: Pipeline, Q: Pipeline<Item = P::Item>> Pipeline for Union<P, Q> {
    type Item = P::Item;
    type Rows = UnionRows<P::Rows, Q::Rows>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        let (left, right) = self.parts(partition);
        UnionRows {
            left: left.map(|partition| self.left.open(partition, task)),
            right: right.map(|partition| self.right.open(partition, task)),
        }
    }

    fn materialized(
        &self,
        partition: usize,
        task: &TaskContext,
    ) -> Option<MaterializedRows<P::Item>> {
        match self.parts(partition) {
            (Some(left), None) => self.left.materialized(left, task),
            (None, Some(right)) => self.right.materialized(right, task),
            _ => None,
        }
    }

    fn depth(&self) -> usize {
        self.left.depth().max(self.right.depth())
    }

    fn to_boxed(&self) -> Boxed<P::Item> {
        let left = (self.left.to_boxed(), self.left_partitions);
        let right = (self.right.to_boxed(), self.right_partitions);
        Parents::union(self.layout, vec![left, right])
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

/// # Sources
impl Context {
    /// Concatenates RDDs in the given order, with duplicates.
    ///
    /// Partitions and partitioner are those of [`Rdd::union`]. RDDs of different pipeline types
    /// must be [boxed](Rdd::boxed) first. An empty list makes an RDD without partitions.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let days = (1..4).map(|day| ctx.parallelize(vec![day, day * 10]));
    /// assert_eq!(ctx.union(days).collect()?, [1, 10, 2, 20, 3, 30]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn union<T, P, I>(&self, rdds: I) -> Rdd<T, impl Fused<Item = T> + use<T, P, I>>
    where
        T: Element,
        P: Pipeline<Item = T>,
        I: IntoIterator<Item = Rdd<T, P>>,
    {
        let operation = Operation::new("union");
        let rdds = gather(rdds.into_iter());
        let inputs = rdds.iter().map(|rdd| (rdd.num_partitions(), rdd.partitioner.as_ref()));
        let shared = shared_partitioner(inputs);
        let non_empty = || rdds.iter().filter(|rdd| rdd.num_partitions() > 0);
        let ends = running_sums(non_empty().map(Rdd::num_partitions));
        // Equal partitioners have equal numbers of partitions, so the first end is that of each
        // parent.
        let last = if shared.is_some() { ends.first() } else { ends.last() };
        let partitions = last.copied().unwrap_or(0);
        let ends = shared.is_none().then_some(ends);
        let narrow = |rdd: &Rdd<T, P>| Dependency::Narrow(Arc::clone(&rdd.lineage));
        let mut lineage = self.lineage(operation, partitions, rdds.iter().map(narrow).collect());
        lineage
            .set_problem(rdds.iter().find_map(|rdd| two_contexts(operation, self, &rdd.context)));
        let parents = non_empty().map(|rdd| rdd.pipeline.clone()).collect();
        Rdd::partitioned(self, lineage, UnionAll { parents, ends }, shared)
    }
}

/// Returns the partitioner that all RDDs with partitions have, if there is one.
fn shared_partitioner<'a>(
    rdds: impl Iterator<Item = (usize, Option<&'a KnownPartitioner>)>,
) -> Option<KnownPartitioner> {
    let mut known = rdds.filter(|(partitions, _)| *partitions > 0).map(|(_, known)| known);
    let first = known.next()??;
    let all_have_it = known.all(|known| known.is_some_and(|own| own.same_as(first)));
    // Within a partition the rows of one RDD follow those of another.
    all_have_it.then(|| first.clone().in_hash_order(false))
}

/// Returns the sum up to and including each number.
fn running_sums(numbers: impl Iterator<Item = usize>) -> Arc<[usize]> {
    let sums = numbers.scan(0, |sum, number| {
        *sum = number.saturating_add(*sum);
        Some(*sum)
    });
    sums.collect()
}

struct UnionAll<P> {
    parents: Arc<[P]>,
    /// The end of each parent's partitions; `None` if partitions of the same index are joined.
    ends: Option<Arc<[usize]>>,
}

impl<P> Clone for UnionAll<P> {
    fn clone(&self) -> Self {
        UnionAll { parents: Arc::clone(&self.parents), ends: self.ends.clone() }
    }
}

impl<P> Sealed for UnionAll<P> {}
impl<P: Pipeline> Fused for UnionAll<P> {}

impl<P> UnionAll<P> {
    fn parts(&self, partition: usize) -> Vec<ParentPartition> {
        let Some(ends) = &self.ends else {
            let parents = 0..self.parents.len();
            return parents.map(|parent| ParentPartition { parent, partition }).collect();
        };
        let parent = ends.partition_point(|end| *end <= partition);
        let first = if parent == 0 { 0 } else { ends[parent - 1] };
        vec![ParentPartition { parent, partition: partition - first }]
    }
}

impl<P: Pipeline> Pipeline for UnionAll<P> {
    type Item = P::Item;
    type Rows = ChainedRows<P>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        chained(&self.parents, self.parts(partition), task)
    }

    fn materialized(
        &self,
        partition: usize,
        task: &TaskContext,
    ) -> Option<MaterializedRows<P::Item>> {
        materialized_single(&self.parents, &self.parts(partition), task)
    }

    fn depth(&self) -> usize {
        self.parents.iter().map(P::depth).max().unwrap_or(0)
    }

    fn to_boxed(&self) -> Boxed<P::Item> {
        if self.parents.is_empty() {
            return Boxed::new(self.clone());
        }
        let layout = if self.ends.is_some() { Layout::Consecutive } else { Layout::ByIndex };
        let mut before = 0;
        let parents = self.parents.iter().enumerate().map(|(at, parent)| {
            let end = self.ends.as_ref().map_or(before, |ends| ends[at]);
            let partitions = end - before;
            before = end;
            (parent.to_boxed(), partitions)
        });
        Parents::union(layout, parents.collect())
    }
}
