//! A file that changes after it was listed is an error, whatever changes, and whenever.

use emberline::prelude::*;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use testkit::{DEADLINE, scaled, within};

/// Enough for several buffers of the reader.
const ROWS: usize = 50_000;

static OLD: LazyLock<String> = LazyLock::new(|| rows_of("old"));
/// As long as the old text.
static NEW: LazyLock<String> = LazyLock::new(|| rows_of("new"));

fn rows_of(version: &str) -> String {
    (0..ROWS).map(|n| format!("{version} row {n:06}\n")).collect()
}

/// A file of rows of the old version.
struct Input {
    folder: TempDir,
}

impl Input {
    fn new() -> Input {
        let input = Input { folder: tempfile::tempdir().unwrap() };
        fs::write(input.path(), &*OLD).unwrap();
        input
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("input.txt")
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Overwritten,
    OverwrittenWithItsOldTime,
    LastRowOverwritten,
    Appended,
    Truncated,
    TruncatedAndWrittenAgain,
    Replaced,
    ReplacedWithEqualLengthAndTime,
    ReplacedByAFolder,
    Deleted,
    Touched,
    RenamedAndBack,
    GivenOtherRights,
    GivenAnotherName,
}

const CHANGES: [Change; 14] = [
    Change::Overwritten,
    Change::OverwrittenWithItsOldTime,
    Change::LastRowOverwritten,
    Change::Appended,
    Change::Truncated,
    Change::TruncatedAndWrittenAgain,
    Change::Replaced,
    Change::ReplacedWithEqualLengthAndTime,
    Change::ReplacedByAFolder,
    Change::Deleted,
    Change::Touched,
    Change::RenamedAndBack,
    Change::GivenOtherRights,
    Change::GivenAnotherName,
];

fn apply(change: Change, path: &Path) {
    let new: &str = &NEW;
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let file = File::options().write(true).open(path).unwrap();
    let overwrite = || (&file).write_all(new.as_bytes()).unwrap();
    let other = path.with_extension("other");
    match change {
        Change::Overwritten => overwrite(),
        Change::OverwrittenWithItsOldTime => {
            overwrite();
            file.set_modified(modified).unwrap();
        }
        Change::LastRowOverwritten => {
            (&file).seek(SeekFrom::End(-3)).unwrap();
            (&file).write_all(b"xx").unwrap();
        }
        Change::Appended => {
            (&file).seek(SeekFrom::End(0)).unwrap();
            (&file).write_all(b"more").unwrap();
        }
        Change::Truncated => file.set_len(ROWS as u64).unwrap(),
        Change::TruncatedAndWrittenAgain => fs::write(path, new).unwrap(),
        Change::Replaced | Change::ReplacedWithEqualLengthAndTime => {
            fs::write(&other, new).unwrap();
            if change == Change::ReplacedWithEqualLengthAndTime {
                File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
            }
            fs::rename(&other, path).unwrap();
        }
        Change::ReplacedByAFolder => {
            fs::rename(path, &other).unwrap();
            fs::create_dir(path).unwrap();
        }
        Change::Deleted => fs::remove_file(path).unwrap(),
        Change::RenamedAndBack => {
            fs::rename(path, &other).unwrap();
            fs::rename(&other, path).unwrap();
        }
        Change::GivenOtherRights => {
            let mut rights = fs::metadata(path).unwrap().permissions();
            rights.set_readonly(true);
            fs::set_permissions(path, rights).unwrap();
        }
        Change::GivenAnotherName => fs::hard_link(path, &other).unwrap(),
        Change::Touched => file.set_modified(modified + Duration::from_secs(1)).unwrap(),
    }
}

/// Returns the lines of the input, which changes when the given row is read.
fn lines_that_change(
    ctx: &Context,
    input: &Input,
    partitions: usize,
    change: Change,
    at_row: usize,
) -> Rdd<String> {
    let path = input.path();
    let rows = AtomicUsize::new(0);
    let lines = ctx.text_file_with(Text::new().partitions(partitions), &path);
    let changing = lines.inspect(move |_| {
        if rows.fetch_add(1, Ordering::SeqCst) == at_row {
            apply(change, &path);
        }
    });
    changing.boxed()
}

fn assert_changed<T: std::fmt::Debug>(outcome: Result<T>, case: &str) {
    let Err(error) = outcome else { panic!("{case}: the change was not noticed") };
    assert!(matches!(error.kind(), ErrorKind::InputChanged { .. }), "{case}: {error}");
    assert!(error.to_string().contains("input.txt"), "{case}: {error}");
}

// Case R-A2 of tests/PROMISES.md.
#[test]
fn a_file_overwritten_in_place_after_its_first_row_is_an_error() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        let input = Input::new();
        let lines = lines_that_change(&ctx, &input, 2, Change::Overwritten, 0);
        assert_changed(lines.count(), "2 partitions");
    });
}

