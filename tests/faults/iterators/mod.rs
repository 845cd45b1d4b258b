//! Iterators of users: the first end is the end, and a panic is not an end.
//!
//! - `ends`: iterators that return rows, panic or never end after their end, and that claim a wrong size.
//! - `caught`: closures that catch a panic of the rows that they pull.
//! - `more`: further inputs of each kind.
//! - `first_rows`: `take`, `first` and `is_empty` compute no row that they do not need.
//! - `cancelled`: endless and huge loops are cancelled, and rates have a range.

mod cancelled;
mod caught;
mod ends;
mod first_rows;
mod more;

use emberline::prelude::*;
use emberline::{Result, StorageLevel};
use testkit::{DEADLINE, within};

const LEVELS: [StorageLevel; 5] = [
    StorageLevel::Memory,
    StorageLevel::MemoryAndDisk,
    StorageLevel::Disk,
    StorageLevel::SerializedMemory,
    StorageLevel::SerializedMemoryAndDisk,
];

/// Runs a test under the deadline.
fn test(body: impl FnOnce() -> Result<()> + Send + 'static) {
    within(DEADLINE, || body().unwrap());
}

fn context() -> Context {
    Context::builder().threads(2).default_partitions(3).build().unwrap()
}
