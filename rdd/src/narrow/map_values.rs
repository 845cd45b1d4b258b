//! `map_values`: one value for each value of a pair.

use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;

/// # Narrow transformations
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Turns each value into `f(value)` under the same key.
    ///
    /// Keeps the partitioner, and the order by key hash if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let prices = ctx.parallelize(vec![("tea", 3), ("rye", 5)]).map_values(|price| price * 2);
    /// assert_eq!(prices.collect()?, [("tea", 6), ("rye", 10)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "mapValues")]
    #[track_caller]
    pub fn map_values<U, F>(
        &self,
        f: F,
    ) -> Rdd<(K, U), impl Fused<Item = (K, U)> + use<K, V, P, U, F>>
    where
        U: Element,
        F: Fn(V) -> U + Send + Sync + 'static,
    {
        let f = move |(key, value)| (key, f(value));
        self.mapped(Operation::new("map_values"), size_of::<F>(), KeyEffect::Preserved, f)
    }
}
