//! Transformations that compute a partition from the same partition of a parent: no row moves. Each
//! file has the method, the node and its iterator.

mod adapted;
mod filter;
mod filter_map;
mod flat_map;
mod flat_map_into;
mod inspect;
mod key_by;
mod map;
mod map_partitions;
mod map_values;
mod try_map;
mod union;
mod with;

pub use flat_map_into::Out;
pub use with::With;
