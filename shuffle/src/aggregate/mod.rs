//! Aggregation by key: one combiner for each key.
//!
//! - `table`: a hash table of combiners
//! - `table_meter`: compares the size of a table with its limit
//! - `map_side`: combines the rows of a map task (Hash, Radix, PassThrough)
//! - `radix`: one table for each sub-partition
//! - `scatter`: buffers of rows for each sub-partition, on pages of one size
//! - `skip`: decides when map-side combining no longer pays off
//! - `spilling`: combines the rows of a reduce task in bounded memory

pub(crate) mod map_side;
mod radix;
mod scatter;
mod skip;
pub(crate) mod spilling;
pub(crate) mod table;
mod table_meter;
