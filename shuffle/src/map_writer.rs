//! How a map task makes its output: rows into buckets, buckets into runs.

use crate::bucket::Buckets;
use crate::map_output::{MapOutput, MapOutputBuilder};
use crate::meter::Meter;
use emberline_core::bounds::Stored;
use emberline_core::error::Result;
use emberline_core::step::or_raise;
use emberline_core::task::TaskContext;

/// Where a map task puts its rows. When they have reached a size they become a run of the output, so
/// that a partition of any size fits a task's share.
pub struct MapWriter<R> {
    task: TaskContext,
    buckets: Buckets<R>,
    meter: Meter,
    output: MapOutputBuilder<R>,
}

impl<R: Stored> MapWriter<R> {
    /// A writer of rows into so many segments.
    pub fn new(segments: usize, task: &TaskContext) -> Self {
        let meter = Meter::of(task, task.config.operator_bytes());
        let (buckets, output) = (Buckets::new(segments), MapOutputBuilder::new(segments));
        MapWriter { task: task.clone(), buckets, meter, output }
    }

    /// The task that writes.
    pub fn task(&self) -> &TaskContext {
        &self.task
    }

    /// Adds a row to a segment. A disk that refuses a run unwinds with the error.
    ///
    /// # Panics
    ///
    /// If there is no such segment; [`partition_of`](crate::Partitioning::partition_of) never
    /// answers with one.
    #[inline]
    pub fn push(&mut self, segment: usize, row: R) {
        self.buckets.push(segment, row);
        if self.meter.is_due() {
            self.measure();
        }
    }

    #[cold]
    fn measure(&mut self) {
        if self.meter.reached(self.buckets.estimate_bytes()) {
            or_raise(self.output.add_run(self.buckets.take(), &self.task));
        }
    }

    /// Ends the output.
    pub fn finish(mut self) -> Result<MapOutput<R>> {
        self.meter.end(|| self.buckets.estimate_bytes());
        self.output.add_run(self.buckets.into_segments(), &self.task)?;
        self.output.finish(&self.task)
    }
}
