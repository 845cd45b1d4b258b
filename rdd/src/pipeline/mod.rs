//! How a chain of narrow steps becomes one loop.
//!
//! A [`Pipeline`] is the typed half of a node: it opens a partition as an iterator. Narrow steps
//! wrap the iterator of their parent as std's adaptors do, so the whole chain is one type and the
//! compiler sees one loop. Full scans end in `fold`, which every adaptor forwards to its parent;
//! `take` and `zip` pull with `next`.

pub(crate) mod boxed;
pub(crate) mod materialized;

pub use self::boxed::Boxed;
pub use crate::narrow::{Out, Refs, RefsWith, With};

use self::materialized::MaterializedRows;
pub(crate) use crate::bounds::Element;
use emberline_core::task::TaskContext;

pub(crate) mod sealed {
    /// Keeps the pipeline traits inside this crate, so that they can change.
    pub trait Sealed {}
}

/// A way to compute the rows of a partition. Sealed: users compose pipelines, they do not write
/// them.
pub trait Pipeline: sealed::Sealed + Clone + Send + Sync + 'static {
    /// A row.
    type Item: Element;
    /// The rows of one partition, computed as they are asked for.
    type Rows: Iterator<Item = Self::Item> + 'static;

    /// Starts to compute a partition.
    #[doc(hidden)]
    fn open(&self, partition: usize, task: &TaskContext) -> Self::Rows;

    /// The rows of one partition as they lie in memory, if they do or can be brought there: those of
    /// a collection and of a cached RDD, and of a union of such. What [`refs`](crate::Rdd::refs)
    /// reads in place.
    #[doc(hidden)]
    fn materialized(
        &self,
        _partition: usize,
        _task: &TaskContext,
    ) -> Option<MaterializedRows<Self::Item>> {
        None
    }

    /// How many boxed steps lie one behind the other. Chunks shrink with it, so that a long chain
    /// holds no more rows than a short one.
    #[doc(hidden)]
    fn depth(&self) -> usize;

    /// The same pipeline without its type.
    #[doc(hidden)]
    fn to_boxed(&self) -> Boxed<Self::Item> {
        Boxed::new(self.clone())
    }
}

/// A pipeline whose steps are part of its type: everything but [`Boxed`].
pub trait Fused: Pipeline {}

/// All rows of an iterator, by its `fold`: `Vec::extend` would pull them one at a time.
pub(crate) fn gather<T>(rows: impl Iterator<Item = T>) -> Vec<T> {
    let least = rows.size_hint().0.min(1 << 20);
    rows.fold(Vec::with_capacity(least), |mut gathered, row| {
        gathered.push(row);
        gathered
    })
}
