//! Transformations that bring rows with one key together, over a shuffle unless they already are
//! together. Each file has the method and how it merges; [`shuffled`] has the one shuffle step.

mod aggregate_by_key;
mod cogroup;
mod combine_by_key;
mod distinct;
mod group;
mod group_by_key;
mod join;
mod partition_by;
mod reduce_by_key;
mod repartition;
mod shuffled;
mod side;
mod sort_by;

pub use group::{Group, GroupIter};
