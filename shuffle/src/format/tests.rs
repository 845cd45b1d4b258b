//! Tests of writing and reading; `hostile_tests` has those of damaged files.

use super::*;
use emberline_core::bounds::Stored;
use emberline_core::config::{Compression, Config};
use emberline_core::disk::DiskReader;
use emberline_core::error::{ErrorKind, Result};
use emberline_core::task::TaskContext;
use proptest::prelude::*;
use serde::Serialize;
use std::io;
use std::sync::Arc;

pub(super) struct Memory(pub Vec<u8>);

impl DiskReader for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let from = self.0.get(offset as usize..).and_then(|bytes| bytes.get(..buf.len()));
        buf.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

pub(super) fn open(bytes: &[u8]) -> OpenFile {
    OpenFile::new(Box::new(Memory(bytes.to_vec())), "test")
}

/// Returns the compressions of this build.
pub(super) fn compressions() -> Vec<Compression> {
    let zstd = cfg!(feature = "zstd").then_some(Compression::Zstd);
    [Compression::None, Compression::Lz4].into_iter().chain(zstd).collect()
}

pub(super) fn with(spill_compression: Compression) -> Config {
    Config { spill_compression, ..Config::default() }
}

pub(super) fn write<R: Stored>(segments: &[Vec<R>], config: Config) -> (Vec<u8>, FileIndex) {
    let task = TaskContext::for_test(config);
    let file = Arc::new(task.scratch.file("format").unwrap());
    let mut writer = FileWriter::create(Arc::clone(&file), &task.config).unwrap();
    segments.iter().for_each(|rows| writer.write_segment(rows).unwrap());
    let index = writer.finish().unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    assert_eq!(bytes.len() as u64, index.file_bytes);
    (bytes, index)
}

pub(super) fn read_segment<R: Stored>(bytes: &[u8], location: SegmentLocation) -> Result<Vec<R>> {
    let (mut reader, mut rows) = (FrameReader::new(open(bytes), location), Vec::new());
    while let Some(frame) = reader.next_frame()? {
        rows.extend(frame);
    }
    Ok(rows)
}

/// Reads a file as a reduce task does: with the index of its writer.
pub(super) fn read_all<R: Stored>(bytes: &[u8], index: &FileIndex) -> Result<Vec<Vec<R>>> {
    open(bytes).check_length(index)?;
    index.segments.iter().map(|location| read_segment(bytes, *location)).collect()
}

/// Returns pseudo-random numbers, the same in every run.
fn noise(rows: u64) -> Vec<u64> {
    (0..rows).map(|n| crate::hash_of(&n)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn rows_are_read_as_they_were_written(
        segments in prop::collection::vec(
            prop::collection::vec((any::<u64>(), ".{0,40}", any::<Option<i16>>()), 0..40), 0..12),
    ) {
        for compression in compressions() {
            let (bytes, index) = write(&segments, with(compression));
            let read = read_all::<(u64, String, Option<i16>)>(&bytes, &index).unwrap();
            prop_assert_eq!(&read, &segments);
        }
    }

    #[test]
    fn repetitive_rows_are_read_as_they_were_written(
        words in prop::collection::vec("[a-c]{1,9}", 1..9),
        rows in prop::collection::vec(any::<prop::sample::Index>(), 0..4000),
    ) {
        let rows: Vec<String> = rows.iter().map(|at| words[at.index(words.len())].clone()).collect();
        for compression in compressions() {
            let config = Config { task_memory_bytes: 1, ..with(compression) };
            let (bytes, index) = write(std::slice::from_ref(&rows), config);
            prop_assert_eq!(&read_all::<String>(&bytes, &index).unwrap()[0], &rows);
        }
    }
}

/// Returns the compression of the frames of a segment, and their lengths in the file.
pub(super) fn frames(bytes: &[u8], location: SegmentLocation) -> Vec<(u8, usize)> {
    let (mut at, mut found) = (location.offset as usize, Vec::new());
    while (at as u64) < location.offset + location.bytes {
        let header = header::Header::parse(&bytes[at..]).unwrap();
        found.push((header.compression, header::HEADER_BYTES + header.stored));
        at += header::HEADER_BYTES + header.stored;
    }
    found
}

#[test]
fn frames_are_compressed_as_was_chosen() {
    let rows: Vec<(u64, String)> = (0..20_000).map(|n| (n, format!("row {}", n % 50))).collect();
    let plain = write(std::slice::from_ref(&rows), with(Compression::None)).0.len();
    for (id, compression) in compressions().into_iter().enumerate() {
        let (bytes, index) = write(std::slice::from_ref(&rows), with(compression));
        let frames = frames(&bytes, index.segments[0]);
        assert!(frames.iter().all(|(found, _)| usize::from(*found) == id), "{frames:?}");
        assert!(id == 0 || 3 * bytes.len() < 2 * plain, "{compression:?}: {} bytes", bytes.len());
    }
}

// A frame that would not get 5 % smaller is stored; after four such frames, most of the rest are
// not tried.
#[test]
fn frames_that_do_not_get_smaller_are_stored_as_they_are() {
    let rows = noise(100_000);
    for compression in compressions() {
        let config = || Config { task_memory_bytes: 1, ..with(compression) };
        let (bytes, index) = write(std::slice::from_ref(&rows), config());
        let stored = frames(&bytes, index.segments[0]);
        assert!(stored.len() > 50 && stored.iter().all(|(id, _)| *id == 0), "{stored:?}");
        assert_eq!(read_all::<u64>(&bytes, &index).unwrap()[0], rows);
        // Zeros after the noise are compressed at the next try, and then each frame is tried again.
        let mixed = [rows.clone(), vec![0; 1_000_000]].concat();
        let (bytes, index) = write(std::slice::from_ref(&mixed), config());
        let frames = frames(&bytes, index.segments[0]);
        let late = frames.iter().skip(stored.len() + 16).collect::<Vec<_>>();
        let compressed = compression != Compression::None;
        assert!(
            late.len() > 10 && late.iter().all(|(id, _)| (*id != 0) == compressed),
            "{frames:?}"
        );
        assert_eq!(read_all::<u64>(&bytes, &index).unwrap(), [mixed]);
    }
}

fn frame_counts<R: Stored>(rows: Vec<R>) -> Vec<usize> {
    let (bytes, index) = write(&[rows], Config::default());
    let (mut reader, mut counts) =
        (FrameReader::<R>::new(open(&bytes), index.segments[0]), Vec::new());
    while let Some(frame) = reader.next_frame().unwrap() {
        counts.push(frame.len());
    }
    assert_eq!(index.segments[0].frames, counts.len() as u64);
    counts
}

#[test]
fn a_large_segment_has_many_frames_and_a_large_row_one_of_its_own() {
    let text = |length: usize| "x".repeat(length);
    let many: Vec<String> = (0..5000).map(|n| text(n % 997)).collect();
    let (bytes, index) = write(&[many.clone(), many.clone()], Config::default());
    assert_eq!(read_all::<String>(&bytes, &index).unwrap(), [many.clone(), many]);
    let large = 3 * MAX_TARGET_BYTES;
    let rows = vec![text(5), text(6), text(large), text(large), text(7)];
    assert_eq!(frame_counts(rows), [2, 1, 1, 1]);
    assert_eq!(frame_counts(vec![(); 150_000]), [65_536, 65_536, 18_928]);
}

#[test]
fn a_row_that_cannot_be_encoded_is_that_error() {
    #[derive(Clone, serde::Deserialize)]
    struct Stubborn;
    impl Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let task = TaskContext::for_test(Config::default());
    let file = Arc::new(task.scratch.file("format").unwrap());
    let error = FileWriter::create(Arc::clone(&file), &task.config)
        .unwrap()
        .write_segment(&[Stubborn])
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotEncodable { .. }), "{error}");
}

