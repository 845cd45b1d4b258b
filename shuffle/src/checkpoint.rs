//! The durable form of an RDD: a directory with a file of frames for each partition, and a manifest
//! that is written last. See `FORMAT.md` of this crate.
//!
//! It outlives the program that wrote it. So it has no type names and no hashes of keys, and it
//! records the versions of the manifest, the frames and the codec.

use crate::format::{FRAME_VERSION, FileIndex, FileWriter, FrameReader, OpenFile, SegmentLocation};
use crate::memory::row_sizes::RowSizes;
use emberline_core::bounds::Stored;
use emberline_core::codec::{CODEC_ID, encode_into};
use emberline_core::config::Config;
use emberline_core::disk::{DiskReader, DiskWriter};
use emberline_core::error::{Error, Result};
use std::path::Path;

/// The name of the manifest in its directory.
pub const MANIFEST_NAME: &str = "_manifest";

const MAGIC: [u8; 8] = *b"EMBRCKPT";
const VERSION: u16 = 2;
const HEADER_BYTES: usize = 20;
const PART_BYTES: usize = 32;
const CRC_BYTES: usize = 4;
/// The number of first rows of a partition that its tag covers.
const TAG_ROWS: usize = 64;

/// The content of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The partitions, in order.
    pub parts: Vec<Part>,
}

/// One partition of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The number of its rows.
    pub rows: u64,
    /// The length of its file.
    pub bytes: u64,
    /// The number of its frames.
    pub frames: u64,
    /// Distinguishes its frames from those of other partitions and other rows. It depends on the
    /// partition index and the first rows, so that the same rows give the same bytes.
    pub tag: u32,
    /// The crc32 of the checksums of all its frames, which differs for a file with other rows at
    /// its end.
    pub digest: u32,
}

/// The reason why bytes are not a manifest.
pub type Refusal = String;

impl Manifest {
    /// Returns the manifest as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Manifest::length_of(self.parts.len() as u64) as usize);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([FRAME_VERSION, CODEC_ID]);
        bytes.extend((self.parts.len() as u64).to_le_bytes());
        for Part { rows, bytes: length, frames, tag, digest } in &self.parts {
            [rows, length, frames].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
            [tag, digest].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
    }

    /// Returns the length of a manifest of `parts` partitions.
    fn length_of(parts: u64) -> u64 {
        parts.saturating_mul(PART_BYTES as u64).saturating_add((HEADER_BYTES + CRC_BYTES) as u64)
    }

