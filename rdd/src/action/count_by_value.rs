//! `count_by_value`: how often each row occurs.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::bounds::Key;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use std::collections::HashMap;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Counts equal rows. For many distinct rows, `map(|row| (row, 1)).reduce_by_key(..)` keeps the
    /// counts in an RDD.
    ///
    /// - **Shape**: `Rdd<T>` to `HashMap<T, u64>`
    /// - **Partitions**: all, one task each, twice
    /// - **Partitioner**: not used
    /// - **Shuffle**: one, with map-side combine
    /// - **Memory**: all distinct rows
    /// - **Order**: none
    ///
    /// # Errors
    ///
    /// `ResultTooLarge` past [`max_result_bytes`](crate::ContextBuilder::max_result_bytes); the
    /// first error of a task.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let counts = ctx.parallelize(vec!['a', 'b', 'a']).count_by_value()?;
    /// assert_eq!((counts[&'a'], counts[&'b']), (2, 1));
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn count_by_value(&self) -> Result<HashMap<T, u64>>
    where
        T: Key,
    {
        let action = Operation::new("count_by_value");
        let ones = self.mapped(action, 0, KeyEffect::Changed, |row| (row, 1_u64));
        let counts = ones.reduced(action, ones.default_partitioning_of_keys(), |a, b| a + b);
        Ok(counts.all_rows(action)?.into_iter().flatten().collect())
    }
}
