//! Views of an RDD: `with` passes closures a shared value, `refs` references to rows.

use super::adapted::Adapted;
use super::filter_map::FilterMap;
use super::flat_map::FlatMap;
use super::lending::Lending;
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// # Views
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns a view whose operations pass `&value` to their closures (a broadcast variable).
    ///
    /// All tasks share one value of the lineage, not counted against the memory limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// # use std::collections::HashMap;
    /// let names = HashMap::from([(1, "one".to_string()), (2, "two".to_string())]);
    /// let numbers = ctx.parallelize(vec![2, 1, 7]);
    /// let named = numbers.with(names).filter_map(|names, n| names.get(&n).cloned());
    /// assert_eq!(named.collect()?, ["two", "one"]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "broadcast")]
    pub fn with<V>(&self, value: V) -> With<T, V, P>
    where
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        With { rdd: self.clone(), value: Arc::new(value) }
    }

    /// Returns a view whose operations pass rows to their closures by reference.
    ///
    /// The rows of a [cached](Rdd::cache) RDD or of [`parallelize`](crate::Context::parallelize)
    /// are read in place without a clone, also through `union` or `coalesce`. Others are lent one
    /// by one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let points = ctx.range(0..4_u32).map(|n| vec![f64::from(n); 3]).cache();
    /// let sum: f64 = points.refs().map(|point| point.iter().sum::<f64>()).sum()?; // no clone
    /// assert_eq!(sum, 18.0);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn refs(&self) -> Refs<T, P> {
        Refs { rdd: self.clone() }
    }
}

/// An RDD and a value that the closures of the next operation share; returned by [`Rdd::with`].
#[must_use = "a shared value does nothing until an operation such as `map` uses it"]
pub struct With<T: 'static, V, P> {
    rdd: Rdd<T, P>,
    value: Arc<V>,
}

/// An RDD whose next operation reads rows by reference; returned by [`Rdd::refs`].
#[must_use = "references do nothing until an operation such as `map` uses them"]
pub struct Refs<T: 'static, P> {
    rdd: Rdd<T, P>,
}

/// An RDD whose next operation reads rows by reference and shares a value ([`Refs::with`]).
#[must_use = "a shared value does nothing until an operation such as `map` uses it"]
pub struct RefsWith<T: 'static, V, P> {
    refs: Refs<T, P>,
    value: Arc<V>,
}

