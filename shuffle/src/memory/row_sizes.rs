//! Sizes of buffered rows: measured once, when a row is buffered, and carried along to its file.

use emberline_core::size::{heap_bytes, owns_heap};
use serde::Serialize;

/// The heap bytes of some rows: of all together, and of the largest. Zero for rows that own none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowSizes {
    /// The heap bytes of all rows.
    pub heap_bytes: u64,
    /// The heap bytes of the largest row, or more.
    pub max_heap_bytes: u64,
}

impl RowSizes {
    /// Measures each of `rows`.
    pub fn measure<R: Serialize>(rows: &[R]) -> Self {
        let mut sizes = RowSizes::default();
        if const { owns_heap::<R>() } {
            rows.iter().for_each(|row| sizes.add(heap_bytes(row)));
        }
        sizes
    }

    /// Adds a row that owns `heap_bytes`.
    #[inline]
    pub fn add(&mut self, heap_bytes: u64) {
        self.heap_bytes = self.heap_bytes.saturating_add(heap_bytes);
        self.max_heap_bytes = self.max_heap_bytes.max(heap_bytes);
    }

    /// Returns the bytes that the rows take: the list of them, and the heap they own.
    pub fn bytes_with<R>(&self, rows: &[R]) -> u64 {
        (size_of_val(rows) as u64).saturating_add(self.heap_bytes)
    }
}
