//! Durable checkpoints: another run reads them or reports what is wrong.

use super::*;
use emberline::fault::FaultPlan;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::{DEADLINE, within};

/// Writes a checkpoint of three partitions, of which the first is empty, to a new directory.
fn written() -> (tempfile::TempDir, PathBuf) {
    written_of(|partition| (0..partition * 20).map(noise).collect())
}

fn written_of(
    rows: impl Fn(u64) -> Vec<u64> + Send + Sync + 'static,
) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved");
    // Frames of 4 KiB, as from a task with little memory.
    let ctx = Context::builder().threads(2).task_memory_bytes(4096).build().unwrap();
    let rows = ctx.generate(3, move |partition| rows(partition as u64).into_iter());
    rows.checkpoint(&path).map(drop).unwrap();
    (folder, path)
}

fn rows() -> Vec<u64> {
    numbers(20).into_iter().chain(numbers(40)).collect()
}

/// Returns the error text of the checkpoint at `path`.
fn refused(path: &Path) -> String {
    let answer = context().read_checkpoint::<u64>(path).collect();
    let error = assert_kind(answer, |kind| matches!(kind, ErrorKind::InvalidCheckpoint { .. }));
    assert_eq!(error.attempts(), 1, "damage does not heal: {error}");
    error.to_string()
}

// Case F067 of tests/PROMISES.md.
#[test]
fn a_checkpoint_returns_the_same_rows_and_frees_its_parents() {
    within(DEADLINE, || {
        for ctx in grid_cells().into_iter().map(|cell| cell.1) {
            let folder = tempfile::tempdir().unwrap();
            let calls = Calls::default();
            let numbered = calls.range(&ctx, 5, 20_000);
            let saved = numbered.checkpoint(folder.path().join("deep/saved")).unwrap();
            assert_eq!(calls.take(), 20_000);
            for _ in 0..2 {
                assert!(saved.collect().unwrap() == numbers(20_000));
                assert_eq!(saved.refs().map(|n| *n).take(3).unwrap(), numbers(3));
            }
            assert_eq!((calls.take(), saved.num_partitions()), (0, 5));
            let plan = saved.explain().to_string();
            assert!(plan.contains("checkpoint at") && !plan.contains("range"), "{plan}");
            let counts = Arc::downgrade(&calls.0);
            drop((numbered, calls));
            assert_eq!(counts.strong_count(), 0);
        }
    });
}

#[test]
fn a_later_context_with_other_settings_reads_a_checkpoint() {
    within(DEADLINE, || {
        let words = |n: u64| (format!("word {}", n % 7), vec![n; (n % 5) as usize]);
        let want: Vec<_> = (0..5_000).map(words).collect();
        for compression in [Compression::Lz4, Compression::None] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("saved");
            let builder = Context::builder().threads(2).spill_compression(compression);
            let ctx = builder.memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES).build().unwrap();
            ctx.range_with(4, 0..5_000_u64).map(words).checkpoint(&path).map(drop).unwrap();
            drop(ctx);
            let moved = folder.path().join("moved");
            fs::rename(&path, &moved).unwrap();
            let read = context().read_checkpoint::<(String, Vec<u64>)>(&moved);
            assert!(read.collect().unwrap() == want);
            assert_eq!(read.num_partitions(), 4);
            assert_eq!(read.map(|row| row.0).distinct().count().unwrap(), 7);
        }
    });
}

// Case F068 of tests/PROMISES.md.
#[test]
fn a_checkpoint_keeps_its_partitioner_only_in_the_run_that_wrote_it() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = context();
        let sums = ctx.range_with(3, 0..90_u64).map(|n| (n % 9, n)).reduce_by_key(|a, b| a + b);
        let path = folder.path().join("saved");
        let again = |rdd: &Rdd<(u64, u64)>| rdd.reduce_by_key(|a, b| a + b).explain().to_string();
        let plan = again(&sums.checkpoint(&path).unwrap());
        assert!(!plan.contains("writes a shuffle"), "{plan}");
        let read = ctx.read_checkpoint::<(u64, u64)>(&path);
        assert!(again(&read).contains("writes a shuffle"));
        assert_eq!(read.reduce_by_key(|a, b| a + b).count().unwrap(), 9);
    });
}

