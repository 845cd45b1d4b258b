//! Joins of two inputs by key.
//!
//! - `cogroup`: pairs the groups of two inputs that fit in memory
//! - `hash_join`: joins two inputs that fit in memory
//! - `merge_join`: joins two inputs in hash order
//! - `cross_product`: every pair of two groups of one key, which may be in files
//! - `broadcast_table`: the small side of a broadcast join

pub(crate) mod broadcast_table;
pub(crate) mod cogroup;
pub(crate) mod cross_product;
pub(crate) mod hash_join;
pub(crate) mod merge_join;
