//! Compares the size of a table of combiners with its limit.

use crate::aggregate::table::CombineTable;
use crate::memory::meter::REPORTS;
use crate::memory::row_sizes::RowSizes;
use emberline_core::bounds::Stored;
use emberline_core::size::owns_heap;
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

    /// Returns true if it is time to call [`full`](TableMemoryMeter::full) or
    /// [`is_full`](TableMemoryMeter::is_full).
    #[inline]
    pub(super) fn is_due<K, C>(&self, table: &CombineTable<K, C>) -> bool {
        table.bytes() >= self.next_bytes
    }

    /// Returns true if the table is full. Then the meter starts again for the next table.
    ///
    /// It decides as [`full`](TableMemoryMeter::full) does, for a caller that needs no sizes. Where
    /// combiners own no heap, [`bytes`](CombineTable::bytes) is what measuring again would return:
    /// each key is measured when it is added and does not change, and the rest of an entry is a
    /// constant. So the entries are not walked.
    #[cold]
    pub(super) fn is_full<K: Stored, C: Stored>(&mut self, table: &mut CombineTable<K, C>) -> bool {
        let has_reached_limit = table.bytes() >= self.limit_bytes;
        if const { owns_heap::<C>() } && has_reached_limit {
            table.measure_again();
        }
        self.compare(table.bytes(), has_reached_limit)
    }

    /// Returns the sizes of the entries if the table is full. Then the meter starts again for the
    /// next table.
    #[cold]
    pub(super) fn full<K: Stored, C: Stored>(
        &mut self,
        table: &mut CombineTable<K, C>,
    ) -> Option<RowSizes> {
        let sizes = (table.bytes() >= self.limit_bytes).then(|| table.measure_again());
        let is_full = self.compare(table.bytes(), sizes.is_some());
        sizes.filter(|_| is_full)
    }

    /// Reports the exact size of a table to the task, and returns true if the table is full: its
    /// estimated size `has_reached_limit`, and its exact size is at most one part below the limit.
    fn compare(&mut self, bytes: u64, has_reached_limit: bool) -> bool {
        let part = self.limit_bytes.div_ceil(REPORTS);
        self.held.set(bytes);
        self.next_bytes = bytes.saturating_add(part).min(self.limit_bytes);
        // The exact size may be less than the limit. If the table then had to reach the limit
        // again, one that is just below it would be measured again after nearly every row.
        let is_full = has_reached_limit && bytes >= self.limit_bytes - part;
        if is_full {
            self.held.set(0);
            self.next_bytes = part;
        }
        is_full
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
