//! Memory accounting of buffered rows.
//!
//! - `meter`: adds up the sizes of rows and reports when a limit is reached

pub(crate) mod meter;