// Case F069 of tests/PROMISES.md.
#[test]
fn a_checkpoint_without_partitions_or_rows_can_be_read() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = context();
        let empty = ctx.union(Vec::<Rdd<u64>>::new());
        let path = folder.path().join("none");
        assert!(empty.checkpoint(&path).unwrap().collect().unwrap().is_empty());
        let read = ctx.read_checkpoint::<u64>(&path);
        assert_eq!(
            (read.num_partitions(), read.collect().unwrap()),
            (empty.num_partitions(), vec![])
        );
        let path = folder.path().join("no rows");
        ctx.range_with(2, 0..0_u64).checkpoint(&path).map(drop).unwrap();
        assert_eq!(context().read_checkpoint::<u64>(&path).count().unwrap(), 0);
    });
}

// Case F069 of tests/PROMISES.md.
#[test]
fn a_checkpoint_with_missing_or_extra_files_is_an_error_that_names_them() {
    within(DEADLINE, || {
        let (_folder, path) = written();
        fs::rename(path.join("part-00001"), path.join("part-00007")).unwrap();
        let text = refused(&path);
        assert!(text.contains("`part-00001` is missing"), "{text}");
        fs::rename(path.join("part-00007"), path.join("part-00001")).unwrap();
        fs::copy(path.join("part-00001"), path.join("part-00003")).unwrap();
        let text = refused(&path);
        assert!(text.contains("3 partitions") && text.contains("4 files"), "{text}");
        for part in ["part-00003", "part-00002"] {
            fs::remove_file(path.join(part)).unwrap();
        }
        let text = refused(&path);
        assert!(text.contains("3 partitions") && text.contains("2 files"), "{text}");
    });
}

// Case F069 of tests/PROMISES.md.
#[test]
fn a_missing_or_incomplete_checkpoint_is_a_clear_error() {
    within(DEADLINE, || {
        let (folder, path) = written();
        assert!(refused(&folder.path().join("nowhere")).contains("no such directory"));
        let text = refused(&path.join("part-00001"));
        assert!(text.contains("no such directory"), "{text}");
        assert!(refused(folder.path()).contains("missing manifest"));
        fs::write(path.join("_manifest"), "a file of someone else, long enough for a header")
            .unwrap();
        assert!(refused(&path).contains("does not begin as one does"));
        fs::remove_file(path.join("_manifest")).unwrap();
        assert!(refused(&path).contains("incomplete"));
    });
}

#[test]
fn rows_of_another_type_and_files_of_another_checkpoint_are_errors() {
    within(DEADLINE, || {
        let ((_one, path), (_two, other)) = (
            written(),
            written_of(|partition| (0..partition * 20).map(|n| noise(n + 7)).collect()),
        );
        let read = context().read_checkpoint::<(String, u8)>(&path);
        let error =
            assert_kind(read.collect(), |kind| matches!(kind, ErrorKind::InvalidCheckpoint { .. }));
        assert!(error.to_string().contains("String, u8)"), "{error}");
        fs::copy(other.join("part-00002"), path.join("part-00002")).unwrap();
        assert!(refused(&path).contains("checksum"));
        let (_three, path) = written_of(|_| numbers(40));
        fs::copy(path.join("part-00001"), path.join("part-00002")).unwrap();
        assert!(
            refused(&path).contains("checksum"),
            "the rows are right, but of another partition"
        );
    });
}

#[test]
fn a_file_of_an_earlier_checkpoint_that_differs_in_a_late_row_is_an_error() {
    within(DEADLINE, || {
        let rows = |last: u64| move |_| (0..20_000).map(noise).chain([last]).collect();
        let ((_one, path), (_two, other)) = (written_of(rows(1)), written_of(rows(2)));
        let bytes = |path: &Path| fs::read(path.join("part-00001")).unwrap();
        let one = bytes(&path);
        let two = bytes(&other);
        assert!(one.len() == two.len() && one[..16_000] == two[..16_000] && one != two);
        fs::write(path.join("part-00001"), two).unwrap();
        assert!(refused(&path).contains("another checkpoint"), "{}", refused(&path));
    });
}

