//! Entries of the fuzz targets, which `shuffle/tests/hostile_bytes.rs` also calls on a stable compiler. An
//! entry panics if a reader neither returns the right rows nor reports `Corrupt`.

use emberline_core::bounds::Stored;
use emberline_core::codec::{CODEC_ID, decode_rows, encode_into};
use emberline_core::config::{Compression, Config};
use emberline_core::disk::DiskReader;
use emberline_core::error::{ErrorKind, Result};
use emberline_core::task::TaskContext;
use emberline_shuffle::Manifest;
use emberline_shuffle::{FileIndex, FileWriter, FrameReader, OpenFile, SegmentLocation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, OnceLock};

/// A row with all that rows are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    Dot,
    Small(i8, char, bool),
    Text { at: (i32, u128), words: Vec<Option<String>> },
    Table(BTreeMap<u16, Box<[u8]>>),
}

/// Row types, so that each entry tries all.
const ROW_TYPES: u8 = 6;

/// Reads any bytes as a segment: unchanged, as frames with valid checksums, or as changes to a
/// valid file.
pub fn frame_reader(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 3 {
        0 => segment_of_any_bytes(input),
        1 => sealed_frames(input),
        _ => changed_file(input),
    }
}

/// Reads any bytes as the rows of a frame.
pub fn codec(data: &[u8]) {
    let mut input = Input(data);
    let row_type = input.byte();
    let count = input.number() as usize % 1_000;
    match row_type % ROW_TYPES {
        0 => decoded_rows_survive::<(u64, u64)>(input.0, count),
        1 => decoded_rows_survive::<(String, u64)>(input.0, count),
        2 => decoded_rows_survive::<Shape>(input.0, count),
        3 => decoded_rows_survive::<Vec<u8>>(input.0, count),
        4 => decoded_rows_survive::<Option<Vec<[i64; 3]>>>(input.0, count),
        _ => decoded_rows_survive::<()>(input.0, count),
    }
}

/// Reads any segment locations in a file of any bytes and in a valid one.
pub fn index(data: &[u8]) {
    let mut input = Input(data);
    let is_whole = input.byte().is_multiple_of(2);
    let right = &whole_file().1;
    let segments = usize::from(input.byte() % 8);
    let segments = (0..segments).map(|at| {
        let near = right.segments[at % right.segments.len()];
        any_location(&mut input, near)
    });
    let index = FileIndex { segments: segments.collect(), file_bytes: input.number() };
    let bytes = if is_whole { &whole_file().0[..] } else { input.0 };
    let length = OpenFile::new(Box::new(Memory(bytes.to_vec())), "fuzz").check_length(&index);
    assert_eq!(is_right(length), index.file_bytes == bytes.len() as u64);
    for location in &index.segments {
        let rows = read::<(u32, String)>(bytes, *location);
        let end = location.offset.checked_add(location.bytes);
        let is_inside = end.is_some_and(|end| end <= bytes.len() as u64);
        assert!(rows.is_none() || is_inside || location.frames == 0, "rows from past the end");
        // At a location that the writer returned, the rows are those of the writer.
        let known = right.segments.iter().position(|segment| segment == location);
        if let (true, Some(known)) = (is_whole, known) {
            assert_eq!(rows.expect("a whole segment"), whole_rows()[known]);
        }
    }
}

/// Reads any bytes as the manifest of a checkpoint: unchanged, or with a valid magic and checksum.
pub fn manifest(data: &[u8]) {
    let mut input = Input(data);
    let is_sealed = input.byte().is_multiple_of(2);
    let most_parts = usize::from(input.byte());
    let mut bytes = input.0.to_vec();
    if is_sealed {
        let start = Manifest::default().encode();
        bytes.splice(..0, start[..12].iter().copied());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    }
    let read = Manifest::read(&Memory(bytes.clone()), most_parts).expect("bytes in memory");
    if let Ok(manifest) = read {
        assert!(manifest.parts.len() <= most_parts);
        // An older version, or a shape with longer numbers, is written in other bytes.
        let again = Manifest::read(&Memory(manifest.encode()), most_parts);
        assert_eq!(again.expect("bytes in memory"), Ok(manifest));
    }
}

