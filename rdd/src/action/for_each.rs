//! `for_each`: side effects.

use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::step::{Step, blame};

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Calls `f` with each row, inside the tasks and on their threads. A task that is tried again
    /// calls `f` again.
    ///
    /// - **Shape**: `Rdd<T>` to nothing
    /// - **Partitions**: all, one task each
    /// - **Partitioner**: not used
    /// - **Shuffle**: none
    /// - **Memory**: constant
    /// - **Order**: of the rows within a partition; partitions run at the same time
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
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    ///
    /// let ctx = Context::local()?;
    /// let sum = Arc::new(AtomicU64::new(0));
    /// let adder = Arc::clone(&sum);
    /// ctx.range(0..10_u64).for_each(move |n| { adder.fetch_add(n, Ordering::Relaxed); })?;
    /// assert_eq!(sum.load(Ordering::Relaxed), 45);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn for_each<F>(&self, f: F) -> Result<()>
    where
        F: Fn(T) + Send + Sync + 'static,
    {
        let action = Step::new("for_each");
        self.run_all(action, move |rows| rows.for_each(|row| blame(&action, || f(row))))?;
        Ok(())
    }
}
