//! The partition of a key.

use crate::keys::hash::{hash_of, partition_of_hash};
use emberline_core::error::{Error, ErrorKind};
use emberline_core::unwind::raise;
use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};

/// A function from keys to partitions, which users may implement to decide which keys are in one
/// partition.
///
/// The partition must depend on the key alone, and equal keys must have the same one. Otherwise
/// rows of one key are in several partitions, and a recomputed partition may have other rows than
/// before.
///
/// # Examples
///
/// Orders of one country in one partition:
///
/// ```
/// use emberline_shuffle::{Partitioner, Partitioning};
/// use std::any::Any;
/// use std::sync::Arc;
///
/// struct ByCountry {
///     countries: Vec<&'static str>,
/// }
///
/// impl Partitioner<String> for ByCountry {
///     fn partitions(&self) -> usize {
///         self.countries.len() + 1
///     }
///
///     fn partition_of(&self, order: &String) -> usize {
///         let known = self.countries.iter().position(|country| order.starts_with(country));
///         known.unwrap_or(self.countries.len())
///     }
///
///     // If two values partition keys in the same way, a join of their RDDs needs no shuffle.
///     fn same_as(&self, other: &dyn Any) -> bool {
///         other.downcast_ref::<Self>().is_some_and(|other| other.countries == self.countries)
///     }
/// }
///
/// let by = |countries| Partitioning::from(Arc::new(ByCountry { countries }));
/// let orders = by(vec!["de", "fr"]);
/// assert_eq!(orders.partition_of(&"fr-17".to_string(), 0), 1);
/// assert_eq!(orders.partition_of(&"it-03".to_string(), 0), 2);
/// assert!(orders.same_as(&by(vec!["de", "fr"])));
/// assert!(!orders.same_as(&by(vec!["de", "it"])));
/// ```
pub trait Partitioner<K>: Any + Send + Sync {
    /// Returns the number of partitions.
    fn partitions(&self) -> usize;

    /// Returns the partition of `key`, below [`partitions`](Partitioner::partitions).
    fn partition_of(&self, key: &K) -> usize;

    /// Returns true if `other` assigns every key to the same partition. A value equals itself
    /// without a call; two values differ unless this returns true.
    fn same_as(&self, _other: &dyn Any) -> bool {
        false
    }
}

/// A partitioner that distributes keys evenly by their hash: the meaning of a plain number of
/// partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashPartitioner {
    /// The number of partitions.
    pub partitions: usize,
}

impl<K: Hash> Partitioner<K> for HashPartitioner {
    fn partitions(&self) -> usize {
        self.partitions
    }

    #[inline]
    fn partition_of(&self, key: &K) -> usize {
        partition_of_hash(hash_of(key), self.partitions)
    }

    fn same_as(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }
}

/// The partitioning of the rows of an operation. A number of partitions means by hash.
pub enum Partitioning<K> {
    /// By hash into a number of partitions.
    Hash(usize),
    /// By a partitioner.
    By(Arc<dyn Partitioner<K>>),
}

impl<K: 'static> Partitioning<K> {
    /// Returns the number of partitions.
    pub fn partitions(&self) -> usize {
        match self {
            Partitioning::Hash(partitions) => *partitions,
            Partitioning::By(partitioner) => partitioner.partitions(),
        }
    }

    /// Returns the partition of `key`, whose hash is `hash`. Raises an error if a partitioner
    /// returns a partition that does not exist.
    #[inline]
    pub fn partition_of(&self, key: &K, hash: u64) -> usize {
        match self {
            Partitioning::Hash(partitions) => partition_of_hash(hash, *partitions),
            Partitioning::By(partitioner) => ask(&**partitioner, key),
        }
    }

    /// Returns true if both are known to assign every key to the same partition.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Partitioning::By(a), Partitioning::By(b)) => {
                let one_value = std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b));
                one_value || a.same_as(&**b as &dyn Any)
            }
            _ => self.hash_partitions().is_some_and(|n| other.hash_partitions() == Some(n)),
        }
    }

    fn hash_partitions(&self) -> Option<usize> {
        match self {
            Partitioning::Hash(partitions) => Some(*partitions),
            Partitioning::By(partitioner) => hash_partitions(&**partitioner as &dyn Any),
        }
    }
}

fn hash_partitions(partitioner: &dyn Any) -> Option<usize> {
    partitioner.downcast_ref::<HashPartitioner>().map(|by_hash| by_hash.partitions)
}

