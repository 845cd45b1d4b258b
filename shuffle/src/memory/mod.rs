//! Memory accounting of buffered rows.
//!
//! - `meter`: adds up the sizes of rows and reports when a limit is reached
//! - `row_sizes`: the sizes of rows, measured once and carried along to their file

pub(crate) mod meter;
pub(crate) mod row_sizes;
