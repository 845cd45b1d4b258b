//! Adds up the sizes of rows, and reports when they reach a limit.
//!
//! The answer depends on the rows and the limit alone, so every attempt of a task ends its runs at
//! the same rows.

use emberline_core::task::{OperatorMemory, TaskContext};

/// The sum of the sizes of rows, and its limit.
///
/// Each row is measured, since one may be as large as all before it. For rows that own no heap
/// memory that is adding a constant.
pub struct MemoryMeter {
    limit_bytes: u64,
    bytes: u64,
    /// The sum at which the size is reported to the task, or the limit is reached.
    next_bytes: u64,
    held: Option<OperatorMemory>,
}

/// The size is reported to the task each time it has grown by one such part of the limit.
pub(crate) const REPORTS: u64 = 16;

impl MemoryMeter {
    /// Makes a meter for rows of up to `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Self {
        MemoryMeter { limit_bytes, bytes: 0, next_bytes: limit_bytes, held: None }
    }

    /// Makes a meter for rows that an operation of `task` holds, which count towards the task's
    /// peak.
    pub(crate) fn of(task: &TaskContext, limit_bytes: u64) -> Self {
        let held = Some(OperatorMemory::new(task));
        MemoryMeter { limit_bytes, bytes: 0, next_bytes: limit_bytes.div_ceil(REPORTS), held }
    }

    /// Returns the sum since the limit was last reached.
    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds bytes. Returns true if the limit is reached; then the sum starts again.
    #[inline]
    pub fn add_bytes(&mut self, bytes: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes >= self.next_bytes && self.check()
    }

    #[cold]
    fn check(&mut self) -> bool {
        if self.bytes >= self.limit_bytes {
            self.end();
            return true;
        }
        self.report();
        false
    }

    /// Reports the sum to the task.
    pub(crate) fn report(&mut self) {
        let Some(held) = &mut self.held else {
            self.next_bytes = self.limit_bytes;
            return;
        };
        held.set(self.bytes);
        let next_bytes = self.bytes.saturating_add(self.limit_bytes.div_ceil(REPORTS));
        self.next_bytes = next_bytes.min(self.limit_bytes);
    }

    /// Reports the size of the last rows, and starts again.
    pub(crate) fn end(&mut self) {
        self.report();
        self.bytes = 0;
        self.report();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberline_core::config::Config;
    use emberline_core::size::heap_bytes;
    use serde::Serialize;

    impl MemoryMeter {
        /// Measures and adds a row that is stored in a list.
        fn add<T: Serialize>(&mut self, row: &T) -> bool {
            self.add_bytes((size_of::<T>() as u64).saturating_add(heap_bytes(row)))
        }
    }

    #[test]
    fn the_row_that_reaches_the_limit_is_the_last_of_its_run() {
        let mut meter = MemoryMeter::new(100);
        let cuts: Vec<u32> = (1..=30).filter(|n: &u32| meter.add(&u64::from(*n))).collect();
        assert_eq!(cuts, [13, 26]);
        assert_eq!(meter.bytes(), 4 * 8);
    }

    #[test]
    fn a_large_row_after_many_small_ones_reaches_the_limit_at_once() {
        let mut meter = MemoryMeter::new(1 << 20);
        assert!((0..10_000).all(|_| !meter.add(&"x".to_string())));
        assert!(meter.add(&"x".repeat(1 << 20)));
    }

    #[test]
    fn rows_without_a_size_never_reach_a_limit() {
        let mut meter = MemoryMeter::new(1);
        assert!((0..100_000).all(|_| !meter.add(&())));
    }

    #[test]
    fn the_largest_size_is_reported_to_the_task() {
        let task = TaskContext::for_test(Config::default());
        let mut meter = MemoryMeter::of(&task, 1600);
        assert!((0..150).all(|n: u64| !meter.add(&n)));
        assert!(
            (1100..=1200).contains(&task.metrics().peak_bytes),
            "before the last rows are reported"
        );
        meter.end();
        assert!((0..10).all(|n: u64| !meter.add(&n)));
        assert_eq!((task.metrics().peak_bytes, meter.bytes()), (1200, 80));
    }
}
