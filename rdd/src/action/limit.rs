//! The limit on the rows that an action returns to the program.

use emberline_core::config::Config;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::sync::Mutex;
use emberline_core::task::ROWS_PER_CHECK;
use emberline_core::unwind::raise;
use std::collections::HashMap;
use std::sync::Arc;

/// Maximum number of rows for which memory is reserved from a size hint.
const MAX_HINTED_ROWS: usize = 1 << 20;

/// The size of the results of one action, compared with its limit. All clones share one count.
#[derive(Clone)]
pub(crate) struct ResultLimit {
    limit_bytes: u64,
    counted: Arc<Mutex<Counted>>,
}

/// Bytes that count against the limit. Several attempts at a partition may hold rows, of which only
/// one is returned, so the largest counts.
#[derive(Default)]
struct Counted {
    bytes: u64,
    attempts: HashMap<usize, Attempts>,
}

/// The bytes of each attempt at a partition that holds rows.
enum Attempts {
    One(u64),
    Many(Vec<u64>),
}

impl Attempts {
    fn largest(&self) -> u64 {
        match self {
            Attempts::One(bytes) => *bytes,
            Attempts::Many(held) => held.iter().copied().max().unwrap_or(0),
        }
    }

    fn change(self, before: u64, now: u64) -> Option<Attempts> {
        let mut held = match self {
            Attempts::One(bytes) if bytes == before => {
                return (now > 0).then_some(Attempts::One(now));
            }
            Attempts::One(bytes) => vec![bytes],
            Attempts::Many(held) => held,
        };
        if let Some(at) = held.iter().position(|bytes| *bytes == before) {
            held.swap_remove(at);
        }
        held.extend(Some(now).filter(|now| *now > 0));
        match held[..] {
            [] => None,
            [bytes] => Some(Attempts::One(bytes)),
            _ => Some(Attempts::Many(held)),
        }
    }
}

impl Counted {
    /// Records that an attempt holds `now` instead of `before` bytes, and returns what counts.
    fn change(&mut self, partition: usize, before: u64, now: u64) -> u64 {
        let held = self.attempts.remove(&partition).unwrap_or(Attempts::One(0));
        let counted = held.largest();
        let held = held.change(before, now);
        self.bytes = self.bytes - counted + held.as_ref().map_or(0, Attempts::largest);
        if let Some(held) = held {
            self.attempts.insert(partition, held);
        }
        self.bytes
    }
}

impl ResultLimit {
    pub(crate) fn new(config: &Config) -> Self {
        ResultLimit { limit_bytes: config.result_limit(), counted: Arc::default() }
    }

    /// Returns the count of a new attempt at a partition, which holds no rows yet.
    fn part(&self, partition: usize, row_bytes: u64) -> ResultPart {
        ResultPart { limit: self.clone(), partition, row_bytes, rows: 0 }
    }

    /// Returns a part that is compared with the limit on its own, after `rows` rows that the action
    /// has, for actions that return only some of the rows that their tasks hold.
    pub(crate) fn reserve(&self, row_bytes: usize, rows: usize) -> ResultPart {
        let bytes = (rows * row_bytes) as u64;
        let counted = Arc::new(Mutex::new(Counted { bytes, ..Counted::default() }));
        ResultLimit { limit_bytes: self.limit_bytes, counted }.part(0, row_bytes as u64)
    }

    /// Returns the number of partitions, at least one, whose `rows` rows each fit the limit.
    pub(crate) fn partitions_per_job(&self, row_bytes: usize, rows: usize) -> usize {
        let bytes = (row_bytes as u64).saturating_mul(rows as u64);
        let partitions = self.limit_bytes.checked_div(bytes).unwrap_or(u64::MAX);
        usize::try_from(partitions).unwrap_or(usize::MAX).max(1)
    }

    pub(crate) fn check(&self, row_bytes: usize, rows: usize) -> Result<()> {
        let rows = rows as u64;
        let limit_bytes = self.limit_bytes;
        if rows.saturating_mul(row_bytes as u64) <= limit_bytes {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ResultTooLarge { rows, limit_bytes }))
    }

    /// Collects all rows of a partition as a part of the result.
    pub(crate) fn gather<T>(&self, partition: usize, rows: impl Iterator<Item = T>) -> Gathered<T> {
        self.part(partition, size_of::<T>() as u64).gather(rows)
    }
}

/// Rows of one partition, which count against the limit until they are returned.
pub(crate) struct Gathered<T> {
    rows: Vec<T>,
    _part: ResultPart,
}

