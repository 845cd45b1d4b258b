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

use crate::support::{LEVELS, test};
use emberline::prelude::*;

fn context() -> Context {
    Context::builder().threads(2).default_partitions(3).build().unwrap()
}
