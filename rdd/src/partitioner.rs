//! The partitioner of an RDD, without the type of its keys.

use emberline_shuffle::Partitioning;
use std::any::Any;
use std::sync::Arc;

/// The partitioner of an RDD of pairs, without the type of the keys: `filter` does not know whether
/// its rows are pairs. [`KnownPartitioner::of_keys`] restores the type by a downcast. It is always
/// the same, because an operation that changes keys drops the partitioner.
#[derive(Clone)]
pub(crate) struct KnownPartitioner {
    by: Arc<dyn AnyPartitioning>,
    in_hash_order: bool,
}

/// A [`Partitioning`] without the type of its keys.
trait AnyPartitioning: Any + Send + Sync {
    fn same_as(&self, other: &dyn Any) -> bool;
    fn describe(&self) -> String;
}

impl<K: 'static> AnyPartitioning for Partitioning<K> {
    fn same_as(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| Partitioning::same_as(self, other))
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

impl KnownPartitioner {
    pub(crate) fn new<K: 'static>(partitioning: &Partitioning<K>) -> Self {
        KnownPartitioner { by: Arc::new(partitioning.clone()), in_hash_order: false }
    }

    /// Sets whether the rows of each partition are in the order of the hash of their keys.
    pub(crate) fn in_hash_order(self, in_hash_order: bool) -> Self {
        KnownPartitioner { in_hash_order, ..self }
    }

    /// Returns true if the rows of each partition are in the order of the hash of their keys. Then
    /// rows of one key are adjacent, and a join can merge its inputs.
    pub(crate) fn is_hash_ordered(&self) -> bool {
        self.in_hash_order
    }

    pub(crate) fn of_keys<K: 'static>(&self) -> Option<Partitioning<K>> {
        let any: &dyn Any = &*self.by;
        any.downcast_ref::<Partitioning<K>>().cloned()
    }

    pub(crate) fn same_as(&self, other: &KnownPartitioner) -> bool {
        self.by.same_as(&*other.by)
    }

    pub(crate) fn describe(&self) -> String {
        self.by.describe()
    }
}
