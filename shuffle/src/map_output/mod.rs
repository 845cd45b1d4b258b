//! Map outputs: what map tasks write and reduce tasks read.
//!
//! - `buffers`: one buffer of rows for each segment
//! - `writer`: buffers the rows of a map task and flushes them as runs
//! - `builder`: stores each run in memory or appends it to the task's file
//! - `output`: the output of one map task, and the table of all outputs of a shuffle
//! - `segment_sizes`: the size of each segment, in one byte
//! - `segment_index`: where the segments of a run are in its file
//! - `segment_source`: one segment of every map output, to be read several times
//! - `reader`: reads one segment of every map output, in map-partition order
//! - `parallel_drop`: frees large outputs on several threads

pub(crate) mod buffers;
pub(crate) mod builder;
pub(crate) mod output;
mod parallel_drop;
pub(crate) mod reader;
pub(crate) mod segment_index;
mod segment_sizes;
pub(crate) mod segment_source;
pub(crate) mod writer;
