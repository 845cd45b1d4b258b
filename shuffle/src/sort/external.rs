//! Sorts more rows than fit in the memory of a task: in sorted runs, which are merged. See the
//! README of this folder.
//!
//! The rows and the configuration decide where a run is cut. A sorted run stays in memory if the
//! memory limit allows it, else it is written to a file. Many runs are merged in passes over
//! neighbouring ones. Rows that compare as equal stay in the order of the input, so the result is
//! that of one stable sort, however it was cut.

use crate::format::frame_target;
use crate::memory::meter::MemoryMeter;
use crate::memory::row_sizes::RowSizes;
use crate::sort::run::{Batches, Run, RunFile, RunRows};
use emberline_core::bounds::Stored;
use emberline_core::counters::Phase;
use emberline_core::error::Result;
use emberline_core::size::heap_bytes;
use emberline_core::task::TaskContext;
use emberline_core::unwind::or_raise;
use std::cmp::Ordering;
use std::iter;
use std::sync::Arc;
use std::vec;

/// An order of rows.
pub trait RowOrder<T> {
    /// A row in a merge, with the key that is compared: computed once for each row.
    type Head;

    /// Sorts rows; equal ones stay in their order.
    fn sort(&self, rows: &mut Vec<T>);
    /// Prepares a row for comparisons.
    fn head(&self, row: T) -> Self::Head;
    /// Compares two rows.
    fn compare(&self, a: &Self::Head, b: &Self::Head) -> Ordering;
    /// Returns the row.
    fn row(&self, head: Self::Head) -> T;
}

/// A sort that is not complete.
pub struct ExternalSort<T, O> {
    task: TaskContext,
    order: O,
    meter: MemoryMeter,
    rows: Vec<T>,
    /// The sizes of `rows`.
    sizes: RowSizes,
    runs: Vec<Run<T>>,
}

impl<T: Stored, O: RowOrder<T>> ExternalSort<T, O> {
    /// Makes a sort without rows, within the memory of an operation of `task`.
    pub fn new(order: O, task: &TaskContext) -> Self {
        let meter = MemoryMeter::of(task, task.operator_memory_limit());
        ExternalSort {
            task: task.clone(),
            order,
            meter,
            rows: Vec::new(),
            sizes: RowSizes::default(),
            runs: Vec::new(),
        }
    }

    /// Adds a row. If the disk fails, the error is raised.
    #[inline]
    pub fn push(&mut self, row: T) {
        let heap = heap_bytes(&row);
        self.sizes.add(heap);
        self.rows.push(row);
        if self.meter.add_bytes((size_of::<T>() as u64).saturating_add(heap)) {
            or_raise(self.cut());
        }
    }

    #[cold]
    fn cut(&mut self) -> Result<()> {
        self.task.check_cancelled();
        let mut rows = std::mem::take(&mut self.rows);
        let sizes = std::mem::take(&mut self.sizes);
        let phase = self.task.enter(Phase::Sort);
        self.order.sort(&mut rows);
        drop(phase);
        self.runs.push(Run::store(rows, sizes, &self.task)?);
        Ok(())
    }

    /// Adds sorted rows of known sizes as a run of their own, after the rows pushed before.
    pub(crate) fn push_run(&mut self, sorted: Vec<T>, sizes: RowSizes) {
        if !self.rows.is_empty() {
            or_raise(self.cut());
        }
        self.runs.push(or_raise(Run::store(sorted, sizes, &self.task)));
    }

    /// Adds rows of known sizes, which fit in memory, and returns all rows in order.
    pub(crate) fn finish_with(mut self, rows: Vec<T>, sizes: RowSizes) -> SortedRows<T, O> {
        if !self.rows.is_empty() {
            or_raise(self.cut());
        }
        self.rows = rows;
        self.sizes = sizes;
        self.finish()
    }

