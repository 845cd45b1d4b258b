//! Divides partitions, so that a reduce task works on a part that fits in its cache.

use crate::keys::hash::partition_of_hash;
use crate::keys::partitioner::Partitioning;
use std::ops::Range;

/// A partitioning whose partitions are divided into sub-partitions of ascending hashes. A map
/// output has a segment for each; a reduce task groups or merges one after the other, so the rows
/// of a partition are still in the order of their hash.
pub struct SubPartitions<K> {
    partitioning: Partitioning<K>,
    each: usize,
}

/// About the number of segments to which a map task can write without leaving its caches.
const SEGMENTS: usize = 256;
/// The most sub-partitions of one partition.
const MAX_SUB_PARTITIONS: usize = 16;

/// Returns the number of sub-partitions of each of `partitions` partitions.
pub(crate) fn sub_partitions_per_partition(partitions: usize) -> usize {
    (SEGMENTS / partitions.max(1)).clamp(1, MAX_SUB_PARTITIONS)
}

impl<K: 'static> SubPartitions<K> {
    /// Divides a partitioning. The number of sub-partitions depends on the number of partitions
    /// alone.
    pub fn new(partitioning: Partitioning<K>) -> Self {
        SubPartitions {
            each: sub_partitions_per_partition(partitioning.partitions()),
            partitioning,
        }
    }

    /// Returns the number of sub-partitions of all partitions.
    pub fn count(&self) -> usize {
        self.partitioning.partitions().saturating_mul(self.each)
    }

    /// Returns the number of sub-partitions of each partition.
    pub fn each(&self) -> usize {
        self.each
    }

    /// Returns the sub-partitions of one partition, in the order of their hashes.
    pub fn of_partition(&self, partition: usize) -> Range<usize> {
        partition * self.each..(partition + 1) * self.each
    }

    /// Returns the sub-partition of a key. By hash, the high bits are the partition, and the next
    /// lower bits the sub-partition in it.
    #[inline]
    pub fn index_of(&self, key: &K, hash: u64) -> usize {
        match &self.partitioning {
            Partitioning::Hash(partitions) => partition_of_hash(hash, partitions * self.each),
            by @ Partitioning::By(_) => {
                by.partition_of(key, hash) * self.each + partition_of_hash(hash, self.each)
            }
        }
    }

    /// Returns the number of the sub-partition inside `partition`, below
    /// [`each`](SubPartitions::each), of a row of that partition. It follows from the hash alone:
    /// no partitioner is called, and a row that should be in another partition has one too.
    #[inline]
    pub fn within(&self, partition: usize, hash: u64) -> usize {
        match &self.partitioning {
            Partitioning::Hash(partitions) => {
                let first = partition * self.each;
                let sub_partition = partition_of_hash(hash, partitions * self.each);
                sub_partition.clamp(first, first + self.each - 1) - first
            }
            Partitioning::By(_) => partition_of_hash(hash, self.each),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::hash::hash_of;
    use crate::keys::partitioner::RangePartitioner;
    use std::sync::Arc;

    #[test]
    fn sub_partitions_are_in_the_partition_of_their_key_and_ascend_with_the_hash() {
        let range = Arc::new(RangePartitioner::new(3));
        range.set_bounds(vec![300_u32, 600]);
        let some = [1, 2, 3, 7, 16, 100, 256, 1000].map(Partitioning::Hash);
        for partitioning in some.into_iter().chain([Partitioning::from(range)]) {
            let sub_partitions = SubPartitions::new(partitioning.clone());
            let mut hashed: Vec<_> = (0..1000_u32).map(|key| (hash_of(&key), key)).collect();
            hashed.sort_unstable();
            let mut last = vec![0; partitioning.partitions()];
            for (hash, key) in hashed {
                let (partition, sub_partition) =
                    (partitioning.partition_of(&key, hash), sub_partitions.index_of(&key, hash));
                assert!(sub_partitions.of_partition(partition).contains(&sub_partition));
                assert!(last[partition] <= sub_partition && sub_partition < sub_partitions.count());
                last[partition] = sub_partition;
                let first = sub_partitions.of_partition(partition).start;
                assert_eq!(first + sub_partitions.within(partition, hash), sub_partition);
            }
        }
    }

    #[test]
    fn a_row_of_another_partition_has_a_sub_partition_too() {
        let range = Partitioning::from(Arc::new(RangePartitioner::<u32>::new(3)));
        for partitioning in [range].into_iter().chain([1, 3, 7, 1000].map(Partitioning::Hash)) {
            let sub_partitions = SubPartitions::new(partitioning.clone());
            let hashes = (0..100_u32).map(|key| hash_of(&key)).chain([0, u64::MAX]);
            for (hash, partition) in hashes.flat_map(|hash| [0, 1, 2, 999].map(|n| (hash, n))) {
                let partition = partition % partitioning.partitions();
                assert!(sub_partitions.within(partition, hash) < sub_partitions.each());
            }
        }
    }
}