    /// Reads a manifest of at most `max_parts` partitions. It allocates no more than these need.
    pub fn read(file: &dyn DiskReader, max_parts: usize) -> std::io::Result<Result<Self, Refusal>> {
        let length = file.len()?;
        if length < Manifest::length_of(0) {
            return Ok(Err(format!("its manifest has only {length} bytes")));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_at(0, &mut header)?;
        let parts = match parts_of(&header) {
            Ok(parts) => parts,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if Manifest::length_of(parts) != length {
            let what = format!("its manifest of {parts} partitions has {length} bytes");
            return Ok(Err(what));
        }
        if parts > max_parts as u64 {
            let what = format!("{parts} partitions were written, but there are {max_parts} files");
            return Ok(Err(what));
        }
        let mut bytes = vec![0; length as usize];
        file.read_at(0, &mut bytes)?;
        Ok(Manifest::decode(&bytes))
    }

    fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let (fields, crc) = bytes.split_at(bytes.len() - CRC_BYTES);
        if crc32fast::hash(fields).to_le_bytes() != crc {
            return Err("the checksum of its manifest does not match".into());
        }
        let part = |fields: &[u8]| {
            let [rows, bytes, frames, both] = [0, 8, 16, 24].map(|at| u64_at(fields, at));
            Part { rows, bytes, frames, tag: both as u32, digest: (both >> 32) as u32 }
        };
        let parts = fields[HEADER_BYTES..].chunks_exact(PART_BYTES).map(part).collect();
        Ok(Manifest { parts })
    }
}

/// Returns the number of partitions in the first bytes of a manifest.
fn parts_of(header: &[u8; HEADER_BYTES]) -> Result<u64, Refusal> {
    if !header.starts_with(&MAGIC) {
        return Err("its manifest does not begin as one does".into());
    }
    let found = (u16::from_le_bytes([header[8], header[9]]), header[10], header[11]);
    let own = (VERSION, FRAME_VERSION, CODEC_ID);
    if found != own {
        return Err(format!(
            "it was written in the format {found:?}, and this build reads {own:?}: read it with the \
             emberline that wrote it"
        ));
    }
    Ok(u64_at(header, 12))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

/// Returns the tag of a partition with these first rows.
fn part_tag<T: Stored>(partition: usize, rows: &[T]) -> Result<u32> {
    let mut bytes = Vec::from((partition as u64).to_le_bytes());
    rows.iter().take(TAG_ROWS).try_for_each(|row| encode_into(row, &mut bytes))?;
    Ok(crc32fast::hash(&bytes))
}

/// Writes rows of known sizes to the file of one partition, which `disk` has just created at
/// `path`, and syncs it.
pub fn write_part<T: Stored>(
    batches: impl Iterator<Item = (Vec<T>, RowSizes)>,
    partition: usize,
    path: &Path,
    disk: Box<dyn DiskWriter>,
    config: &Config,
) -> Result<Part> {
    let mut batches = batches.peekable();
    let first_rows = batches.peek().map_or(&[][..], |(rows, _)| rows);
    let tag = part_tag(partition, first_rows)?;
    let mut writer = FileWriter::to_output(path, disk, tag, config)?;
    for (rows, sizes) in batches {
        writer.write_measured_segment(&rows, sizes)?;
    }
    let digest = writer.digest();
    let FileIndex { segments, file_bytes: bytes } = writer.finish()?;
    let sum = |count: fn(&SegmentLocation) -> u64| segments.iter().map(count).sum();
    Ok(Part {
        rows: sum(|location| location.rows),
        bytes,
        frames: sum(|location| location.frames),
        tag,
        digest,
    })
}

/// A reader of the file of one partition, frame by frame.
pub struct PartReader<T> {
    frames: FrameReader<T>,
    digest: u32,
}

impl<T: Stored> PartReader<T> {
    /// Makes a reader of the file that was written as `part`.
    pub fn new(part: Part, file: OpenFile) -> Result<Self> {
        let Part { rows, bytes, frames, tag: file_tag, digest } = part;
        file.check_length(&FileIndex { segments: Vec::new(), file_bytes: bytes })?;
        let location = SegmentLocation { offset: 0, bytes, rows, frames, file_tag };
        Ok(PartReader { frames: FrameReader::new(file, location), digest })
    }

    /// Returns the rows of the next frame, or nothing after the last, once all rows of the part
    /// have been read.
    pub fn next_frame(&mut self) -> Result<Option<Vec<T>>> {
        let rows = self.frames.next_frame()?;
        if rows.is_none() && self.frames.digest() != self.digest {
            return Err(Error::corrupt("the file is undamaged, but belongs to another checkpoint"));
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    struct Bytes(Vec<u8>);

    impl DiskReader for Bytes {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            let bytes = self.0.get(offset as usize..offset as usize + buf.len());
            buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
    }

    fn read(bytes: &[u8], max_parts: usize) -> Result<Manifest, Refusal> {
        Manifest::read(&Bytes(bytes.to_vec()), max_parts).unwrap()
    }

    fn manifest(parts: u64) -> Manifest {
        let part = |n| Part { rows: n, bytes: n * 100, frames: n / 2, tag: 7, digest: n as u32 };
        Manifest { parts: (0..parts).map(part).collect() }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        for parts in [0, 1, 7] {
            let manifest = manifest(parts);
            assert_eq!(read(&manifest.encode(), parts as usize), Ok(manifest));
        }
    }

    #[test]
    fn a_manifest_that_was_cut_grown_or_changed_in_any_bit_is_refused() {
        let bytes = manifest(3).encode();
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut], 3).is_err(), "cut at {cut}");
        }
        assert!(read(&[&bytes[..], &[0]].concat(), 3).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&wrong, 3).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_manifest_of_more_partitions_than_there_are_files_is_refused_before_it_is_read() {
        assert!(read(&manifest(3).encode(), 2).unwrap_err().contains("there are 2 files"));
        let mut bomb = manifest(0).encode();
        bomb[12..20].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read(&bomb, usize::MAX).is_err());
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = manifest(1).encode();
        bytes[8] = 9;
        assert!(read(&bytes, 1).unwrap_err().contains("format (9, "));
    }
}
