//! One segment of every map output, to be read several times.

use crate::map_output::output::MapOutputs;
use crate::map_output::reader::Chunk;
use crate::sort::run::fail;
use emberline_core::bounds::Stored;
use emberline_core::ids::ShuffleId;
use emberline_core::task::TaskContext;
use std::iter::from_fn;

/// One segment of some map outputs.
pub struct SegmentSource<R> {
    /// The outputs.
    pub outputs: MapOutputs<R>,
    /// Their shuffle, unless they are the task's own.
    pub shuffle: Option<ShuffleId>,
    /// The number of the segment.
    pub segment: usize,
}

impl<R: Stored> SegmentSource<R> {
    /// Returns the rows, a chunk at a time. A read that fails ends the task.
    pub(crate) fn chunks(
        &self,
        task: Option<&TaskContext>,
    ) -> impl Iterator<Item = Chunk<R>> + use<R> {
        let mut reader = self.outputs.reader(self.shuffle, self.segment, task.cloned());
        from_fn(move || reader.next_chunk().unwrap_or_else(|error| fail(error)))
    }
}

impl<R> Clone for SegmentSource<R> {
    fn clone(&self) -> Self {
        SegmentSource { outputs: self.outputs.clone(), ..*self }
    }
}
