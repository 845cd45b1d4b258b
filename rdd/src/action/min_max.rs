//! `min`, `max` and their siblings by a key: the ends of an order.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::error::Result;
use emberline_core::operation::Operation;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Gives the smallest row, `None` if there is no row. Of equal rows it gives the first, as
    /// [`Iterator::min`] does. For floats, which have no `Ord`, see [`stats`](Rdd::stats) or
    /// [`reduce`](Rdd::reduce) with `f64::min`.
    ///
    /// - **Shape**: `Rdd<T>` to `Option<T>`
    /// - **Partitions**: all, one task each
    /// - **Partitioner**: not used
    /// - **Shuffle**: none
    /// - **Memory**: one row for each partition
    /// - **Order**: of equal rows the first
    ///
    /// # Errors
    ///
    /// The first error of a task.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// assert_eq!(ctx.parallelize(vec![5, 2, 43]).min()?, Some(2));
    /// assert_eq!(ctx.range(0..0_u32).min()?, None);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn min(&self) -> Result<Option<T>>
    where
        T: Ord,
    {
        self.merged(Operation::new("min"), std::cmp::min)
    }

    /// Gives the largest row, `None` if there is no row. Of equal rows it gives the last, as
    /// [`Iterator::max`] does; [`top(1)`](Rdd::top) gives the first.
    ///
    /// - **Shape**: `Rdd<T>` to `Option<T>`
    /// - **Partitions**: all, one task each
    /// - **Partitioner**: not used
    /// - **Shuffle**: none
    /// - **Memory**: one row for each partition
    /// - **Order**: of equal rows the last
    ///
    /// # Errors
    ///
    /// The first error of a task.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// assert_eq!(ctx.parallelize(vec![5, 2, 43]).max()?, Some(43));
    /// assert_eq!(ctx.range(0..0_u32).max()?, None);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn max(&self) -> Result<Option<T>>
    where
        T: Ord,
    {
        self.merged(Operation::new("max"), std::cmp::max)
    }

    /// Gives the row with the smallest key, `None` if there is no row. Of equal keys it gives the
    /// first row, as [`Iterator::min_by_key`] does. `key_of` runs once for each row.
    ///
    /// - **Shape**: `Rdd<T>` to `Option<T>`
    /// - **Partitions**: all, one task each
    /// - **Partitioner**: not used
    /// - **Shuffle**: none
    /// - **Memory**: one row and its key for each partition
    /// - **Order**: of equal keys the first
    ///
    /// # Errors
    ///
    /// The first error of a task.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["ccc", "a", "b"]);
    /// assert_eq!(words.min_by_key(|word| word.len())?, Some("a"));
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn min_by_key<K, F>(&self, key_of: F) -> Result<Option<T>>
    where
        K: Ord + Send + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        let pick = |a: (K, T), b: (K, T)| if b.0 < a.0 { b } else { a };
        self.picked(Operation::new("min_by_key"), key_of, pick)
    }

    /// Gives the row with the largest key, `None` if there is no row. Of equal keys it gives the
    /// last row, as [`Iterator::max_by_key`] does. `key_of` runs once for each row.
    ///
    /// - **Shape**: `Rdd<T>` to `Option<T>`
    /// - **Partitions**: all, one task each
    /// - **Partitioner**: not used
    /// - **Shuffle**: none
    /// - **Memory**: one row and its key for each partition
    /// - **Order**: of equal keys the last
    ///
    /// # Errors
    ///
    /// The first error of a task.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["a", "bb", "cc"]);
    /// assert_eq!(words.max_by_key(|word| word.len())?, Some("cc"));
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn max_by_key<K, F>(&self, key_of: F) -> Result<Option<T>>
    where
        K: Ord + Send + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        let pick = |a: (K, T), b: (K, T)| if b.0 < a.0 { a } else { b };
        self.picked(Operation::new("max_by_key"), key_of, pick)
    }

    fn picked<K, F, G>(&self, action: Operation, key_of: F, pick: G) -> Result<Option<T>>
    where
        K: Send + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
        G: Fn((K, T), (K, T)) -> (K, T) + Send + Sync + 'static,
    {
        let keyed =
            self.mapped(action, size_of::<F>(), KeyEffect::Changed, move |row| (key_of(&row), row));
        Ok(keyed.merged(action, pick)?.map(|(_, row)| row))
    }
}
