//! Sources: RDDs without parents. A source lists its input once, when it is called; a problem with
//! the input is reported by the first action.
//! - `generate`: rows that a closure makes for each partition.
//! - `line_reader`: the lines of a byte range of an input.
//! - `parallelize`: a collection of the program.
//! - `range`: integers.
//! - `text_file`: the lines of text files, and their options.
//! - `text_paths`: the paths that `text_file` accepts, and the files that they list.

mod generate;
mod line_reader;
mod parallelize;
mod range;
mod text_file;
mod text_paths;

pub use range::RangeItem;
pub use text_file::Text;
pub use text_paths::TextPaths;

/// Returns the range of `partition` when `len` rows or bytes are split into even parts.
pub(crate) fn split_range(len: u64, partitions: usize, partition: usize) -> (u64, u64) {
    let at = |index: usize| (u128::from(len) * index as u128 / partitions.max(1) as u128) as u64;
    (at(partition), at(partition + 1))
}

#[cfg(test)]
mod tests {
    use super::split_range;

    // Case B003 of tests/spark_cases.md.
    #[test]
    fn rows_are_split_into_partitions_as_spark_splits_them() {
        let parts = |len| (0..3).map(|p| split_range(len, 3, p)).collect::<Vec<_>>();
        assert_eq!(parts(100), [(0, 33), (33, 66), (66, 100)]);
        assert_eq!(parts(101), [(0, 33), (33, 67), (67, 101)]);
    }

    // Case B007 of tests/spark_cases.md.
    #[test]
    fn ranges_near_the_integer_limit_are_split_without_overflow() {
        let (low, high) = split_range(u64::MAX, 7, 6);
        assert!(low < high && high == u64::MAX);
    }
}
