//! Aggregation by key: one combiner for each key. The README of this folder explains the
//! mechanisms.
//!
//! - `map_side_combiner`: the state machine that combines the rows of a map task (`Hash`, `Radix`,
//!   `PassThrough`)
//! - `skip`: decides when the map side changes its state, and when it stops combining
//! - `table`: a hash table of combiners
//! - `table_meter`: compares the size of a table with its limit
//! - `radix`: one table for each sub-partition, filled from buffers
//! - `scatter`: buffers of rows by sub-partition, on pages of one size
//! - `spilling`: combines the rows of a reduce task in bounded memory

pub(crate) mod map_side_combiner;
mod radix;
mod scatter;
mod skip;
pub(crate) mod spilling;
pub(crate) mod table;
mod table_meter;
