//! When rows in memory have reached a size. The answer depends on the rows and the limit alone, so
//! that an attempt cuts its rows where every other attempt does.

use emberline_core::task::{Held, TaskContext};

/// Counts rows and says when their size should be estimated: after 1, 2, 4, ... rows at first, and
/// more often near the limit.
pub struct Meter {
    limit: u64,
    rows: u64,
    next: u64,
    /// Where the task learns of the size.
    held: Option<Held>,
}

impl Meter {
    /// A meter for rows of up to `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Meter { limit, rows: 0, next: 1, held: None }
    }

    /// A meter of what one operation of `task` may hold, which counts to the task's peak.
    pub(crate) fn of(task: &TaskContext, limit: u64) -> Self {
        Meter { held: Some(Held::new(task)), ..Meter::new(limit) }
    }

    /// Notes the size of the last rows, which nobody asks about any more.
    pub(crate) fn end(&mut self, bytes: impl FnOnce() -> u64) {
        if let Some(held) = &mut self.held {
            held.set(bytes());
            held.set(0);
        }
    }

    /// Counts a row; says whether to call [`reached`](Meter::reached) now.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        self.rows += 1;
        self.rows >= self.next
    }

    /// Whether rows of `bytes` bytes have reached the limit. Then it begins again.
    #[cold]
    pub fn reached(&mut self, bytes: u64) -> bool {
        if let Some(held) = &mut self.held {
            held.set(bytes);
        }
        if bytes >= self.limit {
            self.end(|| bytes);
            (self.rows, self.next) = (0, 1);
            return true;
        }
        let to_limit = u128::from(self.rows) * u128::from(self.limit - bytes);
        let more = to_limit / u128::from(bytes.max(1));
        let (least, most) = (self.rows / 16 + 1, self.rows);
        self.next = self.rows + (more.min(u64::MAX.into()) as u64).clamp(least, most.max(least));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts rows of one size until the limit is reached.
    fn rows_until(limit: u64, row_bytes: u64) -> (u64, u32) {
        let (mut meter, mut rows, mut looks) = (Meter::new(limit), 0, 0);
        loop {
            rows += 1;
            if meter.is_due() {
                looks += 1;
                if meter.reached(rows * row_bytes) {
                    return (rows, looks);
                }
            }
        }
    }

    #[test]
    fn a_limit_is_noticed_soon_after_it_is_reached_and_with_few_looks() {
        for row_bytes in [1, 3, 16, 1000] {
            let (rows, looks) = rows_until(1 << 20, row_bytes);
            let exact = (1_u64 << 20).div_ceil(row_bytes);
            assert!((exact..=exact + exact / 16 + 1).contains(&rows), "{row_bytes}: {rows}");
            assert!(looks < 60, "{row_bytes}: {looks} looks");
        }
    }

    #[test]
    fn rows_larger_than_the_limit_are_noticed_one_by_one_and_rows_of_no_size_never() {
        assert_eq!(rows_until(10, 1000), (1, 1));
        let mut meter = Meter::new(10);
        assert!((0..100_000).all(|_| !meter.is_due() || !meter.reached(0)));
    }
}
