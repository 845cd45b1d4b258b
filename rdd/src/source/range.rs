//! `range`: integers, which are computed in the tasks.

use super::split_range;
use crate::context::Context;
use crate::pipeline::{Element, Fused, Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::operation::Operation;
use emberline_core::task::{ROWS_PER_CHECK, TaskContext};
use std::ops::Range;

/// An integer type of [`Context::range`].
pub trait RangeItem: Element + Copy + Sync + Sealed {
    #[doc(hidden)]
    fn rows(range: Range<Self>) -> u64;
    #[doc(hidden)]
    fn at(self, row: u64) -> Self;
    #[doc(hidden)]
    fn fold_batch<B, G: FnMut(B, Self) -> B>(batch: Range<Self>, init: B, g: G) -> B;
}

macro_rules! range_item {
    ($($int:ty),*) => {$(
        impl Sealed for $int {}
        impl RangeItem for $int {
            fn rows(range: Range<Self>) -> u64 {
                (range.end as i128 - range.start as i128).max(0) as u64
            }
            #[inline(always)]
            fn at(self, row: u64) -> Self {
                self.wrapping_add(row as $int)
            }
            #[inline(always)]
            fn fold_batch<B, G: FnMut(B, Self) -> B>(batch: Range<Self>, init: B, g: G) -> B {
                batch.fold(init, g)
            }
        }
    )*};
}

range_item!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

/// # Sources
impl Context {
    /// Creates an RDD of a half-open range of integers, in at most `default_partitions` partitions.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.range(2..5_u64).collect()?, [2, 3, 4]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn range<N: RangeItem>(&self, range: Range<N>) -> Rdd<N, impl Fused<Item = N> + use<N>> {
        let rows = N::rows(range.clone());
        let partitions = (self.default_partitions() as u64).min(rows.max(1)) as usize;
        self.ranged(Operation::new("range"), partitions, range)
    }

    /// Creates an RDD of a half-open range in a given number of partitions.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let squares = ctx.range_with(2, 0..4_u64).map(|n| n * n);
    /// assert_eq!((squares.num_partitions(), squares.collect()?), (2, vec![0, 1, 4, 9]));
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn range_with<N: RangeItem>(
        &self,
        partitions: usize,
        range: Range<N>,
    ) -> Rdd<N, impl Fused<Item = N> + use<N>> {
        self.ranged(Operation::new("range"), partitions, range)
    }

    fn ranged<N: RangeItem>(
        &self,
        operation: Operation,
        partitions: usize,
        range: Range<N>,
    ) -> Rdd<N, Ranged<N>> {
        let pipeline = Ranged { start: range.start, rows: N::rows(range), partitions };
        Rdd::new(self, self.source_lineage(operation, partitions), pipeline)
    }
}

#[derive(Clone)]
struct Ranged<N> {
    start: N,
    rows: u64,
    partitions: usize,
}

impl<N> Sealed for Ranged<N> {}
impl<N: RangeItem> Fused for Ranged<N> {}

impl<N: RangeItem> Pipeline for Ranged<N> {
    type Item = N;
    type Rows = RangeRows<N>;

    fn open(&self, partition: usize, task: &TaskContext) -> RangeRows<N> {
        let (low, high) = split_range(self.rows, self.partitions, partition);
        RangeRows { start: self.start, left: low..high, counted: low, task: task.clone() }
    }

    fn depth(&self) -> usize {
        0
    }
}

struct RangeRows<N> {
    start: N,
    left: Range<u64>,
    /// Index of the first row that has not been counted as read.
    counted: u64,
    task: TaskContext,
}

/// Rows that were pulled are counted once, at the end.
impl<N> Drop for RangeRows<N> {
    fn drop(&mut self) {
        self.task.count_read((self.left.start - self.counted) as usize);
    }
}

impl<N: RangeItem> Iterator for RangeRows<N> {
    type Item = N;

    #[inline]
    fn next(&mut self) -> Option<N> {
        let row = self.left.next()?;
        if row % ROWS_PER_CHECK as u64 == 0 {
            self.task.check_cancelled();
        }
        Some(self.start.at(row))
    }

    // The inner loop counts in `N` itself, as a loop by hand would, so the compiler unrolls and
    // vectorizes the whole chain. Adding the start to a row index costs a third more instructions.
    fn fold<B, G: FnMut(B, N) -> B>(self, init: B, mut g: G) -> B {
        let start = self.start;
        let end = self.left.end;
        let mut accumulated = init;
        let mut low = self.left.start;
        while low < end {
            self.task.check_cancelled();
            let high = end.min(low.saturating_add(ROWS_PER_CHECK as u64));
            accumulated = N::fold_batch(start.at(low)..start.at(high), accumulated, &mut g);
            self.task.count_read((high - low) as usize);
            low = high;
        }
        accumulated
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}
