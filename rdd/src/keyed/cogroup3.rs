//! `cogroup3`: the values of a key from three RDDs side by side.

use super::cogroup::lists_of_both;
use super::group::into_list;
use super::shuffled::default_partitioning;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::{Partitioning, SubPartitionGroups, into_co_groups};

/// The values of one key from three RDDs.
type Three<V, W, X> = (Vec<V>, Vec<W>, Vec<X>);

impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Brings the values of each key of any of three RDDs together: a list from this one, one from
    /// `second` and one from `third`, empty where the key is absent.
    ///
    /// - **Shape**: `Rdd<(K, V)>`, `Rdd<(K, W)>` and `Rdd<(K, X)>` to `Rdd<(K, (Vec<V>, Vec<W>,
    ///   Vec<X>))>`
    /// - **Partitions**: of the largest partitioner any has (unless that has at most a tenth of
    ///   another side's partitions), else the most of the three
    /// - **Partitioner**: that one, else by hash
    /// - **Shuffle**: one for each side that is not already partitioned so
    /// - **Memory**: a task's share; what passes it is sorted in runs. A list that passes it is the
    ///   error `GroupTooLarge`: use `cogroup_iter` twice
    /// - **Order**: by the hash of the key; values in the order of partitions and rows
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let names = ctx.parallelize(vec![(1, 'a'), (2, 'b')]);
    /// let ages = ctx.parallelize(vec![(1, 30)]);
    /// let flags = ctx.parallelize(vec![(2, true)]);
    /// let mut rows = names.cogroup3(&ages, &flags).collect()?;
    /// rows.sort();
    /// assert_eq!(rows, [(1, (vec!['a'], vec![30], vec![])), (2, (vec!['b'], vec![], vec![true]))]);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn cogroup3<W, X, Q, R>(
        &self,
        second: &Rdd<(K, W), Q>,
        third: &Rdd<(K, X), R>,
    ) -> Rdd<(K, Three<V, W, X>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        X: Stored,
        Q: Pipeline<Item = (K, W)>,
        R: Pipeline<Item = (K, X)>,
    {
        let by = default_partitioning(&[
            (self.num_partitions(), self.partitioning()),
            (second.num_partitions(), second.partitioning()),
            (third.num_partitions(), third.partitioning()),
        ]);
        self.cogrouped3(Operation::new("cogroup3"), by, second, third)
    }

    /// A cogroup of a cogroup: the first one's result lies as the second one wants it, so no row is
    /// shuffled twice.
    pub(super) fn cogrouped3<W, X, Q, R>(
        &self,
        operation: Operation,
        by: Partitioning<K>,
        second: &Rdd<(K, W), Q>,
        third: &Rdd<(K, X), R>,
    ) -> Rdd<(K, Three<V, W, X>)>
    where
        K: Key,
        V: Stored,
        W: Stored,
        X: Stored,
        Q: Pipeline<Item = (K, W)>,
        R: Pipeline<Item = (K, X)>,
    {
        let share = self.context.engine.config().task_memory_limit();
        let both = self.cogrouped_by(operation, by.clone(), second, move |left, right| {
            lists_of_both(operation, share, left, right)
        });
        both.cogrouped_by(operation, by, third, move |left, right| {
            groups_of_three(operation, share, left, right)
        })
    }
}

fn groups_of_three<K: Key, V: Stored, W: Stored, X: Stored>(
    operation: Operation,
    share: u64,
    left: SubPartitionGroups<K, (Vec<V>, Vec<W>)>,
    right: SubPartitionGroups<K, X>,
) -> impl Iterator<Item = (K, Three<V, W, X>)> + 'static {
    into_co_groups(left.into_groups(), right.into_groups()).map(move |(key, both, third)| {
        // The first cogroup gives a key once, or not at all if only the third side has it.
        let (first, second) = both.into_iter().next().unwrap_or_default();
        (key, (first, second, into_list(operation, share, third, "cogroup_iter")))
    })
}
