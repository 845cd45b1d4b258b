//! `lookup`: the values of one key.

use super::limit::Gathered;
use crate::driver::{ActionFrame, run_action};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use emberline_core::unwind::blame;
use emberline_shuffle::{Partitioning, RangePartitioner, hash_of};
use std::any::Any;
use std::hash::Hash;
use std::ops::Range;

/// # Actions
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Returns the values of one key, in the order of partitions and rows.
    ///
    /// Computes only the partition of the key if the partitioner is known, else all partitions.
    ///
    /// # Errors
    ///
    /// `PartitionOutOfRange` if the partitioner returns a partition that does not exist.
    /// `ResultTooLarge` if the returned rows exceed
    /// [`max_result_bytes`](crate::ContextBuilder::max_result_bytes).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let pairs = ctx.range(0..1000_u32).map(|n| (n % 100, n)).partition_by(8);
    /// let found = pairs.lookup(&42)?;
    /// assert_eq!((found.len(), found[0], found[9]), (10, 42, 942));
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn lookup(&self, key: &K) -> Result<Vec<V>>
    where
        K: Hash + Eq + Clone + Sync,
    {
        let action = Operation::new("lookup");
        run_action(action, |frame| {
            let partitions = self.partitions_of(frame, key)?;
            let wanted = key.clone();
            let limit = self.result_limit();
            let parts = self.run(frame, partitions, move |rows, task| {
                let is_wanted = |row: &(K, V)| blame(&action, || row.0 == wanted);
                let values = rows.filter(is_wanted).map(|(_, value)| value);
                Ok(limit.gather(task.attempt_id.partition, values))
            })?;
            Ok(parts.into_iter().flat_map(Gathered::into_rows).collect())
        })
    }

    fn partitions_of(&self, frame: &ActionFrame, key: &K) -> Result<Range<usize>>
    where
        K: Hash,
    {
        let all = 0..self.num_partitions();
        // A partitioner for another number of partitions does not describe these rows.
        let known = self.partitioning().filter(|by| by.partitions() == all.end && all.end > 0);
        let Some(by) = known else { return Ok(all) };
        if needs_sample(&by) {
            // A job without tasks takes the sample. Without it the ranges put every key into the
            // first partition.
            self.run(frame, 0..0, |_, _| Ok(()))?;
        }
        let partition = by.partition_of(key, hash_of(key));
        Ok(partition..partition + 1)
    }
}

/// Returns true if these are the ranges of a sort that has not run yet.
fn needs_sample<K: 'static>(by: &Partitioning<K>) -> bool {
    let Partitioning::By(partitioner) = by else { return false };
    let ranges = (&**partitioner as &dyn Any).downcast_ref::<RangePartitioner<K>>();
    ranges.is_some_and(|ranges| !ranges.has_bounds())
}
