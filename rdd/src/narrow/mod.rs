//! Narrow transformations: a partition is computed from known partitions of its parents, in the
//! same task.
//!
//! Each file has the method, its pipeline and its iterator.
//!
//! - `adapted`: the pipeline of all operations that are a closure over the rows of one parent.
//! - `chained`: the rows of several partitions in sequence, for `coalesce` and `union`.
//! - `coalesce`: fewer partitions without a shuffle.
//! - `filter`, `filter_map`: the rows that match a predicate; filter and map in one pass.
//! - `flat_map`: any number of rows for each row.
//! - `flat_map_into`: any number of rows, pushed while the closure borrows from its row.
//! - `flat_map_values`: any number of values for each value of a pair.
//! - `glom`: each partition as one row.
//! - `inspect`: a side effect for each row.
//! - `key_by`: rows to pairs.
//! - `keys`: `keys` and `values` of pairs.
//! - `lending`: pipelines whose closure reads rows by reference.
//! - `map`: one row for each row.
//! - `map_partitions`, `map_partitions_with_index`: a closure over the iterator of a partition,
//!   also with its index.
//! - `map_values`: one value for each value of a pair.
//! - `sample`, `sample_with_replacement`: a random subset (Bernoulli); random multiplicities
//!   (Poisson).
//! - `try_filter`, `try_flat_map`, `try_map`: operations whose closure may fail.
//! - `union`: the rows of two or more RDDs in sequence.
//! - `views`: `with` and `refs`, views whose closures get a shared value or references to rows.
//! - `zip`, `zip_partitions`: the rows of two RDDs in pairs; a closure over the iterators of two
//!   partitions.

pub(crate) mod adapted;
mod chained;
mod coalesce;
mod filter;
mod filter_map;
mod flat_map;
mod flat_map_into;
mod flat_map_values;
mod glom;
mod inspect;
mod key_by;
mod keys;
mod lending;
mod map;
mod map_partitions;
mod map_partitions_with_index;
mod map_values;
mod sample;
mod sample_with_replacement;
mod try_filter;
mod try_flat_map;
mod try_map;
mod union;
mod views;
mod zip;
mod zip_partitions;

pub use flat_map_into::Out;
pub use views::{Refs, RefsWith, With};
