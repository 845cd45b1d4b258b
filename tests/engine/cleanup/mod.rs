//! Memory and files are freed with their handles, and what the disk loses is recomputed.

mod faults;

use crate::events::{Recorder, count_of};
use emberline::ContextBuilder;
use emberline::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;
use testkit::{DEADLINE, eventually, within};

/// Returns a directory for scratch files, and a builder that spills all shuffles there.
pub fn scratch() -> (TempDir, ContextBuilder) {
    let folder = tempfile::tempdir().unwrap();
    let builder = Context::builder().threads(2).force_spill(true);
    let builder = builder.scratch_dir(folder.path());
    (folder, builder)
}

/// Returns all files in a directory except the locks of scratch directories.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut stack = vec![folder.to_path_buf()];
    while let Some(folder) = stack.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_lock = path.extension().is_some_and(|extension| extension == "lock");
            match path.is_dir() {
                true => stack.push(path),
                false if is_lock => {}
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// Runs a shuffle of four map tasks and three reduce tasks.
fn sums(ctx: &Context) -> Rdd<(u64, u64)> {
    ctx.range_with(4, 0..400_u64)
        .map(|n| (n % 10, n))
        .with_partitions(3)
        .reduce_by_key(|a, b| a + b)
}

#[test]
fn shuffle_files_live_as_long_as_a_handle() {
    within(DEADLINE, || {
        let (folder, builder) = scratch();
        let ctx = builder.build().unwrap();
        let rows = sums(&ctx);
        assert!(files(folder.path()).is_empty(), "nothing is written before an action");
        assert_eq!(rows.count().unwrap(), 10);
        let made = files(folder.path());
        assert!(!made.is_empty());
        let downstream = rows.map(|(key, _)| key);
        drop(rows);
        assert_eq!(files(folder.path()), made);
        assert_eq!(downstream.count().unwrap(), 10);
        drop(downstream);
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
    });
}

#[test]
fn the_scratch_directory_is_deleted_with_the_last_handle() {
    within(DEADLINE, || {
        let (folder, builder) = scratch();
        let ctx = builder.build().unwrap();
        let rows = sums(&ctx);
        rows.count().unwrap();
        drop(ctx);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(rows);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    });
}

#[test]
fn a_job_in_memory_does_not_touch_the_disk() {
    within(DEADLINE, || {
        let (folder, builder) = scratch();
        let ctx = builder.force_spill(false).build().unwrap();
        let cached = sums(&ctx).cache();
        assert_eq!(cached.count().unwrap() + cached.count().unwrap(), 20);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    });
}

#[cfg(unix)]
#[test]
fn scratch_directories_and_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    within(DEADLINE, || {
        let (folder, builder) = scratch();
        let rows = sums(&builder.build().unwrap());
        rows.count().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let made = files(folder.path());
        let own = made[0].parent().unwrap();
        assert_eq!(mode(own), 0o700);
        let all: Vec<PathBuf> = fs::read_dir(own).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(all.len(), made.len() + 1, "the files and the lock: {all:?}");
        for file in all {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    });
}

// Case F087 of tests/PROMISES.md.
#[test]
fn a_failed_job_leaves_no_file() {
    within(DEADLINE, || {
        let (folder, builder) = scratch();
        let ctx = builder.max_attempts(2).build().unwrap();
        for side in 0..2 {
            let rows = sums(&ctx).map(move |(key, sum)| {
                assert!(side == 0 || key != 7, "boom");
                (sum, key)
            });
            let broken = rows.map(move |(sum, key)| {
                assert!(side == 1 || key != 7, "boom");
                (key % 2, sum)
            });
            let groups = broken.group_by_key();
            groups.count().unwrap_err();
            drop((rows, broken, groups));
            eventually("a folder without files", || files(folder.path()).is_empty());
        }
        drop(ctx);
        eventually("an empty folder", || fs::read_dir(folder.path()).unwrap().count() == 0);
    });
}

/// Rows that count how many of them are alive. Each test has its own count.
mod alive {
    use serde::{Deserialize, Serialize};
    use std::sync::atomic::{AtomicI64, Ordering};

    pub static ROWS: AtomicI64 = AtomicI64::new(0);

    #[derive(Serialize, Deserialize)]
    #[serde(from = "u64", into = "u64")]
    pub struct Row(u64);

    impl From<u64> for Row {
        fn from(n: u64) -> Row {
            ROWS.fetch_add(1, Ordering::SeqCst);
            Row(n)
        }
    }

    impl From<Row> for u64 {
        fn from(row: Row) -> u64 {
            row.0
        }
    }

    impl Clone for Row {
        fn clone(&self) -> Row {
            Row::from(self.0)
        }
    }

    impl Drop for Row {
        fn drop(&mut self) {
            ROWS.fetch_sub(1, Ordering::SeqCst);
        }
    }

    pub fn now() -> i64 {
        ROWS.load(Ordering::SeqCst)
    }
}

// Case F073 of tests/PROMISES.md.
#[test]
fn rows_of_shuffles_blocks_and_sources_are_freed_with_their_handles() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let source = ctx.parallelize_with(2, (0..50).map(alive::Row::from).collect::<Vec<_>>());
        assert_eq!(alive::now(), 50);
        let shuffled = source.repartition(3);
        shuffled.count().unwrap();
        assert_eq!(alive::now(), 100, "the source and the shuffle");
        let cached = shuffled.cache();
        cached.count().unwrap();
        assert_eq!(alive::now(), 150, "and the blocks");
        cached.unpersist();
        assert_eq!(alive::now(), 100);
        cached.count().unwrap();
        assert_eq!(alive::now(), 100, "nothing is stored any more");
        drop((cached, shuffled));
        assert_eq!(alive::now(), 50);
        let again = source.cache();
        again.count().unwrap();
        assert_eq!(alive::now(), 100);
        drop(again);
        assert_eq!(alive::now(), 50);
        source.map(|_| -> u8 { panic!("boom") }).repartition(2).count().unwrap_err();
        eventually("the rows of the failed job to go", || alive::now() == 50);
        drop(source);
        // The other task of the failed job may hold its lineage a moment longer.
        eventually("the rows of the source to go", || alive::now() == 0);
    });
}

