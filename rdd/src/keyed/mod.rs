//! Operations that need all rows of a key, or a range of keys, in one partition. They shuffle,
//! unless the input has the right partitioner already. The README of this folder lists the files.

mod aggregate_by_key;
mod broadcast_join;
mod cogroup;
mod cogroup3;
mod combine_by_key;
mod distinct;
mod fold_by_key;
mod group;
mod group_by;
mod group_by_key;
mod group_sorted_by_key;
mod join;
mod join_input;
mod orders;
mod outer_join;
mod partition_by;
mod reduce_by_key;
mod repartition;
mod repartition_and_sort;
mod sets;
mod shuffled;
mod sort_by;
mod sort_sample;
mod with_partitions;

pub use with_partitions::WithPartitions;