#[test]
fn the_frame_size_follows_the_task_memory_limit() {
    for (task_memory_bytes, target) in
        [(0, 4), (1 << 20, 4), (16 << 20, 64), (64 << 20, 256), (1 << 40, 256)]
    {
        let target = target << 10;
        assert_eq!(frame_target(task_memory_bytes), target, "{task_memory_bytes}");
        let config = Config { task_memory_bytes, ..with(Compression::None) };
        let (bytes, index) = write(&[noise(200_000)], config);
        let mut frames = frames(&bytes, index.segments[0]);
        let last = frames.pop().unwrap().1;
        let most = target + 9 + header::HEADER_BYTES;
        assert!(frames.len() > 1 && last <= most, "{frames:?}");
        assert!(frames.iter().all(|(_, bytes)| (target..=most).contains(bytes)), "{frames:?}");
    }
}

/// Concatenates the segments of a file to one segment of another, and returns that file and the
/// location.
fn concatenated<R: Stored>(segments: &[Vec<R>], config: Config) -> (Vec<u8>, SegmentLocation) {
    let (bytes, index) = write(segments, config.clone());
    let task = TaskContext::for_test(config);
    let file = Arc::new(task.scratch.file("concatenated").unwrap());
    let mut writer = FileWriter::create(Arc::clone(&file), &task.config).unwrap();
    let parts = index.segments.iter().map(|location| SegmentFrames::new(open(&bytes), *location));
    writer.concatenate_frames(parts.collect(), size_of::<R>()).unwrap();
    let location = writer.end_segment();
    writer.finish().unwrap();
    (std::fs::read(file.path()).unwrap(), location)
}

#[test]
fn concatenated_frames_have_the_rows_of_all_segments_in_few_frames_of_the_usual_size() {
    for compression in compressions() {
        let segments: Vec<Vec<u64>> = (0..500).map(|n| noise(n % 40)).collect();
        let rows: Vec<u64> = segments.concat();
        let (bytes, location) = concatenated(&segments, with(compression));
        assert_eq!(read_segment::<u64>(&bytes, location).unwrap(), rows);
        assert_eq!((location.rows, location.frames), (rows.len() as u64, 1), "{compression:?}");
        // The task memory limit is so small that a frame has at most 4 KiB.
        let tiny = Config { task_memory_bytes: 1 << 20, ..with(compression) };
        let (bytes, location) = concatenated(&segments, tiny.clone());
        assert_eq!(read_segment::<u64>(&bytes, location).unwrap(), rows);
        let frames = write(&[rows], tiny).1.segments[0].frames;
        assert!(
            (frames..=frames + frames / 10 + 1).contains(&location.frames),
            "{}",
            location.frames
        );
    }
}

#[test]
fn concatenated_frames_take_no_more_memory_than_others() {
    // A row of 64 bytes that is written as one byte: many fit into the bytes of a frame.
    let segments: Vec<Vec<Option<[u64; 7]>>> = (0..200).map(|_| vec![None; 100]).collect();
    let config = Config { task_memory_bytes: 1 << 20, ..with(Compression::None) };
    let (bytes, location) = concatenated(&segments, config);
    let mut reader = FrameReader::<Option<[u64; 7]>>::new(open(&bytes), location);
    let (mut frames, mut all) = (0, 0);
    while let Some(rows) = reader.next_frame().unwrap() {
        assert!(size_of_val(&rows[..]) <= 4 * MIN_TARGET_BYTES, "{}", rows.len());
        (frames, all) = (frames + 1, all + rows.len());
    }
    assert_eq!((frames, all), (100, 20_000), "two segments a frame");
}
