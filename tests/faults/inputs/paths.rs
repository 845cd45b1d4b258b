//! Paths mean what they meant when they were passed, names may be as long as the file system allows, and many files
//! cost no more per partition than few.

use emberline::prelude::*;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use testkit::{DEADLINE, within};

/// The environment variable that gives the child process its folder.
const FOLDER: &str = "EMBERLINE_TEST_PATHS_FOLDER";

// Case R-D5 of tests/PROMISES.md.
#[test]
fn relative_paths_are_those_of_the_call_wherever_the_program_goes_later() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        // The working directory belongs to the process, so a process of its own changes it.
        let this = std::env::current_exe().unwrap();
        let child = Command::new(this)
            .args([
                "--exact",
                "inputs::paths::child_process_that_changes_its_directory",
                "--ignored",
            ])
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && text.contains("1 passed"), "{text}");
    });
}

#[test]
#[ignore = "a child process of another test"]
fn child_process_that_changes_its_directory() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    for path in ["one/in/sub", "one/scratch", "two"] {
        fs::create_dir_all(folder.join(path)).unwrap();
    }
    let enter = |name: &str| std::env::set_current_dir(folder.join(name)).unwrap();
    within(DEADLINE, {
        let one = folder.join("one");
        let two = folder.join("two");
        for name in ["a", "b"] {
            fs::write(one.join("in").join("sub").join(name), format!("{name}\n")).unwrap();
        }
        enter("one");
        move || {
            let leave = || std::env::set_current_dir(&two).unwrap();
            let back = || std::env::set_current_dir(&one).unwrap();
            let builder = Context::builder().threads(2).force_spill(true).scratch_dir("scratch");
            leave();
            let ctx = builder.build().unwrap();
            back();
            let sources = [
                ctx.text_file("in/sub").boxed(),
                ctx.text_file("./in/sub/*").boxed(),
                ctx.text_file("in/**/[ab]").boxed(),
                ctx.text_file(["in/sub/a", "../one/in/sub/b"]).boxed(),
            ];
            let written = sources[0].checkpoint("checkpoint").unwrap();
            let read = ctx.read_checkpoint::<String>("checkpoint");
            leave();
            for lines in sources.iter().chain([&written, &read]) {
                assert_eq!(lines.collect().unwrap(), ["a", "b"]);
                assert_eq!(
                    lines.map(|line| (line, 1_u64)).reduce_by_key(|a, b| a + b).count().unwrap(),
                    2
                );
            }
            back();
            // A program that goes elsewhere while it saves.
            let (one, two) = (one.clone(), two.clone());
            let wandering = ctx.range_with(4, 0..40_u64).inspect(move |n| {
                std::env::set_current_dir(if n % 2 == 0 { &one } else { &two }).unwrap();
            });
            wandering.save_as_text_file("out").unwrap();
            back();
            let _ = wandering.checkpoint("numbers").unwrap();
            back();
            let names: Vec<bool> =
                ["out/_SUCCESS", "numbers/_manifest"].map(|name| Path::new(name).exists()).into();
            assert_eq!(names, [true, true]);
            leave();
            assert_eq!(fs::read_dir(".").unwrap().count(), 0, "nothing is written elsewhere");
        }
    });
}

// Case R-D5 of tests/PROMISES.md.
#[test]
fn outputs_have_names_of_any_length_and_bytes_that_the_file_system_allows() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let lengths = [1, 100, 229, 230, 231, 240, 254, 255];
        let mut names: Vec<String> = lengths.map(|length| "n".repeat(length)).into();
        names.push("é".repeat(127));
        names.push("[*?] with spaces\nand lines".into());
        for name in names {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(&name);
            ctx.range_with(2, 0..10_u64).save_as_text_file(&path).unwrap();
            assert_eq!(ctx.text_file(&path).count().unwrap(), 10, "{name}");
            fs::remove_dir_all(&path).unwrap();
            let rows = ctx.range_with(2, 0..10_u64).checkpoint(&path).unwrap();
            assert_eq!(rows.count().unwrap(), 10, "{name}");
            assert_eq!(
                fs::read_dir(folder.path()).unwrap().count(),
                1,
                "no staging directory is left"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let too_long = folder.path().join("n".repeat(256));
        let error = ctx.range_with(2, 0..10_u64).save_as_text_file(too_long).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error}");
    });
}

// Case R-D5 of tests/PROMISES.md.
#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_are_read_and_written() {
    use std::os::unix::ffi::OsStrExt;
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let name = std::ffi::OsStr::from_bytes(b"n\xff\xfe");
        let path = folder.path().join(name);
        ctx.range_with(2, 0..10_u64).save_as_text_file(&path).unwrap();
        assert_eq!(ctx.text_file(&path).count().unwrap(), 10);
        assert_eq!(ctx.text_file(folder.path().join("n*")).count().unwrap(), 10);
    });
}

// Case R-D3 of tests/PROMISES.md.
#[test]
fn many_files_in_as_many_partitions_cost_a_constant_time_each() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..4000 {
            fs::write(folder.path().join(format!("{number:05}")), "x\n").unwrap();
        }
        let ctx = Context::builder().threads(1).build().unwrap();
        let lines_of = |files: usize| {
            let start = Instant::now();
            let paths = (0..files).map(|number| folder.path().join(format!("{number:05}")));
            let options = Text::new().partitions(files);
            let lines = ctx.text_file_with(options, paths.collect::<Vec<_>>());
            assert_eq!(lines.count().unwrap(), files as u64);
            start.elapsed()
        };
        lines_of(1000);
        // The best of three pairs, since other tests run at the same time.
        let mut growth: Vec<f64> = (0..3)
            .map(|_| {
                let small = lines_of(1000).as_secs_f64();
                lines_of(4000).as_secs_f64() / small
            })
            .collect();
        growth.sort_by(f64::total_cmp);
        assert!(growth[0] < 8.0, "four times the files take {growth:?} times as long");
    });
}
