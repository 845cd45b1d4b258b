//! Per-task metrics: rows, bytes, files, and time by phase. Every method is called once for a block
//! of rows, a chunk or a run, never for a row.
//!
//! A task has one clock. A phase inside another, such as writing a merged run during a sort, pauses
//! the outer one, so the times never add up to more than the total.

use crate::event::TaskMetrics;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The current work of a task. Everything that is none of the other phases is `Compute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Closures of the user, sources, tables, and the loops around them.
    Compute,
    /// Fetching a chunk of a shuffle: opening, reading, decompressing and decoding its files.
    Read,
    /// Sorting rows, and merging runs until one merge can read the rest.
    Sort,
    /// Encoding rows, compressing them and writing them to a file.
    Write,
}

/// A file of rows that was written.
#[derive(Clone, Copy, Debug)]
pub struct SpilledFile {
    /// The length of the file.
    pub file_bytes: u64,
    /// The encoded size of its rows before compression.
    pub encoded_bytes: u64,
    /// The estimated size of its rows in memory.
    pub estimated_bytes: u64,
}

/// The counters of one task.
pub(crate) struct Counters {
    metrics: Cell<TaskMetrics>,
    /// The bytes held now; the peak is in the metrics.
    held_bytes: Cell<u64>,
    /// The current phase and its start.
    now: Cell<(Phase, Instant)>,
    spent: Cell<[Duration; 4]>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Counters {
            metrics: Cell::default(),
            held_bytes: Cell::default(),
            now: Cell::new((Phase::Compute, Instant::now())),
            spent: Cell::default(),
        }
    }

    #[inline]
    pub(crate) fn change(&self, change: impl FnOnce(&mut TaskMetrics)) {
        let mut metrics = self.metrics.get();
        change(&mut metrics);
        self.metrics.set(metrics);
    }

    pub(crate) fn replace_held(&self, before: u64, after: u64) {
        let held = self.held_bytes.get().saturating_sub(before).saturating_add(after);
        self.held_bytes.set(held);
        self.change(|metrics| metrics.peak_bytes = metrics.peak_bytes.max(held));
    }

    /// Adds the time until now to the current phase, begins another, and returns the one before.
    fn switch(&self, next: Phase) -> Phase {
        let (before, since) = self.now.get();
        let now = Instant::now();
        let mut spent = self.spent.get();
        spent[before as usize] += now - since;
        self.spent.set(spent);
        self.now.set((next, now));
        before
    }

    /// Begins a phase that ends when the guard drops.
    pub(crate) fn enter(&self, phase: Phase) -> PhaseGuard<'_> {
        PhaseGuard { counters: self, before: self.switch(phase) }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.now.get().0
    }

    /// Returns the metrics so far. The runner adds the total time.
    pub(crate) fn metrics(&self) -> TaskMetrics {
        let spent = self.spent.get();
        let us = |phase: Phase| spent[phase as usize].as_micros().try_into().unwrap_or(u64::MAX);
        TaskMetrics {
            read_us: us(Phase::Read),
            sort_us: us(Phase::Sort),
            write_us: us(Phase::Write),
            ..self.metrics.get()
        }
    }
}

/// A phase of a task. When it drops, also during unwinding, the phase before it continues.
///
/// A guard and not a closure: a closure would be compiled again for each result type of the caller.
#[must_use = "the phase ends when the guard drops"]
pub struct PhaseGuard<'a> {
    counters: &'a Counters,
    before: Phase,
}

impl Drop for PhaseGuard<'_> {
    fn drop(&mut self) {
        self.counters.switch(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_nested_phase_pauses_the_outer_one() {
        let counters = Counters::new();
        let sorting = counters.enter(Phase::Sort);
        let writing = counters.enter(Phase::Write);
        assert_eq!(counters.phase(), Phase::Write);
        drop(writing);
        assert_eq!(counters.phase(), Phase::Sort);
        drop(sorting);
        assert_eq!(counters.phase(), Phase::Compute);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _reading = counters.enter(Phase::Read);
            std::panic::resume_unwind(Box::new("no"))
        }));
        assert!(caught.is_err());
        assert_eq!(counters.now.get().0, Phase::Compute);
    }

    #[test]
    fn the_phases_add_up_to_no_more_than_the_elapsed_time() {
        let began = Instant::now();
        let counters = Counters::new();
        for phase in [Phase::Read, Phase::Sort, Phase::Write] {
            let _phase = counters.enter(phase);
            (0..1000_u64).map(std::hint::black_box).sum::<u64>();
        }
        counters.switch(Phase::Compute);
        let spent = counters.spent.get();
        assert!(spent.iter().all(|part| *part > Duration::ZERO), "{spent:?}");
        assert!(spent.iter().sum::<Duration>() <= began.elapsed());
    }

    #[test]
    fn the_peak_is_the_maximum_held_at_one_time() {
        let counters = Counters::new();
        counters.replace_held(0, 700);
        counters.replace_held(0, 300);
        counters.replace_held(700, 0);
        counters.replace_held(0, 500);
        assert_eq!(counters.metrics().peak_bytes, 1000);
    }
}