// Case R-A2 of tests/PROMISES.md.
#[test]
fn a_file_that_changes_in_any_way_between_its_listing_and_its_last_row_is_an_error() {
    within(DEADLINE, || {
        for threads in [1, 4] {
            let ctx = Context::builder().threads(threads).build().unwrap();
            for (number, change) in CHANGES.into_iter().cycle().take(scaled(14)).enumerate() {
                let partitions = [1, 2, 5][number % 3];
                let input = Input::new();
                let lines = ctx.text_file_with(Text::new().partitions(partitions), input.path());
                apply(change, &input.path());
                assert_changed(lines.count(), &format!("{change:?} before the first row"));
                // The first row, the middle, the beginning of the last partition, and the last row.
                for at_row in [0, ROWS / 2, ROWS - ROWS / partitions, ROWS - 1] {
                    let case = format!(
                        "{change:?} at row {at_row}, {threads} threads, {partitions} partitions"
                    );
                    let input = Input::new();
                    assert_changed(
                        lines_that_change(&ctx, &input, partitions, change, at_row).count(),
                        &case,
                    );
                }
            }
        }
    });
}

// Case R-A2 of tests/PROMISES.md.
#[test]
fn an_action_that_stops_early_returns_rows_of_the_listed_version_or_an_error() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let old: Vec<&str> = OLD.lines().collect();
        for change in CHANGES {
            for wanted in [1, 2, 1000, 30_000] {
                let input = Input::new();
                let lines = lines_that_change(&ctx, &input, 3, change, wanted / 2);
                match lines.take(wanted) {
                    Ok(rows) => assert_eq!(rows, old[..wanted], "{change:?}"),
                    outcome => assert_changed(outcome, &format!("{change:?}, take {wanted}")),
                }
            }
        }
    });
}

// Case R-A2 of tests/PROMISES.md.
#[test]
fn a_file_without_bytes_that_gets_some_is_an_error_and_an_unchanged_one_has_no_rows() {
    within(DEADLINE, || {
        let ctx = Context::local().unwrap();
        for partitions in [1, 2, 7] {
            for names in [&["input.txt"][..], &["a", "b", "input.txt"], &["input.txt", "z"]] {
                let folder = tempfile::tempdir().unwrap();
                for name in names {
                    let text = if *name == "input.txt" { "" } else { "x\n" };
                    fs::write(folder.path().join(name), text).unwrap();
                }
                let lines = ctx.text_file_with(Text::new().partitions(partitions), folder.path());
                assert_eq!(lines.count().unwrap(), names.len() as u64 - 1);
                fs::write(folder.path().join("input.txt"), "more\n").unwrap();
                assert_changed(lines.count(), &format!("{names:?} in {partitions} partitions"));
            }
        }
    });
}

// Case R-A2 of tests/PROMISES.md.
#[test]
fn a_file_that_another_thread_overwrites_all_the_time_is_read_in_one_version_or_not_at_all() {
    within(DEADLINE, || {
        let input = Input::new();
        let path = input.path();
        let versions: [&str; 2] = [&OLD, &NEW];
        let ends = Arc::new(AtomicBool::new(false));
        let writer = {
            let path = path.clone();
            let ends = Arc::clone(&ends);
            thread::spawn(move || {
                for (round, version) in versions.iter().cycle().enumerate() {
                    if ends.load(Ordering::SeqCst) {
                        return;
                    }
                    let mut file = File::options().write(true).open(&path).unwrap();
                    file.write_all(version.as_bytes()).unwrap();
                    thread::sleep(Duration::from_millis([0, 1, 5, 30, 60][round % 5]));
                }
            })
        };
        let ctx = Context::builder().threads(3).build().unwrap();
        let mut read = 0;
        for round in 0..scaled(40) {
            let lines = ctx.text_file_with(Text::new().partitions(1 + round % 4), &path);
            match lines.map(|line| line.starts_with("old")).count_by_value() {
                Ok(counts) => {
                    read += 1;
                    assert_eq!(counts.len(), 1, "rows of two versions: {counts:?}");
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::InputChanged { .. }), "{error}");
                }
            }
        }
        ends.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        println!("{read} readings were of one version, the others were refused");
    });
}

// Case R-A2 of tests/PROMISES.md.
#[test]
fn an_unchanged_file_may_be_read_by_others_and_twice() {
    within(DEADLINE, || {
        let ctx = Context::local().unwrap();
        let input = Input::new();
        let lines = ctx.text_file_with(Text::new().partitions(3), input.path());
        for _ in 0..2 {
            fs::read(input.path()).unwrap();
            assert_eq!(lines.count().unwrap(), ROWS as u64);
        }
    });
}
