//! Compares the size of a table of combiners with its limit.

use crate::aggregate::table::CombineTable;
use crate::memory::meter::REPORTS;
use crate::memory::row_sizes::RowSizes;
use emberline_core::bounds::Stored;
use emberline_core::task::{OperatorMemory, TaskContext};

/// The limit of a table, and what the task knows of its size.
pub(super) struct TableMemoryMeter {
    limit_bytes: u64,
    /// The size at which the table is compared with the limit again.
    next_bytes: u64,
    held: OperatorMemory,
}

impl TableMemoryMeter {
    /// Makes a meter for a table of `task` that may take `limit_bytes`.
    pub(super) fn new(task: &TaskContext, limit_bytes: u64) -> Self {
        let next_bytes = limit_bytes.div_ceil(REPORTS);
        TableMemoryMeter { limit_bytes, next_bytes, held: OperatorMemory::new(task) }
    }

    /// Returns true if it is time to call [`full`](TableMemoryMeter::full).
    #[inline]
    pub(super) fn is_due<K, C>(&self, table: &CombineTable<K, C>) -> bool {
        table.bytes() >= self.next_bytes
    }

    /// Returns the sizes of the entries if the table is full. Then the meter starts again for the
    /// next table.
    #[cold]
    pub(super) fn full<K: Stored, C: Stored>(
        &mut self,
        table: &mut CombineTable<K, C>,
    ) -> Option<RowSizes> {
        let part = self.limit_bytes.div_ceil(REPORTS);
        let sizes = (table.bytes() >= self.limit_bytes).then(|| table.measure_again());
        let bytes = table.bytes();
        self.held.set(bytes);
        self.next_bytes = bytes.saturating_add(part).min(self.limit_bytes);
        // A table is full one part below the limit. Otherwise a table just below the limit would be
        // measured again at each row.
        let sizes = sizes.filter(|_| bytes >= self.limit_bytes - part)?;
        self.held.set(0);
        self.next_bytes = part;
        Some(sizes)
    }

    /// Records that the operator holds `bytes`.
    pub(super) fn record(&mut self, bytes: u64) {
        self.held.set(bytes);
    }

    /// Records the last size of a table, and that it no longer grows.
    pub(super) fn end<K, C>(&mut self, table: &CombineTable<K, C>) {
        self.record(table.bytes());
        self.record(0);
    }
}
