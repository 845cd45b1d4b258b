//! Tests of damaged files: the reader returns `Corrupt` or the rows that were written.

use super::header::{FIELD_BYTES, FrameLocation, HEADER_BYTES, Header, checksum, u32_at};
use super::tests::{compressions, frames, open, read_all, read_segment, with, write};
use super::*;
use emberline_core::codec::encode_into;
use emberline_core::config::{Compression, Config};
use emberline_core::error::{ErrorKind, Result};

type Row = (u32, String);

fn assert_corrupt<T: std::fmt::Debug>(result: Result<T>, what: &str) {
    let error = result.expect_err(what);
    assert!(matches!(error.kind(), ErrorKind::Corrupt { .. }), "{what}: {error}");
}

/// Checks that the bytes of a frame were complete, and rows in it did not decode.
fn assert_undecodable<T: std::fmt::Debug>(result: Result<T>, what: &str) {
    let error = result.expect_err(what);
    assert!(matches!(error.kind(), ErrorKind::NotEncodable { .. }), "{what}: {error}");
}

/// Checks that rows under a valid checksum were refused: as damage, or as rows that do not decode.
fn assert_refused<T: std::fmt::Debug>(result: Result<T>, what: &str) {
    let error = result.expect_err(what);
    let is_refusal =
        matches!(error.kind(), ErrorKind::Corrupt { .. } | ErrorKind::NotEncodable { .. });
    assert!(is_refusal, "{what}: {error}");
}

fn rows(numbers: std::ops::Range<u32>) -> Vec<Row> {
    numbers.map(|n| (n, format!("an ember of an ember {}", n % 3))).collect()
}

/// Returns three partitions, the middle one empty; small enough to be damaged everywhere, large
/// enough to be compressed.
fn small() -> Vec<Vec<Row>> {
    vec![rows(0..9), vec![], rows(900..907)]
}

/// Writes the partitions of `small` with every compression of this build.
fn small_files() -> Vec<(Compression, Vec<u8>, FileIndex)> {
    let file = |(id, compression)| {
        let (bytes, index) = write(&small(), with(compression));
        assert_eq!(frames(&bytes, index.segments[2])[0].0, id, "{compression:?}");
        (compression, bytes, index)
    };
    (0..).zip(compressions()).map(file).collect()
}

