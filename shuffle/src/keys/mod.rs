//! Keys and the partitions they belong to.
//!
//! - `hash`: hashes a key once and carries the hash with its row
//! - `partitioner`: maps a key to a partition, by hash or by range
//! - `sub_partitions`: divides each partition into ranges of hashes
//! - `range_sub_partitions`: divides each partition of a range partitioner into ranges of keys

pub(crate) mod hash;
pub(crate) mod partitioner;
pub(crate) mod range_sub_partitions;
pub(crate) mod sub_partitions;
