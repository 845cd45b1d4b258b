//! How many rows an action may hand to the program.

use emberline_core::config::Config;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::task::ROWS_PER_CHECK;
use emberline_core::unwind::raise;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the results of one action take together, and what they may. Its clones count together.
#[derive(Clone)]
pub(crate) struct ResultLimit {
    limit_bytes: u64,
    counted: Arc<Mutex<Counted>>,
}

/// The bytes that count. A straggler has a copy, and an attempt that failed late has left its rows for
/// the next one to replace; but one attempt at each partition is handed over. So of those that hold
/// rows at the same time the largest counts.
#[derive(Default)]
struct Counted {
    bytes: u64,
    /// What each attempt holds, by partition.
    attempts: HashMap<usize, Vec<u64>>,
}

impl Counted {
    /// An attempt holds `now` bytes, no longer `before`; gives what counts.
    fn change(&mut self, partition: usize, before: u64, now: u64) -> u64 {
        let largest = |held: &[u64]| held.iter().copied().max().unwrap_or(0);
        let held = self.attempts.entry(partition).or_default();
        let counted = largest(held);
        if let Some(at) = held.iter().position(|bytes| *bytes == before) {
            held.swap_remove(at);
        }
        held.push(now);
        self.bytes = self.bytes - counted + largest(held);
        self.bytes
    }
}

impl ResultLimit {
    pub(crate) fn new(config: &Config) -> Self {
        ResultLimit { limit_bytes: config.result_limit(), counted: Arc::default() }
    }

    /// An attempt at a partition without rows yet.
    fn part(&self, partition: usize, row_bytes: u64) -> ResultPart {
        ResultPart { limit: self.clone(), partition, row_bytes, rows: 0 }
    }

    /// A partition of which the result may take some rows, beside `rows` that it has. It counts alone:
    /// which of its rows are handed over is known once all are there.
    pub(crate) fn reserve(&self, row_bytes: usize, rows: usize) -> ResultPart {
        let bytes = (rows * row_bytes) as u64;
        let counted = Arc::new(Mutex::new(Counted { bytes, ..Counted::default() }));
        ResultLimit { limit_bytes: self.limit_bytes, counted }.part(0, row_bytes as u64)
    }

    /// How many partitions with up to `rows` reserve each are together within the limit; at least
    /// one, and so never much more than the limit lies in memory.
    pub(crate) fn partitions_per_job(&self, row_bytes: usize, rows: usize) -> usize {
        let bytes = (row_bytes as u64).saturating_mul(rows as u64);
        let parts = self.limit_bytes.checked_div(bytes).unwrap_or(u64::MAX);
        usize::try_from(parts).unwrap_or(usize::MAX).max(1)
    }

    /// Refuses a result of so many rows past the limit.
    pub(crate) fn check(&self, row_bytes: usize, rows: usize) -> Result<()> {
        let (rows, limit_bytes) = (rows as u64, self.limit_bytes);
        if rows.saturating_mul(row_bytes as u64) <= limit_bytes {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ResultTooLarge { rows, limit_bytes }))
    }

    /// All rows of a partition, as a part of the result.
    pub(crate) fn gather<T>(&self, partition: usize, rows: impl Iterator<Item = T>) -> Gathered<T> {
        self.part(partition, size_of::<T>() as u64).gather(rows)
    }
}

/// The rows of one partition, which count as long as they are not handed over.
pub(crate) struct Gathered<T> {
    rows: Vec<T>,
    _part: ResultPart,
}

impl<T> Gathered<T> {
    /// Hands them over.
    pub(crate) fn into_rows(self) -> Vec<T> {
        self.rows
    }
}

/// What one attempt adds to the result. It counts no longer once this drops.
pub(crate) struct ResultPart {
    limit: ResultLimit,
    partition: usize,
    row_bytes: u64,
    rows: usize,
}

impl ResultPart {
    /// All rows of an iterator.
    pub(crate) fn gather<T>(mut self, rows: impl Iterator<Item = T>) -> Gathered<T> {
        // Room for more rows than may come would be taken in vain.
        let least = rows.size_hint().0.min(1 << 20).min(self.most_rows());
        let rows = rows.fold(Vec::with_capacity(least), |mut gathered, row| {
            gathered.push(row);
            self.charge(gathered.len());
            gathered
        });
        self.grow(rows.len());
        Gathered { rows, _part: self }
    }

