//! The file of a map output. `FORMAT.md` beside this crate draws it; in short: the frames of
//! partition 0, of partition 1, ...; where each partition begins is kept in memory.
//!
//! Every byte is under a checksum, which also knows the place of the frame; and every length is
//! compared with the bytes that are really there before anything of that length is allocated.

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

/// A frame ends with the row that reaches so many bytes, or before what would pass them, if the task's
/// share is large enough.
pub const LARGEST_TARGET: usize = 256 << 10;
/// The same, however small the share.
pub const SMALLEST_TARGET: usize = 4 << 10;
/// Frames that a task can hold in its share. Merges and writers hold a few each.
const FRAMES_IN_SHARE: u64 = 256;
/// Nor does a frame have more rows than this, however small they are.
pub const MAX_FRAME_ROWS: usize = 1 << 16;

/// Buffers larger than this were made for one large row and are not kept.
const MAX_KEPT: usize = 2 * LARGEST_TARGET;

/// Where one partition is in a file, and what must be found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLocation {
    /// The first byte of its first frame.
    pub offset: u64,
    /// The length of all its frames.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Its frames.
    pub frames: u64,
    /// Tells frames of this file from those of another. It is in their checksums and not in the
    /// file.
    pub file_tag: u32,
}

/// Where everything is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileIndex {
    /// One place for each partition, in their order.
    pub segments: Vec<SegmentLocation>,
    /// The length of the whole file.
    pub file_bytes: u64,
}

/// The bytes at which a frame ends, from a task's share of the memory.
pub(crate) fn frame_target(task_memory_limit: u64) -> usize {
    let target = usize::try_from(task_memory_limit / FRAMES_IN_SHARE).unwrap_or(usize::MAX);
    target.clamp(SMALLEST_TARGET, LARGEST_TARGET)
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
