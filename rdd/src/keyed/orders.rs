//! The row orders of sorts, and the sort of one partition.

use emberline_core::bounds::Stored;
use emberline_core::operation::Operation;
use emberline_core::task::{LoopCheck, TaskContext};
use emberline_core::unwind::blame;
use emberline_shuffle::{ExternalSort, RowOrder, SortedRows};
use std::cmp::Ordering;

/// Sorts rows, stable. Rows beyond the task memory limit are sorted in runs and merged.
pub(super) fn sort_rows<T: Stored, O: RowOrder<T> + 'static>(
    operation: Operation,
    rows: impl Iterator<Item = T>,
    order: O,
    task: &TaskContext,
) -> SortedPartition<T, O> {
    let mut sort = ExternalSort::new(order, task);
    rows.for_each(|row| blame(&operation, || sort.push(row)));
    SortedPartition { rows: blame(&operation, || sort.finish()), operation }
}

/// Sorted rows. A merge of runs compares rows while it is read, which runs the user's code.
pub(super) struct SortedPartition<T, O: RowOrder<T>> {
    rows: SortedRows<T, O>,
    operation: Operation,
}

impl<T: Stored, O: RowOrder<T>> Iterator for SortedPartition<T, O> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        blame(&self.operation, || self.rows.next())
    }

    fn fold<B, G: FnMut(B, T) -> B>(self, init: B, mut g: G) -> B {
        match self.rows {
            SortedRows::InMemory(rows) => rows.fold(init, g),
            SortedRows::Merged(mut rows) => {
                let mut accumulated = init;
                while let Some(row) = blame(&self.operation, || rows.next()) {
                    accumulated = g(accumulated, row);
                }
                accumulated
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

/// Returns a comparator that checks the task for cancellation: a sort in memory may be long.
fn checked<T>(compare: impl Fn(&T, &T) -> Ordering) -> impl FnMut(&T, &T) -> Ordering {
    let mut check = LoopCheck::default();
    move |a, b| {
        check.tick(1);
        compare(a, b)
    }
}

/// Orders rows by the key that a closure computes, once for each row and pass.
pub(super) struct ByKeyOf<F>(pub(super) F);

impl<T, K: Ord, F: Fn(&T) -> K> RowOrder<T> for ByKeyOf<F> {
    type Head = (K, T);

    fn sort(&self, rows: &mut Vec<T>) {
        let mut check = LoopCheck::default();
        rows.sort_by_cached_key(|row| {
            check.tick(1);
            self.0(row)
        });
    }

    fn head(&self, row: T) -> (K, T) {
        (self.0(&row), row)
    }

    fn compare(&self, a: &(K, T), b: &(K, T)) -> Ordering {
        a.0.cmp(&b.0)
    }

    fn row(&self, head: (K, T)) -> T {
        head.1
    }
}

/// Orders rows by a comparator.
pub(super) struct ByCompare<F>(pub(super) F);

impl<T, F: Fn(&T, &T) -> Ordering> RowOrder<T> for ByCompare<F> {
    type Head = T;

    fn sort(&self, rows: &mut Vec<T>) {
        rows.sort_by(checked(&self.0));
    }

    fn head(&self, row: T) -> T {
        row
    }

    fn compare(&self, a: &T, b: &T) -> Ordering {
        self.0(a, b)
    }

    fn row(&self, head: T) -> T {
        head
    }
}

/// Orders pairs by key.
#[derive(Clone, Copy)]
pub(super) struct ByPairKey;

impl<K: Ord, V> RowOrder<(K, V)> for ByPairKey {
    type Head = (K, V);

    fn sort(&self, rows: &mut Vec<(K, V)>) {
        rows.sort_by(checked(|a: &(K, V), b: &(K, V)| a.0.cmp(&b.0)));
    }

    fn head(&self, row: (K, V)) -> (K, V) {
        row
    }

    fn compare(&self, a: &(K, V), b: &(K, V)) -> Ordering {
        a.0.cmp(&b.0)
    }

    fn row(&self, head: (K, V)) -> (K, V) {
        head
    }
}
