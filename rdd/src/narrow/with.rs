//! `with`: one shared value for every task, Spark's broadcast variable without a capture.

use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Gives `value` to the closures of the next step, by reference and without a copy. The value
    /// is part of the lineage, not of a closure, and can be serialised, so that a stage can one day
    /// run elsewhere.
    ///
    /// - **Shape**: `Rdd<T>` and `V` to `With<T, V>`, whose `map`, `filter`, `filter_map` and
    ///   `flat_map` take `Fn(&V, T)`
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
    /// use std::collections::HashMap;
    ///
    /// let ctx = Context::local()?;
    /// let names = HashMap::from([(1, "one".to_string()), (2, "two".to_string())]);
    /// let named = ctx
    ///     .parallelize(vec![2, 1, 7])
    ///     .with(names)
    ///     .filter_map(|names, n| names.get(&n).cloned());
    /// assert_eq!(named.collect()?, ["two", "one"]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn with<V>(&self, value: V) -> With<T, V, P>
    where
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        With { rdd: self.clone(), value: Arc::new(value) }
    }
}

/// An RDD and a value for the closures of its next step; see [`Rdd::with`].
#[must_use = "a value does nothing until a operation such as `map` uses it"]
pub struct With<T: 'static, V, P> {
    rdd: Rdd<T, P>,
    value: Arc<V>,
}

impl<T, V, P: Clone> Clone for With<T, V, P> {
    fn clone(&self) -> Self {
        With { rdd: self.rdd.clone(), value: Arc::clone(&self.value) }
    }
}

impl<T, V, P> With<T, V, P>
where
    T: Element,
    V: Send + Sync + 'static,
    P: Pipeline<Item = T>,
{
    /// [`Rdd::map`] with the shared value: each row becomes `f(&value, row)`.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<U>`
    /// - **Partitions**: kept
    /// - **Partitioner**: dropped
    /// - **Shuffle**: none
    /// - **Memory**: constant beside the value
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let scaled = ctx.range(1..4_u64).with(10_u64).map(|factor, n| factor * n);
    /// assert_eq!(scaled.collect()?, [10, 20, 30]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, V, P, U, F>>
    where
        U: Element,
        F: Fn(&V, T) -> U + Send + Sync + 'static,
    {
        let value = Arc::clone(&self.value);
        let turn = move |row| f(&value, row);
        self.rdd.mapped(Operation::new("map"), size_of::<F>(), KeyEffect::Changed, turn)
    }

    /// [`Rdd::filter`] with the shared value: keeps rows for which `predicate(&value, &row)` is true.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<T>`
    /// - **Partitions**: kept
    /// - **Partitioner**: kept
    /// - **Shuffle**: none
    /// - **Memory**: constant beside the value
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let small = ctx.range(0..9_u64).with(3_u64).filter(|limit, n| n < limit);
    /// assert_eq!(small.collect()?, [0, 1, 2]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn filter<F>(&self, predicate: F) -> Rdd<T, impl Fused<Item = T> + use<T, V, P, F>>
    where
        F: Fn(&V, &T) -> bool + Send + Sync + 'static,
    {
        let value = Arc::clone(&self.value);
        let keep = move |row: &T| predicate(&value, row);
        self.rdd.filtered(Operation::new("filter"), size_of::<F>(), keep)
    }

    /// [`Rdd::filter_map`] with the shared value: keeps what `f(&value, row)` gives as `Some`.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<U>`
    /// - **Partitions**: kept
    /// - **Partitioner**: dropped
    /// - **Shuffle**: none
    /// - **Memory**: constant beside the value
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let rows = ctx.range(0..5_usize).with(vec!['a', 'b']).filter_map(|all, n| all.get(n).copied());
    /// assert_eq!(rows.collect()?, ['a', 'b']);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn filter_map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, V, P, U, F>>
    where
        U: Element,
        F: Fn(&V, T) -> Option<U> + Send + Sync + 'static,
    {
        let value = Arc::clone(&self.value);
        let turn = move |row| f(&value, row);
        self.rdd.filter_mapped(Operation::new("filter_map"), size_of::<F>(), turn)
    }

    /// [`Rdd::flat_map`] with the shared value: each row becomes the rows of `f(&value, row)`.
    ///
    /// - **Shape**: `Rdd<T>` to `Rdd<U>`
    /// - **Partitions**: kept
    /// - **Partitioner**: dropped
    /// - **Shuffle**: none
    /// - **Memory**: what `f` returns for one row, beside the value
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let rows = ctx.range(1..3_usize).with('x').flat_map(|c, n| vec![*c; n]);
    /// assert_eq!(rows.collect()?, ['x', 'x', 'x']);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map<U, I, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, V, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + 'static,
        F: Fn(&V, T) -> I + Send + Sync + 'static,
    {
        let value = Arc::clone(&self.value);
        let turn = move |row| f(&value, row);
        self.rdd.flat_mapped(Operation::new("flat_map"), size_of::<F>(), turn)
    }
}