fn ask<K: 'static>(partitioner: &dyn Partitioner<K>, key: &K) -> usize {
    let partition = partitioner.partition_of(key);
    let partitions = partitioner.partitions();
    if partition >= partitions {
        raise(Error::new(ErrorKind::PartitionOutOfRange { partition, partitions }));
    }
    partition
}

impl<K> Clone for Partitioning<K> {
    fn clone(&self) -> Self {
        match self {
            Partitioning::Hash(partitions) => Partitioning::Hash(*partitions),
            Partitioning::By(partitioner) => Partitioning::By(Arc::clone(partitioner)),
        }
    }
}

/// Formats the kind of the partitioner and its number of partitions, as `explain` shows them.
impl<K: 'static> fmt::Debug for Partitioning<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Partitioning::Hash(partitions) => write!(f, "Hash({partitions})"),
            Partitioning::By(partitioner) => {
                let is_range = (&**partitioner as &dyn Any).is::<RangePartitioner<K>>();
                let name = if is_range { "Range" } else { "Custom" };
                write!(f, "{name}({})", partitioner.partitions())
            }
        }
    }
}

impl<K> From<usize> for Partitioning<K> {
    fn from(partitions: usize) -> Self {
        Partitioning::Hash(partitions)
    }
}

impl<K> From<HashPartitioner> for Partitioning<K> {
    fn from(by_hash: HashPartitioner) -> Self {
        Partitioning::Hash(by_hash.partitions)
    }
}

impl<K, Q: Partitioner<K>> From<Arc<Q>> for Partitioning<K> {
    fn from(partitioner: Arc<Q>) -> Self {
        Partitioning::from(partitioner as Arc<dyn Partitioner<K>>)
    }
}

impl<K> From<Arc<dyn Partitioner<K>>> for Partitioning<K> {
    fn from(partitioner: Arc<dyn Partitioner<K>>) -> Self {
        match hash_partitions(&*partitioner as &dyn Any) {
            Some(partitions) => Partitioning::Hash(partitions),
            None => Partitioning::By(partitioner),
        }
    }
}

/// A partitioner of ordered keys into ranges: all keys of a partition are less than those of the
/// next. The bounds are set later, since finding them takes a job of its own.
#[derive(Debug)]
pub struct RangePartitioner<K> {
    partitions: usize,
    bounds: OnceLock<Vec<K>>,
}

impl<K> RangePartitioner<K> {
    /// Makes a partitioner without bounds, with which every key is in partition 0.
    pub fn new(partitions: usize) -> Self {
        RangePartitioner { partitions, bounds: OnceLock::new() }
    }

    /// Returns the largest number of ranges.
    pub fn count(&self) -> usize {
        self.partitions
    }

    /// Sets the upper bound of every partition except the last, ascending, as [`range_bounds`]
    /// returns them. Only the first call has an effect, so that a partition never changes during a
    /// task. Bounds after the last partition are ignored.
    pub fn set_bounds(&self, mut bounds: Vec<K>) {
        bounds.truncate(self.partitions.saturating_sub(1));
        // Existing bounds were computed from the same sample.
        let _ = self.bounds.set(bounds);
    }

    /// Returns the bounds, ascending; none before they are set.
    #[inline]
    pub fn bounds(&self) -> &[K] {
        self.bounds.get().map_or(&[][..], Vec::as_slice)
    }

    /// Returns true if the bounds are set.
    pub fn has_bounds(&self) -> bool {
        self.bounds.get().is_some()
    }
}

impl<K: Ord + Send + Sync + 'static> Partitioner<K> for RangePartitioner<K> {
    fn partitions(&self) -> usize {
        self.partitions
    }

    /// Returns the partition of a key. A key that equals a bound is in the partition below it.
    #[inline]
    fn partition_of(&self, key: &K) -> usize {
        self.bounds().partition_point(|bound| bound < key)
    }
}

