//! One input of an operation that needs all rows of a key together: shuffled there, or there
//! already.

use super::shuffled::{Outputs, shuffle};
use crate::pipeline::Pipeline;
use crate::pipeline::boxed::Boxed;
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::lineage::Dependency;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::{blame, or_raise};
use emberline_shuffle::{
    Hashed, MapOutputs, MapWriter, Partitioning, RowsInOrder, SegmentSource, SortedGroups,
    SubPartitionGroups, SubPartitions, hash_of,
};
use std::cell::RefCell;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

/// One input, cut into the slices that the operation works on one after the other.
pub(crate) struct JoinInput<K: Key, V: Stored> {
    slices: Arc<SubPartitions<K>>,
    rows: Rows<K, V>,
}

enum Rows<K: Key, V: Stored> {
    Shuffled(Arc<Outputs<Hashed<K, V>>>),
    Narrow(Boxed<(K, V)>),
    /// Narrow, and in the order of the hash.
    Ordered(Boxed<(K, V)>),
}

impl<K: Key, V: Stored> JoinInput<K, V> {
    /// The side of `rdd` under `partitioning`, and the edge to it. Rows that are already partitioned
    /// that way are not shuffled again.
    pub(crate) fn of<P>(
        rdd: &Rdd<(K, V), P>,
        operation: Operation,
        partitioning: &Partitioning<K>,
    ) -> (Self, Dependency)
    where
        P: Pipeline<Item = (K, V)>,
    {
        let slices = Arc::new(SubPartitions::new(partitioning.clone()));
        if rdd.partitioning().is_some_and(|own| own.same_as(partitioning)) {
            let narrow = Dependency::Narrow(Arc::clone(&rdd.lineage));
            let is_ordered = rdd.partitioner.as_ref().is_some_and(|own| own.is_hash_ordered());
            let boxed = rdd.pipeline.to_boxed();
            let rows = if is_ordered { Rows::Ordered(boxed) } else { Rows::Narrow(boxed) };
            return (JoinInput { slices, rows }, narrow);
        }
        let cut = Arc::clone(&slices);
        let write = move |rows: P::Rows, _, to: &mut MapWriter<Hashed<K, V>>| {
            rows.for_each(|(key, value)| {
                let (hash, slice) = blame(&operation, || {
                    let hash = hash_of(&key);
                    (hash, cut.index_of(&key, hash))
                });
                to.push_keyed(slice, hash, Hashed { hash, key, value });
            });
        };
        let cut = (partitioning.partitions(), slices.each());
        let (outputs, edge) = shuffle(rdd, operation, cut, write);
        (JoinInput { slices, rows: Rows::Shuffled(outputs) }, edge)
    }

    /// Starts to read a partition.
    pub(crate) fn open(
        &self,
        operation: Operation,
        partition: usize,
        task: &TaskContext,
    ) -> OpenJoinInput<K, V> {
        match &self.rows {
            Rows::Shuffled(outputs) => {
                let slices = self.slices.of_partition(partition);
                OpenJoinInput::Shuffled { outputs: Arc::clone(outputs), slices }
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
                // The rows are here already, so only their hash says where they go: a partitioner
                // that changes its mind loses nothing.
                let mut writer = MapWriter::new(self.slices.each(), task);
                parent.open(partition, task).for_each(|(key, value)| {
                    let hash = blame(&operation, || hash_of(&key));
                    writer.push(self.slices.within(partition, hash), Hashed { hash, key, value });
                });
                let own = MapOutputs::own(or_raise(writer.finish()));
                OpenJoinInput::Narrow { own, slices: self.slices.each() }
            }
        }
    }

    /// How many slices each partition has.
    pub(crate) fn slices(&self) -> usize {
        self.slices.each()
    }

    /// Whether a partition is read as a whole: its rows lie in order, and nothing is gathered.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self.rows, Rows::Ordered(_))
    }

    /// How deep the boxed steps behind this side are, within its stage.
    pub(crate) fn depth(&self) -> usize {
        match &self.rows {
            Rows::Shuffled(_) => 0,
            Rows::Narrow(parent) | Rows::Ordered(parent) => parent.depth(),
        }
    }
}

/// One partition of a side, read a slice at a time or as a whole.
pub(crate) enum OpenJoinInput<K: Key, V: Stored> {
    Shuffled { outputs: Arc<Outputs<Hashed<K, V>>>, slices: Range<usize> },
    Narrow { own: MapOutputs<Hashed<K, V>>, slices: usize },
    Ordered(RefCell<Option<RowsInOrder<K, V>>>),
}

impl<K: Key, V: Stored> OpenJoinInput<K, V> {
    /// The pairs of a slice, group_by_key_iter. Rows in order have no slices.
    pub(crate) fn groups(&self, slice: usize, task: &TaskContext) -> SubPartitionGroups<K, V> {
        match self {
            OpenJoinInput::Shuffled { outputs, slices } => {
                SubPartitionGroups::read(outputs.slice(slices.start + slice), task)
            }
            OpenJoinInput::Narrow { own, .. } => {
                SubPartitionGroups::read(own_slice(own, slice), task)
            }
            OpenJoinInput::Ordered(_) => self.whole(task),
        }
    }

    /// The pairs of the whole partition, group_by_key_iter one behind the other; to be called once.
    pub(crate) fn whole(&self, task: &TaskContext) -> SubPartitionGroups<K, V> {
        let task = task.clone();
        let read = move |slice| SubPartitionGroups::read(slice, &task).into_groups();
        match self {
            OpenJoinInput::Shuffled { outputs, slices } => {
                let outputs = Arc::clone(outputs);
                let groups = slices.clone().flat_map(move |slice| read(outputs.slice(slice)));
                SubPartitionGroups::Whole(Box::new(groups))
            }
            OpenJoinInput::Narrow { own, slices } => {
                let own = own.clone();
                let groups = (0..*slices).flat_map(move |slice| read(own_slice(&own, slice)));
                SubPartitionGroups::Whole(Box::new(groups))
            }
            OpenJoinInput::Ordered(groups) => match groups.take() {
                Some(groups) => SubPartitionGroups::Ordered(groups),
                None => SubPartitionGroups::Whole(Box::new(iter::empty())),
            },
        }
    }
}

fn own_slice<K, V>(own: &MapOutputs<Hashed<K, V>>, segment: usize) -> SegmentSource<Hashed<K, V>> {
    SegmentSource { outputs: own.clone(), shuffle: None, segment }
}
