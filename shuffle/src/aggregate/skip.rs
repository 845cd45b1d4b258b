//! The policy of the map side: when it combines by sub-partition, and when it stops combining.
//!
//! Every decision depends on rows, entries and bytes alone, so all attempts of a task decide alike.

use emberline_core::size::owns_heap;

/// The most entries that combining may leave, as a percentage of its rows. If it leaves more, it is
/// skipped.
const MAX_OUTPUT_PERCENT: usize = 50;

/// The size from which on a table does not fit the first cache of a core. Its rows and entries are
/// compared at this size for the first time, and then whenever it has doubled.
const FIRST_CACHE_BYTES: u64 = 64 << 10;
/// The size from which on a table fits no cache that belongs to one core.
const CORE_CACHE_BYTES: u64 = 512 << 10;

/// The smallest memory limit with radix partitioning. Below it, one table holds more keys than the
/// buffers could hold rows.
const MIN_RADIX_BYTES: u64 = 2 << 20;
/// The least memory for each sub-partition with radix partitioning: smaller buffers do not pay off.
const MIN_SUB_PARTITION_BYTES: u64 = 1 << 10;

/// The rows that must be combined before the result decides about other sub-partitions.
const MIN_SAMPLE_ROWS: usize = 4096;

/// Returns true if combining `rows_in` rows into `entries_out` reduced them too little to pay off.
pub(super) fn should_skip_combine(rows_in: usize, entries_out: usize) -> bool {
    entries_out * 100 > rows_in * MAX_OUTPUT_PERCENT
}

/// Returns true if the sub-partitions combined so far show that those left should be skipped.
pub(super) fn should_skip_rest(rows_in: usize, entries_out: usize) -> bool {
    rows_in >= MIN_SAMPLE_ROWS && should_skip_combine(rows_in, entries_out)
}

/// Returns the size in bytes at which a hash table is first considered for radix partitioning:
/// `u64::MAX` if it never is.
pub(super) fn first_radix_check<R>(limit_bytes: u64, sub_partitions: usize) -> u64 {
    let min_bytes = MIN_RADIX_BYTES.max(MIN_SUB_PARTITION_BYTES * sub_partitions as u64);
    if !has_radix::<R>() || limit_bytes < min_bytes { u64::MAX } else { FIRST_CACHE_BYTES }
}

/// Returns true if rows of this type may be combined by radix partitioning. Rows that own heap
/// memory may not: moving them twice does not pay off, and buffers do not measure them. The code of
/// radix partitioning is not compiled for them.
pub(super) const fn has_radix<R>() -> bool {
    !owns_heap::<R>()
}

/// Returns true if rows should be distributed by sub-partition before they are combined: the table
/// has left the caches of its core, or nearly every row has a key of its own.
pub(super) fn should_partition(rows_in: usize, entries: usize, table_bytes: u64) -> bool {
    table_bytes >= CORE_CACHE_BYTES || should_skip_combine(rows_in, entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combining_is_skipped_if_more_than_half_of_the_rows_remain() {
        assert!(!should_skip_combine(100, 50) && should_skip_combine(100, 51));
        assert!(!should_skip_rest(100, 100) && should_skip_rest(MIN_SAMPLE_ROWS, MIN_SAMPLE_ROWS));
    }

    #[test]
    fn only_rows_without_heap_are_partitioned_and_only_with_memory_for_all_buffers() {
        assert_eq!(first_radix_check::<(u64, u64)>(MIN_RADIX_BYTES, 256), FIRST_CACHE_BYTES);
        assert_eq!(first_radix_check::<(u64, u64)>(MIN_RADIX_BYTES - 1, 256), u64::MAX);
        assert_eq!(first_radix_check::<(u64, u64)>(MIN_RADIX_BYTES, 10_000), u64::MAX);
        assert_eq!(first_radix_check::<(String, u64)>(1 << 30, 256), u64::MAX);
        assert!(should_partition(100, 51, 0) && should_partition(100, 1, CORE_CACHE_BYTES));
        assert!(!should_partition(100, 50, CORE_CACHE_BYTES - 1));
    }
}
