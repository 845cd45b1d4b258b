//! `reduce_by_key`: one value for each key.

use super::combine_by_key::Combine;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::Partitioning;
use std::sync::Arc;

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Merges the values of each key with `f`, which must be associative: first within each
    /// partition, then over the partitions in their order.
    ///
    /// - **Shape**: `Rdd<(K, V)>` to `Rdd<(K, V)>`, one row for each key
    /// - **Partitions**: of the partitioner it already has, else kept
    /// - **Partitioner**: the one it already has, else by hash
    /// - **Shuffle**: one, with map-side combine; none if already partitioned so
    /// - **Memory**: a table of distinct keys in a task's share; what passes it goes in runs
    /// - **Order**: by the hash of the key
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let words = ctx.parallelize(vec!["to", "be", "or", "not", "to", "be"]);
    /// let counts = words.map(|word| (word.to_string(), 1)).reduce_by_key(|a, b| a + b);
    /// assert_eq!(counts.top_by_key(1, |(word, n)| (*n, word.clone()))?, [("to".to_string(), 2)]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    ///
    /// Only pairs have a key. This does not compile:
    ///
    /// ```compile_fail,E0599
    /// # use emberline_rdd as emberline;
    /// # use emberline::prelude::*;
    /// # let ctx = Context::local()?;
    /// ctx.parallelize(vec![1, 2]).reduce_by_key(|a, b| a + b).count()?;
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    ///
    /// nor does a key that cannot be hashed:
    ///
    /// ```compile_fail,E0277
    /// # use emberline_rdd as emberline;
    /// # use emberline::prelude::*;
    /// # let ctx = Context::local()?;
    /// ctx.parallelize(vec![(0.5, 1), (0.5, 2)]).reduce_by_key(|a, b| a + b).count()?;
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    ///
    /// nor does a key that borrows its text, since a row read back from a file owns it:
    ///
    /// ```compile_fail
    /// # use emberline_rdd as emberline;
    /// # use emberline::prelude::*;
    /// # let ctx = Context::local()?;
    /// ctx.parallelize(vec!["a"]).map(|word| (word, 1)).reduce_by_key(|a, b| a + b).count()?;
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    ///
    /// while a key that owns its text and an integer key do:
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// # use emberline::prelude::*;
    /// # let ctx = Context::local()?;
    /// let sums = ctx.parallelize(vec![(5, 1), (5, 2)]).reduce_by_key(|a, b| a + b);
    /// assert_eq!(sums.collect()?, [(5, 3)]);
    /// let words = ctx.parallelize(vec!["a"]).map(|word| (word.to_string(), 1));
    /// assert_eq!(words.reduce_by_key(|a, b| a + b).count()?, 1);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_key<F>(&self, f: F) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        self.reduced(Operation::new("reduce_by_key"), self.default_partitioning_of_keys(), f)
    }

    pub(crate) fn reduced<F>(&self, operation: Operation, by: Partitioning<K>, f: F) -> Rdd<(K, V)>
    where
        K: Key,
        V: Stored,
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let again = Arc::clone(&f);
        let combine = Combine {
            create: |value| value,
            merge_value: move |a, b| f(a, b),
            merge_combiners: move |a, b| again(a, b),
        };
        self.combined(operation, by, combine)
    }
}
