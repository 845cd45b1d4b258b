//! Compares the size of a table of combiners with its limit.

use crate::aggregate::table::CombineTable;
use crate::memory::meter::LOOKS;
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

    /// Whether to ask [`is_full`](TableMemoryMeter::is_full) now.
    #[inline]
    pub(crate) fn is_due<K, C>(&self, table: &CombineTable<K, C>) -> bool {
        table.bytes() >= self.next
    }

    /// Whether the table has reached the limit, but for a small part. Then it begins again.
    #[cold]
    pub(crate) fn is_full<K: Stored, C: Stored>(&mut self, table: &mut CombineTable<K, C>) -> bool {
        let part = self.limit.div_ceil(LOOKS);
        let seems_full = table.bytes() >= self.limit;
        let bytes = if seems_full { table.recount() } else { table.bytes() };
        self.held.set(bytes);
        self.next = bytes.saturating_add(part).min(self.limit);
        // So a table near its limit is not counted again and again.
        let is_full = seems_full && bytes >= self.limit - part;
        if is_full {
            self.held.set(0);
            self.next = part;
        }
        is_full
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
