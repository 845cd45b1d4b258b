//! The file of a map output. `FORMAT.md` beside this crate draws it; in short: the frames of
//! partition 0, of partition 1, ...; where each partition begins is kept in memory.
//!
//! Every byte is under a checksum, and every length is compared with the bytes that are really
//! there before anything of that length is allocated.

use emberline_core::bounds::Stored;
use emberline_core::codec::{CODEC_ID, decode_rows, encode_into};
use emberline_core::disk::{DiskReader, DiskWriter};
use emberline_core::error::{Error, Result};
use emberline_core::scratch::ScratchFile;
use serde::Serialize;
use std::io;
use std::marker::PhantomData;

const VERSION: u8 = 2;
const UNCOMPRESSED: u8 = 0;
const NO_FLAGS: u8 = 0;

/// How every frame begins.
const FRAME_START: [u8; 8] = [b'F', b'R', b'M', b'E', VERSION, CODEC_ID, UNCOMPRESSED, NO_FLAGS];
const FRAME_HEADER_BYTES: usize = 24;

/// A frame ends with the row that reaches so many bytes.
const FRAME_TARGET: usize = 256 << 10;
/// Nor does a frame have more rows than this, however small they are.
const MOST_FRAME_ROWS: usize = 1 << 16;
/// What is handed to the disk at once.
const APPEND_BYTES: usize = 1 << 20;
/// What is read from the disk at once, unless one frame is larger.
const READ_BYTES: usize = 512 << 10;

/// Where one partition is in a file, and what must be found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPlace {
    /// The first byte of its first frame.
    pub offset: u64,
    /// The length of all its frames.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Its frames.
    pub frames: u64,
}

/// Where everything is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileIndex {
    /// One place for each partition, in their order.
    pub segments: Vec<SegmentPlace>,
    /// The length of the whole file.
    pub file_bytes: u64,
}

/// Writes one file: a segment for each partition, in order, and then [`finish`](Self::finish).
pub struct FileWriter<'a> {
    file: &'a ScratchFile,
    disk: Box<dyn DiskWriter>,
    /// What is not on disk yet.
    pending: Vec<u8>,
    on_disk: u64,
    segments: Vec<SegmentPlace>,
}

impl<'a> FileWriter<'a> {
    /// Makes the file.
    pub fn create(file: &'a ScratchFile) -> Result<Self> {
        let disk = file.create()?;
        let pending = Vec::with_capacity(APPEND_BYTES + 2 * FRAME_TARGET);
        Ok(FileWriter { file, disk, pending, on_disk: 0, segments: Vec::new() })
    }

    /// Writes the rows of the next partition.
    pub fn write_segment<R: Serialize>(&mut self, rows: &[R]) -> Result<()> {
        let offset = self.position();
        let (mut rest, mut frames) = (rows, 0);
        while !rest.is_empty() {
            let written = write_frame(rest, &mut self.pending)?;
            rest = &rest[written..];
            frames += 1;
            if self.pending.len() >= APPEND_BYTES {
                self.flush()?;
            }
        }
        let (bytes, rows) = (self.position() - offset, rows.len() as u64);
        self.segments.push(SegmentPlace { offset, bytes, rows, frames });
        Ok(())
    }

    /// Ends the file and says where everything is.
    pub fn finish(mut self) -> Result<FileIndex> {
        self.flush()?;
        Ok(FileIndex { segments: self.segments, file_bytes: self.on_disk })
    }

    fn position(&self) -> u64 {
        self.on_disk + self.pending.len() as u64
    }

    fn flush(&mut self) -> Result<()> {
        self.disk.append(&self.pending).map_err(|cause| self.file.error("writing", cause))?;
        self.on_disk += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// Writes the first of `rows` as one frame; says how many these were.
fn write_frame<R: Serialize>(rows: &[R], out: &mut Vec<u8>) -> Result<usize> {
    let start = out.len();
    out.resize(start + FRAME_HEADER_BYTES, 0);
    let payload = out.len();
    let mut count = 0;
    for row in rows.iter().take(MOST_FRAME_ROWS) {
        let before = out.len();
        encode_into(row, out)?;
        if count > 0 && out.len() - before > FRAME_TARGET {
            // A row this large has a frame of its own, so that it spoils no other.
            out.truncate(before);
            break;
        }
        count += 1;
        if out.len() - payload >= FRAME_TARGET {
            break;
        }
    }
    let header = frame_header(count, &out[payload..])?;
    out[start..payload].copy_from_slice(&header);
    Ok(count)
}

/// What stands before a frame's rows.
fn frame_header(count: usize, payload: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(payload.len());
    let length = length.map_err(|_| Error::invalid_argument("a row has more than 4 GiB"))?;
    let mut header = Vec::with_capacity(FRAME_HEADER_BYTES);
    header.extend(FRAME_START);
    // The rows of a frame are capped far below u32::MAX.
    for field in [count as u32, length, length] {
        header.extend(field.to_le_bytes());
    }
    let crc = frame_crc(&header, payload);
    header.extend(crc.to_le_bytes());
    Ok(header)
}

/// The number at a byte of a header.
fn u32_at(header: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&header[at..at + 4]);
    u32::from_le_bytes(field)
}

fn frame_crc(fields: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(fields);
    crc.update(payload);
    crc.finalize()
}

/// A file that is open for reading, with the name it has in errors.
pub struct OpenFile {
    reader: Box<dyn DiskReader>,
    name: String,
}

impl OpenFile {
    /// The file behind `reader`.
    pub fn new(reader: Box<dyn DiskReader>, name: impl Into<String>) -> Self {
        OpenFile { reader, name: name.into() }
    }

