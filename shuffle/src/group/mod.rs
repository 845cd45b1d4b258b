//! Grouping by key: all values of a key together.
//!
//! - `in_memory`: groups the rows of a sub-partition that fits in memory
//! - `external`: groups a sub-partition that does not fit
//! - `sorted`: groups rows that are already in hash order
//! - `skewed_values`: the values of a key with a large share of the rows
//! - `values`: the values of one key, in memory or in a file

pub(crate) mod external;
pub(crate) mod in_memory;
mod skewed_values;
pub(crate) mod sorted;
pub(crate) mod values;
