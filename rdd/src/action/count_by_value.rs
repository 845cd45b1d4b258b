//! `count_by_value`: the number of occurrences of each row.

use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::bounds::Key;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use std::collections::HashMap;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the number of occurrences of each distinct row.
    ///
    /// Shuffles with map-side combine. For many distinct rows use
    /// `map(|row| (row, 1)).reduce_by_key(..)`, whose result is an RDD.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let counts = ctx.parallelize(vec!['a', 'b', 'a']).count_by_value()?;
    /// assert_eq!((counts[&'a'], counts[&'b']), (2, 1));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "countByValue")]
    #[track_caller]
    pub fn count_by_value(&self) -> Result<HashMap<T, u64>>
    where
        T: Key,
    {
        let action = Operation::new("count_by_value");
        run_action(action, |frame| {
            let ones = self.mapped(action, 0, KeyEffect::Changed, |row| (row, 1_u64));
            let counts = ones.reduced(action, ones.default_partitioning_of_keys(), |a, b| a + b);
            Ok(counts.all_rows(frame)?.into_iter().flatten().collect())
        })
    }
}
