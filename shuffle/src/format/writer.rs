//! Rows to a file, frame by frame.

use super::compress::{FrameCompressor, STORED};
use super::header::{FIELD_BYTES, FrameLocation, HEADER_BYTES, Header};
use super::{FileIndex, FrameReader, MAX_FRAME_ROWS, SegmentLocation, frame_target};
use crate::memory::meter::MemoryMeter;
use emberline_core::bounds::Stored;
use emberline_core::codec::encode_into;
use emberline_core::config::Config;
use emberline_core::disk::DiskWriter;
use emberline_core::error::{Error, Result};
use emberline_core::scratch::ScratchFile;
use emberline_core::size::estimate_rows;
use serde::Serialize;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A frame's rows take at most so many times the frame's target in memory, unless one row does.
const MEMORY_OF_A_BYTE: usize = 4;
/// Frames that are handed to the disk at once.
const FRAMES_AT_ONCE: usize = 4;

/// Writes one file: a segment for each partition, in order, and then [`finish`](Self::finish).
///
/// It holds at most about eight frames, whose size follows the task's share; a row that is larger
/// has a frame of its own.
pub struct FileWriter<F> {
    target: Target<F>,
    file_tag: u32,
    frame_target: usize,
    squeezer: FrameCompressor,
    /// What is not on disk yet.
    pending: Vec<u8>,
    on_disk: u64,
    encoded_bytes: u64,
    largest_frame: u64,
    segments: Vec<SegmentLocation>,
    /// The segment that is being written.
    open: SegmentLocation,
    /// Of the checksums of all frames.
    digest: crc32fast::Hasher,
}

/// Where the bytes go.
enum Target<F> {
    Scratch(F, Box<dyn DiskWriter>),
    /// A file that stays, with its name.
    Output(PathBuf, Box<dyn DiskWriter>),
    /// Nowhere: they wait for [`FileWriter::finish_in_memory`].
    Memory,
}

/// Writers to what is no scratch file; the type of one does not matter.
impl FileWriter<Arc<ScratchFile>> {
    /// Writes to a file that stays: `disk` has just made it at `path`. Its frames can be read back
    /// under `file_tag` alone.
    pub fn to_output(
        path: &Path,
        disk: Box<dyn DiskWriter>,
        file_tag: u32,
        config: &Config,
    ) -> Result<Self> {
        FileWriter::to(Target::Output(path.to_path_buf(), disk), file_tag, config)
    }

    /// Writes to memory; end it with [`finish_in_memory`](Self::finish_in_memory).
    pub fn in_memory(config: &Config) -> Result<Self> {
        FileWriter::to(Target::Memory, 0, config)
    }
}

impl<F: Deref<Target = ScratchFile>> FileWriter<F> {
    /// Makes the file. The task's share says how large frames are, and `spill_compression` how they
    /// are made smaller.
    pub fn create(file: F, config: &Config) -> Result<Self> {
        let disk = file.create()?;
        // No two files of a context have one name.
        let file_tag = crc32fast::hash(file.path().as_os_str().as_encoded_bytes());
        FileWriter::to(Target::Scratch(file, disk), file_tag, config)
    }

    fn to(target: Target<F>, file_tag: u32, config: &Config) -> Result<Self> {
        let squeezer = FrameCompressor::new(config.spill_compression)?;
        let frame_target = frame_target(config.task_memory_limit());
        let pending = match target {
            Target::Memory => Vec::new(),
            _ => Vec::with_capacity(most_pending(frame_target)),
        };
        let segments = Vec::new();
        let (on_disk, encoded_bytes) = (0, 0);
        let open = SegmentLocation { offset: 0, bytes: 0, rows: 0, frames: 0, file_tag };
        Ok(FileWriter {
            target,
            file_tag,
            frame_target,
            squeezer,
            pending,
            on_disk,
            encoded_bytes,
            largest_frame: 0,
            segments,
            open,
            digest: crc32fast::Hasher::new(),
        })
    }

    /// Writes the rows of the next partition.
    pub fn write_segment<R: Serialize>(&mut self, rows: &[R]) -> Result<()> {
        self.write_rows(rows)?;
        let place = self.end_segment();
        self.segments.push(place);
        Ok(())
    }

