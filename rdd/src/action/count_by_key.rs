//! `count_by_key`: the number of pairs of each key.

use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::bounds::Key;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use std::collections::HashMap;

/// # Actions
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Returns the number of pairs of each key.
    ///
    /// Shuffles with map-side combine, unless the RDD is already partitioned by key. For many keys
    /// use `map_values(|_| 1).reduce_by_key(..)`, whose result is an RDD.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let counts = ctx.parallelize(vec![('a', 5), ('b', 6), ('a', 7)]).count_by_key()?;
    /// assert_eq!((counts[&'a'], counts[&'b']), (2, 1));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "countByKey")]
    #[track_caller]
    pub fn count_by_key(&self) -> Result<HashMap<K, u64>>
    where
        K: Key,
    {
        let action = Operation::new("count_by_key");
        run_action(action, |frame| {
            let ones = self.mapped(action, 0, KeyEffect::Preserved, |(key, _)| (key, 1_u64));
            let counts = ones.reduced(action, ones.default_partitioning_of_keys(), |a, b| a + b);
            Ok(counts.all_rows(frame)?.into_iter().flatten().collect())
        })
    }
}
