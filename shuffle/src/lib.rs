//! The shuffle of emberline: pairs to bytes and back. It moves pairs it did not compute.
//!
//! In the order in which a pair travels:
//!
//! 1. [`hash`]: its key is hashed, once: [`hash_of`], [`Hashed`].
//! 2. [`combine`]: if the operation can, values of one key are merged where they are:
//!    [`CombineTable`].
//! 3. [`partitioner`] and [`mod@slice`]: its key says which partition it goes to, and which slice of
//!    that: [`Partitioning`], [`Partitioner`], [`Slices`].
//! 4. [`bucket`]: it waits in the bucket of that slice: [`Buckets`].
//! 5. [`map_output`]: the buckets of a map task become a [`MapOutput`], typed in memory or in one
//!    file of the [`mod@format`]; [`MapOutputs`] has one for each map task.
//! 6. [`map_output`] again: a reading task takes its segment of each, in the order of the map
//!    partitions: [`SegmentReader`].
//! 7. [`group`], [`cogroup`] and [`join`]: there the pairs are put in the order of their hash, and
//!    the values of a key side by side: [`Groups`], [`into_co_groups`], [`JoinRows`]; or they are combined
//!    once more; or they become one [`SmallTable`] that rows are looked up in.
//!
//! Beside the way: rows that are kept in frames, in memory as [`PackedRows`] and in a file as
//! [`RunFile`]; and rows that outlive the program: [`checkpoint`].
//!
//! The order of a partition is a function of the rows and the configuration alone: the same in
//! memory and through a file, and in every attempt.

#![deny(missing_docs)]

pub mod bucket;
pub mod by_hash;
pub mod checkpoint;
pub mod cogroup;
pub mod combine;
pub mod combining;
pub mod external;
pub mod format;
pub mod group;
pub mod group_stream;
pub mod hash;
mod hot_values;
pub mod join;
mod map_building;
pub mod map_combining;
pub mod map_output;
pub mod map_writer;
mod meter;
mod order;
pub mod ordered_groups;
pub mod ordered_join;
pub mod packed;
mod parted;
pub mod partitioner;
pub mod product;
pub mod range_slices;
mod run;
pub mod slice;
pub mod small_table;
pub mod values;
mod waiting;

pub use bucket::Buckets;
pub use by_hash::ByHash;
pub use cogroup::into_co_groups;
pub use combine::CombineTable;
pub use combining::{Combined, Combining};
pub use external::{ExternalSort, RowOrder, SortedRows};
pub use group::{GroupVecs, Groups};
pub use group_stream::{GroupStream, RowsInOrder, SliceGroups, SliceGroupsIter, SliceSource};
pub use hash::{Hashed, hash_of, partition_of_hash};
pub use join::JoinRows;
pub use map_combining::MapCombining;
pub use map_output::{Changed, Chunk, MapOutput, MapOutputs, SegmentReader};
pub use map_writer::MapWriter;
pub use ordered_groups::OrderedGroups;
pub use ordered_join::OrderedJoin;
pub use packed::PackedRows;
pub use partitioner::{HashPartitioner, Partitioner, Partitioning, RangePartitioner, range_bounds};
pub use product::{Again, GroupAgain, OrNone, Product};
pub use range_slices::RangeSlices;
pub use run::{Batches, FileRows, RunFile};
pub use slice::Slices;
pub use small_table::SmallTable;
pub use values::{Group, GroupIter, GroupValues};
