//! Reads rows from a file, frame by frame. No byte is used before it was checked.

use super::compress::FrameDecompressor;
use super::header::{FIELD_BYTES, FrameLocation, HEADER_BYTES, Header, is_whole};
use super::read_ahead::ReadAhead;
use super::{FileIndex, MAX_RETAINED_BYTES, SegmentLocation};
use emberline_core::bounds::Stored;
use emberline_core::codec::decode_rows;
use emberline_core::disk::DiskReader;
use emberline_core::error::{Error, Result};
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// A file that is open for reading, with its name for errors.
#[derive(Clone)]
pub struct OpenFile {
    reader: Arc<dyn DiskReader>,
    name: Arc<str>,
    is_durable: bool,
    /// The length, read once: if the file is truncated later, a read fails.
    bytes: Arc<OnceLock<u64>>,
}

impl OpenFile {
    /// Makes an open scratch file of `reader`.
    pub fn new(reader: Box<dyn DiskReader>, name: impl Into<String>) -> Self {
        OpenFile {
            reader: reader.into(),
            name: name.into().into(),
            is_durable: false,
            bytes: Arc::default(),
        }
    }

    /// Makes an open file of a checkpoint, whose path is `name`.
    pub fn durable(reader: Box<dyn DiskReader>, name: impl Into<String>) -> Self {
        OpenFile { is_durable: true, ..OpenFile::new(reader, name) }
    }

    /// Returns the same file for a reader of many small consecutive parts, which reads `bytes` at
    /// once.
    pub(crate) fn reading_ahead(&self, bytes: usize) -> Result<Self> {
        let ahead = ReadAhead::new(Arc::clone(&self.reader), self.bytes()?, bytes);
        Ok(OpenFile { reader: Arc::new(ahead), ..self.clone() })
    }

    /// Returns an error unless the file has the length in `index`.
    pub fn check_length(&self, index: &FileIndex) -> Result<()> {
        let found = self.bytes()?;
        let written = index.file_bytes;
        if found != written {
            return Err(self.corrupt(format!("it has {found} bytes, but {written} were written")));
        }
        Ok(())
    }

    /// Returns an error if a segment ends after the file. Then the lengths in its frames cannot be
    /// trusted.
    fn check_end(&self, end: u64) -> Result<()> {
        let found = self.bytes()?;
        if found < end {
            let what = format!("it has {found} bytes, but its segment ends at byte {end}");
            return Err(self.corrupt(what));
        }
        Ok(())
    }

    fn bytes(&self) -> Result<u64> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(*bytes);
        }
        let bytes = self.reader.len().map_err(|cause| self.io(cause))?;
        Ok(*self.bytes.get_or_init(|| bytes))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.reader.read_at(offset, buffer).map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof => {
                self.corrupt(format!("it ends too early for {} bytes at {offset}", buffer.len()))
            }
            _ => self.io(cause),
        })
    }

    fn io(&self, cause: io::Error) -> Error {
        let kind = if self.is_durable { "checkpoint" } else { "scratch" };
        Error::io(format!("reading the {kind} file `{}` failed", self.name), cause)
    }

    /// Returns the error of a damaged file. The reader of a checkpoint adds the name of its file to
    /// all such errors.
    fn corrupt(&self, what: impl std::fmt::Display) -> Error {
        match self.is_durable {
            true => Error::corrupt(what.to_string()),
            false => Error::corrupt(format!("`{}`: {what}", self.name)),
        }
    }
}

/// Reads the rows of one segment, a frame at a time.
pub struct FrameReader<R> {
    frames: SegmentFrames,
    row: PhantomData<fn() -> R>,
}

impl<R: Stored> FrameReader<R> {
    /// Makes a reader of the segment at `location`.
    pub fn new(file: OpenFile, location: SegmentLocation) -> Self {
        FrameReader { frames: SegmentFrames::new(file, location), row: PhantomData }
    }

    /// Returns the rows of the next frame, or nothing after the last. If the segment has fewer rows
    /// than its location says, that is an error.
    pub fn next_frame(&mut self) -> Result<Option<Vec<R>>> {
        self.frames.next_rows()
    }

    /// Returns the crc32 of the checksums of the frames so far.
    pub fn digest(&self) -> u32 {
        self.frames.digest()
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.frames.held_bytes()
    }
}

/// Takes the payload of a frame: the number of its rows, and their bytes.
pub(crate) type TakeFrame<'a> = dyn FnMut(usize, &[u8]) -> Result<()> + 'a;

/// Reads one segment as bytes, a frame at a time. It holds one frame as it is in the file, and a
/// second time if it is compressed.
///
/// It does not know the type of the rows, so that it is compiled once and not in each program.
pub(crate) struct SegmentFrames {
    file: OpenFile,
    bytes: Bytes,
    decompressor: FrameDecompressor,
    file_tag: u32,
    /// True if the location of the segment was compared with the length of the file.
    is_in_file: bool,
    rows_left: u64,
    frames_left: u64,
    /// The digest of the checksums of the frames so far.
    digest: crc32fast::Hasher,
}

