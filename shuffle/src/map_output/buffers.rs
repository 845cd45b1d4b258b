//! The rows of a map task in memory, one buffer for each segment.

use crate::memory::row_sizes::RowSizes;
use emberline_core::size::owns_heap;

/// The buffers of one map task.
#[derive(Debug)]
pub(crate) struct SegmentBuffers<R> {
    segments: Vec<SegmentRows<R>>,
    /// Rows that the first allocation of a buffer has room for.
    first_rows: usize,
}

/// The rows of one segment in memory, and their sizes.
#[derive(Debug)]
pub(crate) struct SegmentRows<R> {
    pub(crate) rows: Vec<R>,
    pub(crate) sizes: RowSizes,
}

impl<R> Default for SegmentRows<R> {
    fn default() -> Self {
        SegmentRows { rows: Vec::new(), sizes: RowSizes::default() }
    }
}

/// The first allocation of a buffer has room for rows of this many bytes, if there is memory for
/// that in each: most buffers of a small input then never grow.
const FIRST_BYTES: u64 = 1024;

impl<R> SegmentBuffers<R> {
    /// Makes an empty buffer for each of `segments` segments, which together may take about
    /// `limit_bytes`.
    pub(crate) fn new(segments: usize, limit_bytes: u64) -> Self {
        let first_bytes = (limit_bytes / 4 / segments.max(1) as u64).min(FIRST_BYTES);
        let first_rows = first_bytes as usize / size_of::<R>().max(1);
        let mut buffers = Vec::with_capacity(segments);
        for _ in 0..segments {
            buffers.push(SegmentRows::default());
        }
        SegmentBuffers { segments: buffers, first_rows: first_rows.max(1) }
    }

    /// Adds a row that owns `heap_bytes` to a segment. Returns the bytes by which the buffer grew,
    /// unused capacity included: nearly always none.
    ///
    /// # Panics
    ///
    /// If there is no such segment; [`partition_of`](crate::Partitioning::partition_of) never
    /// returns one.
    #[inline]
    pub(crate) fn push(&mut self, segment: usize, row: R, heap_bytes: u64) -> u64 {
        let segment = &mut self.segments[segment];
        let mut grown = 0;
        if segment.rows.len() == segment.rows.capacity() {
            grown = grow(&mut segment.rows, self.first_rows);
        }
        segment.rows.push(row);
        if const { owns_heap::<R>() } {
            segment.sizes.add(heap_bytes);
        }
        grown
    }

    /// Takes the rows of all segments and leaves the buffers empty.
    pub(crate) fn take(&mut self) -> Vec<SegmentRows<R>> {
        let mut taken = Vec::with_capacity(self.segments.len());
        for segment in &mut self.segments {
            taken.push(std::mem::take(segment));
        }
        taken
    }

    /// Returns the rows of all segments, each in the order of the calls of [`push`](Self::push).
    pub(crate) fn into_segments(self) -> Vec<SegmentRows<R>> {
        self.segments
    }
}

#[cold]
fn grow<R>(rows: &mut Vec<R>, first_rows: usize) -> u64 {
    let before = rows.capacity();
    rows.reserve_exact(first_rows.max(before));
    ((rows.capacity() - before) * size_of::<R>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_in_order_in_their_segment() {
        let mut buffers = SegmentBuffers::new(3, 1 << 20);
        (0..1000).for_each(|n| assert!(buffers.push(n % 2, n.to_string(), n as u64) < 24_000));
        let segments = buffers.into_segments();
        let lengths: Vec<usize> = segments.iter().map(|segment| segment.rows.len()).collect();
        assert_eq!(lengths, [500, 500, 0]);
        let odd: Vec<u64> = (0..1000).filter(|n| n % 2 == 1).collect();
        let expected: Vec<String> = odd.iter().map(u64::to_string).collect();
        assert_eq!(segments[1].rows, expected);
        let sizes = RowSizes { heap_bytes: odd.iter().sum(), max_heap_bytes: 999 };
        assert_eq!(segments[1].sizes, sizes);
        assert_eq!(segments[0].sizes.max_heap_bytes, 998, "sizes of its own");
    }

    #[test]
    fn rows_without_a_size_are_counted_too() {
        let mut buffers = SegmentBuffers::new(1, 1 << 20);
        assert!((0..10).all(|_| buffers.push(0, (), 0) == 0));
        assert_eq!(buffers.into_segments()[0].rows, vec![(); 10]);
    }

    #[test]
    fn growth_is_reported_with_unused_capacity() {
        let mut buffers = SegmentBuffers::new(5000, 256 << 10);
        let grown: u64 = (0..5000).map(|n| buffers.push(n, n as u64, 0)).sum();
        assert_eq!(grown, 5000 * 8, "no more than a row each");
        let grown: u64 = (0..9).map(|n| buffers.push(7, n, 0)).sum();
        let segments = buffers.into_segments();
        let capacity: usize = segments.iter().map(|segment| segment.rows.capacity()).sum();
        assert_eq!((grown, capacity), (15 * 8, 4999 + 16));
    }
}
