//! `cogroup3`: brings the values of each key in three RDDs together.

use super::cogroup::collect_pairs_of_groups;
use super::group::collect_group;
use super::shuffled::default_partitioning;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::operation::Operation;
use emberline_shuffle::{Partitioning, SubPartitionGroups, into_co_groups};

/// The values of one key from three RDDs.
type Three<V, W, X> = (Vec<V>, Vec<W>, Vec<X>);

/// # Joins
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Collects the values of each key into one `Vec` from each of three RDDs.
    ///
    /// A key that an RDD lacks has an empty `Vec` from it. Partitions, shuffle, order and memory
    /// are those of [`join`](Rdd::join), for three inputs.
    ///
    /// # Errors
    ///
    /// The action fails with [`GroupTooLarge`](crate::ErrorKind::GroupTooLarge) if a `Vec` exceeds
    /// the task memory limit; two calls of [`cogroup_iter`](Rdd::cogroup_iter) have no such limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let names = ctx.parallelize(vec![(1, 'a'), (2, 'b')]);
    /// let ages = ctx.parallelize(vec![(1, 30)]);
    /// let flags = ctx.parallelize(vec![(2, true)]);
    /// let mut rows = names.cogroup3(&ages, &flags).collect()?;
    /// rows.sort();
    /// assert_eq!(rows[0], (1, (vec!['a'], vec![30], vec![])));
    /// assert_eq!(rows[1], (2, (vec!['b'], vec![], vec![true])));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "cogroup")]
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
        let partitioning = default_partitioning(&[
            (self.num_partitions(), self.partitioning()),
            (second.num_partitions(), second.partitioning()),
            (third.num_partitions(), third.partitioning()),
        ]);
        self.cogrouped3(Operation::new("cogroup3"), partitioning, second, third)
    }

    /// Cogroups the first two RDDs, and the result with the third. The result of the first has the
    /// partitioner of the second, so no row is shuffled twice.
    pub(super) fn cogrouped3<W, X, Q, R>(
        &self,
        operation: Operation,
        partitioning: Partitioning<K>,
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
        let task_memory_limit_bytes = self.context.engine.config().task_memory_limit();
        let both =
            self.cogrouped_by(operation, partitioning.clone(), second, move |left, right| {
                collect_pairs_of_groups(operation, task_memory_limit_bytes, left, right)
            });
        both.cogrouped_by(operation, partitioning, third, move |left, right| {
            collect_three_groups(operation, task_memory_limit_bytes, left, right)
        })
    }
}

fn collect_three_groups<K: Key, V: Stored, W: Stored, X: Stored>(
    operation: Operation,
    task_memory_limit_bytes: u64,
    left: SubPartitionGroups<K, (Vec<V>, Vec<W>)>,
    right: SubPartitionGroups<K, X>,
) -> impl Iterator<Item = (K, Three<V, W, X>)> + 'static {
    into_co_groups(left.into_groups(), right.into_groups()).map(move |(key, both, third)| {
        // The first cogroup has each key once, or not at all if only the third RDD has it.
        let (first, second) = both.into_iter().next().unwrap_or_default();
        (
            key,
            (
                first,
                second,
                collect_group(operation, task_memory_limit_bytes, third, "cogroup_iter"),
            ),
        )
    })
}