    /// Returns the rows in order.
    pub fn finish(mut self) -> SortedRows<T, O> {
        self.meter.end();
        if self.runs.is_empty() {
            let _phase = self.task.enter(Phase::Sort);
            self.order.sort(&mut self.rows);
            return SortedRows::InMemory(self.rows.into_iter());
        }
        if !self.rows.is_empty() {
            or_raise(self.cut());
        }
        let phase = self.task.enter(Phase::Sort);
        let (runs, order) = or_raise(merge_passes(self.runs, self.order, &self.task));
        drop(phase);
        let count = runs.len();
        SortedRows::Merged(Merge::new(&mut runs.into_iter(), count, order))
    }
}

/// Merges neighbouring runs until one merge can take all that are left. Returns these and the
/// order.
fn merge_passes<T: Stored, O: RowOrder<T>>(
    mut runs: Vec<Run<T>>,
    mut order: O,
    task: &TaskContext,
) -> Result<(Vec<Run<T>>, O)> {
    while fan_in(&runs, task) < runs.len() {
        let mut merged = Vec::with_capacity(runs.len());
        let mut rest = runs.into_iter();
        loop {
            let count = fan_in(rest.as_slice(), task);
            if count <= 1 {
                let Some(run) = rest.next() else { break };
                merged.push(run);
                continue;
            }
            let mut batches = Batches::new(Merge::new(&mut rest, count, order), task);
            let measured = iter::from_fn(|| batches.next_measured());
            merged.push(Run::InFile(RunFile::write(measured, task)?));
            order = batches.into_rows().order;
        }
        runs = merged;
    }
    Ok((runs, order))
}

/// The most runs that are merged at once, however large the memory: each costs a comparison or two
/// for each row.
const MAX_FAN_IN: usize = 64;
/// The fewest runs that are merged at once, unless they have large rows.
const MIN_FAN_IN: usize = 4;

/// Returns how many of the first runs can be merged at once.
fn fan_in<T: Stored>(runs: &[Run<T>], task: &TaskContext) -> usize {
    let mut reading_bytes = Vec::with_capacity(MAX_FAN_IN);
    for run in runs.iter().take(MAX_FAN_IN) {
        reading_bytes.push(run.reading_bytes());
    }
    fan_in_of(&reading_bytes, task)
}

/// Returns how many of some runs can be merged at once, by the memory that reading each takes: a
/// run in a file takes a frame as bytes and as rows, and one large row makes a large frame.
fn fan_in_of(reading_bytes: &[u64], task: &TaskContext) -> usize {
    let least = 4 * frame_target(task.config.task_memory_limit()) as u64;
    let mut room = task.operator_memory_limit();
    let mut fitting = 0;
    for bytes in reading_bytes {
        let needed = if *bytes == 0 { 0 } else { least.max(*bytes) };
        if room < needed {
            break;
        }
        room -= needed;
        fitting += 1;
    }
    let has_large_rows = reading_bytes.iter().take(MIN_FAN_IN).any(|bytes| *bytes > least);
    fitting.max(if has_large_rows { 2 } else { MIN_FAN_IN }).min(reading_bytes.len())
}

impl<T, O: RowOrder<T>> RowOrder<T> for Arc<O> {
    type Head = O::Head;

    fn sort(&self, rows: &mut Vec<T>) {
        (**self).sort(rows);
    }

    fn head(&self, row: T) -> O::Head {
        (**self).head(row)
    }

    fn compare(&self, a: &O::Head, b: &O::Head) -> Ordering {
        (**self).compare(a, b)
    }

    fn row(&self, head: O::Head) -> T {
        (**self).row(head)
    }
}

/// The rows of a sort, in order.
pub enum SortedRows<T, O: RowOrder<T>> {
    /// Rows that fit in memory.
    InMemory(vec::IntoIter<T>),
    /// Rows of several runs.
    Merged(Merge<T, O>),
}

impl<T: Stored, O: RowOrder<T>> Iterator for SortedRows<T, O> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match self {
            SortedRows::InMemory(rows) => rows.next(),
            SortedRows::Merged(rows) => rows.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            SortedRows::InMemory(rows) => rows.size_hint(),
            SortedRows::Merged(_) => (0, None),
        }
    }
}

