//! The shuffle of emberline: moves rows between partitions, in memory and through files.
//!
//! The folders, in the order in which a row passes through them:
//!
//! 1. `keys`: hashes the key. The hash, or a partitioner, chooses the partition and sub-partition.
//! 2. `aggregate`: combines the values of a key on the map side, if the operation can. In a hash
//!    table, keys are combined before their sub-partition is chosen; radix partitioning chooses it
//!    first.
//! 3. `map_output`: collects the rows of a map task in segments, in memory or in one file.
//! 4. `format`: encodes segments as checksummed frames.
//! 5. `aggregate` again, `group` and `join`: combine, group or join the rows on the reduce side.
//! 6. `sort`: sorts within bounded memory; used by all of these when rows do not fit.
//!
//! `map_task` is the entry of a map task, for steps 1 to 4; other crates call it as
//! [`map_side::run`]. `memory` counts the bytes of buffered rows; `checkpoint` writes rows that
//! outlive the program.
//!
//! The order of a shuffled partition is a function of the rows and the configuration alone: the
//! same in memory and through files, and in every attempt.

#![deny(missing_docs)]

mod aggregate;
mod checkpoint;
mod format;
mod group;
mod join;
mod keys;
mod map_output;
mod map_task;
mod memory;
mod sort;

pub use aggregate::spilling::{CombinedRows, SpillingCombiner};
pub use aggregate::table::CombineTable;
pub use checkpoint::{MANIFEST_NAME, Manifest, Part, PartReader, write_part};
pub use format::in_memory::SerializedRows;
pub use format::{FileIndex, FileWriter, FrameReader, MAX_TARGET_BYTES, OpenFile, SegmentLocation};
pub use group::external::{GroupStream, RowsInOrder, SubPartitionGroups, SubPartitionGroupsIter};
pub use group::in_memory::{GroupVecs, Groups};
pub use group::sorted::SortedGroups;
pub use group::values::{Group, GroupIter, GroupValues};
pub use join::broadcast_table::BroadcastTable;
pub use join::cogroup::into_co_groups;
pub use join::cross_product::{CrossProduct, GroupRewind, OrNone, Rewind};
pub use join::hash_join::HashJoin;
pub use join::merge_join::MergeJoin;
pub use keys::hash::{Hashed, hash_of, partition_of_hash};
pub use keys::partitioner::{
    HashPartitioner, Partitioner, Partitioning, RangePartitioner, range_bounds,
};
pub use keys::range_sub_partitions::RangeSubPartitions;
pub use keys::sub_partitions::SubPartitions;
pub use map_output::output::{Changed, MapOutput, MapOutputs};
pub use map_output::reader::{Chunk, SegmentReader};
pub use map_output::segment_source::SegmentSource;
pub use memory::row_sizes::RowSizes;
pub use sort::by_hash::ByHash;
pub use sort::external::{ExternalSort, RowOrder, SortedRows};
pub use sort::run::{Batches, FileRows, RunFile};

/// The map side of a shuffle: [`run`](map_side::run) and the specifications that it takes.
pub mod map_side {
    pub use crate::map_output::writer::MapWriter;
    pub use crate::map_task::{AssignedRow, Combine, Distribute, MapSideSpec, RoundRobin, run};
}
