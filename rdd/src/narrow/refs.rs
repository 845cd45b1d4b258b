//! `refs`: closures over `&T`, so that a step reads rows that lie in memory without a clone.

use super::adapted::Adapted;
use super::filter_map::FilterMap;
use super::flat_map::FlatMap;
use super::refs_with::RefsWith;
use crate::pipeline::materialized::MaterializedRows;
use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Gives the closures of the next step the rows by reference. The rows of a
    /// [cached](Rdd::cache) RDD or of [`parallelize`](crate::Context::parallelize) are read where
    /// they lie, without a clone, also behind a `union` or a `coalesce` whose partition is one of
    /// theirs; those of any other RDD are computed, lent and dropped.
    ///
    /// - **Shape**: `Rdd<T>` to `Refs<T>`, whose `map`, `filter`, `filter_map` and `flat_map` take
    ///   `Fn(&T)`; [`with`](Refs::with) adds a shared value
    /// - **Partitions**: kept
    /// - **Partitioner**: as the next step says
    /// - **Shuffle**: none
    /// - **Memory**: none of its own
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let points = ctx.range(0..4_u32).map(|n| vec![f64::from(n); 3]).cache();
    /// let mut sum = 0.0;
    /// for _ in 0..2 {
    ///     sum += points.refs().map(|point| point.iter().sum::<f64>()).sum::<f64>()?; // no clone
    /// }
    /// assert_eq!(sum, 36.0);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn refs(&self) -> Refs<T, P> {
        Refs { rdd: self.clone() }
    }
}

/// An RDD whose next step reads its rows by reference; see [`Rdd::refs`].
#[must_use = "references do nothing until a operation such as `map` uses them"]
pub struct Refs<T: 'static, P> {
    rdd: Rdd<T, P>,
}

impl<T, P: Clone> Clone for Refs<T, P> {
    fn clone(&self) -> Self {
        Refs { rdd: self.rdd.clone() }
    }
}

impl<T: Element, P: Pipeline<Item = T>> Refs<T, P> {
    /// [`Rdd::with`] for closures over `&T`.
    ///
    /// - **Shape**: `Refs<T>` and `V` to `RefsWith<T, V>`, whose steps take `Fn(&V, &T)`
    /// - **Partitions**: kept
    /// - **Partitioner**: as the next step says
    /// - **Shuffle**: none
    /// - **Memory**: one value, shared by all tasks and outside the budget
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let points = ctx.parallelize(vec![vec![1.0, 2.0], vec![3.0, 4.0]]).cache();
    /// let weights = vec![10.0, 1.0];
    /// let dot = |w: &Vec<f64>, p: &Vec<f64>| w.iter().zip(p).map(|(w, x)| w * x).sum::<f64>();
    /// assert_eq!(points.refs().with(weights).map(dot).collect()?, [12.0, 34.0]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn with<V>(&self, value: V) -> RefsWith<T, V, P>
    where
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        RefsWith::new(self.clone(), value)
    }

    /// [`Rdd::map`] by reference: each row becomes `f(&row)`.
    ///
    /// - **Shape**: `Refs<T>` to `Rdd<U>`
    /// - **Partitions**: kept
    /// - **Partitioner**: dropped
    /// - **Shuffle**: none
    /// - **Memory**: constant
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["ember".to_string(), "line".to_string()]);
    /// assert_eq!(words.refs().map(|word| word.len()).collect()?, [5, 4]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(&T) -> U + Send + Sync + 'static,
    {
        self.mapped(Operation::new("map"), size_of::<F>(), f)
    }

    /// [`Rdd::filter`] that clones only the rows it keeps.
    ///
    /// - **Shape**: `Refs<T>` to `Rdd<T>`
    /// - **Partitions**: kept
    /// - **Partitioner**: kept
    /// - **Shuffle**: none
    /// - **Memory**: constant
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["ember".to_string(), "line".to_string()]);
    /// assert_eq!(words.refs().filter(|word| word.len() > 4).collect()?, ["ember"]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn filter<F>(&self, predicate: F) -> Rdd<T, impl Fused<Item = T> + use<T, P, F>>
    where
        T: Clone,
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        self.filtered(Operation::new("filter"), size_of::<F>(), predicate)
    }

    /// [`Rdd::filter_map`] by reference: keeps what `f(&row)` gives.
    ///
    /// - **Shape**: `Refs<T>` to `Rdd<U>`
    /// - **Partitions**: kept
    /// - **Partitioner**: dropped
    /// - **Shuffle**: none
    /// - **Memory**: constant
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["7".to_string(), "line".to_string()]);
    /// assert_eq!(words.refs().filter_map(|word| word.parse::<u32>().ok()).collect()?, [7]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn filter_map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(&T) -> Option<U> + Send + Sync + 'static,
    {
        self.filter_mapped(Operation::new("filter_map"), size_of::<F>(), f)
    }

    /// [`Rdd::flat_map`] by reference: each row becomes the rows of `f(&row)`.
    ///
    /// - **Shape**: `Refs<T>` to `Rdd<U>`
    /// - **Partitions**: kept
    /// - **Partitioner**: dropped
    /// - **Shuffle**: none
    /// - **Memory**: what one call of `f` gives
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let lists = ctx.parallelize(vec![vec![1, 2], vec![], vec![3]]);
    /// assert_eq!(lists.refs().flat_map(|list| list.clone()).collect()?, [1, 2, 3]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map<U, I, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + Send + 'static,
        F: Fn(&T) -> I + Send + Sync + 'static,
    {
        self.flat_mapped(Operation::new("flat_map"), size_of::<F>(), f)
    }

    pub(super) fn mapped<U, F>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        f: F,
    ) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(&T) -> U + Send + Sync + 'static,
    {
        self.rdd.narrow(operation, closure_bytes, KeyEffect::Changed, self.lending(f, operation))
    }

    pub(super) fn filtered<F>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        predicate: F,
    ) -> Rdd<T, impl Fused<Item = T> + use<T, P, F>>
    where
        T: Clone,
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        let keep = move |row: &T| predicate(row).then(|| row.clone());
        let lent = self.lending(keep, operation);
        let pipeline = Adapted::<_, _, FilterMap>::new(lent, |kept| kept, operation);
        self.rdd.narrow(operation, closure_bytes, KeyEffect::Preserved, pipeline)
    }

    pub(super) fn filter_mapped<U, F>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        f: F,
    ) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(&T) -> Option<U> + Send + Sync + 'static,
    {
        let lent = self.lending(f, operation);
        let pipeline = Adapted::<_, _, FilterMap>::new(lent, |kept| kept, operation);
        self.rdd.narrow(operation, closure_bytes, KeyEffect::Changed, pipeline)
    }

    pub(super) fn flat_mapped<U, I, F>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        f: F,
    ) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + Send + 'static,
        F: Fn(&T) -> I + Send + Sync + 'static,
    {
        let lent = self.lending(f, operation);
        let pipeline = Adapted::<_, _, FlatMap>::new(lent, |rows| rows, operation);
        self.rdd.narrow(operation, closure_bytes, KeyEffect::Changed, pipeline)
    }

    fn lending<F>(&self, f: F, operation: Operation) -> Lending<P, F> {
        Lending { parent: self.rdd.pipeline.clone(), f: Arc::new(f), operation }
    }
}