/// A merge of sorted runs by a heap of the first row of each. Of equal rows, that of the earlier
/// run is first.
pub struct Merge<T, O: RowOrder<T>> {
    heap: Vec<First<O::Head>>,
    runs: Vec<RunRows<T>>,
    order: O,
}

struct First<H> {
    head: H,
    run: usize,
}

impl<T: Stored, O: RowOrder<T>> Merge<T, O> {
    /// Begins to merge the next `count` of `runs`.
    fn new(runs: &mut vec::IntoIter<Run<T>>, count: usize, order: O) -> Self {
        let mut merge =
            Merge { heap: Vec::with_capacity(count), runs: Vec::with_capacity(count), order };
        while merge.runs.len() < count {
            let Some(run) = runs.next() else { break };
            let mut rows = run.into_rows();
            if let Some(row) = rows.next() {
                let head = merge.order.head(row);
                merge.heap.push(First { head, run: merge.runs.len() });
            }
            merge.runs.push(rows);
        }
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(at);
        }
        merge
    }

    fn is_before(&self, a: usize, b: usize) -> bool {
        let a = &self.heap[a];
        let b = &self.heap[b];
        self.order.compare(&a.head, &b.head).then(a.run.cmp(&b.run)).is_lt()
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            let right = left + 1;
            let mut least = at;
            if left < self.heap.len() && self.is_before(left, least) {
                least = left;
            }
            if right < self.heap.len() && self.is_before(right, least) {
                least = right;
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}

impl<T: Stored, O: RowOrder<T>> Iterator for Merge<T, O> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let run = self.heap.first()?.run;
        let first = match self.runs[run].next() {
            Some(row) => {
                let head = self.order.head(row);
                std::mem::replace(&mut self.heap[0], First { head, run })
            }
            None => self.heap.swap_remove(0),
        };
        self.sift_down(0);
        Some(self.order.row(first.head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberline_core::config::Config;
    use proptest::prelude::*;

    /// The order of the first number.
    struct ByFirst;

    impl RowOrder<(u32, u32)> for ByFirst {
        type Head = (u32, u32);

        fn sort(&self, rows: &mut Vec<(u32, u32)>) {
            rows.sort_by_key(|row| row.0);
        }

        fn head(&self, row: (u32, u32)) -> (u32, u32) {
            row
        }

        fn compare(&self, a: &(u32, u32), b: &(u32, u32)) -> Ordering {
            a.0.cmp(&b.0)
        }

        fn row(&self, head: (u32, u32)) -> (u32, u32) {
            head
        }
    }

    fn task(memory_limit_bytes: u64, force_spill: bool) -> TaskContext {
        let config = Config { memory_limit_bytes, force_spill, ..Config::default() };
        TaskContext::for_test(config)
    }

    fn sorted(rows: &[(u32, u32)], task: &TaskContext) -> (Vec<(u32, u32)>, bool) {
        let mut sort = ExternalSort::new(ByFirst, task);
        rows.iter().for_each(|row| sort.push(*row));
        let sorted = sort.finish();
        let merged = matches!(sorted, SortedRows::Merged(_));
        (sorted.collect(), merged)
    }

    fn expected(rows: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| row.0);
        rows
    }

    #[test]
    fn many_runs_merge_in_passes_into_what_one_stable_sort_gives() {
        let rows: Vec<(u32, u32)> = (0..400_000).map(|n| (n * 7919 % 1009, n)).collect();
        for files in [false, true] {
            let task = task(1 << 20, files);
            let (answer, merged) = sorted(&rows, &task);
            assert!(merged && answer == expected(&rows));
            assert!(task.metrics().bytes_spilled > 0, "the memory limit is too small for the runs");
        }
        let (answer, merged) = sorted(&rows, &task(1 << 30, false));
        assert!(!merged && answer == expected(&rows));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_sort_is_stable_however_it_is_cut(
            keys in prop::collection::vec(0_u32..50, 0..12_000),
            files in any::<bool>(),
        ) {
            let rows: Vec<(u32, u32)> = keys.into_iter().zip(0..).collect();
            prop_assert_eq!(sorted(&rows, &task(1 << 20, files)).0, expected(&rows));
        }
    }
}
