//! The rows of a partition as the closures of `map_partitions` and its relatives pull them.

use emberline_core::operation::Operation;
use emberline_core::unwind::blame;

/// The rows of a partition, passed to a closure. A panic of them that the closure catches is
/// recorded, so that the task fails.
pub struct PartitionRows<R> {
    rows: R,
    operation: Operation,
}

impl<R: Iterator> PartitionRows<R> {
    /// Returns rows whose panics are blamed on `operation`, unless one before it is to blame.
    pub(crate) fn new(rows: R, operation: Operation) -> Self {
        PartitionRows { rows, operation }
    }
}

impl<R: Iterator> Iterator for PartitionRows<R> {
    type Item = R::Item;

    #[inline]
    fn next(&mut self) -> Option<R::Item> {
        blame(&self.operation, || self.rows.next())
    }

    #[inline]
    fn fold<B, G: FnMut(B, R::Item) -> B>(self, init: B, g: G) -> B {
        blame(&self.operation, || self.rows.fold(init, g))
    }

    fn count(self) -> usize {
        blame(&self.operation, || self.rows.count())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}
