//! Writes rows to a file, frame by frame.

use super::compress::{FrameCompressor, STORED};
use super::header::{FIELD_BYTES, FrameLocation, HEADER_BYTES, Header};
use super::{FileIndex, MAX_FRAME_ROWS, SegmentFrames, SegmentLocation, frame_target};
use crate::memory::row_sizes::RowSizes;
use emberline_core::codec::encode_into;
use emberline_core::config::Config;
use emberline_core::disk::DiskWriter;
use emberline_core::error::{Error, Result};
use emberline_core::scratch::ScratchFile;
use emberline_core::size::{heap_bytes, owns_heap};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The memory that the rows of a frame may take, in targets of a frame, unless one row takes more.
const MAX_MEMORY_TARGETS: usize = 4;
/// The frames that are written to the disk at once.
const FRAMES_AT_ONCE: usize = 4;

/// A writer of one file: its segments in order, and then [`finish`](Self::finish).
///
/// It holds at most about eight frames, whose size depends on the task memory limit; a row that is
/// larger has a frame of its own.
///
/// Only the encoding of rows depends on their type. The rest is compiled once, not in each program.
pub struct FileWriter {
    target: Target,
    file_tag: u32,
    frame_target: usize,
    compressor: FrameCompressor,
    /// The bytes that are not on disk yet.
    pending: Vec<u8>,
    on_disk: u64,
    encoded_bytes: u64,
    largest_frame: u64,
    segments: Vec<SegmentLocation>,
    /// The segment that is being written.
    open: SegmentLocation,
    /// The digest of the checksums of all frames.
    digest: crc32fast::Hasher,
}

/// The destination of the bytes.
enum Target {
    Scratch(Arc<ScratchFile>, Box<dyn DiskWriter>),
    /// A durable file, with its path.
    Output(PathBuf, Box<dyn DiskWriter>),
    /// Memory, until [`FileWriter::finish_in_memory`].
    Memory,
}

impl FileWriter {
    /// Makes a writer to a durable file, which `disk` has just created at `path`. Its frames can be
    /// read with `file_tag` only.
    pub fn to_output(
        path: &Path,
        disk: Box<dyn DiskWriter>,
        file_tag: u32,
        config: &Config,
    ) -> Result<Self> {
        FileWriter::to(Target::Output(path.to_path_buf(), disk), file_tag, config)
    }

    /// Makes a writer to memory; end it with [`finish_in_memory`](Self::finish_in_memory).
    pub fn in_memory(config: &Config) -> Result<Self> {
        FileWriter::to(Target::Memory, 0, config)
    }

    /// Creates a scratch file. The size of frames follows from the task memory limit, and their
    /// compression from `spill_compression`.
    pub fn create(file: Arc<ScratchFile>, config: &Config) -> Result<Self> {
        let disk = file.create()?;
        // No two files of a context have the same path.
        let file_tag = crc32fast::hash(file.path().as_os_str().as_encoded_bytes());
        FileWriter::to(Target::Scratch(file, disk), file_tag, config)
    }

    fn to(target: Target, file_tag: u32, config: &Config) -> Result<Self> {
        let compressor = FrameCompressor::new(config.spill_compression)?;
        let frame_target = frame_target(config.task_memory_limit());
        let pending = match target {
            Target::Memory => Vec::new(),
            _ => Vec::with_capacity(max_pending_bytes(frame_target)),
        };
        let open = SegmentLocation { offset: 0, bytes: 0, rows: 0, frames: 0, file_tag };
        Ok(FileWriter {
            target,
            file_tag,
            frame_target,
            compressor,
            pending,
            on_disk: 0,
            encoded_bytes: 0,
            largest_frame: 0,
            segments: Vec::new(),
            open,
            digest: crc32fast::Hasher::new(),
        })
    }

    /// Measures and writes the rows of the next segment.
    pub fn write_segment<R: Serialize>(&mut self, rows: &[R]) -> Result<()> {
        self.write_measured_segment(rows, RowSizes::measure(rows))
    }

