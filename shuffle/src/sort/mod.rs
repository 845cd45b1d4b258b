//! Sorting within bounded memory.
//!
//! - `external`: sorts rows of any number in runs and merges the runs
//! - `run`: one sorted run, in memory or in a file
//! - `hash_order`: stable radix sort by hash
//! - `by_hash`: the order of shuffled rows, by hash and then by first occurrence

pub(crate) mod by_hash;
pub(crate) mod external;
pub(crate) mod hash_order;
pub(crate) mod run;
