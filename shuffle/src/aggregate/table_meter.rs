//! Compares the size of a table of combiners with its limit.

use crate::aggregate::table::CombineTable;
use crate::memory::meter::LOOKS;
use crate::memory::row_sizes::RowSizes;
use emberline_core::bounds::Stored;
use emberline_core::task::{OperatorMemory, TaskContext};

/// Says when a table of combiners has reached a size.
pub(crate) struct TableMemoryMeter {
    limit: u64,
    /// When to look at the table again.
    next: u64,
    held: OperatorMemory,
}

impl TableMemoryMeter {
    /// A meter of a table of `task` that may take `limit` bytes.
    pub(crate) fn new(task: &TaskContext, limit: u64) -> Self {
        TableMemoryMeter { limit, next: limit.div_ceil(LOOKS), held: OperatorMemory::new(task) }
    }

    /// Returns true if it is time to call [`full`](TableMemoryMeter::full).
    #[inline]
    pub(crate) fn is_due<K, C>(&self, table: &CombineTable<K, C>) -> bool {
        table.bytes() >= self.next
    }

    /// Returns the sizes of the entries if the table has reached the limit, but for a small part. Then
    /// the meter starts again for the next table.
    #[cold]
    pub(crate) fn full<K: Stored, C: Stored>(
        &mut self,
        table: &mut CombineTable<K, C>,
    ) -> Option<RowSizes> {
        let part = self.limit.div_ceil(LOOKS);
        let sizes = (table.bytes() >= self.limit).then(|| table.recount());
        self.held.set(table.bytes());
        self.next = table.bytes().saturating_add(part).min(self.limit);
        // A part below the limit is enough: a table near its limit is not measured again and again.
        let sizes = sizes.filter(|_| table.bytes() >= self.limit - part)?;
        self.held.set(0);
        self.next = part;
        Some(sizes)
    }

    /// Notes what a table takes, or several.
    pub(crate) fn note(&mut self, bytes: u64) {
        self.held.set(bytes);
    }

    /// Notes the size of a table that nobody asks about any more.
    pub(crate) fn end<K, C>(&mut self, table: &CombineTable<K, C>) {
        self.note(table.bytes());
        self.note(0);
    }
}