/// Implements the four operations of a view.
/// - `View[V]`: closures get the shared value of type `V` as their first argument; `View[]`: none.
/// - `row`: the type in which closures get a row, `T` or `&T`.
/// - `base`: what the operations are derived from, an `Rdd` or a `Refs`.
/// - `filtered`, `list`: bounds of rows that `filter` keeps, and of lists that `flat_map` gets.
macro_rules! view_operations {
    (
        $View:ident[$($V:ident)?],
        row: $Row:ty, base: $base:ident, filtered: $Filtered:path, list: $List:path
    ) => {
        /// # Narrow transformations
        impl<T, $($V,)? P> $View<T, $($V,)? P>
        where
            T: Element,
            $($V: Send + Sync + 'static,)?
            P: Pipeline<Item = T>,
        {
            /// Turns each row into the result of `f`, like [`Rdd::map`].
            #[track_caller]
            pub fn map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, $($V,)? P, U, F>>
            where
                U: Element,
                F: Fn($(&$V,)? $Row) -> U + Send + Sync + 'static,
            {
                $(let value: Arc<$V> = Arc::clone(&self.value);)?
                let f = move |row: $Row| f($(Arc::<$V>::as_ref(&value),)? row);
                self.$base().mapped(Operation::new("map"), size_of::<F>(), KeyEffect::Changed, f)
            }

            /// Keeps the rows for which `predicate` returns true, like [`Rdd::filter`].
            #[track_caller]
            pub fn filter<F>(
                &self,
                predicate: F,
            ) -> Rdd<T, impl Fused<Item = T> + use<T, $($V,)? P, F>>
            where
                T: $Filtered,
                F: Fn($(&$V,)? &T) -> bool + Send + Sync + 'static,
            {
                $(let value: Arc<$V> = Arc::clone(&self.value);)?
                let predicate = move |row: &T| predicate($(Arc::<$V>::as_ref(&value),)? row);
                self.$base().filtered(Operation::new("filter"), size_of::<F>(), predicate)
            }

            /// Keeps the results of `f` that are `Some`, like [`Rdd::filter_map`].
            #[track_caller]
            pub fn filter_map<U, F>(
                &self,
                f: F,
            ) -> Rdd<U, impl Fused<Item = U> + use<T, $($V,)? P, U, F>>
            where
                U: Element,
                F: Fn($(&$V,)? $Row) -> Option<U> + Send + Sync + 'static,
            {
                $(let value: Arc<$V> = Arc::clone(&self.value);)?
                let f = move |row: $Row| f($(Arc::<$V>::as_ref(&value),)? row);
                self.$base().filter_mapped(Operation::new("filter_map"), size_of::<F>(), f)
            }

            /// Turns each row into the rows that `f` returns, like [`Rdd::flat_map`].
            #[track_caller]
            pub fn flat_map<U, I, F>(
                &self,
                f: F,
            ) -> Rdd<U, impl Fused<Item = U> + use<T, $($V,)? P, U, I, F>>
            where
                U: Element,
                I: IntoIterator<Item = U> + $List + 'static,
                F: Fn($(&$V,)? $Row) -> I + Send + Sync + 'static,
            {
                $(let value: Arc<$V> = Arc::clone(&self.value);)?
                let f = move |row: $Row| f($(Arc::<$V>::as_ref(&value),)? row);
                self.$base().flat_mapped(Operation::new("flat_map"), size_of::<F>(), f)
            }
        }
    };
}

view_operations!(With[V], row: T, base: rdd, filtered: Element, list: Sized);
view_operations!(Refs[], row: &T, base: refs, filtered: Clone, list: Send);
view_operations!(RefsWith[V], row: &T, base: refs, filtered: Clone, list: Send);

impl<T, V, P> With<T, V, P> {
    fn rdd(&self) -> &Rdd<T, P> {
        &self.rdd
    }
}

impl<T, V, P> RefsWith<T, V, P> {
    fn refs(&self) -> &Refs<T, P> {
        &self.refs
    }
}

/// # Views
impl<T: Element, P: Pipeline<Item = T>> Refs<T, P> {
    /// Returns a view that also passes `&value` to closures, like [`Rdd::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let points = ctx.parallelize(vec![vec![1.0, 2.0], vec![3.0, 4.0]]);
    /// let dot = |w: &Vec<f64>, p: &Vec<f64>| w.iter().zip(p).map(|(w, x)| w * x).sum::<f64>();
    /// assert_eq!(points.refs().with(vec![10.0, 1.0]).map(dot).collect()?, [12.0, 34.0]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "broadcast")]
    pub fn with<V>(&self, value: V) -> RefsWith<T, V, P>
    where
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        RefsWith { refs: self.clone(), value: Arc::new(value) }
    }
}

/// The operations of references, named and measured for the view that calls them.
impl<T: Element, P: Pipeline<Item = T>> Refs<T, P> {
    fn refs(&self) -> &Self {
        self
    }

    fn mapped<U, F>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        key_effect: KeyEffect,
        f: F,
    ) -> Rdd<U, impl Fused<Item = U> + use<T, P, U, F>>
    where
        U: Element,
        F: Fn(&T) -> U + Send + Sync + 'static,
    {
        self.rdd.narrow(operation, closure_bytes, key_effect, self.lending(f, operation))
    }

    fn filtered<F>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        predicate: F,
    ) -> Rdd<T, impl Fused<Item = T> + use<T, P, F>>
    where
        T: Clone,
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        let clone_matching = move |row: &T| predicate(row).then(|| row.clone());
        let lent = self.lending(clone_matching, operation);
        let pipeline = Adapted::<_, _, FilterMap>::new(lent, |row| row, operation);
        self.rdd.narrow(operation, closure_bytes, KeyEffect::Preserved, pipeline)
    }

    fn filter_mapped<U, F>(
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
        let pipeline = Adapted::<_, _, FilterMap>::new(lent, |row| row, operation);
        self.rdd.narrow(operation, closure_bytes, KeyEffect::Changed, pipeline)
    }

    fn flat_mapped<U, I, F>(
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
        Lending::new(self.rdd.pipeline.clone(), f, operation)
    }
}

impl<T, V, P: Clone> Clone for With<T, V, P> {
    fn clone(&self) -> Self {
        With { rdd: self.rdd.clone(), value: Arc::clone(&self.value) }
    }
}

impl<T, P: Clone> Clone for Refs<T, P> {
    fn clone(&self) -> Self {
        Refs { rdd: self.rdd.clone() }
    }
}

impl<T, V, P: Clone> Clone for RefsWith<T, V, P> {
    fn clone(&self) -> Self {
        RefsWith { refs: self.refs.clone(), value: Arc::clone(&self.value) }
    }
}