/// Returns upper bounds for all partitions except the last, such that each has about the same
/// weight of a sample. There are fewer if a few keys have most of the weight. The sample is in the
/// order of `compare`, in which the bounds ascend.
pub fn range_bounds<K: Clone>(
    sample: &[(K, f64)],
    partitions: usize,
    compare: impl Fn(&K, &K) -> Ordering,
) -> Vec<K> {
    let step = sample.iter().map(|(_, weight)| weight).sum::<f64>() / partitions as f64;
    let mut bounds: Vec<K> = Vec::new();
    let mut reached = 0.0;
    let mut target = step;
    for (key, weight) in sample {
        if bounds.len() + 1 >= partitions {
            break;
        }
        reached += weight;
        if reached >= target && bounds.last().is_none_or(|last| compare(last, key).is_lt()) {
            bounds.push(key.clone());
            target += step;
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberline_core::unwind::Raised;
    use proptest::prelude::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    struct Wrong;
    impl Partitioner<u32> for Wrong {
        fn partitions(&self) -> usize {
            4
        }
        fn partition_of(&self, key: &u32) -> usize {
            *key as usize
        }
    }

    #[test]
    fn a_partition_out_of_range_is_an_error_that_names_it() {
        let by = Partitioning::from(Arc::new(Wrong));
        assert_eq!(by.partition_of(&3, 0), 3);
        let caught = catch_unwind(AssertUnwindSafe(|| by.partition_of(&4, 0))).unwrap_err();
        let raised = caught.downcast::<Raised>().unwrap();
        assert!(matches!(
            raised.0.kind(),
            ErrorKind::PartitionOutOfRange { partition: 4, partitions: 4 }
        ));
    }

    #[test]
    fn partitionings_by_hash_are_the_same_if_their_counts_are() {
        let plain = Partitioning::<u32>::from(8);
        let by = Partitioning::By(Arc::new(HashPartitioner { partitions: 8 }));
        assert!(plain.same_as(&by) && by.same_as(&plain) && by.same_as(&by.clone()));
        let shared: Arc<dyn Partitioner<u32>> = Arc::new(HashPartitioner { partitions: 8 });
        assert!(matches!(Partitioning::from(shared), Partitioning::Hash(8)));
        assert!(plain.same_as(&Partitioning::from(HashPartitioner { partitions: 8 })));
        assert!(!plain.same_as(&Partitioning::Hash(7)));
        for key in 0..100 {
            assert_eq!(plain.partition_of(&key, hash_of(&key)), by.partition_of(&key, 0));
        }
    }

    #[test]
    fn a_partitioner_without_same_as_is_the_same_only_as_itself() {
        let (a, b) = (Partitioning::from(Arc::new(Wrong)), Partitioning::from(Arc::new(Wrong)));
        assert!(a.same_as(&a.clone()) && !a.same_as(&b) && !a.same_as(&Partitioning::Hash(4)));
        let range = Partitioning::from(Arc::new(RangePartitioner::<u32>::new(4)));
        assert!(range.same_as(&range.clone()) && !range.same_as(&a));
        let hash = Partitioning::<u32>::Hash(3);
        assert_eq!(format!("{range:?} {a:?} {hash:?}"), "Range(4) Custom(4) Hash(3)");
    }

    #[test]
    fn bounds_are_the_weighted_quantiles_that_spark_computes() {
        let sample =
            [(0.1, 1.0), (0.2, 1.0), (0.3, 1.0), (0.4, 1.0), (0.5, 1.0), (0.7, 2.0), (1.0, 3.0)];
        assert_eq!(range_bounds(&sample, 3, f64::total_cmp), [0.4, 0.7]);
    }

    #[test]
    fn equal_bounds_are_one_bound() {
        let sample: Vec<_> = (0..100).map(|n| (n / 90, 1.0)).collect();
        assert_eq!(range_bounds(&sample, 10, i32::cmp), [0, 1]);
        assert!(range_bounds(&[], 10, u8::cmp).is_empty());
        assert!(range_bounds(&[(1, 1.0), (2, 1.0)], 1, i32::cmp).is_empty());
    }

    #[test]
    fn only_the_first_bounds_count_and_equal_keys_are_below_them() {
        let range = RangePartitioner::new(3);
        assert!(!range.has_bounds() && range.partition_of(&99) == 0);
        range.set_bounds(vec![10, 20, 30]);
        range.set_bounds(vec![1, 2]);
        assert!(range.has_bounds());
        assert_eq!([5, 10, 11, 20, 21, 99].map(|key| range.partition_of(&key)), [0, 0, 1, 1, 2, 2]);
    }

    proptest! {
        #[test]
        fn ranges_keep_the_order_and_never_leave_the_partitions(
            mut keys in prop::collection::vec(any::<u16>(), 0..200),
            partitions in 1_usize..12,
        ) {
            let range = RangePartitioner::new(partitions);
            keys.sort_unstable();
            let sample: Vec<_> = keys.iter().map(|key| (*key, 1.0)).collect();
            range.set_bounds(range_bounds(&sample, partitions, u16::cmp));
            let chosen: Vec<usize> = keys.iter().map(|key| range.partition_of(key)).collect();
            prop_assert!(chosen.is_sorted());
            prop_assert!(chosen.iter().all(|partition| *partition < partitions));
        }
    }
}
