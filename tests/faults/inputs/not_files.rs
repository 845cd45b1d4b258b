//! Each file that the engine opens may have been replaced by something else: nothing waits for it, scratch is computed
//! again, and files of users are errors.

#![cfg(unix)]

use emberline::prelude::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{DEADLINE, within};

#[derive(Clone, Copy, Debug, PartialEq)]
enum NotAFile {
    Fifo,
    LinkToFifo,
    Folder,
    FullFolder,
    Device,
    Terminal,
    Socket,
    Circle,
    Dangling,
    Nothing,
}

const ALL: [NotAFile; 10] = [
    NotAFile::Fifo,
    NotAFile::LinkToFifo,
    NotAFile::Folder,
    NotAFile::FullFolder,
    NotAFile::Device,
    NotAFile::Terminal,
    NotAFile::Socket,
    NotAFile::Circle,
    NotAFile::Dangling,
    NotAFile::Nothing,
];

/// Replaces a file.
fn replace(path: &Path, by: NotAFile) {
    fs::remove_file(path).unwrap();
    let fifo = |path: &Path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    match by {
        NotAFile::Fifo => fifo(path),
        NotAFile::LinkToFifo => {
            let hidden = path.with_file_name(".fifo");
            let _ = fs::remove_file(&hidden);
            fifo(&hidden);
            symlink(".fifo", path).unwrap();
        }
        NotAFile::Folder => fs::create_dir(path).unwrap(),
        NotAFile::FullFolder => {
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "text\n").unwrap();
        }
        NotAFile::Device => symlink("/dev/zero", path).unwrap(),
        NotAFile::Terminal => symlink("/dev/ptmx", path).unwrap(),
        // The path of a socket may have at most 107 bytes.
        NotAFile::Socket => {
            let short = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
            drop(UnixListener::bind(short.path().join("s")).unwrap());
            if fs::rename(short.path().join("s"), path).is_err() {
                fifo(path);
            }
        }
        NotAFile::Circle => symlink(path.file_name().unwrap(), path).unwrap(),
        NotAFile::Dangling => symlink("nothing", path).unwrap(),
        NotAFile::Nothing => {}
    }
}

/// Returns the regular files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => files.extend(files_below(&entry)),
            false => files.push(entry),
        }
    }
    files.sort();
    files
}

fn is_lock(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "lock")
}

fn sums(ctx: &Context) -> Rdd<(u64, u64)> {
    ctx.range_with(3, 0..3000_u64)
        .map(|n| (n % 70, n))
        .with_partitions(2)
        .reduce_by_key(|a, b| a + b)
}

// Case R-B1 of tests/PROMISES.md.
#[test]
fn a_shuffle_file_that_is_no_file_is_lost_and_computed_again() {
    within(DEADLINE, || {
        for by in ALL {
            for threads in [1, 3] {
                let scratch = tempfile::tempdir().unwrap();
                let builder = Context::builder().threads(threads).force_spill(true);
                let ctx = builder.scratch_dir(scratch.path()).build().unwrap();
                let sums = sums(&ctx);
                let rows = sums.collect().unwrap();
                let files = files_below(scratch.path());
                for file in files.iter().filter(|file| !is_lock(file)) {
                    replace(file, by);
                    assert_eq!(sums.collect().unwrap(), rows, "{by:?} at {}", file.display());
                }
                drop((sums, ctx));
                // The lock is deleted with the directory, which holds what replaced the files.
                assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "{by:?}");
            }
        }
    });
}

// Case R-B1 of tests/PROMISES.md.
#[test]
fn a_disk_block_that_is_no_file_is_lost_and_computed_again() {
    within(DEADLINE, || {
        for by in ALL {
            let scratch = tempfile::tempdir().unwrap();
            let ctx = Context::builder().threads(2).scratch_dir(scratch.path()).build().unwrap();
            let squares = ctx.range_with(3, 0..3000_u64).map(|n| n * n).persist(StorageLevel::Disk);
            let rows = squares.collect().unwrap();
            for file in files_below(scratch.path()).iter().filter(|file| !is_lock(file)) {
                replace(file, by);
                assert_eq!(squares.collect().unwrap(), rows, "{by:?}");
            }
        }
    });
}

// Case R-B1 of tests/PROMISES.md.
#[test]
fn a_file_of_a_checkpoint_that_is_no_file_makes_it_invalid() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        for by in ALL {
            for name in ["part-00000", "part-00001", "_manifest"] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("checkpoint");
                let written = ctx.range_with(2, 0..100_u64).checkpoint(&path).unwrap();
                let listed = ctx.read_checkpoint::<u64>(&path);
                replace(&path.join(name), by);
                let mut outcomes = vec![ctx.read_checkpoint::<u64>(&path).count()];
                if name != "_manifest" {
                    outcomes.extend([written.count(), listed.count()]);
                }
                for outcome in outcomes {
                    let error = outcome.unwrap_err();
                    let is_invalid = matches!(error.kind(), ErrorKind::InvalidCheckpoint { .. });
                    assert!(is_invalid, "{by:?} at {name}: {error}");
                }
            }
        }
        // The folder itself.
        for by in ALL {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("checkpoint");
            fs::write(&path, "").unwrap();
            replace(&path, by);
            let error = ctx.read_checkpoint::<u64>(&path).count().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::InvalidCheckpoint { .. }), "{by:?}: {error}");
        }
    });
}

