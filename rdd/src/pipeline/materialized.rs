//! Materialized rows of a partition: of a collection, of a block, or of the frames of a block.
//! Shared rows are read in place or cloned; rows decoded from frames are owned by their reader.

use emberline_core::task::{ROWS_PER_CHECK, TaskContext};
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::vec;

/// The rows of one partition: shared rows, then batches that this reader owns.
pub struct MaterializedRows<T> {
    rows: Arc<Vec<T>>,
    left: Range<usize>,
    more: Option<Batched<T>>,
    task: TaskContext,
    /// Kept alive while the rows are read, such as a block that must not be evicted.
    _pin: Option<Box<dyn Any>>,
}

impl<T> MaterializedRows<T> {
    /// Returns the shared rows `left`, not counted as read: the caller may have computed them.
    pub(crate) fn new(rows: Arc<Vec<T>>, left: Range<usize>, task: &TaskContext) -> Self {
        MaterializedRows { rows, left, more: None, task: task.clone(), _pin: None }
    }

    /// Returns rows of batches that this reader owns.
    pub(crate) fn batched(
        batches: impl Iterator<Item = Vec<T>> + 'static,
        task: &TaskContext,
    ) -> Self {
        let batches = Batched {
            batches: Box::new(batches),
            rows: Vec::new().into_iter(),
            lent: None,
            task: task.clone(),
        };
        MaterializedRows {
            more: Some(batches),
            ..MaterializedRows::new(Arc::default(), 0..0, task)
        }
    }

    pub(crate) fn with_pin(self, pin: impl Any) -> Self {
        MaterializedRows { _pin: Some(Box::new(pin)), ..self }
    }

    /// Returns the size hint of the remaining rows.
    pub(crate) fn left(&self) -> (usize, Option<usize>) {
        match self.more {
            Some(_) => (self.left.len(), None),
            None => self.left.size_hint(),
        }
    }

    #[inline]
    fn next_index(&mut self) -> Option<usize> {
        let at = self.left.next()?;
        if at % ROWS_PER_CHECK == 0 {
            self.task.check_cancelled();
        }
        Some(at)
    }

    #[inline]
    pub(crate) fn next_ref(&mut self) -> Option<&T> {
        match self.next_index() {
            Some(at) => Some(&self.rows[at]),
            None => self.more.as_mut()?.lend(),
        }
    }

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
        match self.next_index() {
            Some(at) => Some(self.rows[at].clone()),
            None => self.more.as_mut()?.next(),
        }
    }

    fn fold<B, G: FnMut(B, T) -> B>(mut self, init: B, mut g: G) -> B {
        let more = self.more.take();
        // The batches may need the pinned value, so it is dropped at the end.
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

/// Rows in batches, one of which is in memory.
struct Batched<T> {
    batches: Box<dyn Iterator<Item = Vec<T>>>,
    rows: vec::IntoIter<T>,
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
        // Free the memory of the last batch before the next one is read.
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
