//! Rows to a file, frame by frame.

use super::compress::{STORED, Squeezer};
use super::header::{FramePlace, HEADER_BYTES, Header};
use super::{FileIndex, MOST_FRAME_ROWS, SegmentPlace, frame_target};
use emberline_core::codec::encode_into;
use emberline_core::config::Config;
use emberline_core::disk::DiskWriter;
use emberline_core::error::Result;
use emberline_core::scratch::ScratchFile;
use serde::Serialize;

/// Frames that are handed to the disk at once.
const FRAMES_AT_ONCE: usize = 4;

/// Writes one file: a segment for each partition, in order, and then [`finish`](Self::finish).
///
/// It holds at most about eight frames, whose size follows the task's share; a row that is larger
/// has a frame of its own.
pub struct FileWriter<'a> {
    file: &'a ScratchFile,
    file_tag: u32,
    disk: Box<dyn DiskWriter>,
    frame_target: usize,
    squeezer: Squeezer,
    /// What is not on disk yet.
    pending: Vec<u8>,
    on_disk: u64,
    encoded_bytes: u64,
    segments: Vec<SegmentPlace>,
}

impl<'a> FileWriter<'a> {
    /// Makes the file. The task's share says how large frames are, and `spill_compression` how they
    /// are made smaller.
    pub fn create(file: &'a ScratchFile, config: &Config) -> Result<Self> {
        let squeezer = Squeezer::new(config.spill_compression)?;
        let frame_target = frame_target(config.share_bytes());
        Ok(FileWriter {
            file,
            // No two files of a context have one name.
            file_tag: crc32fast::hash(file.path().as_os_str().as_encoded_bytes()),
            disk: file.create()?,
            frame_target,
            squeezer,
            pending: Vec::with_capacity(most_pending(frame_target)),
            on_disk: 0,
            encoded_bytes: 0,
            segments: Vec::new(),
        })
    }

    /// Writes the rows of the next partition.
    pub fn write_segment<R: Serialize>(&mut self, rows: &[R]) -> Result<()> {
        let offset = self.position();
        let (mut rest, mut frames) = (rows, 0);
        while !rest.is_empty() {
            let written = self.write_frame(rest)?;
            rest = &rest[written..];
            frames += 1;
            if self.pending.len() >= FRAMES_AT_ONCE * self.frame_target {
                self.flush()?;
            }
        }
        let (bytes, rows) = (self.position() - offset, rows.len() as u64);
        let file_tag = self.file_tag;
        self.segments.push(SegmentPlace { offset, bytes, rows, frames, file_tag });
        Ok(())
    }

    /// The rows so far as bytes, before they were compressed.
    pub fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// Ends the file and says where everything is.
    pub fn finish(mut self) -> Result<FileIndex> {
        self.flush()?;
        Ok(FileIndex { segments: self.segments, file_bytes: self.on_disk })
    }

    fn position(&self) -> u64 {
        self.on_disk + self.pending.len() as u64
    }

    /// Writes the first of `rows` as one frame; says how many these were.
    fn write_frame<R: Serialize>(&mut self, rows: &[R]) -> Result<usize> {
        let place = FramePlace { file_tag: self.file_tag, offset: self.position() };
        let start = self.pending.len();
        let payload = start + HEADER_BYTES;
        self.pending.resize(payload, 0);
        let count = encode_frame(rows, self.frame_target, &mut self.pending)?;
        let raw = self.pending.len() - payload;
        self.encoded_bytes += raw as u64;
        let mut compression = STORED;
        if let Some((method, squeezed)) = self.squeezer.squeeze(&self.pending[payload..])? {
            compression = method;
            self.pending.truncate(payload);
            self.pending.extend_from_slice(squeezed);
        }
        let stored = self.pending.len() - payload;
        let header = Header { compression, rows: count, raw, stored };
        let header = header.seal(place, &self.pending[payload..])?;
        self.pending[start..payload].copy_from_slice(&header);
        Ok(count)
    }

    fn flush(&mut self) -> Result<()> {
        self.disk.append(&self.pending).map_err(|cause| self.file.error("writing", cause))?;
        self.on_disk += self.pending.len() as u64;
        self.pending.clear();
        // One large row must not keep its memory.
        self.pending.shrink_to(most_pending(self.frame_target));
        Ok(())
    }
}

/// What a writer holds of frames, in bytes, unless one row is larger.
fn most_pending(frame_target: usize) -> usize {
    (FRAMES_AT_ONCE + 2) * frame_target
}

/// Writes the first of `rows` behind `out`, as many as make a frame; says how many these were.
fn encode_frame<R: Serialize>(rows: &[R], target: usize, out: &mut Vec<u8>) -> Result<usize> {
    let start = out.len();
    let mut count = 0;
    for row in rows.iter().take(MOST_FRAME_ROWS) {
        let before = out.len();
        encode_into(row, out)?;
        if count > 0 && out.len() - before > target {
            // A row this large has a frame of its own, so that it spoils no other.
            out.truncate(before);
            break;
        }
        count += 1;
        if out.len() - start >= target {
            break;
        }
    }
    Ok(count)
}
