//! `glom`: each partition as one row.

use super::map_partitions::MapPartitions;
use crate::pipeline::{Element, Fused, PartitionRows, Pipeline, gather};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::operation::Operation;
use std::iter::once_with;

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Collects the rows of each partition into one list.
    ///
    /// A task holds the rows of its partition. An empty partition becomes an empty list.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.parallelize_with(2, vec![1, 2, 3, 4]).glom().collect()?, [[1, 2], [3, 4]]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn glom(&self) -> Rdd<Vec<T>, impl Fused<Item = Vec<T>> + use<T, P>> {
        // Collected when the list is pulled, not when the partition is opened.
        let list = |rows: PartitionRows<P::Rows>| once_with(move || gather(rows));
        self.adapted::<_, MapPartitions>(Operation::new("glom"), 0, KeyEffect::Changed, list)
    }
}
