//! Helpers for the tests of all emberline crates.
//!
//! - [`deadline`](mod@deadline): no test may hang.
//! - [`scale`]: how many cases a generator tries.
//! - [`snapshot`]: texts for users are files that are reviewed in diffs.
//!
//! This crate depends on std alone, so every crate can use it in its unit tests.

pub mod deadline;
pub mod scale;
pub mod snapshot;

pub use deadline::{DEADLINE, Deadline, deadline, eventually, on_stack, within};
pub use scale::scaled;
pub use snapshot::{assert_snapshot, without_lines};
