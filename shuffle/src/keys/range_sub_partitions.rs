//! Divides ranges of keys, so that a sorting task works on a part that fits in its cache and its
//! memory.

use crate::keys::partitioner::range_bounds;
use crate::keys::sub_partitions::sub_partitions_per_partition;
use std::cmp::Ordering;
use std::sync::OnceLock;

/// The ranges of a sort, each divided into sub-partitions of ascending keys. A map output has a
/// segment for each sub-partition, and a reduce task sorts one after the other. The bounds are set
/// later, since finding them takes a job of its own; until then every row is in sub-partition 0.
#[derive(Debug)]
pub struct RangeSubPartitions<K> {
    each: usize,
    cuts: OnceLock<Cuts<K>>,
}

#[derive(Debug)]
struct Cuts<K> {
    bounds: Vec<K>,
    /// The sub-partition of the keys up to each bound, and that of the keys above the last bound.
    sub_partitions: Vec<usize>,
}

impl<K: Clone> RangeSubPartitions<K> {
    /// Divides each of `partitions` ranges. The number of sub-partitions depends on the number of
    /// ranges alone.
    pub fn new(partitions: usize) -> Self {
        RangeSubPartitions { each: sub_partitions_per_partition(partitions), cuts: OnceLock::new() }
    }

    /// Returns the number of sub-partitions of each range.
    pub fn each(&self) -> usize {
        self.each
    }

    /// Divides the ranges between the bounds `ranges` into sub-partitions of about the same weight
    /// of the sorted sample from which the bounds were computed. Only the first call has an effect.
    pub fn set(
        &self,
        ranges: &[K],
        sample: &[(K, f64)],
        partitions: usize,
        compare: impl Fn(&K, &K) -> Ordering,
    ) {
        let fine = range_bounds(sample, partitions * self.each, &compare);
        let mut bounds = Vec::new();
        let mut sub_partitions = Vec::new();
        let mut fine = fine.into_iter().peekable();
        for (range, end) in ranges.iter().map(Some).chain([None]).enumerate() {
            let mut sub_partition = 0;
            let is_below = |bound: &K| end.is_none_or(|end| compare(bound, end).is_lt());
            while let Some(bound) = fine.next_if(is_below) {
                // The last sub-partition of a range has the rest of it.
                if sub_partition + 1 < self.each {
                    bounds.push(bound);
                    sub_partitions.push(range * self.each + sub_partition);
                    sub_partition += 1;
                }
            }
            sub_partitions.push(range * self.each + sub_partition);
            if let Some(end) = end {
                while fine.next_if(|bound| compare(bound, end).is_eq()).is_some() {}
                bounds.push(end.clone());
            }
        }
        // Existing bounds were computed from the same sample.
        let _ = self.cuts.set(Cuts { bounds, sub_partitions });
    }

    /// Returns the sub-partition of a row: `at` returns the number of bounds that are less than its
    /// key.
    #[inline]
    pub fn index_of(&self, at: impl FnOnce(&[K]) -> usize) -> usize {
        self.cuts.get().map_or(0, |cuts| cuts.sub_partitions[at(&cuts.bounds)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sub_partitions_ascend_with_the_keys_inside_their_range(
            sample in prop::collection::vec((0_u32..500, 1_u32..9), 0..300),
            partitions in 1_usize..20,
        ) {
            let mut sample: Vec<_> = sample.into_iter().map(|(k, w)| (k, f64::from(w))).collect();
            sample.sort_by_key(|(key, _)| *key);
            let ranges = range_bounds(&sample, partitions, u32::cmp);
            let sub_partitions = RangeSubPartitions::new(partitions);
            sub_partitions.set(&ranges, &sample, partitions, u32::cmp);
            let mut last = 0;
            for key in 0..500_u32 {
                let sub_partition = sub_partitions.index_of(|bounds| bounds.partition_point(|bound| *bound < key));
                let range = ranges.partition_point(|bound| *bound < key);
                prop_assert_eq!(sub_partition / sub_partitions.each(), range);
                prop_assert!(sub_partition >= last);
                last = sub_partition;
            }
        }
    }

    #[test]
    fn evenly_distributed_keys_have_sub_partitions_of_equal_size() {
        let sample: Vec<_> = (0..6400_u32).map(|key| (key, 1.0)).collect();
        let ranges = range_bounds(&sample, 4, u32::cmp);
        let sub_partitions = RangeSubPartitions::new(4);
        sub_partitions.set(&ranges, &sample, 4, u32::cmp);
        let mut rows = vec![0; 4 * sub_partitions.each()];
        for key in 0..6400_u32 {
            rows[sub_partitions.index_of(|bounds| bounds.partition_point(|bound| *bound < key))] +=
                1;
        }
        assert!(rows.iter().all(|rows| (95..=105).contains(rows)), "{rows:?}");
        let none = RangeSubPartitions::<u32>::new(4);
        assert_eq!(none.index_of(|_| unreachable!("there are no bounds")), 0);
    }
}