    /// Writes the rows of the next segment, whose `sizes` were measured when they were buffered.
    pub(crate) fn write_measured_segment<R: Serialize>(
        &mut self,
        rows: &[R],
        sizes: RowSizes,
    ) -> Result<()> {
        self.write_rows(rows, sizes)?;
        let location = self.end_segment();
        self.segments.push(location);
        Ok(())
    }

    /// Writes rows, whose `sizes` were measured when they were buffered, to the open segment.
    pub fn write_rows<R: Serialize>(&mut self, rows: &[R], sizes: RowSizes) -> Result<()> {
        let limits = FrameLimits::new(self.frame_target, size_of::<R>(), rows.len(), sizes);
        let mut rest = rows;
        while !rest.is_empty() {
            let written = self.write_frame(rest, limits)?;
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Writes the rows of other segments, which own no heap and take `row_bytes` each, without
    /// decoding them: the rows of consecutive frames become one frame while they fit into it.
    pub(crate) fn concatenate_frames(
        &mut self,
        parts: Vec<SegmentFrames>,
        row_bytes: usize,
    ) -> Result<()> {
        let max_rows = MAX_MEMORY_TARGETS * self.frame_target / row_bytes.max(1);
        let max_rows = max_rows.min(MAX_FRAME_ROWS);
        let mut start = self.begin_frame();
        let mut rows = 0;
        for mut part in parts {
            while part.next_frame(&mut |count, raw| {
                let bytes = self.pending.len() - start - HEADER_BYTES + raw.len();
                if rows > 0 && (bytes > self.frame_target || rows + count > max_rows) {
                    self.end_frame(start, rows, (rows * row_bytes) as u64)?;
                    start = self.begin_frame();
                    rows = 0;
                }
                rows += count;
                self.pending.extend_from_slice(raw);
                Ok(())
            })? {}
        }
        if rows > 0 {
            return self.end_frame(start, rows, (rows * row_bytes) as u64);
        }
        self.pending.truncate(start);
        Ok(())
    }

    /// Ends the open segment and returns its location, which is not in the index of the file.
    pub fn end_segment(&mut self) -> SegmentLocation {
        let offset = self.position();
        let next =
            SegmentLocation { offset, bytes: 0, rows: 0, frames: 0, file_tag: self.file_tag };
        let location = std::mem::replace(&mut self.open, next);
        SegmentLocation { bytes: offset - location.offset, ..location }
    }

    /// Returns the bytes of the rows so far, before compression.
    pub fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// Returns the crc32 of the checksums of all frames so far.
    pub fn digest(&self) -> u32 {
        self.digest.clone().finalize()
    }

    /// Returns the memory that reading the largest frame so far takes, as bytes and as rows.
    pub(crate) fn largest_frame(&self) -> u64 {
        self.largest_frame
    }

    /// Completes the file and returns its index. A durable file then survives a power failure,
    /// except for its name.
    pub fn finish(mut self) -> Result<FileIndex> {
        self.flush()?;
        if let Target::Output(path, disk) = &mut self.target {
            disk.sync().map_err(|cause| writing(path, cause))?;
        }
        Ok(FileIndex { segments: self.segments, file_bytes: self.on_disk })
    }

    /// Completes what was written to memory, and returns the bytes and their index.
    pub fn finish_in_memory(mut self) -> (Vec<u8>, FileIndex) {
        self.pending.shrink_to_fit();
        let file_bytes = self.pending.len() as u64;
        (self.pending, FileIndex { segments: self.segments, file_bytes })
    }

    fn position(&self) -> u64 {
        self.on_disk + self.pending.len() as u64
    }

    /// Writes the first of `rows` as one frame, and returns their number.
    fn write_frame<R: Serialize>(&mut self, rows: &[R], limits: FrameLimits) -> Result<usize> {
        let start = self.begin_frame();
        let (count, in_memory) = encode_frame(rows, limits, &mut self.pending)?;
        self.end_frame(start, count, in_memory)?;
        Ok(count)
    }

    /// Appends an empty header and returns its position.
    fn begin_frame(&mut self) -> usize {
        let start = self.pending.len();
        self.pending.resize(start + HEADER_BYTES, 0);
        start
    }

    /// Completes a frame of rows after a header, which take `in_memory` bytes in memory.
    fn end_frame(&mut self, start: usize, rows: usize, in_memory: u64) -> Result<()> {
        let offset = self.on_disk + start as u64;
        let location = FrameLocation { file_tag: self.file_tag, offset };
        let payload = start + HEADER_BYTES;
        let raw = self.pending.len() - payload;
        self.largest_frame = self.largest_frame.max(in_memory.saturating_add(raw as u64));
        self.encoded_bytes += raw as u64;
        let mut compression = STORED;
        if let Some((method, compressed)) = self.compressor.compress(&self.pending[payload..])? {
            compression = method;
            self.pending.truncate(payload);
            self.pending.extend_from_slice(compressed);
        }
        let stored = self.pending.len() - payload;
        let header = Header { compression, rows, raw, stored };
        let header = header.seal(location, &self.pending[payload..])?;
        self.pending[start..payload].copy_from_slice(&header);
        self.digest.update(&header[FIELD_BYTES..]);
        self.open.frames += 1;
        self.open.rows += rows as u64;
        if self.pending.len() >= FRAMES_AT_ONCE * self.frame_target {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes everything to the disk, so that it can be read.
    pub(crate) fn flush(&mut self) -> Result<()> {
        match &mut self.target {
            Target::Memory => return Ok(()),
            Target::Scratch(file, disk) => {
                disk.append(&self.pending).map_err(|cause| file.error("writing", cause))?;
            }
            Target::Output(path, disk) => {
                disk.append(&self.pending).map_err(|cause| writing(path, cause))?;
            }
        }
        self.on_disk += self.pending.len() as u64;
        self.pending.clear();
        // A large row must not retain its buffer.
        self.pending.shrink_to(max_pending_bytes(self.frame_target));
        Ok(())
    }
}

fn writing(path: &Path, cause: std::io::Error) -> Error {
    Error::io(format!("writing `{}` failed", path.display()), cause)
}

/// Returns the most bytes of frames that a writer holds, unless one row is larger.
fn max_pending_bytes(frame_target: usize) -> usize {
    (FRAMES_AT_ONCE + 2) * frame_target
}

/// The limits of one frame among rows whose sizes are known.
///
/// A reader holds all rows of a frame, so that both their bytes and their memory are bounded. The
/// encoder knows the bytes. The memory needs no second look at the rows if they are of similar
/// size: then a frame has as many rows as would fit if each were as large as the largest.
#[derive(Clone, Copy)]
struct FrameLimits {
    /// The encoded bytes at which a frame ends.
    target: usize,
    /// The most rows of a frame.
    max_rows: usize,
    /// The memory at which a frame ends, in bytes, if its rows are measured one by one.
    max_memory: u64,
    /// The memory of one row at most, and of all rows.
    max_row_bytes: u64,
    all_bytes: u64,
    /// True if some rows are much larger than others, so that each is measured again.
    is_skewed: bool,
}

/// Rows are of similar size if the largest is at most this many times the average.
const MAX_SIMILAR: u64 = 2;

impl FrameLimits {
    fn new(target: usize, row_bytes: usize, rows: usize, sizes: RowSizes) -> Self {
        let max_memory = (MAX_MEMORY_TARGETS * target) as u64;
        let max_row_bytes = (row_bytes as u64).saturating_add(sizes.max_heap_bytes).max(1);
        let all_bytes = (row_bytes as u64 * rows as u64).saturating_add(sizes.heap_bytes);
        let fit_in_one = all_bytes <= max_memory;
        let is_similar = max_row_bytes <= MAX_SIMILAR * (all_bytes / rows.max(1) as u64).max(1);
        let is_skewed = !fit_in_one && !is_similar;
        let max_rows = match fit_in_one || is_skewed {
            true => MAX_FRAME_ROWS,
            false => usize::try_from(max_memory.div_ceil(max_row_bytes)).unwrap_or(usize::MAX),
        };
        let max_rows = max_rows.clamp(1, MAX_FRAME_ROWS);
        FrameLimits { target, max_rows, max_memory, max_row_bytes, all_bytes, is_skewed }
    }
}

/// Appends the first of `rows` to `out`, as many as make a frame. Returns their number, and the
/// memory that they take at most.
fn encode_frame<R: Serialize>(
    rows: &[R],
    limits: FrameLimits,
    out: &mut Vec<u8>,
) -> Result<(usize, u64)> {
    let start = out.len();
    let mut count = 0;
    let mut measured_bytes = 0_u64;
    for row in rows.iter().take(limits.max_rows) {
        let before = out.len();
        encode_into(row, out)?;
        if count > 0 && out.len() - before > limits.target {
            // A row this large has a frame of its own, so that a small frame stays small.
            out.truncate(before);
            break;
        }
        count += 1;
        if const { owns_heap::<R>() } && limits.is_skewed {
            measured_bytes += size_of::<R>() as u64;
            measured_bytes = measured_bytes.saturating_add(heap_bytes(row));
            if measured_bytes >= limits.max_memory {
                break;
            }
        }
        if out.len() - start >= limits.target {
            break;
        }
    }
    let in_memory = match limits.is_skewed {
        true => measured_bytes,
        false => limits.max_row_bytes.saturating_mul(count as u64).min(limits.all_bytes),
    };
    Ok((count, in_memory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberline_core::size::estimate_rows;
    use proptest::prelude::*;

    const TARGET: usize = 4 << 10;

    /// Divides rows into frames as a writer does. Checks what each takes in memory, and returns the
    /// number of rows in each.
    fn frames<R: Serialize>(rows: &[R]) -> Vec<usize> {
        let sizes = RowSizes::measure(rows);
        let limits = FrameLimits::new(TARGET, size_of::<R>(), rows.len(), sizes);
        let most = limits.max_memory + limits.max_row_bytes;
        let mut rest = rows;
        let mut counts = Vec::new();
        while !rest.is_empty() {
            let (count, in_memory) = encode_frame(rest, limits, &mut Vec::new()).unwrap();
            let taken = estimate_rows(&rest[..count]);
            assert!(taken <= in_memory && in_memory <= most, "{taken} of {in_memory} of {most}");
            // Only the row that reaches the limit may pass it.
            assert!(estimate_rows(&rest[..count - 1]) <= limits.max_memory);
            counts.push(count);
            rest = &rest[count..];
        }
        counts
    }

    #[test]
    fn rows_of_one_size_are_counted_and_rows_of_many_sizes_measured() {
        let short: Vec<String> = (0..5_000).map(|n| (n % 10).to_string()).collect();
        assert_eq!(frames(&short)[..2], [400, 400], "41 bytes of memory each");
        let mut mixed = short;
        mixed[4_500] = "x".repeat(100_000);
        let counts = frames(&mixed);
        assert_eq!(counts[..2], [400, 400], "one large row changes no other frame");
        assert!(counts.len() < 18, "{counts:?}");
        let numbers: Vec<u64> = (1..5_000).map(|n| n << 56).collect();
        assert_eq!(frames(&numbers)[0], TARGET.div_ceil(9));
    }

    proptest! {
        #[test]
        fn no_frame_takes_more_memory_than_its_limit_and_a_row(
            lengths in prop::collection::vec(prop_oneof![9 => 0..40_usize, 1 => 0..9_000_usize], 0..900),
        ) {
            let rows: Vec<_> = lengths.iter().map(|length| vec![None::<[u64; 4]>; *length]).collect();
            prop_assert_eq!(frames(&rows).into_iter().sum::<usize>(), rows.len());
        }
    }
}
