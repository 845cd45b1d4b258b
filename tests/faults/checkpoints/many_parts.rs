//! Outputs of more partitions than five digits can number.

use emberline::prelude::*;
use std::fs;
use std::path::Path;
use testkit::{DEADLINE, within};

const PARTITIONS: usize = 100_001;
/// The bytes of a manifest before its length of the shape, and those of one partition.
const HEADER_BYTES: usize = 20;
const PART_BYTES: usize = 32;

/// Returns the crc32 of `bytes`.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), bit);
    !bytes.iter().fold(!0, byte)
}

/// Writes a checkpoint whose partitions are empty, but for the last two, in a version of the format.
fn write(path: &Path, version: u8, name_of: fn(usize) -> String) {
    let small = path.with_extension("small");
    let ctx = Context::builder().threads(2).build().unwrap();
    ctx.parallelize_with(2, vec![7_u64, 8]).checkpoint(&small).map(drop).unwrap();
    let manifest = fs::read(small.join("_manifest")).unwrap();
    let parts = &manifest[manifest.len() - 4 - 2 * PART_BYTES..manifest.len() - 4];
    let mut bytes = manifest[..HEADER_BYTES].to_vec();
    bytes[8] = version;
    bytes[12..].copy_from_slice(&(PARTITIONS as u64).to_le_bytes());
    if version > 2 {
        // No shape.
        bytes.extend([0; 4]);
    }
    bytes.extend(vec![0; (PARTITIONS - 2) * PART_BYTES]);
    bytes.extend(parts);
    bytes.extend(crc32(&bytes).to_le_bytes());
    fs::create_dir(path).unwrap();
    fs::write(path.join("_manifest"), bytes).unwrap();
    for partition in 0..PARTITIONS - 2 {
        fs::write(path.join(name_of(partition)), "").unwrap();
    }
    for (from, partition) in [("part-00000", PARTITIONS - 2), ("part-00001", PARTITIONS - 1)] {
        fs::copy(small.join(from), path.join(name_of(partition))).unwrap();
    }
}

// Case R-A6 of tests/PROMISES.md.
#[test]
fn a_checkpoint_of_more_than_a_hundred_thousand_partitions_is_read_with_names_of_both_forms() {
    within(2 * DEADLINE, || {
        let forms: [(u8, fn(usize) -> String); 2] = [
            (2, |partition| format!("part-{partition:05}")),
            (3, |partition| format!("part-{partition:06}")),
        ];
        for (version, name_of) in forms {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("saved");
            write(&path, version, name_of);
            let ctx = Context::builder().threads(2).build().unwrap();
            let read = ctx.read_checkpoint::<u64>(&path);
            assert_eq!(read.num_partitions(), PARTITIONS, "{:?}", read.count());
            assert_eq!(read.coalesce(10).collect().unwrap(), [7, 8]);
            fs::remove_file(path.join(name_of(99_999))).unwrap();
            let text = ctx.read_checkpoint::<u64>(&path).count().unwrap_err().to_string();
            assert!(text.contains(&format!("`{}` is missing", name_of(99_999))), "{text}");
        }
    });
}

// Case R-A6 of tests/PROMISES.md.
#[test]
fn parts_of_text_are_read_by_number_whatever_the_length_of_their_names() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let near = |power: u32| (10_u64.pow(power) - 2)..(10_u64.pow(power) + 2);
        let numbers: Vec<u64> = (1..9).flat_map(near).collect();
        for digits in 1..8 {
            for ending in ["", ".txt", "-x"] {
                let folder = tempfile::tempdir().unwrap();
                for number in numbers.iter().rev() {
                    let name = format!("part-{number:0digits$}{ending}");
                    fs::write(folder.path().join(name), format!("{number}\n")).unwrap();
                }
                let lines = |path: &Path| -> Vec<u64> {
                    let lines = ctx.text_file(path).collect().unwrap();
                    lines.iter().map(|line| line.parse().unwrap()).collect()
                };
                assert_eq!(lines(folder.path()), numbers, "{digits}, {ending}");
                assert_eq!(lines(&folder.path().join("part-*")), numbers, "{digits}, {ending}");
            }
        }
    });
}