#[test]
fn captured_values_are_freed_with_the_last_handle() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let captured = Arc::new(());
        for action in 0..3 {
            let one = Arc::clone(&captured);
            let two = Arc::clone(&captured);
            let rows = ctx
                .range_with(4, 0..40_u64)
                .map(move |n| (n % 3, n + Arc::strong_count(&one) as u64));
            let sums = rows.reduce_by_key(move |a, b| a + b * Arc::strong_count(&two) as u64);
            match action {
                0 => drop(sums.clone()),
                1 => drop(sums.count().unwrap()),
                _ => drop(sums.sort_pairs().cache().first().unwrap()),
            }
            assert!(Arc::strong_count(&captured) >= 3);
            drop((rows, sums));
            assert_eq!(Arc::strong_count(&captured), 1, "after action {action}");
        }
        let one = Arc::clone(&captured);
        let broken = ctx.range_with(8, 0..40_u64).map(move |n| {
            assert!(n != 3 || Arc::strong_count(&one) == 0, "boom");
            n
        });
        broken.count().unwrap_err();
        drop(broken);
        eventually("a closure of a failed job to go", || Arc::strong_count(&captured) == 1);
    });
}

// Case F066 of tests/PROMISES.md.
#[test]
fn an_unpersisted_rdd_is_recomputed() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let cached = ctx.range_with(2, 0..10_u64).map(move |n| {
            counter.fetch_add(1, Ordering::SeqCst);
            n
        });
        let cached = cached.cache();
        for want in [10, 10] {
            assert_eq!(cached.count().unwrap(), 10);
            assert_eq!(calls.load(Ordering::SeqCst), want);
        }
        cached.unpersist();
        assert_eq!(count_of(&recorder.events(&ctx), "BlocksDropped"), 1);
        assert_eq!(cached.count().unwrap(), 10);
        assert_eq!(calls.load(Ordering::SeqCst), 20);
    });
}

// Case F060 of tests/PROMISES.md.
#[test]
fn partitions_beyond_the_memory_limit_are_recomputed_correctly() {
    within(DEADLINE, || {
        let builder = Context::builder().threads(2).memory_limit_bytes(1 << 20);
        let (ctx, recorder) = Recorder::on(builder);
        let cached = ctx.range_with(20, 0..400_000_u64).cache();
        for _ in 0..2 {
            assert_eq!(cached.reduce(|a, b| a + b).unwrap(), Some(399_999 * 200_000));
        }
        let stored = count_of(&recorder.events(&ctx), "BlockStored");
        assert!((1..20).contains(&stored), "{stored} blocks of 160 kB in 1 MiB");
    });
}

#[test]
fn a_shuffle_that_holds_its_own_handle_is_still_freed() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let own: Arc<OnceLock<Rdd<(u64, u64)>>> = Arc::default();
        let weak = Arc::downgrade(&own);
        let rows = ctx.range(0..9_u64).map(move |n| (n % 2, n + weak.strong_count() as u64));
        let _ = own.set(rows.reduce_by_key(|a, b| a + b));
        assert_eq!(own.get().unwrap().count().unwrap(), 2);
        let weak = Arc::downgrade(&own);
        drop((own, rows));
        assert!(weak.upgrade().is_none());
    });
}
