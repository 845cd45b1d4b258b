//! The memory that a reader allocates for false lengths. This is its own program, since it measures
//! the memory of the whole process.

#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "../../fuzz/entries.rs"]
mod entries;

use emberline_core::bounds::Stored;
use emberline_core::codec::{decode_rows, encode_into};
use emberline_shuffle::{MAX_TARGET_BYTES, SegmentLocation};
use entries::{frame, location_of, read};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Returns the peak memory of `work` in bytes.
fn peak(work: impl FnOnce()) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    work();
    MEMORY.peak_usage().saturating_sub(before)
}

fn encoded<R: serde::Serialize>(row: &R) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(row, &mut bytes).unwrap();
    bytes
}

fn is_corrupt_within<R: Stored>(bound: usize, bytes: &[u8], location: SegmentLocation, what: &str) {
    let held = peak(|| assert!(read::<R>(bytes, location).is_none(), "{what}"));
    assert!(held <= bound, "{what}: {held} bytes");
}

// One test, so that nothing else allocates at the same time.
#[test]
fn a_wrong_length_allocates_no_more_than_its_bound() {
    check_wrong_headers();
    check_wrong_locations();
    check_wrong_rows();
}

const SMALL: usize = 64 << 10;

/// Checks that a frame with a plausible row count allocates its rows before they turn out to be
/// missing.
fn check_wrong_headers() {
    let payload = [0xff; 600];
    let stored = payload.len() as u32;
    let raw_lengths = (0..32).map(|bit| 1_u32 << bit).chain([u32::MAX, stored, 255 * stored]);
    for raw in raw_lengths {
        for rows in [1, 2, 65_536, u32::MAX] {
            for compression in 0..4 {
                // A byte of LZ4 stands for 255 at most, one of zstd for 32 Ki; many rows are
                // 512 KiB at most.
                let gain = if compression == 2 { 32 << 10 } else { 255 };
                let most = if rows == 1 { gain * stored as usize } else { 2 * MAX_TARGET_BYTES };
                let bytes = frame(0, compression, [rows, raw, stored], &payload);
                let location = location_of(&bytes, u64::from(rows));
                let what = format!("compression {compression}, {rows} rows, {raw} bytes");
                is_corrupt_within::<String>(most + SMALL, &bytes, location, &what);
            }
        }
    }
    for stored in [601, 1 << 20, 1 << 30, u32::MAX] {
        let bytes = frame(0, 0, [1, stored, stored], &payload);
        is_corrupt_within::<String>(SMALL, &bytes, location_of(&bytes, 1), "a stored length");
    }
}

fn check_wrong_locations() {
    let payload = encoded(&String::from("ember"));
    let length = payload.len() as u32;
    let bytes = frame(0, 0, [1, length, length], &payload);
    let location = location_of(&bytes, 1);
    assert_eq!(read::<String>(&bytes, location).unwrap(), ["ember"]);
    for number in (0..64).map(|bit| 1_u64 << bit).chain([u64::MAX]).filter(|n| *n != 1) {
        let wrong = [
            SegmentLocation { offset: number, ..location },
            SegmentLocation { bytes: number, ..location },
            SegmentLocation { bytes: number, frames: u64::MAX, ..location },
            SegmentLocation { rows: number, ..location },
            SegmentLocation { frames: number, ..location },
        ];
        for location in wrong {
            is_corrupt_within::<String>(SMALL, &bytes, location, &format!("{location:?}"));
        }
    }
}

/// Checks a string and a list that declare a length, and a count of rows that are large in memory
/// and one byte when encoded.
fn check_wrong_rows() {
    const CODEC_BOUND: usize = (16 << 20) + SMALL;
    for length in (16..64).map(|bit| 1_u64 << bit).chain([u64::MAX]) {
        let payload = [encoded(&length), vec![0; 500]].concat();
        let stored = payload.len() as u32;
        let bytes = frame(0, 0, [1, stored, stored], &payload);
        let location = location_of(&bytes, 1);
        is_corrupt_within::<String>(CODEC_BOUND, &bytes, location, "a text");
        is_corrupt_within::<Vec<u64>>(2 << 20, &bytes, location, "numbers");
        is_corrupt_within::<Vec<Vec<String>>>(CODEC_BOUND, &bytes, location, "lists");
    }
    type Wide = Option<[[u64; 32]; 32]>;
    let cut = vec![1; 100_000];
    let held = peak(|| assert!(decode_rows::<Wide>(&cut, 100_000).is_err()));
    assert!(held <= CODEC_BOUND, "wide rows: {held} bytes");
}
