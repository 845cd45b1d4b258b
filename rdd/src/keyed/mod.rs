//! Operations that need all rows of a key, or a range of keys, in one partition. They shuffle,
//! unless the input has the right partitioner already.
//!
//! A file has the public methods of one operation, or of a few related ones, and how they merge
//! rows.
//!
//! Aggregation by key:
//! - `combine_by_key.rs`: the base of all aggregations: combines values before and after the
//!   shuffle.
//! - `reduce_by_key.rs`: merges the values of each key.
//! - `fold_by_key.rs`: folds the values of each key, starting from a zero value.
//! - `aggregate_by_key.rs`: folds the values of each key into an accumulator of another type.
//!
//! Grouping:
//! - `group_by_key.rs`: brings the values of each key together, collected or streamed.
//! - `group_by.rs`: collects the rows of each key.
//! - `group_sorted_by_key.rs`: collects the values of each key in sorted order.
//! - `group.rs`: limits the size of a collected group.
//!
//! Joins:
//! - `cogroup.rs`: groups two RDDs by key, the base of all joins that shuffle.
//! - `cogroup3.rs`: groups three RDDs by key.
//! - `join.rs`: the inner join.
//! - `outer_join.rs`: the left, right and full outer joins.
//! - `broadcast_join.rs`: hash joins whose probe side is not shuffled.
//! - `join_input.rs`: one input of a grouping or join, shuffled or read as it is.
//!
//! Sets of rows:
//! - `distinct.rs`: removes duplicate rows.
//! - `sets.rs`: rows or keys that another RDD lacks or has.
//!
//! Sorting and partitioning:
//! - `sort_by.rs`: sorts all rows.
//! - `sort_sample.rs`: samples the keys of a sort.
//! - `orders.rs`: the row orders of sorts, and the sort of one partition.
//! - `partition_by.rs`: partitions pairs by key.
//! - `repartition.rs`: distributes rows evenly.
//! - `repartition_and_sort.rs`: partitions pairs by key and sorts each partition.
//! - `with_partitions.rs`: the view that sets the partitions of the next operation.
//! - `shuffled.rs`: the nodes on both sides of a shuffle, and the default partitioning.

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
