//! The durable form of an RDD: a directory with a file of frames for each partition, and a manifest
//! that is written last. See `FORMAT.md` of this crate.
//!
//! It outlives the program that wrote it. So it has no type names and no hashes of keys, and it
//! records the versions of the manifest, the frames and the codec, and the shape of the row type.

use crate::format::{FRAME_VERSION, FileIndex, FileWriter, FrameReader, OpenFile, SegmentLocation};
use crate::memory::row_sizes::RowSizes;
use emberline_core::bounds::Stored;
use emberline_core::codec::{CODEC_ID, encode_into};
use emberline_core::config::Config;
use emberline_core::disk::{DiskReader, DiskWriter};
use emberline_core::error::{Error, Result};
use emberline_core::shape::Shape;
use std::io;
use std::path::Path;

/// The name of the manifest in its directory.
pub const MANIFEST_NAME: &str = "_manifest";

const MAGIC: [u8; 8] = *b"EMBRCKPT";
const VERSION: u16 = 3;
/// The version before rows had a shape.
const VERSION_WITHOUT_SHAPE: u16 = 2;
/// The fields that all versions have: magic, versions, and the number of partitions.
const HEADER_BYTES: usize = 20;
/// The length of the shape, which follows the header since version 3.
const SHAPE_LENGTH_BYTES: usize = 4;
const PART_BYTES: usize = 32;
const CRC_BYTES: usize = 4;
/// The number of first rows of a partition that its tag covers.
const TAG_ROWS: usize = 64;

/// The content of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The shape of the row type; unknown in manifests of version 2.
    pub shape: Shape,
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
        let shape = self.shape.encode();
        let mut bytes = Vec::new();
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([FRAME_VERSION, CODEC_ID]);
        bytes.extend((self.parts.len() as u64).to_le_bytes());
        bytes.extend((shape.len() as u32).to_le_bytes());
        bytes.extend(shape);
        for Part { rows, bytes: length, frames, tag, digest } in &self.parts {
            [rows, length, frames].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
            [tag, digest].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
    }

    /// Reads the number of partitions of a manifest, in a few bytes.
    pub fn read_partitions(file: &dyn DiskReader) -> io::Result<Result<u64, Refusal>> {
        Ok(Header::read(file)?.map(|header| header.parts))
    }

    /// Reads a manifest of at most `max_parts` partitions. It allocates no more than the file has
    /// bytes, and refuses more partitions before.
    pub fn read(file: &dyn DiskReader, max_parts: usize) -> io::Result<Result<Self, Refusal>> {
        let header = match Header::read(file)? {
            Ok(header) => header,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if header.parts > max_parts as u64 {
            let parts = header.parts;
            let what = format!("{parts} partitions were written, but there are {max_parts} files");
            return Ok(Err(what));
        }
        let mut bytes = vec![0; file.len()? as usize];
        file.read_at(0, &mut bytes)?;
        Ok(header.decode(&bytes))
    }
}

/// The first fields of a manifest, which agree with the length of its file.
struct Header {
    parts: u64,
    /// The position of the first partition.
    parts_at: usize,
    shape_bytes: usize,
}