    /// Says that there are so many rows by now; looks at the limit every few thousand of them, and
    /// unwinds with the error past it.
    #[inline]
    pub(crate) fn charge(&mut self, rows: usize) {
        if rows >= self.rows + ROWS_PER_CHECK {
            self.grow(rows);
        }
    }

    /// Says that there are so many rows and that no more will come.
    pub(crate) fn end(mut self, rows: usize) {
        self.grow(rows);
    }

    #[cold]
    fn grow(&mut self, rows: usize) {
        let (bytes, limit_bytes) = (self.hold(rows), self.limit.limit_bytes);
        if bytes > limit_bytes {
            // Whatever other tasks hold by now: all rows are of one type.
            let rows = bytes / self.row_bytes.max(1);
            raise(Error::new(ErrorKind::ResultTooLarge { rows, limit_bytes }));
        }
    }

    /// Holds so many rows; gives what counts together.
    fn hold(&mut self, rows: usize) -> u64 {
        let before = std::mem::replace(&mut self.rows, rows) as u64 * self.row_bytes;
        let mut counted = self.limit.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.change(self.partition, before, rows as u64 * self.row_bytes)
    }

    fn most_rows(&self) -> usize {
        let rows = self.limit.limit_bytes.checked_div(self.row_bytes).unwrap_or(u64::MAX);
        usize::try_from(rows).unwrap_or(usize::MAX)
    }
}

impl Drop for ResultPart {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberline_core::unwind::take_failure;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn limit(bytes: u64) -> ResultLimit {
        ResultLimit::new(&Config { max_result_bytes: Some(bytes), ..Config::default() })
    }

    /// So many rows of eight bytes of a partition, if they fit beside what is there.
    fn gather(limit: &ResultLimit, partition: usize, rows: u64) -> Option<Gathered<u64>> {
        let gathered = catch_unwind(AssertUnwindSafe(|| limit.gather(partition, 0..rows)));
        let _ = take_failure();
        gathered.ok()
    }

    #[test]
    fn the_rows_of_all_tasks_count_together_to_the_last_byte() {
        let limit = limit(80_000);
        let held = (gather(&limit, 0, 9_000), gather(&limit, 1, 1_000));
        assert!(held.0.is_some() && held.1.is_some() && gather(&limit, 2, 1).is_none());
    }

    #[test]
    fn an_attempt_that_fails_takes_its_rows_back() {
        let limit = limit(80_000);
        assert!(gather(&limit, 0, 10_001).is_none());
        let held = gather(&limit, 0, 10_000);
        assert!(held.is_some() && gather(&limit, 1, 1).is_none());
        drop(held);
        assert!(gather(&limit, 1, 10_000).is_some());
    }

    #[test]
    fn of_several_attempts_at_one_partition_the_largest_counts() {
        let limit = limit(80_000);
        let (first, copy) = (gather(&limit, 3, 6_000), gather(&limit, 3, 6_000));
        let third = gather(&limit, 3, 7_000);
        assert!(first.is_some() && copy.is_some() && third.is_some());
        assert!(gather(&limit, 4, 3_001).is_none() && gather(&limit, 4, 3_000).is_some());
        drop(third);
        assert!(gather(&limit, 4, 4_001).is_none() && gather(&limit, 4, 4_000).is_some());
        drop((first, copy));
        assert!(gather(&limit, 4, 10_000).is_some());
    }

    #[test]
    fn a_task_stops_soon_after_the_limit() {
        let (limit, mut seen) = (limit(80_000), 0_usize);
        let rows = (0..u64::MAX).inspect(|_| seen += 1);
        assert!(catch_unwind(AssertUnwindSafe(|| limit.gather(0, rows))).is_err());
        let _ = take_failure();
        assert!((10_000..10_001 + ROWS_PER_CHECK).contains(&seen), "{seen}");
    }

    #[test]
    fn rows_without_a_size_are_never_too_many() {
        let gathered = limit(1).gather(0, (0..100_000).map(|_| ()));
        assert_eq!(gathered.into_rows().len(), 100_000);
    }
}
