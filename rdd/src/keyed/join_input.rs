//! One input of a grouping or join: shuffled, or read as it is (see the README of this folder).

use super::shuffled::{Outputs, shuffle};
use crate::pipeline::Pipeline;
use crate::pipeline::boxed::Boxed;
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::lineage::Dependency;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::{blame, or_raise};
use emberline_shuffle::map_side::{self, AssignedRow, Distribute};
use emberline_shuffle::{
    Hashed, MapOutputs, Partitioning, RowsInOrder, SegmentSource, SortedGroups, SubPartitionGroups,
    SubPartitions, hash_of,
};
use std::cell::RefCell;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

/// One input, divided into the sub-partitions that the operation processes one at a time.
pub(crate) struct JoinInput<K: Key, V: Stored> {
    sub_partitions: Arc<SubPartitions<K>>,
    rows: Rows<K, V>,
}

enum Rows<K: Key, V: Stored> {
    Shuffled(Arc<Outputs<Hashed<K, V>>>),
    Narrow(Boxed<(K, V)>),
    /// Narrow, and ordered by the hash of the key.
    Ordered(Boxed<(K, V)>),
}

impl<K: Key, V: Stored> JoinInput<K, V> {
    /// Returns the input that reads `rdd` with `partitioning`, and the dependency on it. Shuffles
    /// `rdd` unless it has that partitioning already.
    pub(crate) fn of<P>(
        rdd: &Rdd<(K, V), P>,
        operation: Operation,
        partitioning: &Partitioning<K>,
    ) -> (Self, Dependency)
    where
        P: Pipeline<Item = (K, V)>,
    {
        let sub_partitions = Arc::new(SubPartitions::new(partitioning.clone()));
        if rdd.partitioning().is_some_and(|own| own.same_as(partitioning)) {
            let narrow = Dependency::Narrow(Arc::clone(&rdd.lineage));
            let is_ordered = rdd.partitioner.as_ref().is_some_and(|own| own.is_hash_ordered());
            let boxed = rdd.pipeline.to_boxed();
            let rows = if is_ordered { Rows::Ordered(boxed) } else { Rows::Narrow(boxed) };
            return (JoinInput { sub_partitions, rows }, narrow);
        }
        let by_key = Arc::clone(&sub_partitions);
        let write_rows = move |rows: P::Rows, task: &TaskContext| {
            let assign = |(key, value)| {
                let (hash, segment) = blame(&operation, || {
                    let hash = hash_of(&key);
                    (hash, by_key.index_of(&key, hash))
                });
                AssignedRow::by_hash(segment, hash, Hashed { hash, key, value })
            };
            map_side::run(Distribute { segments: by_key.count(), assign }, rows, task)
        };
        let (outputs, edge) = shuffle(rdd, operation, partitioning.partitions(), write_rows);
        (JoinInput { sub_partitions, rows: Rows::Shuffled(outputs) }, edge)
    }

    /// Opens a partition.
    pub(crate) fn open(
        &self,
        operation: Operation,
        partition: usize,
        task: &TaskContext,
    ) -> OpenJoinInput<K, V> {
        match &self.rows {
            Rows::Shuffled(outputs) => {
                let segments = self.sub_partitions.of_partition(partition);
                OpenJoinInput::Shuffled { outputs: Arc::clone(outputs), segments }
            }
            Rows::Ordered(parent) => {
                let hashed = move |(key, value)| {
                    let hash = blame(&operation, || hash_of(&key));
                    Hashed { hash, key, value }
                };
                let rows: Box<dyn Iterator<Item = _>> =
                    Box::new(parent.open(partition, task).map(hashed));
                OpenJoinInput::Ordered(RefCell::new(Some(SortedGroups::new(rows, task))))
            }
            Rows::Narrow(parent) => {
                // The rows are in the right partition already, so the hash alone chooses the
                // sub-partition: a partitioner that answers differently now loses no rows.
                let assign = |(key, value)| {
                    let hash = blame(&operation, || hash_of(&key));
                    let segment = self.sub_partitions.within(partition, hash);
                    AssignedRow::new(segment, Hashed { hash, key, value })
                };
                let spec = Distribute { segments: self.sub_partitions.each(), assign };
                let writer = map_side::run(spec, parent.open(partition, task), task);
                let own = MapOutputs::own(or_raise(writer.finish()));
                OpenJoinInput::Narrow { own, segments: self.sub_partitions.each() }
            }
        }
    }

    /// Returns the number of sub-partitions of each partition.
    pub(crate) fn sub_partitions(&self) -> usize {
        self.sub_partitions.each()
    }

    /// Returns true if partitions are ordered by hash, and so are read whole.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self.rows, Rows::Ordered(_))
    }

    /// Returns the number of boxed nodes upstream of this input in its stage.
    pub(crate) fn depth(&self) -> usize {
        match &self.rows {
            Rows::Shuffled(_) => 0,
            Rows::Narrow(parent) | Rows::Ordered(parent) => parent.depth(),
        }
    }
}

/// One partition of an input, read by sub-partition or as a whole.
pub(crate) enum OpenJoinInput<K: Key, V: Stored> {
    Shuffled { outputs: Arc<Outputs<Hashed<K, V>>>, segments: Range<usize> },
    Narrow { own: MapOutputs<Hashed<K, V>>, segments: usize },
    Ordered(RefCell<Option<RowsInOrder<K, V>>>),
}

impl<K: Key, V: Stored> OpenJoinInput<K, V> {
    /// Returns the groups of a sub-partition. A partition that is ordered by hash has none.
    pub(crate) fn groups(&self, index: usize, task: &TaskContext) -> SubPartitionGroups<K, V> {
        match self {
            OpenJoinInput::Shuffled { outputs, segments } => {
                SubPartitionGroups::read(outputs.segment(segments.start + index), task)
            }
            OpenJoinInput::Narrow { own, .. } => {
                SubPartitionGroups::read(own_segment(own, index), task)
            }
            OpenJoinInput::Ordered(_) => self.whole(task),
        }
    }

    /// Returns the groups of the whole partition, by sub-partition. Must be called once.
    pub(crate) fn whole(&self, task: &TaskContext) -> SubPartitionGroups<K, V> {
        let task = task.clone();
        let read = move |source| SubPartitionGroups::read(source, &task).into_groups();
        match self {
            OpenJoinInput::Shuffled { outputs, segments } => {
                let outputs = Arc::clone(outputs);
                let groups =
                    segments.clone().flat_map(move |segment| read(outputs.segment(segment)));
                SubPartitionGroups::Whole(Box::new(groups))
            }
            OpenJoinInput::Narrow { own, segments } => {
                let own = own.clone();
                let groups =
                    (0..*segments).flat_map(move |segment| read(own_segment(&own, segment)));
                SubPartitionGroups::Whole(Box::new(groups))
            }
            OpenJoinInput::Ordered(groups) => match groups.take() {
                Some(groups) => SubPartitionGroups::Ordered(groups),
                None => SubPartitionGroups::Whole(Box::new(iter::empty())),
            },
        }
    }
}

fn own_segment<K, V>(
    own: &MapOutputs<Hashed<K, V>>,
    segment: usize,
) -> SegmentSource<Hashed<K, V>> {
    SegmentSource { outputs: own.clone(), shuffle: None, segment }
}
