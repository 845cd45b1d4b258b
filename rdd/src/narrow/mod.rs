//! Transformations that compute a partition from known partitions of their parents, mostly from the
//! one of the same number: no row moves. Each file has the method, the node and its iterator.

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
mod map;
mod map_partitions;
mod map_partitions_with_index;
mod map_values;
mod refs;
mod refs_with;
mod sample;
mod sample_with_replacement;
mod try_filter;
mod try_flat_map;
mod try_map;
mod union;
mod with;
mod zip;
mod zip_partitions;

pub use flat_map_into::Out;
pub use refs::Refs;
pub use refs_with::RefsWith;
pub use with::With;
