//! Text files: every line is read once, and an output is complete or missing.

use emberline::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use testkit::{DEADLINE, within};

fn context() -> Context {
    Context::builder().threads(2).build().unwrap()
}

/// Makes a directory of the given files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// Returns the lines of a file, read by one thread without splits.
fn plain_lines(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let last = lines.pop().unwrap();
    let whole = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = whole.chain(Some(last).filter(|last| !last.is_empty()));
    lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// Returns files of every shape that a split can get wrong, named in reading order.
fn odd_files() -> Vec<(&'static str, Vec<u8>)> {
    let long = [vec![b'x'; 3_000], b"\n".to_vec(), vec![b'y'; 2_000]].concat();
    vec![
        ("a.txt", b"one\ntwo\r\nthree\n".to_vec()),
        ("b.txt", b"no final newline".to_vec()),
        ("c.txt", Vec::new()),
        ("d.txt", b"\n\n\n\r\n\n".to_vec()),
        ("e.txt", long),
        ("f.txt", b"bad \xff\xfe bytes\n\xf0\x9f\x94\xa5 fire\ncut \xe2\x82\n".to_vec()),
        ("g.txt", b"\r\r\n\rx\r\n".to_vec()),
        ("h.txt", b"last\r".to_vec()),
    ]
}

fn odd_folder() -> (TempDir, Vec<String>) {
    let files = odd_files();
    let named: Vec<_> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let lines = files.iter().flat_map(|(_, bytes)| plain_lines(bytes)).collect();
    (folder(&named), lines)
}

fn error_of<T: std::fmt::Debug>(outcome: Result<T>, wanted: fn(&ErrorKind) -> bool) -> String {
    let error = outcome.unwrap_err();
    assert!(wanted(error.kind()), "{error}");
    error.to_string()
}

#[test]
fn every_line_is_read_once_in_any_number_of_partitions() {
    within(DEADLINE, || {
        let ((folder, lines), ctx) = (odd_folder(), context());
        for partitions in 1..=50 {
            let rows = ctx.text_file_with(Text::new().partitions(partitions), folder.path());
            assert_eq!(rows.num_partitions(), partitions);
            assert_eq!(rows.collect().unwrap(), lines, "in {partitions} partitions");
        }
        assert_eq!(ctx.text_file(folder.path()).collect().unwrap(), lines);
    });
}

#[test]
fn each_irregular_file_is_read_correctly_in_any_number_of_partitions() {
    within(DEADLINE, || {
        let ((folder, _), ctx) = (odd_folder(), context());
        for (name, bytes) in odd_files() {
            for partitions in [1, 2, 3, 7, 50] {
                let rows = ctx
                    .text_file_with(Text::new().partitions(partitions), folder.path().join(name));
                assert_eq!(rows.collect().unwrap(), plain_lines(&bytes), "{name}, {partitions}");
            }
        }
    });
}

#[test]
fn a_file_a_directory_a_pattern_and_a_list_are_read_in_order() {
    within(DEADLINE, || {
        let files: [(&str, &[u8]); 5] = [
            ("b.txt", b"b\n"),
            ("a.txt", b"a\n"),
            ("c.md", b"c\n"),
            ("_SUCCESS", b"no\n"),
            (".hidden", b"no\n"),
        ];
        let folder = folder(&files);
        let ctx = context();
        let path = |name: &str| folder.path().join(name);
        assert_eq!(ctx.text_file(path("a.txt")).collect().unwrap(), ["a"]);
        assert_eq!(ctx.text_file(folder.path()).collect().unwrap(), ["a", "b", "c"]);
        assert_eq!(ctx.text_file(path("*.txt")).collect().unwrap(), ["a", "b"]);
        let list = vec![path("c.md"), path("*.txt"), path("a.txt")];
        assert_eq!(ctx.text_file(list).collect().unwrap(), ["c", "a", "b", "a"]);
        let text = path("b.txt").display().to_string();
        assert_eq!(ctx.text_file(text.as_str()).collect().unwrap(), ["b"]);
        assert_eq!(ctx.text_file([text]).collect().unwrap(), ["b"]);
    });
}

#[test]
fn the_default_splits_of_a_large_file_read_each_line_once() {
    within(DEADLINE, || {
        let text: String = (0..400_000).map(|n| format!("line {n}\n")).collect();
        let folder = folder(&[("big.txt", text.as_bytes())]);
        let ctx = context();
        let lines = ctx.text_file(folder.path().join("big.txt"));
        let cuts = lines.num_partitions();
        assert!((4..=64).contains(&cuts), "{} bytes in {cuts} partitions", text.len());
        let numbers = lines.try_map(|line| Ok(line[5..].parse::<u64>()?));
        assert!(numbers.collect().unwrap().into_iter().eq(0..400_000));
    });
}

#[test]
fn invalid_utf8_is_replaced_or_refused_with_its_offset() {
    within(DEADLINE, || {
        let bytes = b"good\nstill good\nb\xffd\n";
        let folder = folder(&[("f.txt", bytes)]);
        let ctx = context();
        let path = folder.path().join("f.txt");
        let lines = ctx.text_file(&path).collect().unwrap();
        assert_eq!(lines, ["good", "still good", "b\u{FFFD}d"]);
        let refused = ctx.text_file_with(Text::new().strict_utf8(), &path).collect();
        let text = error_of(refused, |kind| matches!(kind, ErrorKind::InvalidInput { .. }));
        assert!(text.contains("byte 17") && text.contains("f.txt"), "{text}");
        assert!(text.contains("text_file at tests/engine/text.rs"), "{text}");
    });
}

// Case R-A2 of tests/PROMISES.md.
#[test]
fn a_file_changed_or_deleted_after_listing_is_an_error() {
    within(DEADLINE, || {
        let ctx = context();
        let changed = |kind: &ErrorKind| matches!(kind, ErrorKind::InputChanged { .. });
        let change = |what: &str, change: &dyn Fn(&Path)| {
            let folder = folder(&[("f.txt", b"one\ntwo\n")]);
            let path = folder.path().join("f.txt");
            let lines = ctx.text_file_with(Text::new().partitions(3), &path);
            change(&path);
            let text = error_of(lines.collect(), changed);
            assert!(text.contains("f.txt"), "{what}: {text}");
        };
        change("longer", &|path| fs::write(path, "one\ntwo\nthree\n").unwrap());
        change("shorter", &|path| fs::write(path, "one\n").unwrap());
        change("deleted", &|path| fs::remove_file(path).unwrap());
        change("touched", &|path| {
            let file = fs::File::options().append(true).open(path).unwrap();
            file.set_modified(SystemTime::now() + Duration::from_secs(90)).unwrap();
        });
    });
}

#[test]
fn a_file_truncated_while_it_is_read_is_an_error() {
    within(DEADLINE, || {
        let rows = b"a line of some length\n".repeat(200_000);
        let folder = folder(&[("f.txt", &rows)]);
        let path = folder.path().join("f.txt");
        let ctx = context();
        let seen = AtomicUsize::new(0);
        let cut = path.clone();
        let shorten = move |_: &String| {
            if seen.fetch_add(1, Ordering::Relaxed) == 50_000 {
                fs::File::options().write(true).open(&cut).unwrap().set_len(1_500_000).unwrap();
            }
        };
        let counted =
            ctx.text_file_with(Text::new().partitions(1), &path).inspect(shorten).collect();
        let changed = |kind: &ErrorKind| matches!(kind, ErrorKind::InputChanged { .. });
        let text = error_of(counted.map(|lines| vec![lines.len().to_string()]), changed);
        assert!(text.contains("f.txt"), "{text}");
    });
}

#[test]
fn a_missing_input_fails_the_first_action_and_not_the_call() {
    within(DEADLINE, || {
        let folder = folder(&[]);
        let ctx = context();
        for name in ["none.txt", "*.txt"] {
            let lines = ctx.text_file(folder.path().join(name)).map(|line| line.len());
            let missing = |kind: &ErrorKind| matches!(kind, ErrorKind::InputNotFound { .. });
            let text = error_of(lines.count(), missing);
            assert!(text.starts_with("text_file at ") && text.contains(name), "{text}");
        }
        assert_eq!(ctx.text_file(folder.path()).count().unwrap(), 0);
    });
}

#[test]
fn compressed_files_are_refused() {
    within(DEADLINE, || {
        let folder = folder(&[("a.txt", b"a\n"), ("b.gz", b"\x1f\x8b")]);
        let ctx = context();
        let refused = ctx.text_file(folder.path()).count();
        let text = error_of(refused, |kind| matches!(kind, ErrorKind::InvalidInput { .. }));
        assert!(text.contains("b.gz") && text.contains("decompress"), "{text}");
    });
}

/// Returns the names in a directory, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_save_writes_one_file_per_partition_even_if_empty_and_a_marker() {
    within(DEADLINE, || {
        let folder = folder(&[]);
        let ctx = context();
        let path = folder.path().join("out");
        let rows = ctx.range_with(4, 0..8_u32).filter(|n| !(2..4).contains(n));
        rows.save_as_text_file(&path).unwrap();
        let parts = ["_SUCCESS", "part-00000", "part-00001", "part-00002", "part-00003"];
        assert_eq!(names(&path), parts);
        let part = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        assert_eq!((part("part-00000"), part("part-00001")), ("0\n1\n".into(), String::new()));
        assert_eq!(part("_SUCCESS"), "");
        assert_eq!(names(folder.path()), ["out"], "no staging directory is left");
        let made = |name: &str| fs::metadata(path.join(name)).unwrap().modified().unwrap();
        assert!(parts[1..].iter().all(|name| made(name) <= made("_SUCCESS")));
    });
}

