//! Narrow transformations: a partition is computed from known partitions of its parents, in the
//! same task. Each file has a method, its pipeline and its iterator (see the README).

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
