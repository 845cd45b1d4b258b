//! `refs().with(value)`: closures over a shared value and the rows by reference.

use super::refs::Refs;
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::Rdd;
use emberline_core::operation::Operation;
use std::sync::Arc;

/// References to rows, and a value for the closures of the next step; see [`Refs::with`].
#[must_use = "a value does nothing until a operation such as `map` uses it"]
pub struct RefsWith<T: 'static, V, P> {
    refs: Refs<T, P>,
    value: Arc<V>,
}

impl<T, V, P: Clone> Clone for RefsWith<T, V, P> {
    fn clone(&self) -> Self {
        RefsWith { refs: self.refs.clone(), value: Arc::clone(&self.value) }
    }
}

impl<T, V, P> RefsWith<T, V, P>
where
    T: Element,
    V: Send + Sync + 'static,
    P: Pipeline<Item = T>,
{
    pub(super) fn new(refs: Refs<T, P>, value: V) -> Self {
        RefsWith { refs, value: Arc::new(value) }
    }

    /// [`Refs::map`] with the shared value: each row becomes `f(&value, &row)`.
    ///
    /// - **Shape**: `RefsWith<T, V>` to `Rdd<U>`
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
    /// let words = ctx.parallelize(vec!["ember".to_string(), "line".to_string()]);
    /// let longer = words.refs().with(10).map(|by, word| word.len() + by);
    /// assert_eq!(longer.collect()?, [15, 14]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, V, P, U, F>>
    where
        U: Element,
        F: Fn(&V, &T) -> U + Send + Sync + 'static,
    {
        let value = Arc::clone(&self.value);
        let turn = move |row: &T| f(&value, row);
        self.refs.mapped(Operation::new("map"), size_of::<F>(), turn)
    }

    /// [`Refs::filter`] with the shared value: clones the rows for which `predicate(&value, &row)`.
    ///
    /// - **Shape**: `RefsWith<T, V>` to `Rdd<T>`
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
    /// let words = ctx.parallelize(vec!["ember".to_string(), "line".to_string()]);
    /// assert_eq!(words.refs().with(4).filter(|n, word| word.len() > *n).collect()?, ["ember"]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn filter<F>(&self, predicate: F) -> Rdd<T, impl Fused<Item = T> + use<T, V, P, F>>
    where
        T: Clone,
        F: Fn(&V, &T) -> bool + Send + Sync + 'static,
    {
        let value = Arc::clone(&self.value);
        let keep = move |row: &T| predicate(&value, row);
        self.refs.filtered(Operation::new("filter"), size_of::<F>(), keep)
    }

    /// [`Refs::filter_map`] with the shared value: keeps what `f(&value, &row)` gives.
    ///
    /// - **Shape**: `RefsWith<T, V>` to `Rdd<U>`
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
    /// use std::collections::HashMap;
    ///
    /// let ctx = Context::local()?;
    /// let prices = HashMap::from([("tea".to_string(), 3)]);
    /// let orders = ctx.parallelize(vec!["tea".to_string(), "ink".to_string()]);
    /// let known = orders.refs().with(prices).filter_map(|prices, what| prices.get(what).copied());
    /// assert_eq!(known.collect()?, [3]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn filter_map<U, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, V, P, U, F>>
    where
        U: Element,
        F: Fn(&V, &T) -> Option<U> + Send + Sync + 'static,
    {
        let value = Arc::clone(&self.value);
        let turn = move |row: &T| f(&value, row);
        self.refs.filter_mapped(Operation::new("filter_map"), size_of::<F>(), turn)
    }

    /// [`Refs::flat_map`] with the shared value: each row becomes the rows of `f(&value, &row)`.
    ///
    /// - **Shape**: `RefsWith<T, V>` to `Rdd<U>`
    /// - **Partitions**: kept
    /// - **Partitioner**: dropped
    /// - **Shuffle**: none
    /// - **Memory**: constant beside the value and what one call of `f` gives
    /// - **Order**: kept
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["ember".to_string()]);
    /// let each = words.refs().with(2).flat_map(|n, word| vec![word.len(); *n]);
    /// assert_eq!(each.collect()?, [5, 5]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map<U, I, F>(&self, f: F) -> Rdd<U, impl Fused<Item = U> + use<T, V, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + Send + 'static,
        F: Fn(&V, &T) -> I + Send + Sync + 'static,
    {
        let value = Arc::clone(&self.value);
        let turn = move |row: &T| f(&value, row);
        self.refs.flat_mapped(Operation::new("flat_map"), size_of::<F>(), turn)
    }
}
