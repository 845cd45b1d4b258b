//! How many rows an action may hand to the program.

use emberline_core::config::Config;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::step::raise;
use emberline_core::task::ROWS_PER_CHECK;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the results of one action take together, and what they may. Its clones count together.
#[derive(Clone)]
pub(crate) struct ResultLimit {
    limit_bytes: u64,
    bytes: Arc<AtomicU64>,
}

impl ResultLimit {
    pub(crate) fn new(config: &Config) -> Self {
        ResultLimit { limit_bytes: config.result_limit(), bytes: Arc::default() }
    }

    /// A part of the result without rows yet.
    fn part(&self, row_bytes: u64) -> ResultPart {
        ResultPart { limit: self.clone(), row_bytes, rows: 0, is_result: false }
    }

    /// A partition of which the result may take some rows, beside `rows` that it has. It counts alone:
    /// which of its rows are handed over is known once all are there.
    pub(crate) fn candidates(&self, row_bytes: usize, rows: usize) -> ResultPart {
        let bytes = Arc::new(AtomicU64::new((rows * row_bytes) as u64));
        ResultLimit { limit_bytes: self.limit_bytes, bytes }.part(row_bytes as u64)
    }

    /// How many partitions with up to `rows` candidates each are together within the limit; at least
    /// one, and so never much more than the limit lies in memory.
    pub(crate) fn parts_at_once(&self, row_bytes: usize, rows: usize) -> usize {
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

    /// All rows of an iterator, as a part of the result.
    pub(crate) fn gather<T>(&self, rows: impl Iterator<Item = T>) -> Vec<T> {
        self.part(size_of::<T>() as u64).gather(rows)
    }
}

/// What one task adds to the result. An attempt that fails takes it back.
pub(crate) struct ResultPart {
    limit: ResultLimit,
    row_bytes: u64,
    rows: usize,
    is_result: bool,
}

impl ResultPart {
    /// All rows of an iterator.
    pub(crate) fn gather<T>(mut self, rows: impl Iterator<Item = T>) -> Vec<T> {
        // Room for more rows than may come would be taken in vain.
        let least = rows.size_hint().0.min(1 << 20).min(self.most_rows());
        let gathered = rows.fold(Vec::with_capacity(least), |mut gathered, row| {
            gathered.push(row);
            self.reach(gathered.len());
            gathered
        });
        self.end(gathered.len());
        gathered
    }

    /// Says that there are so many rows by now; looks at the limit every few thousand of them, and
    /// unwinds with the error past it.
    #[inline]
    pub(crate) fn reach(&mut self, rows: usize) {
        if rows >= self.rows + ROWS_PER_CHECK {
            self.grow(rows);
        }
    }

    /// Says that there are so many rows and that no more will come.
    pub(crate) fn end(mut self, rows: usize) {
        self.grow(rows);
        self.is_result = true;
    }

    #[cold]
    fn grow(&mut self, rows: usize) {
        let more = (rows - self.rows) as u64 * self.row_bytes;
        self.rows = rows;
        let before = self.limit.bytes.fetch_add(more, Ordering::Relaxed);
        let (bytes, limit_bytes) = (before.saturating_add(more), self.limit.limit_bytes);
        if bytes > limit_bytes {
            // Whatever other tasks hold by now: all rows are of one type.
            let rows = bytes / self.row_bytes.max(1);
            raise(Error::new(ErrorKind::ResultTooLarge { rows, limit_bytes }));
        }
    }

    fn most_rows(&self) -> usize {
        let rows = self.limit.limit_bytes.checked_div(self.row_bytes).unwrap_or(u64::MAX);
        usize::try_from(rows).unwrap_or(usize::MAX)
    }
}

impl Drop for ResultPart {
    fn drop(&mut self) {
        if !self.is_result {
            let bytes = self.rows as u64 * self.row_bytes;
            self.limit.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberline_core::step::take_failure;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn limit(bytes: u64) -> ResultLimit {
        ResultLimit::new(&Config { result_limit_bytes: Some(bytes), ..Config::default() })
    }

    /// Whether so many rows of eight bytes fit beside what is there.
    fn fits(limit: &ResultLimit, rows: u64) -> bool {
        let gathered = catch_unwind(AssertUnwindSafe(|| limit.gather(0..rows)));
        let _ = take_failure();
        gathered.is_ok()
    }

    #[test]
    fn the_rows_of_all_tasks_count_together_to_the_last_byte() {
        let limit = limit(80_000);
        assert!(fits(&limit, 9_000) && fits(&limit, 1_000) && !fits(&limit, 1));
    }

    #[test]
    fn an_attempt_that_fails_takes_its_rows_back() {
        let limit = limit(80_000);
        assert!(!fits(&limit, 10_001) && fits(&limit, 10_000));
    }

    #[test]
    fn a_task_stops_soon_after_the_limit() {
        let (limit, mut seen) = (limit(80_000), 0_usize);
        let rows = (0..u64::MAX).inspect(|_| seen += 1);
        assert!(catch_unwind(AssertUnwindSafe(|| limit.gather(rows))).is_err());
        let _ = take_failure();
        assert!((10_000..10_001 + ROWS_PER_CHECK).contains(&seen), "{seen}");
    }

    #[test]
    fn rows_without_a_size_are_never_too_many() {
        assert_eq!(limit(1).gather((0..100_000).map(|_| ())).len(), 100_000);
    }
}