/// A closure over the rows of a parent, which are lent to it.
struct Lending<P, F> {
    parent: P,
    f: Arc<F>,
    operation: Operation,
}

impl<P: Clone, F> Clone for Lending<P, F> {
    fn clone(&self) -> Self {
        Lending { parent: self.parent.clone(), f: Arc::clone(&self.f), operation: self.operation }
    }
}

impl<P, F> Sealed for Lending<P, F> {}

impl<P, U, F> Fused for Lending<P, F>
where
    P: Pipeline,
    U: Element,
    F: Fn(&P::Item) -> U + Send + Sync + 'static,
{
}

impl<P, U, F> Pipeline for Lending<P, F>
where
    P: Pipeline,
    U: Element,
    F: Fn(&P::Item) -> U + Send + Sync + 'static,
{
    type Item = U;
    type Rows = LentRows<P::Item, P::Rows, F>;

    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows {
        let rows = match self.parent.held(partition, task) {
            Some(held) => Lent::OperatorMemory(held),
            None => Lent::Computed(self.parent.open(partition, task)),
        };
        LentRows { rows, f: Arc::clone(&self.f), operation: self.operation }
    }

    fn depth(&self) -> usize {
        self.parent.depth()
    }
}

struct LentRows<T, R, F> {
    rows: Lent<T, R>,
    f: Arc<F>,
    operation: Operation,
}

enum Lent<T, R> {
    OperatorMemory(MaterializedRows<T>),
    Computed(R),
}

impl<T, R, U, F> Iterator for LentRows<T, R, F>
where
    R: Iterator<Item = T>,
    F: Fn(&T) -> U,
{
    type Item = U;

    #[inline]
    fn next(&mut self) -> Option<U> {
        let (f, operation) = (&*self.f, &self.operation);
        match &mut self.rows {
            Lent::OperatorMemory(rows) => rows.next_ref().map(|row| blame(operation, || f(row))),
            Lent::Computed(rows) => rows.next().map(|row| blame(operation, || f(&row))),
        }
    }

    #[inline]
    fn fold<B, G: FnMut(B, U) -> B>(self, init: B, mut g: G) -> B {
        let (f, operation) = (&*self.f, &self.operation);
        match self.rows {
            Lent::OperatorMemory(rows) => {
                rows.fold_refs(init, |b, row| g(b, blame(operation, || f(row))))
            }
            Lent::Computed(rows) => rows.fold(init, |b, row| g(b, blame(operation, || f(&row)))),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.rows {
            Lent::OperatorMemory(rows) => rows.left(),
            Lent::Computed(rows) => rows.size_hint(),
        }
    }
}