impl<T> Gathered<T> {
    pub(crate) fn into_rows(self) -> Vec<T> {
        self.rows
    }
}

/// Rows that one attempt contributes to the result. They stop counting when this drops.
pub(crate) struct ResultPart {
    limit: ResultLimit,
    partition: usize,
    row_bytes: u64,
    rows: usize,
}

impl ResultPart {
    pub(crate) fn gather<T>(mut self, rows: impl Iterator<Item = T>) -> Gathered<T> {
        // Do not reserve beyond the limit.
        let hinted = rows.size_hint().0.min(MAX_HINTED_ROWS).min(self.max_rows());
        let rows = rows.fold(Vec::with_capacity(hinted), |mut gathered, row| {
            gathered.push(row);
            self.charge(gathered.len());
            gathered
        });
        self.set_rows(rows.len());
        Gathered { rows, _part: self }
    }

    /// Charges for `rows` rows in all, and unwinds with an error past the limit, at the latest
    /// after a few thousand rows.
    #[inline]
    pub(crate) fn charge(&mut self, rows: usize) {
        if rows >= self.rows + ROWS_PER_CHECK {
            self.set_rows(rows);
        }
    }

    pub(crate) fn finish(mut self, rows: usize) {
        self.set_rows(rows);
    }

    #[cold]
    fn set_rows(&mut self, rows: usize) {
        let bytes = self.hold(rows);
        let limit_bytes = self.limit.limit_bytes;
        if bytes > limit_bytes {
            // All rows of the action have one type, so the bytes of other tasks can be counted in
            // rows too.
            let rows = bytes / self.row_bytes.max(1);
            raise(Error::new(ErrorKind::ResultTooLarge { rows, limit_bytes }));
        }
    }

    /// Records the number of rows held, and returns the bytes that count for all partitions.
    fn hold(&mut self, rows: usize) -> u64 {
        let before = std::mem::replace(&mut self.rows, rows) as u64 * self.row_bytes;
        let mut counted = self.limit.counted.lock();
        counted.change(self.partition, before, rows as u64 * self.row_bytes)
    }

    fn max_rows(&self) -> usize {
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

    fn gather(limit: &ResultLimit, partition: usize, rows: u64) -> Option<Gathered<u64>> {
        let gathered = catch_unwind(AssertUnwindSafe(|| limit.gather(partition, 0..rows)));
        let _ = take_failure();
        gathered.ok()
    }

    #[test]
    fn rows_of_all_tasks_count_together_to_the_last_byte() {
        let limit = limit(80_000);
        let first = gather(&limit, 0, 9_000);
        let second = gather(&limit, 1, 1_000);
        assert!(first.is_some() && second.is_some() && gather(&limit, 2, 1).is_none());
    }

    #[test]
    fn rows_of_a_failed_attempt_stop_counting() {
        let limit = limit(80_000);
        assert!(gather(&limit, 0, 10_001).is_none());
        let held = gather(&limit, 0, 10_000);
        assert!(held.is_some() && gather(&limit, 1, 1).is_none());
        drop(held);
        assert!(gather(&limit, 1, 10_000).is_some());
    }

    #[test]
    fn the_largest_of_several_attempts_at_a_partition_counts() {
        let limit = limit(80_000);
        let first = gather(&limit, 3, 6_000);
        let copy = gather(&limit, 3, 6_000);
        let third = gather(&limit, 3, 7_000);
        assert!(first.is_some() && copy.is_some() && third.is_some());
        assert!(gather(&limit, 4, 3_001).is_none() && gather(&limit, 4, 3_000).is_some());
        drop(third);
        assert!(gather(&limit, 4, 4_001).is_none() && gather(&limit, 4, 4_000).is_some());
        drop((first, copy));
        assert!(gather(&limit, 4, 10_000).is_some());
    }

    #[test]
    fn a_task_stops_within_one_check_interval_past_the_limit() {
        let limit = limit(80_000);
        let mut seen = 0_usize;
        let rows = (0..u64::MAX).inspect(|_| seen += 1);
        assert!(catch_unwind(AssertUnwindSafe(|| limit.gather(0, rows))).is_err());
        let _ = take_failure();
        assert!((10_000..10_001 + ROWS_PER_CHECK).contains(&seen), "{seen}");
    }

    #[test]
    fn zero_sized_rows_never_exceed_the_limit() {
        let gathered = limit(1).gather(0, (0..100_000).map(|_| ()));
        assert_eq!(gathered.into_rows().len(), 100_000);
    }
}
