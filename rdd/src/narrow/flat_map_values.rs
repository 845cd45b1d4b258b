//! `flat_map_values`: any number of values for each value, under its key.

use super::flat_map::FlatMap;
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;

/// # Narrow transformations
impl<K: Element + Clone, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Turns each value into the values of `f(value)`, with a clone of its key.
    ///
    /// Keeps the partitioner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let counts = ctx.parallelize(vec![("a", 2), ("b", 0), ("c", 1)]);
    /// let rows = counts.flat_map_values(|count| 0..count);
    /// assert_eq!(rows.collect()?, [("a", 0), ("a", 1), ("c", 0)]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "flatMapValues")]
    #[track_caller]
    pub fn flat_map_values<U, I, F>(
        &self,
        f: F,
    ) -> Rdd<(K, U), impl Fused<Item = (K, U)> + use<K, V, P, U, I, F>>
    where
        U: Element,
        I: IntoIterator<Item = U> + 'static,
        F: Fn(V) -> I + Send + Sync + 'static,
    {
        let f = move |(key, value): (K, V)| {
            f(value).into_iter().map(move |mapped| (key.clone(), mapped))
        };
        let operation = Operation::new("flat_map_values");
        self.adapted::<_, FlatMap>(operation, size_of::<F>(), KeyEffect::Preserved, f)
    }
}
