//! Partitions cut finer, so that a reading task works on a piece that fits its cache.

use crate::keys::hash::partition_of_hash;
use crate::keys::partitioner::Partitioning;
use std::ops::Range;

/// A partitioning whose partitions are cut into slices of rising hashes. A map output has a segment
/// for each slice; a reading task groups or merges one slice after the other, so the rows of a
/// partition still come in the order of their hash.
pub struct SubPartitions<K> {
    partitioning: Partitioning<K>,
    each: usize,
}

/// About as many segments as a map task can write to at once without leaving its caches.
const SEGMENTS: usize = 256;
/// The most slices of one partition.
const MAX_SLICES: usize = 16;

/// How many slices each of so many partitions is cut into.
pub(crate) fn sub_partitions_per_partition(partitions: usize) -> usize {
    (SEGMENTS / partitions.max(1)).clamp(1, MAX_SLICES)
}

impl<K: 'static> SubPartitions<K> {
    /// The slices of a partitioning: how many depends on its partitions alone.
    pub fn new(partitioning: Partitioning<K>) -> Self {
        SubPartitions {
            each: sub_partitions_per_partition(partitioning.partitions()),
            partitioning,
        }
    }

    /// The slices of all partitions.
    pub fn count(&self) -> usize {
        self.partitioning.partitions() * self.each
    }

    /// The slices of each partition.
    pub fn each(&self) -> usize {
        self.each
    }

    /// The slices of one partition, in the order of their hashes.
    pub fn of_partition(&self, partition: usize) -> Range<usize> {
        partition * self.each..(partition + 1) * self.each
    }

    /// The slice of a key. By hash the cut is just finer: the high bits say the partition, those
    /// below them the slice.
    #[inline]
    pub fn index_of(&self, key: &K, hash: u64) -> usize {
        match &self.partitioning {
            Partitioning::Hash(partitions) => partition_of_hash(hash, partitions * self.each),
            by => by.partition_of(key, hash) * self.each + partition_of_hash(hash, self.each),
        }
    }

    /// The number of the slice inside `partition`, below [`each`](SubPartitions::each), of a row that is
    /// there. The hash alone says it: no partitioner is asked, and a row that should be elsewhere
    /// gets a slice all the same.
    #[inline]
    pub fn within(&self, partition: usize, hash: u64) -> usize {
        match &self.partitioning {
            Partitioning::Hash(partitions) => {
                let first = partition * self.each;
                let slice = partition_of_hash(hash, partitions * self.each);
                slice.clamp(first, first + self.each - 1) - first
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
    fn a_slice_lies_in_the_partition_of_its_key_and_slices_rise_with_the_hash() {
        let range = Arc::new(RangePartitioner::new(3));
        range.set_bounds(vec![300_u32, 600]);
        let some = [1, 2, 3, 7, 16, 100, 256, 1000].map(Partitioning::Hash);
        for partitioning in some.into_iter().chain([Partitioning::from(range)]) {
            let slices = SubPartitions::new(partitioning.clone());
            let mut hashed: Vec<_> = (0..1000_u32).map(|key| (hash_of(&key), key)).collect();
            hashed.sort_unstable();
            let mut last = vec![0; partitioning.partitions()];
            for (hash, key) in hashed {
                let (partition, slice) =
                    (partitioning.partition_of(&key, hash), slices.index_of(&key, hash));
                assert!(slices.of_partition(partition).contains(&slice));
                assert!(last[partition] <= slice && slice < slices.count());
                last[partition] = slice;
                let first = slices.of_partition(partition).start;
                assert_eq!(first + slices.within(partition, hash), slice);
            }
        }
    }

    #[test]
    fn a_row_of_another_partition_stays_within_the_slices() {
        let range = Partitioning::from(Arc::new(RangePartitioner::<u32>::new(3)));
        for partitioning in [range].into_iter().chain([1, 3, 7, 1000].map(Partitioning::Hash)) {
            let slices = SubPartitions::new(partitioning.clone());
            let hashes = (0..100_u32).map(|key| hash_of(&key)).chain([0, u64::MAX]);
            for (hash, partition) in hashes.flat_map(|hash| [0, 1, 2, 999].map(|n| (hash, n))) {
                let partition = partition % partitioning.partitions();
                assert!(slices.within(partition, hash) < slices.each());
            }
        }
    }
}
