//! `collect_as_map`: all pairs in a map.

use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use std::collections::HashMap;
use std::hash::Hash;

/// # Actions
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Returns all pairs as a map.
    ///
    /// Of several values of a key the last one counts; see [`group_by_key`](Rdd::group_by_key).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let prices = ctx.parallelize(vec![("tea", 3), ("rye", 5), ("tea", 4)]).collect_as_map()?;
    /// assert_eq!((prices.len(), prices["tea"], prices["rye"]), (2, 4, 5));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "collectAsMap")]
    #[track_caller]
    pub fn collect_as_map(&self) -> Result<HashMap<K, V>>
    where
        K: Hash + Eq,
    {
        run_action(Operation::new("collect_as_map"), |frame| {
            Ok(self.all_rows(frame)?.into_iter().flatten().collect())
        })
    }
}
