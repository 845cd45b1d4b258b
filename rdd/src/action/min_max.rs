//! `min`, `max`, `min_by_key` and `max_by_key`.

use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::{KeyEffect, Rdd};
use emberline_core::error::Result;
use emberline_core::operation::Operation;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the smallest row, the first of equal ones, or `None` if there are no rows.
    ///
    /// Floats have no `Ord`; see [`stats`](Rdd::stats), or [`reduce`](Rdd::reduce) with `f64::min`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.parallelize(vec![5, 2, 43]).min()?, Some(2));
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn min(&self) -> Result<Option<T>>
    where
        T: Ord,
    {
        run_action(Operation::new("min"), |frame| self.merged(frame, std::cmp::min))
    }

    /// Returns the largest row, the last of equal ones as in std, or `None` without rows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.parallelize(vec![5, 2, 43]).max()?, Some(43));
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn max(&self) -> Result<Option<T>>
    where
        T: Ord,
    {
        run_action(Operation::new("max"), |frame| self.merged(frame, std::cmp::max))
    }

    /// Returns the row with the smallest key, the first of equal ones, or `None` without rows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["ccc", "a", "b"]);
    /// assert_eq!(words.min_by_key(|word| word.len())?, Some("a"));
    /// # Ok::<(), Error>(())
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

    /// Returns the row with the largest key, the last of equal ones, or `None` without rows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["a", "bb", "cc"]);
    /// assert_eq!(words.max_by_key(|word| word.len())?, Some("cc"));
    /// # Ok::<(), Error>(())
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
        run_action(action, move |frame| {
            let add_key = move |row| (key_of(&row), row);
            let keyed = self.mapped(action, size_of::<F>(), KeyEffect::Changed, add_key);
            Ok(keyed.merged(frame, pick)?.map(|(_, row)| row))
        })
    }
}