fn segment_of_any_bytes(mut input: Input<'_>) {
    let row_type = input.byte();
    let near = SegmentLocation { offset: 0, bytes: 0, rows: 1, frames: 1, file_tag: 0 };
    let location = any_location(&mut input, near);
    let bytes = input.0.len() as u64;
    read_as(row_type, input.0, location);
    read_as(row_type, input.0, SegmentLocation { offset: 0, bytes, ..location });
}

/// Makes frames as FORMAT.md describes them, with the counts of rows and bytes that `input` gives.
fn sealed_frames(mut input: Input<'_>) {
    let row_type = input.byte();
    let mut bytes = Vec::new();
    let mut rows = 0_u64;
    let mut frames = 0;
    while !input.0.is_empty() && frames < 8 {
        let compression = input.byte() % 4;
        let count = input.number() as u32;
        let stored = usize::from(input.byte());
        let raw_gain = input.number() as u32;
        let payload = input.bytes(stored);
        let stored = payload.len() as u32;
        let raw = if compression == 0 { stored } else { stored.wrapping_add(raw_gain) };
        bytes.extend(frame(bytes.len() as u64, compression, [count, raw, stored], payload));
        rows += u64::from(count);
        frames += 1;
    }
    let location =
        SegmentLocation { offset: 0, bytes: bytes.len() as u64, rows, frames, file_tag: TAG };
    read_as(row_type, &bytes, location);
}

const TAG: u32 = 0x5eed;

/// Makes one frame with a valid checksum and the given rows, raw length and stored length.
pub fn frame(offset: u64, compression: u8, numbers: [u32; 3], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![b'F', b'R', b'M', b'E', 3, CODEC_ID, compression, 0];
    frame.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
    let mut crc = crc32fast::Hasher::new();
    crc.update(&TAG.to_le_bytes());
    crc.update(&offset.to_le_bytes());
    crc.update(&frame);
    crc.update(payload);
    frame.extend(crc.finalize().to_le_bytes());
    frame.extend(payload);
    frame
}

/// Returns the location of one such frame at the beginning of a file.
pub fn location_of(frame: &[u8], rows: u64) -> SegmentLocation {
    SegmentLocation { offset: 0, bytes: frame.len() as u64, rows, frames: 1, file_tag: TAG }
}

/// Reads a valid file with changed bytes and possibly a missing end: each segment returns its rows
/// or is corrupt.
fn changed_file(mut input: Input<'_>) {
    let (whole, index) = whole_file();
    let mut bytes = whole.clone();
    if input.byte().is_multiple_of(4) {
        bytes.truncate(input.number() as usize % (bytes.len() + 1));
    }
    while !input.0.is_empty() && !bytes.is_empty() {
        let at = input.number() as usize % bytes.len();
        let change = input.byte();
        bytes[at] ^= change;
    }
    for (location, rows) in index.segments.iter().zip(whole_rows()) {
        let range = location.offset as usize..(location.offset + location.bytes) as usize;
        let read = read::<(u32, String)>(&bytes, *location);
        let is_whole = range.is_empty() || bytes.get(range.clone()) == Some(&whole[range]);
        // A checksum misses one random change of 4 billion.
        match is_whole {
            true => assert_eq!(read.expect("an unchanged segment"), rows),
            false => assert_eq!(read, None),
        }
    }
}

fn whole_rows() -> [Vec<(u32, String)>; 4] {
    let rows = |numbers: std::ops::Range<u32>| {
        numbers.map(|n| (n, format!("an ember of an ember {}", n % 3))).collect()
    };
    [rows(0..30), vec![], rows(30..1_500), rows(9..10)]
}

