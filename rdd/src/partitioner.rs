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
pub(crate) struct KnownPartitioner(Arc<dyn AnyPartitioning>);

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
        KnownPartitioner(Arc::new(partitioning.clone()))
    }

    pub(crate) fn of_keys<K: 'static>(&self) -> Option<Partitioning<K>> {
        let any: &dyn Any = &*self.0;
        any.downcast_ref::<Partitioning<K>>().cloned()
    }

    pub(crate) fn same_as(&self, other: &KnownPartitioner) -> bool {
        self.0.same_as(&*other.0)
    }

    pub(crate) fn describe(&self) -> String {
        self.0.describe()
    }
}
