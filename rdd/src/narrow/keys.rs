//! `keys` and `values`: one half of each pair.

use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;

/// # Narrow transformations
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Returns the key of each pair, with duplicates.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let prices = ctx.parallelize(vec![("tea", 3), ("rye", 5), ("tea", 4)]);
    /// assert_eq!(prices.keys().collect()?, ["tea", "rye", "tea"]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn keys(&self) -> Rdd<K, impl Fused<Item = K> + use<K, V, P>> {
        self.mapped(Operation::new("keys"), 0, KeyEffect::Changed, |(key, _)| key)
    }

    /// Returns the value of each pair.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let prices = ctx.parallelize(vec![("tea", 3), ("rye", 5), ("tea", 4)]);
    /// assert_eq!(prices.values().collect()?, [3, 5, 4]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn values(&self) -> Rdd<V, impl Fused<Item = V> + use<K, V, P>> {
        self.mapped(Operation::new("values"), 0, KeyEffect::Changed, |(_, value)| value)
    }
}