impl SegmentFrames {
    /// Makes a reader of the segment at `location`.
    pub(crate) fn new(file: OpenFile, location: SegmentLocation) -> Self {
        let SegmentLocation { offset, bytes, rows, frames, file_tag } = location;
        SegmentFrames {
            file,
            bytes: Bytes {
                buffer: Vec::new(),
                start: 0,
                end: 0,
                disk: offset..offset.saturating_add(bytes),
                first_read: bytes / frames.max(1),
            },
            decompressor: FrameDecompressor::default(),
            file_tag,
            is_in_file: false,
            rows_left: rows,
            frames_left: frames,
            digest: crc32fast::Hasher::new(),
        }
    }

    /// Decodes the rows of the next frame. Returns nothing after the last.
    pub(crate) fn next_rows<R: Stored>(&mut self) -> Result<Option<Vec<R>>> {
        let mut rows = None;
        self.next_frame(&mut |count, raw| {
            rows = Some(decode_rows(raw, count)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Passes the payload of the next frame to `take`. Returns false after the last frame, once all
    /// rows that were promised have been read.
    pub(crate) fn next_frame(&mut self, take: &mut TakeFrame<'_>) -> Result<bool> {
        if self.frames_left == 0 {
            return self.check_end().map(|()| false);
        }
        if !self.is_in_file {
            self.file.check_end(self.bytes.disk.end)?;
            self.is_in_file = true;
        }
        self.read_frame(take)?;
        self.frames_left -= 1;
        Ok(true)
    }

    /// Returns the crc32 of the checksums of the frames so far.
    pub(crate) fn digest(&self) -> u32 {
        self.digest.clone().finalize()
    }

    #[cfg(test)]
    fn held_bytes(&self) -> usize {
        self.bytes.buffer.capacity() + self.decompressor.held_bytes()
    }

    fn read_frame(&mut self, take: &mut TakeFrame<'_>) -> Result<()> {
        self.fill(HEADER_BYTES)?;
        let header = Header::parse(self.bytes.unused()).map_err(|what| self.damaged(what))?;
        if header.rows as u64 > self.rows_left {
            return Err(self.damaged("it has rows too many"));
        }
        let whole = HEADER_BYTES + header.stored;
        self.fill(whole)?;
        let location = FrameLocation { file_tag: self.file_tag, offset: self.bytes.position() };
        let (fields, payload) = self.bytes.unused()[..whole].split_at(HEADER_BYTES);
        if !is_whole(location, fields, payload) {
            return Err(self.damaged("its checksum does not match"));
        }
        self.digest.update(&fields[FIELD_BYTES..]);
        match self.decompressor.decompress(header.compression, payload, header.raw) {
            Ok(raw) => take(header.rows, raw)?,
            Err(what) => return Err(self.damaged(what)),
        }
        self.rows_left -= header.rows as u64;
        self.bytes.start += whole;
        // A large row must not retain its buffer: a merge has many readers.
        self.decompressor.shrink();
        self.bytes.shrink();
        Ok(())
    }

    /// Reads until `wanted` bytes are unused.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        if self.bytes.left() < wanted as u64 {
            return Err(self.damaged("it is longer than its segment"));
        }
        self.bytes.fill(wanted, &self.file)
    }

    fn check_end(&self) -> Result<()> {
        let rows = self.rows_left;
        let bytes = self.bytes.left();
        if rows != 0 || bytes != 0 {
            return Err(self.file.corrupt(format!("{rows} rows and {bytes} bytes do not add up")));
        }
        Ok(())
    }

    #[cold]
    fn damaged(&self, what: &str) -> Error {
        let at = self.bytes.position();
        self.file.corrupt(format!("the frame at byte {at} is damaged: {what}"))
    }
}

/// The bytes of a segment that were read: `buffer[start..end]` is not used yet.
struct Bytes {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The part of the segment that was not read yet.
    disk: std::ops::Range<u64>,
    /// The bytes of the first read: those of the average frame.
    first_read: u64,
}

impl Bytes {
    fn unused(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Returns the offset of the unused bytes in the file.
    fn position(&self) -> u64 {
        self.disk.start - self.unused().len() as u64
    }

    /// Returns the number of bytes of the segment that are not used.
    fn left(&self) -> u64 {
        self.unused().len() as u64 + (self.disk.end - self.disk.start)
    }

    /// Reads until `wanted` bytes are unused, which the segment must have, and the next header if
    /// there is one: so a frame is one read.
    fn fill(&mut self, wanted: usize, file: &OpenFile) -> Result<()> {
        let have = self.unused().len();
        if have >= wanted {
            return Ok(());
        }
        let frame = (wanted as u64).max(std::mem::take(&mut self.first_read));
        // No more than one frame, which fits in memory.
        let all = self.left().min(frame + HEADER_BYTES as u64) as usize;
        self.compact(all);
        file.read_at(self.disk.start, &mut self.buffer[have..all])?;
        self.disk.start += (all - have) as u64;
        self.end = all;
        Ok(())
    }

    /// Moves the unused bytes to the front of a buffer that has room for `all`.
    fn compact(&mut self, all: usize) {
        if self.buffer.len() < all {
            return self.move_to(all);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
    }

    fn move_to(&mut self, bytes: usize) {
        let mut buffer = vec![0; bytes];
        let unused = self.unused().len();
        buffer[..unused].copy_from_slice(self.unused());
        (self.buffer, self.start, self.end) = (buffer, 0, unused);
    }

    fn shrink(&mut self) {
        if self.buffer.len() > MAX_RETAINED_BYTES {
            self.move_to(self.unused().len());
        }
    }
}