/// Makes the checksum of the frame at an offset valid.
fn seal(bytes: &mut [u8], at: usize, file_tag: u32) {
    let frame = &mut bytes[at..];
    let stored = u32_at(frame, 16) as usize;
    let end = HEADER_BYTES.saturating_add(stored).min(frame.len());
    let location = FrameLocation { file_tag, offset: at as u64 };
    let crc = checksum(location, &frame[..FIELD_BYTES], &frame[HEADER_BYTES..end]);
    frame[FIELD_BYTES..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Returns a segment of one frame with a valid checksum.
fn sealed(compression: u8, rows: usize, raw: usize, payload: &[u8]) -> (Vec<u8>, SegmentLocation) {
    let location = FrameLocation { file_tag: 7, offset: 0 };
    let header = Header { compression, rows, raw, stored: payload.len() };
    let bytes = [&header.seal(location, payload).unwrap(), payload].concat();
    let (length, rows) = (bytes.len() as u64, rows as u64);
    (bytes, SegmentLocation { offset: 0, bytes: length, rows, frames: 1, file_tag: 7 })
}

fn encoded<R: serde::Serialize>(rows: &[R]) -> Vec<u8> {
    let mut bytes = Vec::new();
    rows.iter().for_each(|row| encode_into(row, &mut bytes).unwrap());
    bytes
}

#[test]
fn a_file_cut_anywhere_is_corrupt() {
    for (compression, bytes, index) in small_files() {
        for length in 0..bytes.len() {
            let what = format!("{compression:?} cut to {length}");
            assert_corrupt(read_all::<Row>(&bytes[..length], &index), &what);
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_corrupt(read_all::<Row>(&longer, &index), "one byte more");
    }
}

#[test]
fn any_flipped_bit_is_corrupt() {
    for (compression, mut bytes, index) in small_files() {
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let what = format!("{compression:?}, bit {bit}");
            assert_corrupt(read_all::<Row>(&bytes, &index), &what);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(read_all::<Row>(&bytes, &index).unwrap(), small());
    }
}

// The same with a valid checksum: some damage then makes another valid file, but none makes the
// reader panic.
#[test]
fn any_flipped_bit_under_a_checksum_that_holds_is_refused_or_rows() {
    for (_, bytes, index) in small_files() {
        let location = index.segments[2];
        for bit in location.offset as usize * 8..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            seal(&mut damaged, location.offset as usize, location.file_tag);
            match read_segment::<Row>(&damaged, location) {
                Ok(read) => assert_eq!(read.len(), 7, "bit {bit}"),
                Err(error) => assert_refused::<()>(Err(error), &format!("bit {bit}")),
            }
        }
    }
}

// A file may also be truncated or changed after its length was checked. Each segment fails exactly
// if it is damaged itself.
#[test]
fn damage_of_one_segment_is_found_by_its_reader_and_hurts_no_other() {
    for (_, bytes, index) in small_files() {
        let check = |damaged: &[u8], is_hurt: &dyn Fn(&SegmentLocation) -> bool, what: &str| {
            for (location, rows) in index.segments.iter().zip(small()) {
                let read = read_segment::<Row>(damaged, *location);
                match is_hurt(location) {
                    true => assert_corrupt(read, what),
                    false => assert_eq!(read.unwrap(), rows, "{what}"),
                }
            }
        };
        for at in 0..bytes.len() {
            let byte = at as u64;
            let end = |location: &SegmentLocation| location.offset + location.bytes;
            let is_cut = |location: &SegmentLocation| location.rows > 0 && byte < end(location);
            check(&bytes[..at], &is_cut, &format!("cut to {at}"));
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            let is_hurt =
                |location: &SegmentLocation| (location.offset..end(location)).contains(&byte);
            check(&damaged, &is_hurt, &format!("byte {at}"));
        }
    }
}

#[test]
fn a_segment_of_another_location_is_corrupt() {
    for (_, bytes, index) in small_files() {
        let location = index.segments[0];
        let wrong = [
            SegmentLocation { offset: location.offset + 1, ..location },
            SegmentLocation { offset: u64::MAX, ..location },
            SegmentLocation { offset: u64::MAX - location.bytes, ..location },
            SegmentLocation { bytes: u64::MAX, ..location },
            SegmentLocation { bytes: location.bytes - 1, ..location },
            SegmentLocation { bytes: location.bytes + 1, ..location },
            SegmentLocation { bytes: index.file_bytes, ..location },
            SegmentLocation { rows: location.rows - 1, ..location },
            SegmentLocation { rows: location.rows + 1, ..location },
            SegmentLocation { rows: u64::MAX, ..location },
            SegmentLocation { frames: 0, ..location },
            SegmentLocation { frames: location.frames + 1, ..location },
            SegmentLocation { frames: u64::MAX, ..location },
            SegmentLocation { file_tag: !location.file_tag, ..location },
        ];
        for location in wrong {
            assert_corrupt(read_segment::<Row>(&bytes, location), &format!("{location:?}"));
        }
    }
}

#[test]
fn frames_in_another_order_are_corrupt() {
    for compression in compressions() {
        let config = Config { task_memory_bytes: 1, ..with(compression) };
        let (bytes, index) = write(&[rows(100_000..116_000)], config);
        let location = index.segments[0];
        let lengths: Vec<usize> =
            frames(&bytes, location).iter().map(|(_, length)| *length).collect();
        let second = lengths[0]..lengths[0] + lengths[1];
        let swapped = [&bytes[second.clone()], &bytes[..second.start], &bytes[second.end..]];
        assert_corrupt(read_segment::<Row>(&swapped.concat(), location), "swapped");
        let twice = [&bytes[..second.start], &bytes[..second.start], &bytes[second.end..]].concat();
        let location = SegmentLocation { bytes: twice.len() as u64, ..location };
        assert_corrupt(read_segment::<Row>(&twice, location), "the first twice");
    }
}

#[test]
fn another_segment_or_file_of_the_same_layout_is_corrupt() {
    for compression in compressions() {
        let twins = [rows(0..9), rows(0..9)];
        let (bytes, index) = write(&twins, with(compression));
        let [first, second] = index.segments[..] else { panic!("two segments") };
        assert_eq!(first.bytes, second.bytes);
        let (a, b) = bytes.split_at(second.offset as usize);
        assert_corrupt(read_segment::<Row>(&[b, a].concat(), first), "the other segment");
        let (foreign, same) = write(&twins, with(compression));
        assert_eq!(same.file_bytes, index.file_bytes);
        assert_corrupt(read_all::<Row>(&foreign, &index), "the other file");
    }
}

#[test]
fn foreign_files_are_corrupt() {
    for (_, bytes, index) in small_files() {
        let text = "to be or not to be\n".repeat(99);
        let foreign = [&[][..], &[0; 4096], &vec![0; bytes.len()], &text.as_bytes()[..bytes.len()]];
        for file in foreign {
            assert_corrupt(read_all::<Row>(file, &index), &format!("{file:?}"));
        }
    }
}

// Each number of a header is wrong, with a valid checksum: only the comparison of lengths can
// detect it.
#[test]
fn a_wrong_header_is_refused() {
    for (compression, bytes, index) in small_files() {
        let location = index.segments[2];
        let at = location.offset as usize;
        for field in [8, 12, 16] {
            let right = u32_at(&bytes[at..], field);
            let powers = (0..32).map(|bit| 1_u32 << bit);
            let wrong = powers.chain([0, right - 1, right + 1, 2 * right, (1 << 30) + 1, u32::MAX]);
            for value in wrong.filter(|value| *value != right) {
                let mut damaged = bytes.clone();
                damaged[at + field..at + field + 4].copy_from_slice(&value.to_le_bytes());
                seal(&mut damaged, at, location.file_tag);
                for rows in [location.rows, u64::from(value), u64::MAX] {
                    let location = SegmentLocation { rows, ..location };
                    let what = format!("{compression:?}: {value} at {field}");
                    assert_refused(read_segment::<Row>(&damaged, location), &what);
                }
            }
        }
    }
}

#[test]
fn a_header_of_another_kind_is_corrupt() {
    for (compression, bytes, index) in small_files() {
        let location = index.segments[2];
        let at = location.offset as usize;
        for field in 0..8 {
            for value in 0..=u8::MAX {
                let mut damaged = bytes.clone();
                if std::mem::replace(&mut damaged[at + field], value) == value {
                    continue;
                }
                seal(&mut damaged, at, location.file_tag);
                let what = format!("{compression:?}: {value} at {field}");
                assert_corrupt(read_segment::<Row>(&damaged, location), &what);
            }
        }
    }
}

#[test]
fn bytes_after_the_rows_do_not_decode_as_rows() {
    let payload = encoded(&rows(0..3));
    let (bytes, location) = sealed(0, 3, payload.len(), &payload);
    assert_eq!(read_segment::<Row>(&bytes, location).unwrap(), rows(0..3));
    let longer = [&payload[..], &[0]].concat();
    let (bytes, location) = sealed(0, 3, longer.len(), &longer);
    assert_undecodable(read_segment::<Row>(&bytes, location), "a byte after the rows");
    let (bytes, location) = sealed(0, 3, payload.len(), &payload);
    let bytes = [bytes, vec![0; 3]].concat();
    let location = SegmentLocation { bytes: location.bytes + 3, ..location };
    assert_corrupt(read_segment::<Row>(&bytes, location), "bytes after the frame");
}

#[test]
fn a_payload_that_expands_to_another_length_is_corrupt() {
    let raw = encoded(&rows(0..200));
    let compressed = lz4_flex::block::compress(&raw);
    let (bytes, location) = sealed(1, 200, raw.len(), &compressed);
    assert_eq!(read_segment::<Row>(&bytes, location).unwrap(), rows(0..200));
    for wrong in [raw.len() - 1, raw.len() + 1, 2 * raw.len(), compressed.len() + 1] {
        let (bytes, location) = sealed(1, 200, wrong, &compressed);
        assert_corrupt(read_segment::<Row>(&bytes, location), &format!("{wrong} bytes"));
    }
    for cut in 0..compressed.len() {
        let (bytes, location) = sealed(1, 200, raw.len(), &compressed[..cut]);
        assert_corrupt(read_segment::<Row>(&bytes, location), &format!("cut to {cut}"));
    }
    // Missing bytes must not be filled with the old content of the buffer: that would be a row.
    let text = encoded(&["ember ".repeat(100)]);
    let (bytes, location) = sealed(1, 1, text.len(), &lz4_flex::block::compress(&text[..500]));
    assert_corrupt(read_segment::<String>(&bytes, location), "a text that ends early");
    for garbage in [[0; 200], [0xff; 200], [0x0f; 200]] {
        let (bytes, location) = sealed(1, 200, raw.len(), &garbage);
        assert_corrupt(read_segment::<Row>(&bytes, location), &format!("{}", garbage[0]));
    }
}

// Rows that take no bytes could be any number; they are bounded by the number that the writer
// counted, and by the rows of one frame.
#[test]
fn more_rows_of_no_bytes_than_were_written_are_corrupt() {
    let (bytes, location) = sealed(0, MAX_FRAME_ROWS, 0, &[]);
    assert_eq!(read_segment::<()>(&bytes, location).unwrap().len(), MAX_FRAME_ROWS);
    let fewer = SegmentLocation { rows: 3, ..location };
    assert_corrupt(read_segment::<()>(&bytes, fewer), "more rows than the index has");
    for rows in [MAX_FRAME_ROWS + 1, u32::MAX as usize] {
        let (bytes, location) = sealed(0, rows, 0, &[]);
        assert_corrupt(read_segment::<()>(&bytes, location), &format!("{rows} rows"));
    }
}

// The codec rejects a wrong length inside a row.
#[test]
fn a_row_with_a_wrong_length_does_not_decode() {
    for length in [1_u64 << 20, 1 << 33, 1 << 62, u64::MAX] {
        let payload = encoded(&[length]);
        let (bytes, location) = sealed(0, 1, payload.len(), &payload);
        assert_undecodable(read_segment::<String>(&bytes, location), "a text");
        assert_undecodable(read_segment::<Vec<u8>>(&bytes, location), "bytes");
        assert_refused(read_segment::<Vec<[u64; 4]>>(&bytes, location), "a list");
        assert_undecodable(read_segment::<Vec<Vec<String>>>(&bytes, location), "lists of texts");
    }
}

#[test]
fn a_reader_holds_about_one_frame() {
    let large = vec!["x".repeat(5 << 20)];
    let many = |n: u32| (n..n + 60_000).map(|n| format!("{n:>20}")).collect::<Vec<_>>();
    for compression in compressions() {
        let config = Config { task_memory_bytes: 1, ..with(compression) };
        let (bytes, index) = write(&[many(0), [large.clone(), many(1)].concat()], config);
        for (at, location) in index.segments.iter().enumerate() {
            let mut reader = FrameReader::<String>::new(open(&bytes), *location);
            let mut most_held = 0;
            while let Some(rows) = reader.next_frame().unwrap() {
                let is_large = rows == large;
                assert!(!is_large || at == 1);
                if !is_large {
                    most_held = most_held.max(reader.held_bytes());
                }
            }
            // A compressed large row is small, and its buffer may stay.
            assert!((1..8 * MIN_TARGET_BYTES).contains(&most_held), "{compression:?}: {most_held}");
        }
    }
}