#[test]
fn saved_text_is_read_back_row_by_row() {
    within(DEADLINE, || {
        let ((source, lines), ctx) = (odd_folder(), context());
        let path = source.path().join("out");
        // A lone carriage return at the end of a line would be read as a part of its end.
        let wanted: Vec<String> = lines.into_iter().filter(|line| !line.ends_with('\r')).collect();
        let rows = ctx
            .text_file_with(Text::new().partitions(5), source.path())
            .filter(|line| !line.ends_with('\r'));
        rows.save_as_text_file(&path).unwrap();
        assert_eq!(ctx.text_file(&path).collect().unwrap(), wanted);
    });
}

#[test]
fn an_existing_output_is_refused_and_stays_untouched() {
    within(DEADLINE, || {
        let folder = folder(&[("file", b"mine"), ("kept.txt", b"x")]);
        let ctx = context();
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("part-00000"), "mine too").unwrap();
        for path in [&taken, &folder.path().join("file")] {
            let refused = ctx.range(0..3_u32).save_as_text_file(path);
            let text = error_of(refused, |kind| matches!(kind, ErrorKind::OutputExists { .. }));
            assert!(text.contains("left untouched"), "{text}");
        }
        assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(taken.join("part-00000")).unwrap(), "mine too");
        assert_eq!(names(folder.path()), ["file", "kept.txt", "taken"]);
        assert_eq!(names(&taken), ["part-00000"]);
    });
}

