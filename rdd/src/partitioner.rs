//! Which rows an RDD is known to keep together.

use emberline_shuffle::Partitioning;
use std::any::Any;
use std::sync::Arc;

/// The partitioner of an RDD of pairs, kept beside rows of any type: `filter` does not know whether
/// its rows are pairs, but keeps the partitioner if they are.
///
/// The key's type is forgotten here and found again in [`KnownPartitioner::of_keys`]; it is always
/// the same one, because an operation that changes a row's key drops the partitioner.
#[derive(Clone)]
pub(crate) struct KnownPartitioner {
    by: Arc<dyn AnyPartitioning>,
    in_hash_order: bool,
}

/// A [`Partitioning`] of keys of a type that is not named.
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

    /// The same, of rows that come in the order of their keys' hash in each partition, or of rows of
    /// which that is not known.
    pub(crate) fn in_hash_order(self, in_hash_order: bool) -> Self {
        KnownPartitioner { in_hash_order, ..self }
    }

    /// Whether the rows of each partition come in the order of their keys' hash. Then rows of one
    /// key are neighbours, and a join need not gather the partition first.
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
