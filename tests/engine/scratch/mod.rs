//! Scratch files: their directories, their quota, and orphans of dead processes.

mod orphans;

use crate::support::{assert_kind, sorted};
use emberline::fault::FaultPlan;
use emberline::prelude::*;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use testkit::{DEADLINE, within};

/// Makes a shuffle of eight map tasks, each of which spills one file of about 4 kB.
fn sums(ctx: &Context) -> Rdd<(u64, u64)> {
    ctx.range_with(8, 0..8_000_u64)
        .map(|n| (n % 1_000, n))
        .with_partitions(3)
        .reduce_by_key(|a, b| a + b)
}

fn wanted() -> Vec<(u64, u64)> {
    (0..1_000).map(|key| (key, (0..8).map(|n| n * 1_000 + key).sum())).collect()
}

fn folders<const N: usize>() -> [TempDir; N] {
    [0; N].map(|_| tempfile::tempdir().unwrap())
}

fn to_files(folders: &[TempDir]) -> emberline::ContextBuilder {
    let builder = Context::builder().threads(2).force_spill(true);
    builder.scratch_dirs(folders.iter().map(TempDir::path))
}

/// Counts the scratch files in the scratch directory that a context made in `parent`.
fn files_in(parent: &Path) -> usize {
    let made: Vec<_> = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [folder] = &made[..] else { panic!("not one folder: {made:?}") };
    fs::read_dir(folder).unwrap().count() - 1
}

#[test]
fn files_are_spread_over_all_scratch_directories_and_deleted_from_all() {
    within(DEADLINE, || {
        let folders = folders::<3>();
        let ctx = to_files(&folders).build().unwrap();
        let rows = sums(&ctx);
        assert_eq!(sorted(rows.collect().unwrap()), wanted());
        let files = folders.each_ref().map(|folder| files_in(folder.path()));
        assert_eq!(sorted(files.to_vec()), [2, 3, 3]);
        drop((rows, ctx));
        for folder in &folders {
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    });
}

#[test]
fn a_full_or_failing_disk_is_skipped_and_the_answer_is_right() {
    within(DEADLINE, || {
        let plans = [
            FaultPlan::new().fail_from(0),
            // The first task that writes there fails, and its next attempt writes to another directory.
            FaultPlan::new().full_after(10),
        ];
        for plan in plans {
            let folders = folders::<2>();
            let faults = plan.under(folders[0].path()).arm();
            let ctx = to_files(&folders).faults(&faults).build().unwrap();
            let rows = sums(&ctx);
            assert_eq!(sorted(rows.collect().unwrap()), wanted());
            assert!(faults.fired() > 0);
            assert_eq!(files_in(folders[1].path()), 8);
        }
    });
}

#[test]
fn exceeding_the_quota_is_an_error_with_advice() {
    within(DEADLINE, || {
        let folders = folders::<2>();
        let ctx = to_files(&folders).scratch_quota_bytes(10_000).build().unwrap();
        let rows = sums(&ctx);
        let passed = |kind: &ErrorKind| matches!(kind, ErrorKind::ScratchQuotaExceeded { .. });
        let error = assert_kind(rows.count(), passed);
        let text = error.to_string();
        assert!(text.contains("scratch_quota_bytes (10000)"), "{text}");
        assert!(text.contains("raise the quota") && text.contains("scratch/mod.rs"), "{text}");
        assert_eq!(error.attempts(), 1, "trying again would not help: {text}");
    });
}

#[test]
fn the_quota_counts_live_files_only() {
    within(DEADLINE, || {
        let folders = folders::<1>();
        let once = {
            let ctx = to_files(&folders).build().unwrap();
            let rows = sums(&ctx);
            rows.count().unwrap();
            bytes_below(folders[0].path())
        };
        let ctx = to_files(&folders).scratch_quota_bytes(once).build().unwrap();
        for _ in 0..5 {
            let rows = sums(&ctx);
            assert_eq!(sorted(rows.collect().unwrap()), wanted());
        }
        let one = sums(&ctx);
        let two = sums(&ctx);
        one.count().unwrap();
        let passed = |kind: &ErrorKind| matches!(kind, ErrorKind::ScratchQuotaExceeded { .. });
        assert_kind(two.count(), passed);
        drop(one);
        assert_eq!(two.count().unwrap(), 1_000);
    });
}

fn bytes_below(parent: &Path) -> u64 {
    let folder = fs::read_dir(parent).unwrap().next().unwrap().unwrap().path();
    let sizes = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    sizes.sum()
}

#[test]
fn the_quota_is_for_files_and_not_for_memory() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).scratch_quota_bytes(1).build().unwrap();
        assert_eq!(sorted(sums(&ctx).collect().unwrap()), wanted());
    });
}
