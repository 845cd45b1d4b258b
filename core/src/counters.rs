//! What one task counts about itself: rows, bytes, files, and where its time goes. Everything here
//! is called once a block of rows, a chunk or a run, never once a row.

use crate::event::TaskMetrics;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// What a task does at a moment. What is none of the others is computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The user's closures, sources, tables, and the loops around them.
    Compute,
    /// Fetching a chunk of a shuffle: opening, reading, decompressing and decoding its files.
    Read,
    /// Putting rows into an order, and merging runs so that one merge can take what is left.
    Sort,
    /// Encoding rows, compressing them and writing them to a file.
    Write,
}

/// A file of rows that was written.
#[derive(Clone, Copy, Debug)]
pub struct SpilledFile {
    /// Its length.
    pub file_bytes: u64,
    /// Its rows as bytes, before they were compressed.
    pub encoded_bytes: u64,
    /// What its rows were estimated to take in memory.
    pub estimated_bytes: u64,
}

/// The counters of one task.
pub(crate) struct Counters {
    metrics: Cell<TaskMetrics>,
    /// What is held now; the most is in the metrics.
    held_bytes: Cell<u64>,
    /// What the task does now, and since when.
    now: Cell<(Phase, Instant)>,
    spent: Cell<[Duration; 4]>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let now = Cell::new((Phase::Compute, Instant::now()));
        let (metrics, held_bytes, spent) = Default::default();
        Counters { metrics, held_bytes, now, spent }
    }

    #[inline]
    pub(crate) fn change(&self, change: impl FnOnce(&mut TaskMetrics)) {
        let mut metrics = self.metrics.get();
        change(&mut metrics);
        self.metrics.set(metrics);
    }

    pub(crate) fn hold(&self, before: u64, after: u64) {
        let held = self.held_bytes.get().saturating_sub(before).saturating_add(after);
        self.held_bytes.set(held);
        self.change(|metrics| metrics.peak_bytes = metrics.peak_bytes.max(held));
    }

    /// Books the time until now, begins another phase and says which one it was.
    fn enter(&self, next: Phase) -> Phase {
        let (before, since) = self.now.get();
        let now = Instant::now();
        let mut spent = self.spent.get();
        spent[before as usize] += now - since;
        self.spent.set(spent);
        self.now.set((next, now));
        before
    }

    pub(crate) fn in_phase<R>(&self, phase: Phase, work: impl FnOnce() -> R) -> R {
        /// Also when the work unwinds.
        struct Leave<'a>(&'a Counters, Phase);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.enter(self.1);
            }
        }
        let _leave = Leave(self, self.enter(phase));
        work()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.now.get().0
    }

    /// What was counted until now. The whole time is the runner's to fill in.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_phase_inside_another_takes_its_time_from_it_and_gives_way_to_it_again() {
        let counters = Counters::new();
        let inside = counters.in_phase(Phase::Sort, || {
            counters.in_phase(Phase::Write, || assert_eq!(counters.now.get().0, Phase::Write));
            counters.now.get().0
        });
        assert_eq!((inside, counters.now.get().0), (Phase::Sort, Phase::Compute));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            counters.in_phase(Phase::Read, || std::panic::resume_unwind(Box::new("no")))
        }));
        assert!(caught.is_err());
        assert_eq!(counters.now.get().0, Phase::Compute);
    }

    #[test]
    fn the_phases_together_take_no_longer_than_the_clock_says() {
        let (began, counters) = (Instant::now(), Counters::new());
        for phase in [Phase::Read, Phase::Sort, Phase::Write] {
            counters.in_phase(phase, || (0..1000_u64).map(std::hint::black_box).sum::<u64>());
        }
        counters.enter(Phase::Compute);
        let spent = counters.spent.get();
        assert!(spent.iter().all(|part| *part > Duration::ZERO), "{spent:?}");
        assert!(spent.iter().sum::<Duration>() <= began.elapsed());
    }

    #[test]
    fn the_peak_is_the_most_that_was_held_at_one_moment() {
        let counters = Counters::new();
        counters.hold(0, 700);
        counters.hold(0, 300);
        counters.hold(700, 0);
        counters.hold(0, 500);
        assert_eq!(counters.metrics().peak_bytes, 1000);
    }
}
