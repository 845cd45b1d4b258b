//! Where rows come from. A source lists its input once, when it is called, and keeps the outcome;
//! what is wrong with it is the error of the first action.

mod generate;
mod line_reader;
mod parallelize;
mod range;
mod text_file;
mod text_paths;

pub use range::RangeItem;
pub use text_file::Text;
pub use text_paths::TextPaths;

/// The half-open range of partition `partition` when `len` rows are cut into `partitions` even
/// pieces.
pub(crate) fn split_range(len: u64, partitions: usize, partition: usize) -> (u64, u64) {
    let at = |cut: usize| (u128::from(len) * cut as u128 / partitions.max(1) as u128) as u64;
    (at(partition), at(partition + 1))
}

#[cfg(test)]
mod tests {
    use super::split_range;

    #[test]
    fn b003_a_hundred_rows_in_three_pieces_are_cut_as_spark_cuts_them() {
        let pieces = |len| (0..3).map(|p| split_range(len, 3, p)).collect::<Vec<_>>();
        assert_eq!(pieces(100), [(0, 33), (33, 66), (66, 100)]);
        assert_eq!(pieces(101), [(0, 33), (33, 67), (67, 101)]);
    }

    #[test]
    fn b007_ranges_near_the_integer_limit_are_cut_without_overflow() {
        let (low, high) = split_range(u64::MAX, 7, 6);
        assert!(low < high && high == u64::MAX);
    }
}
