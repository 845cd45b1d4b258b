//! Where a map task puts its rows, one bucket for each partition after the shuffle.

/// The buckets of one map task.
#[derive(Debug)]
pub struct Buckets<R> {
    buckets: Vec<Vec<R>>,
    /// Rows that the first allocation of a bucket has room for.
    first_rows: usize,
}

/// Bytes of rows that the first allocation of a bucket has room for, if there is memory for that in
/// each: most buckets of a small input then never grow.
const FIRST_BYTES: u64 = 1024;

impl<R> Buckets<R> {
    /// An empty bucket for each of `partitions` partitions, which together may take about so many
    /// bytes.
    pub fn new(partitions: usize, most_bytes: u64) -> Self {
        let mut buckets = Vec::new();
        buckets.resize_with(partitions, Vec::new);
        let first_bytes = (most_bytes / 4 / partitions.max(1) as u64).min(FIRST_BYTES);
        let first_rows = first_bytes as usize / size_of::<R>().max(1);
        Buckets { buckets, first_rows: first_rows.max(1) }
    }

    /// Adds a row to the bucket of `partition`. Says how many bytes the bucket grew by, with the
    /// room it does not use yet: nearly always none.
    ///
    /// # Panics
    ///
    /// If there is no such partition; [`partition_of`](crate::Partitioning::partition_of) never
    /// answers with one.
    #[inline]
    pub fn push(&mut self, partition: usize, row: R) -> u64 {
        let bucket = &mut self.buckets[partition];
        let mut grown = 0;
        if bucket.len() == bucket.capacity() {
            grown = grow(bucket, self.first_rows);
        }
        bucket.push(row);
        grown
    }

    /// Takes the rows out and leaves the buckets empty.
    pub(crate) fn take(&mut self) -> Vec<Vec<R>> {
        self.buckets.iter_mut().map(std::mem::take).collect()
    }

    /// The buckets, in the order of the partitions; the rows of each in the order they came.
    pub fn into_segments(self) -> Vec<Vec<R>> {
        self.buckets
    }
}

#[cold]
fn grow<R>(bucket: &mut Vec<R>, first_rows: usize) -> u64 {
    let before = bucket.capacity();
    bucket.reserve_exact(first_rows.max(before));
    ((bucket.capacity() - before) * size_of::<R>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_in_order_in_their_bucket() {
        let mut buckets = Buckets::new(3, 1 << 20);
        (0..1000).for_each(|n| assert!(buckets.push(n % 2, n) < 9000));
        let segments = buckets.into_segments();
        assert_eq!(segments.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 0]);
        assert!(segments[1].iter().copied().eq((0..1000).filter(|n| n % 2 == 1)));
    }

    #[test]
    fn rows_without_a_size_are_counted_too() {
        let mut buckets = Buckets::new(1, 1 << 20);
        assert!((0..10).all(|_| buckets.push(0, ()) == 0));
        assert_eq!(buckets.into_segments(), [vec![(); 10]]);
    }

    #[test]
    fn buckets_say_what_they_take_with_the_room_they_do_not_use() {
        let mut buckets = Buckets::new(5000, 256 << 10);
        let grown: u64 = (0..5000).map(|n| buckets.push(n, n as u64)).sum();
        assert_eq!(grown, 5000 * 8, "no more than a row each");
        let grown: u64 = (0..9).map(|n| buckets.push(7, n)).sum();
        let room = buckets.into_segments().iter().map(Vec::capacity).sum::<usize>() as u64;
        assert_eq!((grown, room), (15 * 8, 4999 + 16));
    }
}
