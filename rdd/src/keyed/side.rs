//! One input of an operation that needs all rows of a key together: shuffled there, or there
//! already.

use super::shuffled::{Outputs, shuffle};
use crate::boxed::Boxed;
use crate::pipeline::Pipeline;
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::lineage::Dependency;
use emberline_core::step::{Step, blame, or_raise};
use emberline_core::task::TaskContext;
use emberline_shuffle::{
    Hashed, MapOutputs, MapWriter, Partitioning, SliceGroups, SliceSource, Slices, hash_of,
};
use std::sync::Arc;

/// One input, cut into the slices that the operation works on one after the other.
pub(crate) struct Side<K: 'static, V: 'static> {
    slices: Arc<Slices<K>>,
    rows: Rows<K, V>,
}

enum Rows<K: 'static, V: 'static> {
    Shuffled(Arc<Outputs<Hashed<K, V>>>),
    Narrow(Boxed<(K, V)>),
}

impl<K: Key, V: Stored> Side<K, V> {
    /// The side of `rdd` under `partitioning`, and the edge to it. Rows that are already partitioned
    /// that way are not shuffled again.
    pub(crate) fn of<P>(
        rdd: &Rdd<(K, V), P>,
        step: Step,
        partitioning: &Partitioning<K>,
    ) -> (Self, Dependency)
    where
        P: Pipeline<Item = (K, V)>,
    {
        let slices = Arc::new(Slices::new(partitioning.clone()));
        if rdd.partitioning().is_some_and(|own| own.same_as(partitioning)) {
            let narrow = Dependency::Narrow(Arc::clone(&rdd.lineage));
            return (Side { slices, rows: Rows::Narrow(rdd.pipeline.to_boxed()) }, narrow);
        }
        let cut = Arc::clone(&slices);
        let write = move |rows: P::Rows, _, to: &mut MapWriter<Hashed<K, V>>| {
            rows.for_each(|(key, value)| {
                let (hash, slice) = blame(&step, || {
                    let hash = hash_of(&key);
                    (hash, cut.slice_of(&key, hash))
                });
                to.push_keyed(slice, hash, Hashed { hash, key, value });
            });
        };
        let cut = (partitioning.partitions(), slices.each());
        let (outputs, edge) = shuffle(rdd, step, cut, write);
        (Side { slices, rows: Rows::Shuffled(outputs) }, edge)
    }

    /// Starts to read a partition.
    pub(crate) fn open(&self, step: Step, partition: usize, task: &TaskContext) -> OpenSide<K, V> {
        match &self.rows {
            Rows::Shuffled(outputs) => {
                let first = self.slices.of_partition(partition).start;
                OpenSide::Shuffled { outputs: Arc::clone(outputs), first }
            }
            Rows::Narrow(parent) => {
                // The rows are here already, so only their hash says where they go: a partitioner
                // that changes its mind loses nothing.
                let mut writer = MapWriter::new(self.slices.each(), task);
                parent.open(partition, task).for_each(|(key, value)| {
                    let hash = blame(&step, || hash_of(&key));
                    writer.push(self.slices.within(partition, hash), Hashed { hash, key, value });
                });
                OpenSide::Narrow(MapOutputs::own(or_raise(writer.finish())))
            }
        }
    }

    /// How many slices each partition has.
    pub(crate) fn slices(&self) -> usize {
        self.slices.each()
    }

    /// How deep the boxed steps behind this side are, within its stage.
    pub(crate) fn depth(&self) -> usize {
        match &self.rows {
            Rows::Shuffled(_) => 0,
            Rows::Narrow(parent) => parent.depth(),
        }
    }
}

/// One partition of a side, read a slice at a time.
pub(crate) enum OpenSide<K, V> {
    Shuffled { outputs: Arc<Outputs<Hashed<K, V>>>, first: usize },
    Narrow(MapOutputs<Hashed<K, V>>),
}

impl<K: Key, V: Stored> OpenSide<K, V> {
    /// The pairs of a slice, grouped.
    pub(crate) fn groups(&self, slice: usize, task: &TaskContext) -> SliceGroups<K, V> {
        let source = match self {
            OpenSide::Shuffled { outputs, first } => outputs.slice(first + slice),
            OpenSide::Narrow(own) => {
                SliceSource { outputs: own.clone(), shuffle: None, segment: slice }
            }
        };
        SliceGroups::read(source, task)
    }
}
