//! Pipelines: the narrow operations between two shuffles, compiled to one loop.
//!
//! A [`Pipeline`] opens a partition as an iterator. Narrow operations wrap the iterator of their
//! parent as the adaptors of std do, so the pipeline is one type and the compiler sees one loop.
//! Full scans end in `fold`, which every adaptor forwards; `take` and `zip` pull with `next`.
//! - `boxed`: a pipeline without its type, which passes rows in chunks through a virtual call.
//! - `materialized`: rows of a partition that are in memory or in the frames of a block.
//! - `parents`: boxed unions, which pass no rows through themselves.
//! - `partition_rows`: rows that a closure pulls, which may catch their panics.
//! - `user_rows`: iterators that closures return, which end once.

pub(crate) mod boxed;
pub(crate) mod materialized;
pub(crate) mod parents;
mod partition_rows;
pub(crate) mod user_rows;

pub use self::boxed::Boxed;
pub use self::partition_rows::PartitionRows;
pub use crate::narrow::{Out, Refs, RefsWith, With};

use self::materialized::MaterializedRows;
pub(crate) use crate::bounds::Element;
use emberline_core::task::TaskContext;

pub(crate) mod sealed {
    /// Prevents implementations of the pipeline traits outside of this crate.
    pub trait Sealed {}
}

/// A way to compute the rows of a partition. Sealed: users only compose pipelines.
pub trait Pipeline: sealed::Sealed + Clone + Send + Sync + 'static {
    /// The type of a row.
    type Item: Element;
    /// An iterator over the rows of one partition, which computes them lazily.
    type Rows: Iterator<Item = Self::Item> + 'static;

    /// Opens a partition.
    #[doc(hidden)]
    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows;

    /// Returns the rows of a partition that are stored or can be stored: of a collection, of a
    /// persisted RDD, or of a union of such. [`refs`](crate::Rdd::refs) reads them in place.
    #[doc(hidden)]
    fn materialized(
        &self,
        _partition: usize,
        _task: &TaskContext,
    ) -> Option<MaterializedRows<Self::Item>> {
        None
    }

    /// Returns the number of consecutive boxed pipelines. Chunks shrink with it, so that a long
    /// chain holds no more rows than a short one.
    #[doc(hidden)]
    fn depth(&self) -> usize;

    /// Returns the pipeline without its type.
    #[doc(hidden)]
    fn to_boxed(&self) -> Boxed<Self::Item> {
        Boxed::new(self.clone())
    }
}

/// A pipeline whose operations are part of its type: any but [`Boxed`].
pub trait Fused: Pipeline {}

/// Maximum memory that is reserved for rows from a size hint, which may be wrong.
const MAX_HINTED_BYTES: usize = 16 << 20;

/// Collects the rows of an iterator with `fold`; `Vec::extend` would pull them, and would trust
/// their size hint.
pub(crate) fn gather<T>(rows: impl Iterator<Item = T>) -> Vec<T> {
    let hinted = rows.size_hint().0.min(MAX_HINTED_BYTES / size_of::<T>().max(1));
    rows.fold(Vec::with_capacity(hinted), |mut gathered, row| {
        gathered.push(row);
        gathered
    })
}
