//! Tests of `format`.

use super::*;
use emberline_core::config::Config;
use emberline_core::error::ErrorKind;
use emberline_core::task::TaskContext;
use proptest::prelude::*;

struct Memory(Vec<u8>);

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

fn open(bytes: &[u8]) -> OpenFile {
    OpenFile::new(Box::new(Memory(bytes.to_vec())), "test")
}

fn write<R: Stored>(segments: &[Vec<R>]) -> (Vec<u8>, FileIndex) {
    let task = TaskContext::alone(Config::default());
    let file = task.scratch.file("format").unwrap();
    let mut writer = FileWriter::create(&file).unwrap();
    segments.iter().for_each(|rows| writer.write_segment(rows).unwrap());
    let index = writer.finish().unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    assert_eq!(bytes.len() as u64, index.file_bytes);
    (bytes, index)
}

fn read_segment<R: Stored>(bytes: &[u8], place: SegmentPlace) -> Result<Vec<R>> {
    let (mut reader, mut rows) = (FrameReader::new(open(bytes), place), Vec::new());
    while let Some(frame) = reader.next_frame()? {
        rows.extend(frame);
    }
    Ok(rows)
}

/// Reads a file as the reader of a shuffle does: under the index that its writer kept.
fn read_all<R: Stored>(bytes: &[u8], index: &FileIndex) -> Result<Vec<Vec<R>>> {
    open(bytes).check_length(index)?;
    index.segments.iter().map(|place| read_segment(bytes, *place)).collect()
}

fn assert_corrupt<T: std::fmt::Debug>(result: Result<T>, what: &str) {
    let error = result.expect_err(what);
    assert!(matches!(error.kind(), ErrorKind::Corrupt { .. }), "{what}: {error}");
}

fn small() -> Vec<Vec<(u32, String)>> {
    vec![vec![(7, "ash".into()), (900, "coal".into())], vec![], vec![(1, "ember".into())]]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_was_written_is_read(
        segments in prop::collection::vec(
            prop::collection::vec((any::<u64>(), ".{0,40}", any::<Option<i16>>()), 0..40), 0..12),
    ) {
        let (bytes, index) = write(&segments);
        prop_assert_eq!(read_all::<(u64, String, Option<i16>)>(&bytes, &index).unwrap(), segments);
    }
}

#[test]
fn a_file_cut_anywhere_is_corrupt() {
    let (bytes, index) = write(&small());
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        assert_corrupt(read_all::<(u32, String)>(cut, &index), &format!("cut to {length}"));
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_corrupt(read_all::<(u32, String)>(&longer, &index), "one byte more");
}

#[test]
fn any_flipped_bit_is_corrupt() {
    let (mut bytes, index) = write(&small());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_corrupt(read_all::<(u32, String)>(&bytes, &index), &format!("bit {bit}"));
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(read_all::<(u32, String)>(&bytes, &index).unwrap(), small());
}

/// A file may also be cut or changed after its length was checked. Each segment is found out exactly
/// if the damage is its own.
#[test]
fn damage_of_one_segment_is_found_by_its_reader_and_hurts_no_other() {
    let (bytes, index) = write(&small());
    let check = |damaged: &[u8], is_hurt: &dyn Fn(&SegmentPlace) -> bool, what: &str| {
        for (place, rows) in index.segments.iter().zip(small()) {
            let read = read_segment::<(u32, String)>(damaged, *place);
            match is_hurt(place) {
                true => assert_corrupt(read, what),
                false => assert_eq!(read.unwrap(), rows, "{what}"),
            }
        }
    };
    for at in 0..bytes.len() {
        let byte = at as u64;
        let end = |place: &SegmentPlace| place.offset + place.bytes;
        check(&bytes[..at], &|place| place.rows > 0 && byte < end(place), &format!("cut to {at}"));
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        let is_hurt = |place: &SegmentPlace| (place.offset..end(place)).contains(&byte);
        check(&damaged, &is_hurt, &format!("byte {at}"));
    }
}

#[test]
fn a_segment_of_another_place_is_corrupt() {
    let (bytes, index) = write(&small());
    let place = index.segments[0];
    let wrong = [
        SegmentPlace { offset: place.offset + 1, ..place },
        SegmentPlace { offset: u64::MAX, ..place },
        SegmentPlace { bytes: u64::MAX, ..place },
        SegmentPlace { bytes: place.bytes - 1, ..place },
        SegmentPlace { bytes: place.bytes + 1, ..place },
        SegmentPlace { rows: place.rows - 1, ..place },
        SegmentPlace { rows: place.rows + 1, ..place },
        SegmentPlace { frames: place.frames + 1, ..place },
    ];
    for place in wrong {
        assert_corrupt(read_segment::<(u32, String)>(&bytes, place), &format!("{place:?}"));
    }
}

#[test]
fn a_frame_that_lies_about_its_length_allocates_nothing() {
    let (mut bytes, index) = write(&small());
    let place = index.segments[0];
    let lengths = place.offset as usize + 12..place.offset as usize + 20;
    bytes[lengths].fill(0xff);
    let error = read_segment::<(u32, String)>(&bytes, place).unwrap_err();
    assert!(error.to_string().contains("longer than its segment"), "{error}");
}

#[test]
fn foreign_files_are_corrupt() {
    let (bytes, index) = write(&small());
    let text = "to be or not to be\n".repeat(99);
    let foreign = [&[][..], &[0; 4096], &vec![0; bytes.len()], &text.as_bytes()[..bytes.len()]];
    for file in foreign {
        assert_corrupt(read_all::<(u32, String)>(file, &index), &format!("{file:?}"));
    }
}

fn frame_counts<R: Stored>(rows: Vec<R>) -> Vec<usize> {
    let (bytes, index) = write(&[rows]);
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
    let (bytes, index) = write(&[many.clone(), many.clone()]);
    assert_eq!(read_all::<String>(&bytes, &index).unwrap(), [many.clone(), many]);
    let large = 3 * FRAME_TARGET;
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
    let task = TaskContext::alone(Config::default());
    let file = task.scratch.file("format").unwrap();
    let error = FileWriter::create(&file).unwrap().write_segment(&[Stubborn]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotEncodable { .. }), "{error}");
}