// Case R-B1 of tests/PROMISES.md.
#[test]
fn a_text_file_that_is_no_file_any_more_has_changed_and_one_that_never_was_is_refused() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        for by in ALL {
            for partitions in [1, 3] {
                let folder = super::folder_of(&["a.txt", "b.txt"]);
                let lines = ctx.text_file_with(Text::new().partitions(partitions), folder.path());
                replace(&folder.path().join("b.txt"), by);
                let error = lines.count().unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::InputChanged { .. }), "{by:?}: {error}");
                let listed = ctx.text_file(folder.path()).count();
                let named = ctx.text_file(folder.path().join("b.txt")).count();
                match by {
                    NotAFile::Nothing => assert_eq!(listed.unwrap(), 1),
                    _ => drop(listed.unwrap_err()),
                }
                match by {
                    NotAFile::Folder => assert_eq!(named.unwrap(), 0),
                    NotAFile::FullFolder => assert_eq!(named.unwrap(), 1),
                    _ => drop(named.unwrap_err()),
                }
            }
        }
    });
}

// Case R-B1 of tests/PROMISES.md.
#[test]
fn locks_that_are_no_files_delay_neither_contexts_nor_outputs() {
    within(DEADLINE, || {
        for by in ALL {
            // A context that lives, and directories of dead ones.
            let scratch = tempfile::tempdir().unwrap();
            let build = || {
                Context::builder()
                    .threads(2)
                    .force_spill(true)
                    .scratch_dir(scratch.path())
                    .build()
                    .unwrap()
            };
            let ctx = build();
            let rows = sums(&ctx).collect().unwrap();
            for lock in files_below(scratch.path()).iter().filter(|file| is_lock(file)) {
                replace(lock, by);
            }
            assert_eq!(sums(&build()).collect().unwrap(), rows, "{by:?}");
            assert_eq!(sums(&ctx).collect().unwrap(), rows, "{by:?}");

            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out");
            let replaced = folder.path().to_path_buf();
            let once = std::sync::Once::new();
            let saving = ctx.range_with(4, 0..40_u64).inspect(move |_| {
                once.call_once(|| {
                    for lock in files_below(&replaced).iter().filter(|file| is_lock(file)) {
                        replace(lock, by);
                    }
                });
            });
            saving.save_as_text_file(&path).unwrap();
            assert_eq!(ctx.text_file(&path).count().unwrap(), 40, "{by:?}");
            let other = folder.path().join("checkpoint");
            let _ = ctx.range_with(4, 0..40_u64).checkpoint(&other).unwrap();
        }
    });
}

// Case R-B1 of tests/PROMISES.md.
#[test]
fn a_staging_directory_that_is_replaced_while_it_is_written_is_an_error() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        for by in ALL {
            for name in ["attempts", "out"] {
                let folder = tempfile::tempdir().unwrap();
                let parent = folder.path().to_path_buf();
                let once = std::sync::Once::new();
                let saving = ctx.range_with(3, 0..30_u64).inspect(move |n| {
                    if *n < 15 {
                        return;
                    }
                    once.call_once(|| {
                        let staging =
                            fs::read_dir(&parent).unwrap().next().unwrap().unwrap().path();
                        let target = staging.join(name);
                        fs::rename(&target, staging.join("moved")).unwrap();
                        fs::write(&target, "").unwrap();
                        replace(&target, by);
                    });
                });
                let path = folder.path().join("output");
                if saving.save_as_text_file(&path).is_ok() {
                    assert_eq!(ctx.text_file(&path).count().unwrap(), 30, "{by:?} at {name}");
                }
            }
        }
    });
}

// Case R-B1 of tests/PROMISES.md.
#[test]
fn kernel_files_are_refused_and_not_read_as_empty() {
    within(DEADLINE, || {
        let ctx = Context::local().unwrap();
        let files = [
            "/proc/kmsg",
            "/proc/self/status",
            "/proc/self/mem",
            "/proc/self/fd/0",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "/dev/full",
            "/dev/tty",
            "/dev/ptmx",
        ];
        for file in files.into_iter().filter(|file| Path::new(file).exists()) {
            let outcome = ctx.text_file(file).count();
            let error = match outcome {
                Err(error) => error,
                // The test may run with an input that is a file.
                Ok(_) if file.ends_with("/fd/0") => continue,
                Ok(rows) => panic!("{file}: {rows} rows"),
            };
            assert!(error.to_string().contains(file), "{file}: {error}");
            assert!(!matches!(error.kind(), ErrorKind::InputChanged { .. }), "{file}: {error}");
        }
    });
}
