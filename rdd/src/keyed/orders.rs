//! The orders that sorts put rows in, and the sort of one partition.

use emberline_core::bounds::Stored;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::blame;
use emberline_shuffle::{ExternalSort, RowOrder, SortedRows};
use std::cmp::Ordering;

/// Rows in an order, those that are equal in it as they came. Rows that do not fit a task's share are
/// sorted in runs.
pub(super) fn in_order<T: Stored, O: RowOrder<T> + 'static>(
    operation: Operation,
    rows: impl Iterator<Item = T>,
    order: O,
    task: &TaskContext,
) -> OrderedRows<T, O> {
    let mut sort = ExternalSort::new(order, task);
    rows.for_each(|row| blame(&operation, || sort.push(row)));
    OrderedRows { rows: blame(&operation, || sort.finish()), operation }
}

/// Rows in order. Where they come from a merge, comparing them runs the user's code.
pub(super) struct OrderedRows<T, O: RowOrder<T>> {
    rows: SortedRows<T, O>,
    operation: Operation,
}

impl<T: Stored, O: RowOrder<T>> Iterator for OrderedRows<T, O> {
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

/// By what a closure finds in a row; it is asked once for each row and pass.
pub(super) struct ByKeyOf<F>(pub(super) F);

impl<T, K: Ord, F: Fn(&T) -> K> RowOrder<T> for ByKeyOf<F> {
    type Head = (K, T);

    fn sort(&self, rows: &mut Vec<T>) {
        rows.sort_by_cached_key(&self.0);
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

/// By a closure that compares.
pub(super) struct ByCompare<F>(pub(super) F);

impl<T, F: Fn(&T, &T) -> Ordering> RowOrder<T> for ByCompare<F> {
    type Head = T;

    fn sort(&self, rows: &mut Vec<T>) {
        rows.sort_by(&self.0);
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

/// By the keys of pairs.
#[derive(Clone, Copy)]
pub(super) struct ByPairKey;

impl<K: Ord, V> RowOrder<(K, V)> for ByPairKey {
    type Head = (K, V);

    fn sort(&self, rows: &mut Vec<(K, V)>) {
        rows.sort_by(|a, b| a.0.cmp(&b.0));
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