    /// Writes some rows of the next partition.
    pub fn write_rows<R: Serialize>(&mut self, rows: &[R]) -> Result<()> {
        let mut rest = rows;
        while !rest.is_empty() {
            let written = self.write_frame(rest)?;
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Writes the rows of other segments, which own nothing, without a look at them: as many of their
    /// frames as fit into one are joined.
    pub(crate) fn join_frames<R: Stored>(&mut self, parts: Vec<FrameReader<R>>) -> Result<()> {
        let most_rows = MEMORY_OF_A_BYTE * self.frame_target / size_of::<R>().max(1);
        let most_rows = most_rows.min(MAX_FRAME_ROWS);
        let in_memory = |rows: usize| (rows * size_of::<R>()) as u64;
        let (mut start, mut rows) = (self.begin_frame(), 0);
        for mut part in parts {
            let mut add = |count: usize, raw: &[u8]| {
                let bytes = self.pending.len() - start - HEADER_BYTES + raw.len();
                if rows > 0 && (bytes > self.frame_target || rows + count > most_rows) {
                    self.end_frame(start, rows, in_memory(rows))?;
                    (start, rows) = (self.begin_frame(), 0);
                }
                rows += count;
                self.pending.extend_from_slice(raw);
                Ok(())
            };
            while part.next_raw(&mut add)?.is_some() {}
        }
        if rows > 0 {
            return self.end_frame(start, rows, in_memory(rows));
        }
        self.pending.truncate(start);
        Ok(())
    }

    /// Ends the partition whose rows were written last and says where they are: a place that the
    /// caller keeps, and the index does not.
    pub fn end_segment(&mut self) -> SegmentLocation {
        let offset = self.position();
        let next =
            SegmentLocation { offset, bytes: 0, rows: 0, frames: 0, file_tag: self.file_tag };
        let place = std::mem::replace(&mut self.open, next);
        SegmentLocation { bytes: offset - place.offset, ..place }
    }

    /// The rows so far as bytes, before they were compressed.
    pub fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// The crc32 of the checksums of all frames so far.
    pub fn digest(&self) -> u32 {
        self.digest.clone().finalize()
    }

    /// What the largest frame so far takes where it is read, as bytes and as rows.
    pub(crate) fn largest_frame(&self) -> u64 {
        self.largest_frame
    }

    /// Ends the file and says where everything is. A file that stays survives a power cut from now
    /// on, but for its name.
    pub fn finish(mut self) -> Result<FileIndex> {
        self.flush()?;
        if let Target::Output(path, disk) = &mut self.target {
            disk.sync().map_err(|cause| writing(path, cause))?;
        }
        Ok(FileIndex { segments: self.segments, file_bytes: self.on_disk })
    }

    /// Ends what was written to memory: the bytes, and where everything is in them.
    pub fn finish_in_memory(mut self) -> (Vec<u8>, FileIndex) {
        self.pending.shrink_to_fit();
        let file_bytes = self.pending.len() as u64;
        (self.pending, FileIndex { segments: self.segments, file_bytes })
    }

    fn position(&self) -> u64 {
        self.on_disk + self.pending.len() as u64
    }

    /// Writes the first of `rows` as one frame; says how many these were.
    fn write_frame<R: Serialize>(&mut self, rows: &[R]) -> Result<usize> {
        let start = self.begin_frame();
        let count = encode_frame(rows, self.frame_target, &mut self.pending)?;
        self.end_frame(start, count, estimate_rows(&rows[..count]))?;
        Ok(count)
    }

    /// Makes room for a header; says where it is.
    fn begin_frame(&mut self) -> usize {
        let start = self.pending.len();
        self.pending.resize(start + HEADER_BYTES, 0);
        start
    }

    /// Makes a frame of the rows behind a header, which take so much in memory.
    fn end_frame(&mut self, start: usize, rows: usize, in_memory: u64) -> Result<()> {
        let offset = self.on_disk + start as u64;
        let place = FrameLocation { file_tag: self.file_tag, offset };
        let payload = start + HEADER_BYTES;
        let raw = self.pending.len() - payload;
        self.largest_frame = self.largest_frame.max(in_memory.saturating_add(raw as u64));
        self.encoded_bytes += raw as u64;
        let mut compression = STORED;
        if let Some((method, squeezed)) = self.squeezer.squeeze(&self.pending[payload..])? {
            compression = method;
            self.pending.truncate(payload);
            self.pending.extend_from_slice(squeezed);
        }
        let stored = self.pending.len() - payload;
        let header = Header { compression, rows, raw, stored };
        let header = header.seal(place, &self.pending[payload..])?;
        self.pending[start..payload].copy_from_slice(&header);
        self.digest.update(&header[FIELD_BYTES..]);
        self.open.frames += 1;
        self.open.rows += rows as u64;
        if self.pending.len() >= FRAMES_AT_ONCE * self.frame_target {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands everything to the disk, so that it can be read.
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
        // One large row must not keep its memory.
        self.pending.shrink_to(most_pending(self.frame_target));
        Ok(())
    }
}

fn writing(path: &Path, cause: std::io::Error) -> Error {
    Error::io(format!("writing `{}` failed", path.display()), cause)
}

/// What a writer holds of frames, in bytes, unless one row is larger.
fn most_pending(frame_target: usize) -> usize {
    (FRAMES_AT_ONCE + 2) * frame_target
}

/// Writes the first of `rows` behind `out`, as many as make a frame; says how many these were. Rows
/// that take far more memory than bytes end it too: whoever reads it holds all of them.
fn encode_frame<R: Serialize>(rows: &[R], target: usize, out: &mut Vec<u8>) -> Result<usize> {
    let start = out.len();
    let (mut count, mut meter) = (0, MemoryMeter::new((MEMORY_OF_A_BYTE * target) as u64));
    for row in rows.iter().take(MAX_FRAME_ROWS) {
        let before = out.len();
        encode_into(row, out)?;
        if count > 0 && out.len() - before > target {
            // A row this large has a frame of its own, so that it spoils no other.
            out.truncate(before);
            break;
        }
        count += 1;
        if meter.add(row) || out.len() - start >= target {
            break;
        }
    }
    Ok(count)
}