/// Makes a file with these rows in many frames, and returns their locations.
fn whole_file() -> &'static (Vec<u8>, FileIndex) {
    static WHOLE: OnceLock<(Vec<u8>, FileIndex)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let spill_compression = Compression::Lz4;
        let config = Config { spill_compression, task_memory_bytes: 1, ..Config::default() };
        let task = TaskContext::for_test(config);
        let file = Arc::new(task.scratch.file("fuzz").expect("a scratch file"));
        let mut writer = FileWriter::create(Arc::clone(&file), &task.config).expect("a new file");
        for rows in whole_rows() {
            writer.write_segment(&rows).expect("a written segment");
        }
        let index = writer.finish().expect("a finished file");
        let mut bytes = vec![0; index.file_bytes as usize];
        file.open().expect("the file").read_at(0, &mut bytes).expect("its bytes");
        (bytes, index)
    })
}

fn read_as(row_type: u8, bytes: &[u8], location: SegmentLocation) {
    match row_type % ROW_TYPES {
        0 => drop(read::<(u64, u64)>(bytes, location)),
        1 => drop(read::<(String, u64)>(bytes, location)),
        2 => drop(read::<Shape>(bytes, location)),
        3 => drop(read::<Vec<u8>>(bytes, location)),
        4 => drop(read::<Option<Vec<[i64; 3]>>>(bytes, location)),
        _ => drop(read::<()>(bytes, location)),
    }
}

/// Reads the rows at a location, or returns `None` if they are corrupt.
pub fn read<R: Stored>(bytes: &[u8], location: SegmentLocation) -> Option<Vec<R>> {
    let file = OpenFile::new(Box::new(Memory(bytes.to_vec())), "fuzz");
    let mut reader = FrameReader::<R>::new(file, location);
    let mut rows = Vec::new();
    loop {
        let frame = reader.next_frame();
        match frame {
            Ok(Some(frame)) => rows.extend(frame),
            Ok(None) => {
                assert_eq!(rows.len() as u64, location.rows, "other rows than were promised");
                return Some(rows);
            }
            Err(error) => {
                assert!(!is_right::<()>(Err(error)));
                return None;
            }
        }
    }
}

fn decoded_rows_survive<R>(bytes: &[u8], count: usize)
where
    R: Stored + PartialEq + Debug,
{
    let decoded = decode_rows::<R>(bytes, count);
    let Ok(rows) = decoded else { return assert!(!is_right(decoded)) };
    assert_eq!(rows.len(), count);
    let mut encoded = Vec::new();
    rows.iter().for_each(|row| encode_into(row, &mut encoded).expect("a row that was decoded"));
    assert_eq!(decode_rows::<R>(&encoded, count).expect("rows that were encoded"), rows);
}

/// Returns true if the result is `Ok`, and asserts that an error is damage, or a row
/// under a valid checksum that does not decode.
fn is_right<T>(outcome: Result<T>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) => match error.kind() {
            ErrorKind::Corrupt { .. } | ErrorKind::NotEncodable { .. } => false,
            _ => panic!("not called corrupt: {error}"),
        },
    }
}

/// Makes a location that is close to `near` or has arbitrary numbers.
fn any_location(input: &mut Input<'_>, near: SegmentLocation) -> SegmentLocation {
    let own = input.byte();
    let mut number = |bit: u8, near: u64| match own & (1 << bit) {
        0 => near,
        _ if own & 64 == 0 => near.wrapping_add(input.number() as i8 as u64),
        _ => input.number(),
    };
    SegmentLocation {
        offset: number(0, near.offset),
        bytes: number(1, near.bytes),
        rows: number(2, near.rows),
        frames: number(3, near.frames),
        file_tag: near.file_tag,
    }
}

/// The remaining bytes of the fuzzer, with zeros after the end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn bytes(&mut self, wanted: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// Takes a number of one, two, four or eight bytes, so that small ones are frequent.
    fn number(&mut self) -> u64 {
        let width = 1 << (self.byte() % 4);
        let bytes = self.bytes(width).iter().rev();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

struct Memory(Vec<u8>);

impl DiskReader for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = self.0.get(start..).and_then(|bytes| bytes.get(..buf.len()));
        buf.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
