//! When rows in memory have reached a size. The answer depends on the rows and the limit alone, so
//! that an attempt cuts its rows where every other attempt does.

use emberline_core::size::heap_bytes;
use emberline_core::task::{OperatorMemory, TaskContext};
use serde::Serialize;

/// Adds up what rows take. Each row is weighed, since one may be as large as all before it; for
/// rows that own nothing on the heap that is adding a constant.
pub struct MemoryMeter {
    limit: u64,
    bytes: u64,
    /// When the task learns of the size again, or the limit.
    next: u64,
    held: Option<OperatorMemory>,
}

/// The task learns of the size after so many parts of the limit.
pub(crate) const LOOKS: u64 = 16;

impl MemoryMeter {
    /// A meter for rows of up to `limit` bytes.
    pub fn new(limit: u64) -> Self {
        MemoryMeter { limit, bytes: 0, next: limit, held: None }
    }

    /// A meter of what one operation of `task` may hold, which counts to the task's peak.
    pub(crate) fn of(task: &TaskContext, limit: u64) -> Self {
        let next = limit.div_ceil(LOOKS);
        MemoryMeter { held: Some(OperatorMemory::new(task)), next, ..MemoryMeter::new(limit) }
    }

    /// What was added since the beginning or the last cut.
    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a row that lies in a list; says whether the limit is reached. Then it begins again.
    #[inline]
    pub fn add<T: Serialize>(&mut self, row: &T) -> bool {
        self.add_bytes((size_of::<T>() as u64).saturating_add(heap_bytes(row)))
    }

    /// Adds bytes; says whether the limit is reached. Then it begins again.
    #[inline]
    pub fn add_bytes(&mut self, bytes: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes >= self.next && self.look()
    }

    #[cold]
    fn look(&mut self) -> bool {
        if self.bytes >= self.limit {
            self.end();
            return true;
        }
        self.tell();
        false
    }

    fn tell(&mut self) {
        if let Some(held) = &mut self.held {
            held.set(self.bytes);
        }
        let step = if self.held.is_some() { self.limit.div_ceil(LOOKS) } else { self.limit };
        self.next = self.bytes.saturating_add(step).min(self.limit);
    }

    /// Notes the size of the last rows, and begins again.
    pub(crate) fn end(&mut self) {
        self.tell();
        self.bytes = 0;
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberline_core::config::Config;

    #[test]
    fn the_row_that_reaches_the_limit_is_the_last_of_its_run() {
        let mut meter = MemoryMeter::new(100);
        let cuts: Vec<u32> = (1..=30).filter(|n: &u32| meter.add(&u64::from(*n))).collect();
        assert_eq!(cuts, [13, 26]);
        assert_eq!(meter.bytes(), 4 * 8);
    }

    #[test]
    fn a_giant_behind_many_small_rows_is_noticed_at_once() {
        let mut meter = MemoryMeter::new(1 << 20);
        assert!((0..10_000).all(|_| !meter.add(&"x".to_string())));
        assert!(meter.add(&"x".repeat(1 << 20)));
    }

    #[test]
    fn rows_of_no_size_never_reach_a_limit() {
        let mut meter = MemoryMeter::new(1);
        assert!((0..100_000).all(|_| !meter.add(&())));
    }

    #[test]
    fn the_task_learns_the_most_that_was_held() {
        let task = TaskContext::for_test(Config::default());
        let mut meter = MemoryMeter::of(&task, 1600);
        assert!((0..150).all(|n: u64| !meter.add(&n)));
        assert!((1100..=1200).contains(&task.metrics().peak_bytes), "before it ends");
        meter.end();
        assert!((0..10).all(|n: u64| !meter.add(&n)));
        assert_eq!((task.metrics().peak_bytes, meter.bytes()), (1200, 80));
    }
}