impl Header {
    fn read(file: &dyn DiskReader) -> io::Result<Result<Header, Refusal>> {
        let length = file.len()?;
        if length < (HEADER_BYTES + CRC_BYTES) as u64 {
            return Ok(Err(format!("its manifest has only {length} bytes")));
        }
        let mut fields = [0; HEADER_BYTES];
        file.read_at(0, &mut fields)?;
        let version = match version_of(&fields) {
            Ok(version) => version,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut header =
            Header { parts: u64_at(&fields, 12), parts_at: HEADER_BYTES, shape_bytes: 0 };
        if version > VERSION_WITHOUT_SHAPE {
            let mut shape_bytes = [0; SHAPE_LENGTH_BYTES];
            file.read_at(HEADER_BYTES as u64, &mut shape_bytes)?;
            header.shape_bytes = u32::from_le_bytes(shape_bytes) as usize;
            header.parts_at += SHAPE_LENGTH_BYTES + header.shape_bytes;
        }
        let wanted = header.parts.saturating_mul(PART_BYTES as u64);
        if wanted.saturating_add((header.parts_at + CRC_BYTES) as u64) != length {
            let parts = header.parts;
            return Ok(Err(format!("its manifest of {parts} partitions has {length} bytes")));
        }
        Ok(Ok(header))
    }

    /// Decodes the bytes of the whole manifest.
    fn decode(&self, bytes: &[u8]) -> Result<Manifest, Refusal> {
        let (fields, crc) = bytes.split_at(bytes.len() - CRC_BYTES);
        if crc32fast::hash(fields).to_le_bytes() != crc {
            return Err("the checksum of its manifest does not match".into());
        }
        let shape = &fields[self.parts_at - self.shape_bytes..self.parts_at];
        let shape = match shape {
            [] => Shape::default(),
            bytes => Shape::decode(bytes).map_err(|error| {
                format!("its manifest has no valid shape of the rows ({})", error.kind())
            })?,
        };
        let part = |fields: &[u8]| {
            let [rows, bytes, frames, both] = [0, 8, 16, 24].map(|at| u64_at(fields, at));
            Part { rows, bytes, frames, tag: both as u32, digest: (both >> 32) as u32 }
        };
        let parts = fields[self.parts_at..].chunks_exact(PART_BYTES).map(part).collect();
        Ok(Manifest { shape, parts })
    }
}

/// Returns the version of a manifest that this build reads.
fn version_of(header: &[u8; HEADER_BYTES]) -> Result<u16, Refusal> {
    if !header.starts_with(&MAGIC) {
        return Err("its manifest does not begin as one does".into());
    }
    let version = u16::from_le_bytes([header[8], header[9]]);
    let advice = "read it with the emberline that wrote it";
    if ![VERSION_WITHOUT_SHAPE, VERSION].contains(&version) {
        return Err(format!(
            "its manifest has version {version}, and this build reads versions \
             {VERSION_WITHOUT_SHAPE} and {VERSION}: {advice}"
        ));
    }
    let found = (header[10], header[11]);
    let own = (FRAME_VERSION, CODEC_ID);
    if found != own {
        return Err(format!(
            "its frames have version {} and codec {}, and this build reads version {} and codec {}: \
             {advice}",
            found.0, found.1, own.0, own.1
        ));
    }
    Ok(version)
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
        Manifest { shape: Shape::of::<(u8, String)>(), parts: (0..parts).map(part).collect() }
    }

    /// Returns the bytes of a manifest of version 2.
    fn without_shape(manifest: &Manifest) -> Vec<u8> {
        let mut bytes = manifest.encode();
        let shape_bytes = manifest.shape.encode().len();
        bytes.drain(HEADER_BYTES..HEADER_BYTES + SHAPE_LENGTH_BYTES + shape_bytes);
        bytes[8..10].copy_from_slice(&VERSION_WITHOUT_SHAPE.to_le_bytes());
        sealed(bytes)
    }

    /// Returns a manifest with a new checksum.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.truncate(bytes.len() - CRC_BYTES);
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
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
    fn a_manifest_of_the_version_without_a_shape_is_read() {
        for parts in [0, 1, 7] {
            let manifest = manifest(parts);
            let want = Manifest { shape: Shape::default(), parts: manifest.parts.clone() };
            assert_eq!(read(&without_shape(&manifest), parts as usize), Ok(want));
        }
    }

    #[test]
    fn another_version_is_named() {
        for (at, text) in [(8, "has version 9"), (10, "have version 9"), (11, "codec 9")] {
            let mut bytes = manifest(1).encode();
            bytes[at] = 9;
            let refusal = read(&bytes, 1).unwrap_err();
            assert!(refusal.contains(text), "{refusal}");
        }
    }

    #[test]
    fn a_shape_that_is_none_is_refused() {
        let whole = manifest(2).encode();
        let shape_bytes = manifest(2).shape.encode().len();
        let shape_at = HEADER_BYTES + SHAPE_LENGTH_BYTES;
        for at in shape_at..shape_at + shape_bytes {
            for byte in 0..=u8::MAX {
                let mut wrong = whole.clone();
                wrong[at] = byte;
                // Some changes are another shape, and none of them panics.
                let _ = read(&sealed(wrong), 2);
            }
        }
        let mut long = whole.clone();
        long[HEADER_BYTES..shape_at].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&sealed(long), 2).is_err());
    }
}