#[test]
fn a_refused_output_runs_no_task() {
    within(DEADLINE, || {
        let folder = folder(&[("file", b"mine")]);
        let rows = context().range(0..3_u32).map(|_| -> u32 { panic!("a task ran") });
        let refused = rows.save_as_text_file(folder.path().join("file"));
        error_of(refused, |kind| matches!(kind, ErrorKind::OutputExists { .. }));
    });
}

#[test]
fn a_failed_save_leaves_nothing() {
    within(DEADLINE, || {
        for attempts in [1, 3] {
            let folder = folder(&[]);
            let ctx = Context::builder().threads(2).max_attempts(attempts).build().unwrap();
            let rows = ctx.range_with(4, 0..40_u32).map(|n| {
                assert!(n != 25, "boom");
                n
            });
            let outcome = rows.save_as_text_file(folder.path().join("out"));
            error_of(outcome, |kind| matches!(kind, ErrorKind::Panicked { .. }));
            drop(ctx);
            assert_eq!(names(folder.path()), Vec::<String>::new());
        }
    });
}

#[test]
fn a_retried_task_of_a_save_writes_its_rows_once() {
    within(DEADLINE, || {
        let folder = folder(&[]);
        let ctx = Context::builder().threads(2).max_attempts(2).build().unwrap();
        let tries = std::sync::atomic::AtomicUsize::new(0);
        let rows = ctx.range_with(4, 0..40_u32).map(move |n| {
            let fails = n == 25 && tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            assert!(!fails, "boom");
            n
        });
        let path = folder.path().join("out");
        rows.save_as_text_file(&path).unwrap();
        let numbers = ctx.text_file(&path).try_map(|line| Ok(line.parse::<u32>()?));
        assert!(numbers.collect().unwrap().into_iter().eq(0..40));
        assert_eq!(names(&path).len(), 5, "no file of a failed attempt");
    });
}

#[test]
fn missing_parent_directories_of_an_output_are_created() {
    within(DEADLINE, || {
        let folder = folder(&[]);
        let path = folder.path().join("a").join("b").join("out");
        context().range(0..3_u32).save_as_text_file(&path).unwrap();
        assert!(path.join("_SUCCESS").exists());
        assert_eq!(names(&folder.path().join("a").join("b")), ["out"]);
    });
}

/// A folder in the working directory, removed at the end.
struct Relative(PathBuf);

impl Drop for Relative {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_relative_path_is_written_and_read() {
    within(DEADLINE, || {
        let name = format!("emberline-test-output-{}", std::process::id());
        let path = Relative(PathBuf::from(name));
        let ctx = context();
        ctx.range(0..3_u32).save_as_text_file(&path.0).unwrap();
        assert_eq!(ctx.text_file(&path.0).collect().unwrap(), ["0", "1", "2"]);
        let refused = ctx.range(0..3_u32).save_as_text_file("");
        error_of(refused, |kind| matches!(kind, ErrorKind::InvalidArgument { .. }));
    });
}
