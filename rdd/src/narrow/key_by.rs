//! `key_by`: rows become pairs.

use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Turns each row into a pair of `key_of(&row)` and the row.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let by_length = ctx.parallelize(vec!["a", "bcd"]).key_by(|word| word.len());
    /// assert_eq!(by_length.collect()?, [(1, "a"), (3, "bcd")]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "keyBy")]
    #[track_caller]
    pub fn key_by<K, F>(
        &self,
        key_of: F,
    ) -> Rdd<(K, T), impl Fused<Item = (K, T)> + use<T, P, K, F>>
    where
        K: Element,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        let pair = move |row| (key_of(&row), row);
        self.mapped(Operation::new("key_by"), size_of::<F>(), KeyEffect::Changed, pair)
    }
}
