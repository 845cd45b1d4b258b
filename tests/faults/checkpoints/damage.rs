//! Errors of damaged files name the folder, the file, the operation that reads it, and the line of its call.

use emberline::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::{DEADLINE, scaled, within};

fn context() -> Context {
    Context::builder().threads(2).build().unwrap()
}

/// Writes a checkpoint of 16 partitions.
fn written(folder: &Path) -> PathBuf {
    let path = folder.join("saved");
    context().range_with(16, 0..800_u64).checkpoint(&path).map(drop).unwrap();
    path
}

/// A change of a checkpoint's directory, and what its error must name.
type Change = (&'static str, fn(&Path), &'static [&'static str]);

const CHANGES: [Change; 11] = [
    (
        "a part is cut",
        |path| fs::write(path.join("part-00015"), "x").unwrap(),
        &["part-00015", "it has 1 bytes"],
    ),
    ("a bit of a part", |path| flip(&path.join("part-00003"), 40), &["part-00003", "checksum"]),
    (
        "a header of a part",
        |path| flip(&path.join("part-00003"), 0),
        &["part-00003", "frame at byte 0"],
    ),
    (
        "a part of another one",
        |path| drop(fs::copy(path.join("part-00001"), path.join("part-00002"))),
        &["part-00002"],
    ),
    (
        "a part is missing",
        |path| fs::remove_file(path.join("part-00007")).unwrap(),
        &["part-00007", "is missing"],
    ),
    (
        "the last part is missing",
        |path| fs::remove_file(path.join("part-00015")).unwrap(),
        &["part-00015", "15 files"],
    ),
    (
        "a stray copy",
        |path| drop(fs::copy(path.join("part-00000"), path.join("part-00000.bak"))),
        &["`part-00000.bak` is not one of them", "16 partitions", "17 files"],
    ),
    (
        "one part more",
        |path| fs::write(path.join("part-00016"), "").unwrap(),
        &["`part-00016` is not one of them"],
    ),
    (
        "a part with a sign",
        |path| fs::write(path.join("part-+0001"), "").unwrap(),
        &["`part-+0001` is not one of them"],
    ),
    (
        "a part with more digits",
        |path| fs::rename(path.join("part-00004"), path.join("part-000004")).unwrap(),
        &["part-00004", "is missing"],
    ),
    ("the manifest", |path| flip(&path.join("_manifest"), 60), &["manifest", "checksum"]),
];

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn assert_names(error: &Error, line: u32, parts: &[&str], what: &str) {
    let text = error.to_string();
    assert!(matches!(error.kind(), ErrorKind::InvalidCheckpoint { .. }), "{what}: {text}");
    let site = format!("at tests/faults/checkpoints/damage.rs:{line}");
    for part in parts.iter().copied().chain([site.as_str()]) {
        assert!(text.contains(part), "{what} lacks {part}: {text}");
    }
    assert!(!text.contains("scratch"), "{what}: {text}");
}

// Case R-D6 of tests/PROMISES.md.
#[test]
fn the_error_of_a_damaged_checkpoint_names_its_folder_its_file_and_the_call_that_reads_it() {
    within(DEADLINE, || {
        for (what, change, parts) in CHANGES {
            let folder = tempfile::tempdir().unwrap();
            let path = written(folder.path());
            change(&path);
            let ctx = context();
            let (line, read) = (line!(), ctx.read_checkpoint::<u64>(&path));
            let errors = [
                read.collect().map(drop).unwrap_err(),
                read.boxed().map(|n| n + 1).count().map(drop).unwrap_err(),
                read.cache().count().map(drop).unwrap_err(),
                read.map(|n| (n, n)).reduce_by_key(|a, b| a + b).count().map(drop).unwrap_err(),
                read.union(&ctx.range(0..3_u64)).count().map(drop).unwrap_err(),
            ];
            for error in errors {
                assert_names(&error, line, &["read_checkpoint", &path.display().to_string()], what);
                assert_names(&error, line, parts, what);
            }
        }
    });
}

// Case R-D6 of tests/PROMISES.md.
#[test]
fn any_damage_after_the_checkpoint_was_opened_names_the_call_that_opened_it() {
    within(DEADLINE, || {
        for round in 0..scaled(40) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("saved");
            let ctx = context();
            let (line, saved) = (line!(), ctx.range_with(4, 0..200_u64).checkpoint(&path).unwrap());
            let part = path.join(format!("part-{:05}", round % 4));
            match round / 4 % 3 {
                0 => fs::remove_file(&part).unwrap(),
                1 => flip(&part, round * 7 % fs::metadata(&part).unwrap().len() as usize),
                _ => fs::write(&part, vec![0; round]).unwrap(),
            }
            let error = saved.map(|n| n * 2).collect().map(drop).unwrap_err();
            let name = part.file_name().unwrap().to_str().unwrap();
            let parts = ["checkpoint", name, &path.display().to_string()];
            assert_names(&error, line, &parts, &format!("round {round}"));
        }
    });
}

/// Returns the files in a scratch directory, which is inside `folder`.
fn scratch_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

// Case R-D6 of tests/PROMISES.md.
#[test]
fn the_error_of_a_lost_local_checkpoint_names_its_file_and_its_call() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let builder = Context::builder().threads(2).scratch_dir(folder.path());
        let ctx = builder.memory_limit_bytes(1 << 20).build().unwrap();
        let rows = ctx.range_with(4, 0..400_000_u64);
        let (line, saved) = (line!(), rows.local_checkpoint().unwrap());
        let blocks: Vec<_> = scratch_files(folder.path())
            .into_iter()
            .filter(|path| fs::metadata(path).unwrap().len() > 1000)
            .collect();
        assert!(!blocks.is_empty());
        blocks.iter().for_each(|path| flip(path, 500));
        let error = saved.count().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error.kind(), ErrorKind::BlockLost { .. }), "{text}");
        for part in [
            &format!("local_checkpoint at tests/faults/checkpoints/damage.rs:{line}"),
            "of partition ",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(blocks.iter().any(|path| text.contains(&path.display().to_string())), "{text}");
    });
}