    /// Refuses a file that is not as long as `index` says.
    pub fn check_length(&self, index: &FileIndex) -> Result<()> {
        let found = self.reader.len().map_err(|cause| self.io(cause))?;
        let written = index.file_bytes;
        if found != written {
            return Err(self.corrupt(format!("it has {found} bytes, but {written} were written")));
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.reader.read_at(offset, buffer).map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof => {
                let end = offset + buffer.len() as u64;
                self.corrupt(format!("it ends before byte {end}"))
            }
            _ => self.io(cause),
        })
    }

    fn io(&self, cause: io::Error) -> Error {
        Error::io(format!("reading the scratch file `{}` failed", self.name), cause)
    }

    fn corrupt(&self, what: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("`{}`: {what}", self.name))
    }
}

/// Reads one segment, a frame at a time.
pub struct FrameReader<R> {
    file: OpenFile,
    /// What was read and not used: `buffer[used..]`.
    buffer: Vec<u8>,
    used: usize,
    /// The part of the segment that is still only on disk.
    at: u64,
    end: u64,
    rows_left: u64,
    frames_left: u64,
    row: PhantomData<fn() -> R>,
}

impl<R: Stored> FrameReader<R> {
    /// Reads the segment at `place`.
    pub fn new(file: OpenFile, place: SegmentPlace) -> Self {
        let SegmentPlace { offset, bytes, rows, frames } = place;
        FrameReader {
            file,
            buffer: Vec::new(),
            used: 0,
            at: offset,
            end: offset.saturating_add(bytes),
            rows_left: rows,
            frames_left: frames,
            row: PhantomData,
        }
    }

    /// The rows of the next frame; nothing after the last, once all rows that were promised came.
    pub fn next_frame(&mut self) -> Result<Option<Vec<R>>> {
        if self.frames_left == 0 {
            return self.check_end().map(|()| None);
        }
        self.fill(FRAME_HEADER_BYTES)?;
        let (count, length) = self.parse_header()?;
        let whole = FRAME_HEADER_BYTES + length;
        self.fill(whole)?;
        let frame = &self.buffer[self.used..][..whole];
        let (header, payload) = frame.split_at(FRAME_HEADER_BYTES);
        let (fields, crc) = header.split_at(FRAME_HEADER_BYTES - 4);
        if frame_crc(fields, payload).to_le_bytes() != crc {
            return Err(self.damaged("its checksum does not match"));
        }
        let rows = decode_rows(payload, count)?;
        self.used += whole;
        self.frames_left -= 1;
        self.rows_left -= count as u64;
        Ok(Some(rows))
    }

    /// The rows and the payload bytes of the frame whose header is in the buffer.
    fn parse_header(&self) -> Result<(usize, usize)> {
        let header = &self.buffer[self.used..][..FRAME_HEADER_BYTES];
        let (count, raw, stored) = (u32_at(header, 8), u32_at(header, 12), u32_at(header, 16));
        if !header.starts_with(&FRAME_START) {
            return Err(self.damaged("it does not begin as a frame does"));
        }
        if raw != stored || count == 0 || u64::from(count) > self.rows_left {
            return Err(self.damaged("its lengths do not fit"));
        }
        Ok((count as usize, stored as usize))
    }

    /// Makes sure that `wanted` unused bytes are in the buffer.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        let have = self.buffer.len() - self.used;
        if have >= wanted {
            return Ok(());
        }
        let left = self.end - self.at;
        if left < (wanted - have) as u64 {
            return Err(self.damaged("it is longer than its segment"));
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        // Both are small, or no more than is left of the segment.
        let more = left.min(wanted.max(READ_BYTES) as u64 - have as u64);
        self.buffer.resize(have + more as usize, 0);
        self.file.read_at(self.at, &mut self.buffer[have..])?;
        self.at += more;
        Ok(())
    }

    fn check_end(&self) -> Result<()> {
        let bytes = self.end - self.at + (self.buffer.len() - self.used) as u64;
        if self.rows_left != 0 || bytes != 0 {
            let rows = self.rows_left;
            return Err(self.file.corrupt(format!("{rows} rows and {bytes} bytes do not add up")));
        }
        Ok(())
    }

    #[cold]
    fn damaged(&self, what: &str) -> Error {
        let at = self.at - (self.buffer.len() - self.used) as u64;
        self.file.corrupt(format!("the frame at byte {at} is damaged: {what}"))
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