#[test]
fn two_runs_of_one_program_write_the_same_checkpoint_bytes() {
    within(DEADLINE, || {
        let run = |threads| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(format!("saved on {threads}"));
            let ctx = Context::builder().threads(threads).build().unwrap();
            let sums = ctx.range_with(5, 0..30_000_u64).map(|n| (n % 9_000, n));
            sums.reduce_by_key(|a, b| a + b).checkpoint(&path).map(drop).unwrap();
            let names = ["_manifest", "part-00000", "part-00001", "part-00004"];
            names.map(|name| fs::read(path.join(name)).unwrap())
        };
        let first = run(1);
        assert!(run(1) == first && run(4) == first);
    });
}

#[test]
fn every_truncation_and_every_flipped_bit_of_every_file_is_an_error() {
    within(DEADLINE, || {
        let (_folder, path) = written();
        let ctx = context();
        let is_refused = || {
            let answer = ctx.read_checkpoint::<u64>(&path).collect();
            matches!(answer, Err(error) if matches!(error.kind(), ErrorKind::InvalidCheckpoint { .. }))
        };
        for name in ["_manifest", "part-00001", "part-00002"] {
            let file = path.join(name);
            let whole = fs::read(&file).unwrap();
            for end in 0..whole.len() {
                fs::write(&file, &whole[..end]).unwrap();
                assert!(is_refused(), "{name} cut at {end}");
            }
            for at in 0..whole.len() {
                let mut wrong = whole.clone();
                wrong[at] ^= 1 << (at % 8);
                fs::write(&file, wrong).unwrap();
                assert!(is_refused(), "{name} with another bit in byte {at}");
            }
            fs::write(&file, [&whole[..], b"x"].concat()).unwrap();
            assert!(is_refused(), "{name} with a byte more");
            fs::write(&file, whole).unwrap();
        }
        fs::write(path.join("part-00000"), "x").unwrap();
        assert!(is_refused(), "an empty partition that is not empty");
        fs::write(path.join("part-00000"), "").unwrap();
        assert_eq!(ctx.read_checkpoint::<u64>(&path).collect().unwrap(), rows());
    });
}

#[test]
fn a_checkpoint_leaves_an_existing_path_untouched() {
    within(DEADLINE, || {
        let (_folder, path) = written();
        let answer = context().range(0..9_u64).checkpoint(&path).map(drop);
        assert_kind(answer, |kind| matches!(kind, ErrorKind::OutputExists { .. }));
        assert_eq!(context().read_checkpoint::<u64>(&path).collect().unwrap(), rows());
    });
}

#[test]
fn a_disk_error_leaves_a_complete_checkpoint_or_none() {
    within(DEADLINE, || {
        let run = |plan: fn(u64) -> FaultPlan, operation: u64| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("saved");
            let faults = plan(operation).under(folder.path()).arm();
            let ctx = Context::builder().threads(1).faults(&faults).build().unwrap();
            let saved = ctx.range_with(3, 0..60_u64).checkpoint(&path).map(drop);
            let fired = faults.fired();
            match saved {
                Ok(()) => {
                    let read = context().read_checkpoint::<u64>(&path).collect().unwrap();
                    assert!(read.into_iter().eq(0..60), "operation {operation}");
                }
                Err(error) => {
                    let is_io = matches!(error.kind(), ErrorKind::Io { .. });
                    assert!(is_io && fired > 0, "operation {operation}: {error}");
                    let whole = context().read_checkpoint::<u64>(&path).collect();
                    assert!(whole.is_err() || whole.is_ok_and(|rows| rows.len() == 60));
                }
            }
            (fired, faults.disk_operations(), path.exists())
        };
        let (_, operations, _) = run(|_| FaultPlan::new(), 0);
        for operation in 0..operations {
            let once = |at| FaultPlan::new().fail_disk_operation(at);
            assert_eq!(run(once, operation).0, 1);
            let from = |at| FaultPlan::new().fail_from(at);
            assert!(run(from, operation).0 > 0);
        }
    });
}

#[test]
fn a_failed_job_leaves_no_checkpoint() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let rows = context().range_with(4, 0..400_u64).map(|n| {
            assert!(n != 399, "boom");
            n
        });
        let error = rows.checkpoint(folder.path().join("saved")).map(drop).unwrap_err();
        assert!(error.to_string().contains("boom"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    });
}
