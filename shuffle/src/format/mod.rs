//! The file format of runs and map outputs; see `FORMAT.md` of this crate. A file is a sequence of
//! frames; the locations of segments are in memory.
//!
//! Every byte is covered by a checksum, which also covers the location of the frame. Every length
//! is compared with the bytes that exist before memory of that length is allocated.
//!
//! - `header`: the header of a frame, with its checksum
//! - `writer`: encodes rows as frames and appends them to a file
//! - `reader`: reads and checks the frames of a segment
//! - `read_ahead`: reads consecutive segments of a run in large blocks
//! - `compress`: compresses and decompresses frames
//! - `in_memory`: rows that are stored as frames in memory

mod compress;
mod header;
pub(crate) mod in_memory;
mod read_ahead;
mod reader;
mod writer;

pub use header::FRAME_VERSION;
pub(crate) use reader::SegmentFrames;
pub use reader::{FrameReader, OpenFile};
pub use writer::FileWriter;

/// The largest target of a frame. A frame ends with the row at which its encoded bytes reach the
/// target.
pub const MAX_TARGET_BYTES: usize = 256 << 10;
/// The smallest target of a frame, for a small task memory limit.
pub const MIN_TARGET_BYTES: usize = 4 << 10;
/// The frames that fit in the task memory limit. Merges and writers hold a few each.
const FRAMES_IN_TASK_MEMORY: u64 = 256;
/// The most rows of a frame, however small they are.
pub const MAX_FRAME_ROWS: usize = 1 << 16;

/// The largest buffer that is retained. A larger one was made for a single large row.
const MAX_RETAINED_BYTES: usize = 2 * MAX_TARGET_BYTES;

/// The location of a segment in a file, and the rows and frames that it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLocation {
    /// The offset of its first frame.
    pub offset: u64,
    /// The length of all its frames.
    pub bytes: u64,
    /// The number of its rows.
    pub rows: u64,
    /// The number of its frames.
    pub frames: u64,
    /// Distinguishes frames of this file from those of another. It is in their checksums and not in
    /// the file.
    pub file_tag: u32,
}

/// The locations of the segments of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileIndex {
    /// The segments, in the order in which they were written.
    pub segments: Vec<SegmentLocation>,
    /// The length of the whole file.
    pub file_bytes: u64,
}

/// Returns the bytes at which a frame ends, given the task memory limit.
pub(crate) fn frame_target(task_memory_limit: u64) -> usize {
    let target = usize::try_from(task_memory_limit / FRAMES_IN_TASK_MEMORY).unwrap_or(usize::MAX);
    target.clamp(MIN_TARGET_BYTES, MAX_TARGET_BYTES)
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
