//! Ranges cut finer, so that a sorting task works on a piece that fits its cache and its share.

use crate::keys::partitioner::range_bounds;
use crate::keys::sub_partitions::sub_partitions_per_partition;
use std::cmp::Ordering;
use std::sync::OnceLock;

/// The ranges of a sort, each cut into slices of rising keys. A map output has a segment for each
/// slice, and a reading task sorts one slice after the other. The bounds come later than the rest,
/// since finding them takes a job of its own; until then every row is in slice 0.
#[derive(Debug)]
pub struct RangeSubPartitions<K> {
    each: usize,
    cuts: OnceLock<Cuts<K>>,
}

#[derive(Debug)]
struct Cuts<K> {
    bounds: Vec<K>,
    /// The slice below each bound, and the one above the last.
    slices: Vec<usize>,
}

impl<K: Clone> RangeSubPartitions<K> {
    /// SubPartitions of so many ranges: how many depends on that alone.
    pub fn new(partitions: usize) -> Self {
        RangeSubPartitions { each: sub_partitions_per_partition(partitions), cuts: OnceLock::new() }
    }

    /// The slices of each range.
    pub fn each(&self) -> usize {
        self.each
    }

    /// Cuts the ranges below and above `ranges` into slices of about the same weight of the sorted
    /// sample that gave them. Only the first call counts.
    pub fn set(
        &self,
        ranges: &[K],
        sample: &[(K, f64)],
        partitions: usize,
        compare: impl Fn(&K, &K) -> Ordering,
    ) {
        let fine = range_bounds(sample, partitions * self.each, &compare);
        let (mut bounds, mut slices) = (Vec::new(), Vec::new());
        let (mut range, mut slice) = (0, 0);
        let mut fine = fine.into_iter().peekable();
        for end in ranges.iter().map(Some).chain([None]) {
            let is_below = |bound: &K| end.is_none_or(|end| compare(bound, end).is_lt());
            while let Some(bound) = fine.next_if(is_below) {
                // The last slice of a range takes what is left of it.
                if slice + 1 < self.each {
                    bounds.push(bound);
                    slices.push(range * self.each + slice);
                    slice += 1;
                }
            }
            slices.push(range * self.each + slice);
            if let Some(end) = end {
                while fine.next_if(|bound| compare(bound, end).is_eq()).is_some() {}
                bounds.push(end.clone());
            }
            (range, slice) = (range + 1, 0);
        }
        // Bounds that are there already were found from the same sample.
        let _ = self.cuts.set(Cuts { bounds, slices });
    }

    /// The slice of a row: `at` says how many of the bounds lie below it.
    #[inline]
    pub fn index_of(&self, at: impl FnOnce(&[K]) -> usize) -> usize {
        self.cuts.get().map_or(0, |cuts| cuts.slices[at(&cuts.bounds)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_rise_with_the_keys_and_never_leave_their_range(
            sample in prop::collection::vec((0_u32..500, 1_u32..9), 0..300),
            partitions in 1_usize..20,
        ) {
            let mut sample: Vec<_> = sample.into_iter().map(|(k, w)| (k, f64::from(w))).collect();
            sample.sort_by_key(|(key, _)| *key);
            let ranges = range_bounds(&sample, partitions, u32::cmp);
            let slices = RangeSubPartitions::new(partitions);
            slices.set(&ranges, &sample, partitions, u32::cmp);
            let mut last = 0;
            for key in 0..500_u32 {
                let slice = slices.index_of(|bounds| bounds.partition_point(|bound| *bound < key));
                let range = ranges.partition_point(|bound| *bound < key);
                prop_assert_eq!(slice / slices.each(), range);
                prop_assert!(slice >= last);
                last = slice;
            }
        }
    }

    #[test]
    fn even_keys_are_cut_into_even_slices() {
        let sample: Vec<_> = (0..6400_u32).map(|key| (key, 1.0)).collect();
        let ranges = range_bounds(&sample, 4, u32::cmp);
        let slices = RangeSubPartitions::new(4);
        slices.set(&ranges, &sample, 4, u32::cmp);
        let mut rows = vec![0; 4 * slices.each()];
        for key in 0..6400_u32 {
            rows[slices.index_of(|bounds| bounds.partition_point(|bound| *bound < key))] += 1;
        }
        assert!(rows.iter().all(|rows| (95..=105).contains(rows)), "{rows:?}");
        let none = RangeSubPartitions::<u32>::new(4);
        assert_eq!(none.index_of(|_| unreachable!("there are no bounds")), 0);
    }
}
