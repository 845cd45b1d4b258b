//! The rows of one partition where they lie: in a collection of the program, in a stored block, or in
//! the frames of one. Rows that several readers share are read in place, or as clones; rows that were
//! read from frames are this reader's own.

use emberline_core::task::{ROWS_PER_CHECK, TaskContext};
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::vec;

/// The rows of one partition: some that are shared, and then batches of this reader's own.
pub struct MaterializedRows<T> {
    rows: Arc<Vec<T>>,
    left: Range<usize>,
    more: Option<Batched<T>>,
    task: TaskContext,
    /// What must stay while the rows are read, such as a block that must not be evicted.
    _pin: Option<Box<dyn Any>>,
}

impl<T> MaterializedRows<T> {
    /// Counts no row as read: whoever finds rows that were there before does, not who just computed
    /// them.
    pub(crate) fn new(rows: Arc<Vec<T>>, left: Range<usize>, task: &TaskContext) -> Self {
        MaterializedRows { rows, left, more: None, task: task.clone(), _pin: None }
    }

    /// Rows that come in batches and belong to nobody else.
    pub(crate) fn batched(
        batches: impl Iterator<Item = Vec<T>> + 'static,
        task: &TaskContext,
    ) -> Self {
        let batches = Box::new(batches);
        let (rows, lent) = (Vec::new().into_iter(), None);
        let more = Some(Batched { batches, rows, lent, task: task.clone() });
        MaterializedRows { more, ..MaterializedRows::new(Arc::default(), 0..0, task) }
    }

    /// The same, with something that stays until they are read.
    pub(crate) fn with_pin(self, pin: impl Any) -> Self {
        MaterializedRows { _pin: Some(Box::new(pin)), ..self }
    }

    /// How many rows are left, as a size hint.
    pub(crate) fn left(&self) -> (usize, Option<usize>) {
        match self.more {
            Some(_) => (self.left.len(), None),
            None => self.left.size_hint(),
        }
    }

    /// The place of the next row that is shared.
    #[inline]
    fn next_place(&mut self) -> Option<usize> {
        let at = self.left.next()?;
        if at % ROWS_PER_CHECK == 0 {
            self.task.check_cancelled();
        }
        Some(at)
    }

    /// The next row, in place.
    #[inline]
    pub(crate) fn next_ref(&mut self) -> Option<&T> {
        match self.next_place() {
            Some(at) => Some(&self.rows[at]),
            None => self.more.as_mut()?.lend(),
        }
    }

    /// Folds the rows, in place.
    #[inline]
    pub(crate) fn fold_refs<B, G: FnMut(B, &T) -> B>(self, init: B, mut g: G) -> B {
        let mut accumulated = init;
        for block in self.rows[self.left].chunks(ROWS_PER_CHECK) {
            self.task.check_cancelled();
            accumulated = block.iter().fold(accumulated, &mut g);
        }
        match self.more {
            Some(more) => more.fold(accumulated, |accumulated, row| g(accumulated, &row)),
            None => accumulated,
        }
    }
}

impl<T: Clone> Iterator for MaterializedRows<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match self.next_place() {
            Some(at) => Some(self.rows[at].clone()),
            None => self.more.as_mut()?.next(),
        }
    }

    fn fold<B, G: FnMut(B, T) -> B>(mut self, init: B, mut g: G) -> B {
        let more = self.more.take();
        // What is pinned may be needed by the batches: it stays here until the end.
        let _pin = self._pin.take();
        let shared = |accumulated, row: &T| g(accumulated, row.clone());
        let accumulated = self.fold_refs(init, shared);
        match more {
            Some(more) => more.fold(accumulated, g),
            None => accumulated,
        }
    }

    fn count(self) -> usize {
        self.left.len() + self.more.map_or(0, Iterator::count)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left()
    }
}

/// Rows in batches, of which one is in memory.
struct Batched<T> {
    batches: Box<dyn Iterator<Item = Vec<T>>>,
    rows: vec::IntoIter<T>,
    /// The row that was lent last.
    lent: Option<T>,
    task: TaskContext,
}

impl<T> Batched<T> {
    fn lend(&mut self) -> Option<&T> {
        self.lent = self.next();
        self.lent.as_ref()
    }

    fn next_batch(&mut self) -> Option<Vec<T>> {
        self.task.check_cancelled();
        // The memory of the last one is free before the next one is read.
        self.rows = Vec::new().into_iter();
        self.batches.next()
    }
}

impl<T> Iterator for Batched<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(row);
            }
            self.rows = self.next_batch()?.into_iter();
        }
    }

    fn fold<B, G: FnMut(B, T) -> B>(mut self, init: B, mut g: G) -> B {
        let mut accumulated = std::mem::take(&mut self.rows).fold(init, &mut g);
        while let Some(batch) = self.next_batch() {
            accumulated = batch.into_iter().fold(accumulated, &mut g);
        }
        accumulated
    }

    fn count(mut self) -> usize {
        let mut count = self.rows.len();
        while let Some(batch) = self.next_batch() {
            count += batch.len();
        }
        count
    }
}
