//! Rows buffered by sub-partition, on pages of one size: a buffer grows without copying its rows,
//! and a page that was emptied is filled again or freed.

use std::mem;

/// The buffers of all sub-partitions.
pub(super) struct ScatterBuffers<R> {
    /// The last page of each sub-partition. All that a push needs is close together.
    open: Vec<Vec<R>>,
    /// The full pages before it.
    full: Vec<Vec<Vec<R>>>,
    /// Pages without rows.
    spare: Vec<Vec<R>>,
    max_spare: usize,
    page_rows: usize,
    rows: usize,
    max_rows: usize,
}

/// The most bytes of a page: few enough that an unused part of it matters little.
const PAGE_BYTES: usize = 4 << 10;
/// The most empty pages that are retained. Freeing all pages of a small task would cost more than
/// filling them.
const MAX_SPARE_PAGES: usize = 1024;
/// Retained pages are at most this fraction of the pages that all rows need.
const SPARE_FRACTION: usize = 16;

impl<R> ScatterBuffers<R> {
    /// Makes an empty buffer for each sub-partition, for `max_rows` rows in all.
    pub(super) fn new(sub_partitions: usize, max_rows: usize) -> Self {
        let rows_that_fit = PAGE_BYTES / size_of::<R>().max(1);
        let page_rows = rows_that_fit.min(max_rows / sub_partitions.max(1) / 2).max(1);
        let mut open = Vec::with_capacity(sub_partitions);
        let mut full = Vec::with_capacity(sub_partitions);
        for _ in 0..sub_partitions {
            open.push(Vec::new());
            full.push(Vec::new());
        }
        let max_spare = MAX_SPARE_PAGES.min(max_rows / page_rows / SPARE_FRACTION);
        ScatterBuffers { open, full, spare: Vec::new(), max_spare, page_rows, rows: 0, max_rows }
    }

    /// Returns the bytes of all pages, unused room included.
    pub(super) fn bytes(&self) -> u64 {
        let mut pages = self.spare.len();
        for page in &self.open {
            pages += usize::from(page.capacity() > 0);
        }
        for full in &self.full {
            pages += full.len();
        }
        (pages * self.page_rows * size_of::<R>()) as u64
    }

    /// Adds a row. Returns true if the buffers are full.
    #[inline]
    pub(super) fn push(&mut self, sub_partition: usize, row: R) -> bool {
        let open = &mut self.open[sub_partition];
        if open.len() == open.capacity() {
            self.push_to_next_page(sub_partition, row);
        } else {
            open.push(row);
        }
        self.rows += 1;
        self.rows >= self.max_rows
    }

    #[cold]
    fn push_to_next_page(&mut self, sub_partition: usize, row: R) {
        let new_page = || Vec::with_capacity(self.page_rows);
        let mut page = self.spare.pop().unwrap_or_else(new_page);
        page.push(row);
        let filled = mem::replace(&mut self.open[sub_partition], page);
        if !filled.is_empty() {
            self.full[sub_partition].push(filled);
        }
    }

    /// Returns the number of buffered rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of buffered rows of a sub-partition.
    pub(super) fn rows_of(&self, sub_partition: usize) -> usize {
        let mut rows = self.open[sub_partition].len();
        for page in &self.full[sub_partition] {
            rows += page.len();
        }
        rows
    }

    /// Removes the rows of a sub-partition, in their order, and passes them to `each`.
    pub(super) fn take(&mut self, sub_partition: usize, mut each: impl FnMut(R)) {
        let mut pages = mem::take(&mut self.full[sub_partition]);
        for page in &mut pages {
            self.take_page(mem::take(page), &mut each);
        }
        pages.clear();
        self.full[sub_partition] = pages;
        let last = mem::take(&mut self.open[sub_partition]);
        self.take_page(last, &mut each);
    }

    fn take_page(&mut self, mut page: Vec<R>, each: &mut impl FnMut(R)) {
        self.rows -= page.len();
        page.drain(..).for_each(each);
        if page.capacity() >= self.page_rows && self.spare.len() < self.max_spare {
            self.spare.push(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_order_and_leave_room_for_others() {
        let mut buffers = ScatterBuffers::new(3, 40_000);
        for round in 0..3_u64 {
            let full = (0..40_000).filter(|n| buffers.push(*n as usize % 2, round + n)).count();
            assert_eq!((full, buffers.rows()), (1, 40_000), "the last row takes the last room");
            assert!((40_000 * 8..44_000 * 8).contains(&buffers.bytes()), "{}", buffers.bytes());
            for sub_partition in 0..3_usize {
                let mut rows = Vec::new();
                let count = buffers.rows_of(sub_partition);
                buffers.take(sub_partition, |row| rows.push(row));
                let expected = (0..40_000).filter(|n| n % 2 == sub_partition as u64);
                assert_eq!(rows.len(), count);
                assert!(rows.into_iter().eq(expected.map(|n| round + n)));
            }
            assert_eq!(buffers.rows(), 0);
            assert!(buffers.spare.iter().all(|page| page.capacity() == buffers.page_rows));
        }
    }

    #[test]
    fn rows_without_a_size_are_buffered_too() {
        let mut buffers = ScatterBuffers::new(2, 1);
        assert!(buffers.push(1, ()));
        assert_eq!((buffers.rows_of(0), buffers.rows_of(1), buffers.bytes()), (0, 1, 0));
        buffers.take(1, |()| ());
        assert_eq!(buffers.rows(), 0);
    }
}
