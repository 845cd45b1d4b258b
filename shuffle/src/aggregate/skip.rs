//! Skips map-side combining where it does not pay off.

/// Combining is skipped once it keeps more than this share of its rows, in percent.
const MAX_OUTPUT_PERCENT: usize = 50;

/// Returns true if combining `rows_in` rows into `entries_out` reduced them too little to pay off.
pub(crate) fn should_skip_combine(rows_in: usize, entries_out: usize) -> bool {
    entries_out * 100 > rows_in * MAX_OUTPUT_PERCENT
}
