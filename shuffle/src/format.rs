//! The file of a map output. `FORMAT.md` beside this crate draws it; in short: a header, the frames
//! of partition 0, of partition 1, ..., and a footer that says where each partition begins.
//!
//! Every byte is under a checksum, and every length is compared with the bytes that are really
//! there before anything of that length is allocated.

use crate::wire::{Fields, put_u32, put_u64};
use emberline_core::bounds::Stored;
use emberline_core::codec::{CODEC_ID, decode_rows, encode_into};
use emberline_core::disk::{DiskReader, DiskWriter};
use emberline_core::error::{Error, Result};
use emberline_core::scratch::ScratchFile;
use serde::Serialize;
use std::io;
use std::marker::PhantomData;

const FILE_MAGIC: u64 = u64::from_le_bytes(*b"emberSHF");
const END_MAGIC: u64 = u64::from_le_bytes(*b"emberEND");
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"FRME");
const VERSION: u8 = 1;
const UNCOMPRESSED: u8 = 0;

const HEADER_BYTES: usize = 16;
const FRAME_HEADER_BYTES: usize = 24;
const ENTRY_BYTES: usize = 32;
const TAIL_BYTES: usize = 24;

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
        let mut pending = Vec::with_capacity(APPEND_BYTES + 2 * FRAME_TARGET);
        put_u64(&mut pending, FILE_MAGIC);
        pending.extend([VERSION, CODEC_ID, 0, 0]);
        let crc = crc32fast::hash(&pending);
        put_u32(&mut pending, crc);
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

    /// Writes the footer and says where everything is.
    pub fn finish(mut self) -> Result<FileIndex> {
        let footer = self.segments.len() * ENTRY_BYTES + TAIL_BYTES;
        let file_bytes = self.position() + footer as u64;
        let index = FileIndex { segments: std::mem::take(&mut self.segments), file_bytes };
        index.append_footer(&mut self.pending);
        self.flush()?;
        Ok(index)
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
    put_u32(&mut header, FRAME_MAGIC);
    header.extend([VERSION, CODEC_ID, UNCOMPRESSED, 0]);
    // The rows of a frame are capped far below u32::MAX.
    put_u32(&mut header, count as u32);
    put_u32(&mut header, length);
    put_u32(&mut header, length);
    let crc = frame_crc(&header, payload);
    put_u32(&mut header, crc);
    Ok(header)
}

fn frame_crc(fields: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(fields);
    crc.update(payload);
    crc.finalize()
}

impl FileIndex {
    fn append_footer(&self, out: &mut Vec<u8>) {
        let start = out.len();
        for place in &self.segments {
            for field in [place.offset, place.bytes, place.rows, place.frames] {
                put_u64(out, field);
            }
        }
        put_u64(out, self.file_bytes);
        put_u32(out, self.segments.len() as u32);
        let crc = crc32fast::hash(&out[start..]);
        put_u32(out, crc);
        put_u64(out, END_MAGIC);
    }

    /// Reads the header and the footer of a file of which nothing else is known.
    pub fn read(file: &OpenFile) -> Result<FileIndex> {
        let file_bytes = file.len()?;
        if file_bytes < (HEADER_BYTES + TAIL_BYTES) as u64 {
            return Err(file.corrupt(format!("it has only {file_bytes} bytes")));
        }
        file.check_header()?;
        let mut tail = vec![0; TAIL_BYTES];
        file.read_at(file_bytes - TAIL_BYTES as u64, &mut tail)?;
        let mut fields = Fields(&tail);
        let (length, partitions) = (fields.u64(), fields.u32());
        let (crc, magic) = (fields.u32(), fields.u64());
        if magic != END_MAGIC || length != file_bytes {
            return Err(file.corrupt("it does not end as a whole file does"));
        }
        let footer = u64::from(partitions) * ENTRY_BYTES as u64 + TAIL_BYTES as u64;
        if footer > file_bytes - HEADER_BYTES as u64 {
            return Err(file.corrupt(format!("{partitions} partitions do not fit into it")));
        }
        let mut entries = vec![0; (footer as usize) - TAIL_BYTES];
        file.read_at(file_bytes - footer, &mut entries)?;
        if frame_crc(&entries, &tail[..12]) != crc {
            return Err(file.corrupt("the checksum of its footer does not match"));
        }
        let segments = entries.chunks_exact(ENTRY_BYTES).map(parse_entry).collect();
        let index = FileIndex { segments, file_bytes };
        index.check_layout(file_bytes - footer).map_err(|what| file.corrupt(what))?;
        Ok(index)
    }

    /// The segments must lie one behind the other and fill the space before the footer.
    fn check_layout(&self, footer_at: u64) -> Result<(), String> {
        let mut end = HEADER_BYTES as u64;
        for (partition, place) in self.segments.iter().enumerate() {
            let next = end.checked_add(place.bytes).filter(|next| *next <= footer_at);
            end = next
                .filter(|_| place.offset == end)
                .ok_or_else(|| format!("partition {partition} is not where it should be"))?;
        }
        if end == footer_at { Ok(()) } else { Err("there is a gap before its footer".into()) }
    }
}

fn parse_entry(bytes: &[u8]) -> SegmentPlace {
    let mut fields = Fields(bytes);
    let (offset, bytes) = (fields.u64(), fields.u64());
    SegmentPlace { offset, bytes, rows: fields.u64(), frames: fields.u64() }
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
        let (found, written) = (self.len()?, index.file_bytes);
        if found != written {
            return Err(self.corrupt(format!("it has {found} bytes, but {written} were written")));
        }
        Ok(())
    }

    fn check_header(&self) -> Result<()> {
        let mut header = [0; HEADER_BYTES];
        self.read_at(0, &mut header)?;
        let mut fields = Fields(&header);
        let (magic, version, codec) = (fields.u64(), fields.u8(), fields.u8());
        let _reserved = (fields.u8(), fields.u8());
        let crc = crc32fast::hash(&header[..HEADER_BYTES - 4]);
        if magic != FILE_MAGIC || fields.u32() != crc {
            return Err(self.corrupt("it does not begin as a shuffle file does"));
        }
        if (version, codec) != (VERSION, CODEC_ID) {
            return Err(self.corrupt(format!("its version {version}, codec {codec} is foreign")));
        }
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        self.reader.len().map_err(|cause| self.io(cause))
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
        if frame_crc(fields, payload) != Fields(crc).u32() {
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
        let mut fields = Fields(&self.buffer[self.used..][..FRAME_HEADER_BYTES]);
        let magic = fields.u32();
        let kind = [fields.u8(), fields.u8(), fields.u8(), fields.u8()];
        let (count, raw, stored) = (fields.u32(), fields.u32(), fields.u32());
        if magic != FRAME_MAGIC || kind != [VERSION, CODEC_ID, UNCOMPRESSED, 0] {
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
