//! Rows that lie in memory and that several readers share: a collection of the program, or a stored
//! block. They are read in place, or as clones.

use emberline_core::task::{ROWS_PER_CHECK, TaskContext};
use std::ops::Range;
use std::sync::Arc;

/// The rows of one partition in memory; as an iterator it gives clones.
pub struct HeldRows<T> {
    rows: Arc<Vec<T>>,
    left: Range<usize>,
    task: TaskContext,
}

impl<T> HeldRows<T> {
    /// Counts no row as read: whoever finds rows that were there before does, not who just computed
    /// them.
    pub(crate) fn new(rows: Arc<Vec<T>>, left: Range<usize>, task: &TaskContext) -> Self {
        HeldRows { rows, left, task: task.clone() }
    }

    /// How many rows are left, as a size hint.
    pub(crate) fn left(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }

    /// The next row, in place.
    #[inline]
    pub(crate) fn next_ref(&mut self) -> Option<&T> {
        let at = self.left.next()?;
        if at % ROWS_PER_CHECK == 0 {
            self.task.check_cancelled();
        }
        Some(&self.rows[at])
    }

    /// Folds the rows, in place.
    #[inline]
    pub(crate) fn fold_refs<B, G: FnMut(B, &T) -> B>(self, init: B, mut g: G) -> B {
        let mut accumulated = init;
        for block in self.rows[self.left].chunks(ROWS_PER_CHECK) {
            self.task.check_cancelled();
            accumulated = block.iter().fold(accumulated, &mut g);
        }
        accumulated
    }
}

impl<T: Clone> Iterator for HeldRows<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.next_ref().cloned()
    }

    fn fold<B, G: FnMut(B, T) -> B>(self, init: B, mut g: G) -> B {
        self.fold_refs(init, |accumulated, row| g(accumulated, row.clone()))
    }

    fn count(self) -> usize {
        self.left.len()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left()
    }
}
