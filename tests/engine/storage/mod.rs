//! Storage levels: rows are correct wherever partitions are stored, and whatever happens to them there.

mod checkpoints;
mod eviction;
mod faults;
mod local_checkpoints;

use crate::events::{Recorder, count_of, kind};
use crate::support::*;
use emberline::prelude::*;
use emberline::{StorageLevel, config::Compression, event::Event};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{DEADLINE, within};

pub const LEVELS: [StorageLevel; 5] = [
    StorageLevel::Memory,
    StorageLevel::MemoryAndDisk,
    StorageLevel::Disk,
    StorageLevel::SerializedMemory,
    StorageLevel::SerializedMemoryAndDisk,
];

/// The number of calls of a closure.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// Returns the number of calls since the last check.
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }

    /// Numbers up to `end`, counted as they are computed.
    fn range(&self, ctx: &Context, partitions: usize, end: u64) -> Rdd<u64> {
        let calls = Arc::clone(&self.0);
        let count = move |n: u64| {
            calls.fetch_add(1, Ordering::SeqCst);
            noise(n)
        };
        ctx.range_with(partitions, 0..end).map(count).boxed()
    }
}

/// Counts the stored blocks in memory and on disk that the events report.
fn stored(events: &[Event]) -> (u64, u64) {
    events.iter().fold((0, 0), |(memory, files), event| match event {
        Event::BlockStored { memory_bytes, file_bytes, .. } => {
            (memory + memory_bytes, files + file_bytes)
        }
        _ => (memory, files),
    })
}

fn numbers(end: u64) -> Vec<u64> {
    (0..end).map(noise).collect()
}

#[test]
fn every_storage_level_returns_the_rows_of_the_oracle() {
    within(DEADLINE, || {
        for threads in [1, 4] {
            for limit_bytes in [MIN_MEMORY_LIMIT_BYTES, 1 << 30] {
                for compression in [Compression::Lz4, Compression::None] {
                    let builder =
                        Context::builder().threads(threads).memory_limit_bytes(limit_bytes);
                    let ctx = builder.spill_compression(compression).build().unwrap();
                    for level in LEVELS {
                        reads_right(&ctx, level);
                    }
                }
            }
        }
    });
}

/// Reads one RDD in every way there is, twice.
fn reads_right(ctx: &Context, level: StorageLevel) {
    let rows = numbers(60_000);
    let persisted = spread(ctx, 7, &rows).persist(level);
    for _ in 0..2 {
        assert!(persisted.collect().unwrap() == rows, "{level}");
        assert_eq!(persisted.count().unwrap(), rows.len() as u64, "{level}");
        assert_eq!(persisted.take(5).unwrap(), rows[..5], "{level}");
        let lent = persisted.refs().map(|n| n.wrapping_add(1));
        assert!(lent.collect().unwrap().into_iter().eq(rows.iter().map(|n| n.wrapping_add(1))));
        let first = lent.take(3).unwrap();
        assert!(first.into_iter().eq(rows[..3].iter().map(|n| n.wrapping_add(1))), "{level}");
        let sums = persisted.map(|n| (n % 3, 1_u64)).reduce_by_key(|a, b| a + b);
        assert_eq!(sums.map(|(_, n)| n).reduce(|a, b| a + b).unwrap(), Some(60_000), "{level}");
    }
}

#[test]
fn rows_that_own_memory_and_empty_partitions_survive_every_level() {
    within(DEADLINE, || {
        let rows: Vec<(String, Option<Vec<u8>>)> =
            (0..300).map(|n| ("x".repeat(n % 9), (n % 2 == 0).then(|| vec![1; n]))).collect();
        for level in LEVELS {
            let ctx = context();
            let persisted = ctx.parallelize_with(400, rows.clone()).persist(level);
            assert_eq!(persisted.collect().unwrap(), rows);
            assert_eq!(persisted.collect().unwrap(), rows);
            let plan = persisted.explain().to_string();
            assert!(plan.contains("400 of 400 partitions stored, 300 rows"), "{plan}");
        }
    });
}

// Case F062 of tests/PROMISES.md.
#[test]
fn each_storage_level_stores_every_partition_where_it_promises() {
    within(DEADLINE, || {
        for level in LEVELS {
            let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
            let calls = Calls::default();
            let persisted = calls.range(&ctx, 5, 50_000).persist(level);
            assert!(persisted.collect().unwrap() == numbers(50_000));
            assert_eq!(calls.take(), 50_000);
            let events = recorder.events(&ctx);
            assert_eq!(count_of(&events, "BlockStored"), 5);
            let (memory, files) = stored(&events);
            let on_disk = level == StorageLevel::Disk;
            assert_eq!((memory == 0, files > 0), (on_disk, on_disk), "{level}");
            assert!(persisted.collect().unwrap() == numbers(50_000));
            assert_eq!(calls.take(), 0, "{level}");
            let plan = persisted.explain().to_string();
            let location = if on_disk { "in files" } else { "in memory" };
            assert!(plan.contains("5 of 5 partitions stored") && plan.contains(location), "{plan}");
            let named = level == StorageLevel::Memory || plan.contains(&format!("{level}: "));
            assert!(named, "{plan}");
        }
    });
}

#[test]
fn serialized_blocks_take_less_memory_than_rows() {
    within(DEADLINE, || {
        let took = [StorageLevel::Memory, StorageLevel::SerializedMemory].map(|level| {
            let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
            let words = ctx.range_with(2, 0..20_000_u64).map(|n| format!("word {}", n % 10));
            words.persist(level).count().unwrap();
            stored(&recorder.events(&ctx)).0
        });
        assert!(took[1] * 4 < took[0], "{took:?}");
    });
}

// Case F060 of tests/PROMISES.md.
#[test]
fn partitions_that_do_not_fit_are_recomputed_or_written_to_disk() {
    within(DEADLINE, || {
        for level in LEVELS {
            let builder = Context::builder().threads(2).memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES);
            let (ctx, recorder) = Recorder::on(builder);
            let calls = Calls::default();
            let persisted = calls.range(&ctx, 20, 400_000).persist(level);
            let sum = numbers(400_000).into_iter().fold(0, u64::wrapping_add);
            for _ in 0..2 {
                assert_eq!(persisted.reduce(u64::wrapping_add).unwrap(), Some(sum));
            }
            let events = recorder.events(&ctx);
            let stored = count_of(&events, "BlockStored");
            let has_disk = level.to_string().contains("disk");
            match has_disk {
                true => assert_eq!((stored, calls.take()), (20, 400_000), "{level}"),
                false => {
                    assert!((1..20).contains(&stored), "{level}: {stored} blocks");
                    let computed = calls.take();
                    assert!((400_001..800_000).contains(&computed), "{level}: {computed}");
                }
            }
            assert_eq!(count_of(&events, "BlockEvicted"), 0, "{level}: of its own RDD");
        }
    });
}

// Case F060 of tests/PROMISES.md.
#[test]
fn a_partition_larger_than_the_memory_limit_is_correct_and_not_in_memory() {
    within(DEADLINE, || {
        for level in LEVELS {
            let builder = Context::builder()
                .threads(1)
                .memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES)
                .max_result_bytes(u64::MAX);
            let (ctx, recorder) = Recorder::on(builder);
            let persisted = ctx.range_with(1, 0..300_000_u64).map(noise).persist(level);
            for _ in 0..2 {
                assert!(persisted.collect().unwrap() == numbers(300_000), "{level}");
                assert_eq!(persisted.refs().map(|n| *n).count().unwrap(), 300_000, "{level}");
            }
            let (memory, files) = stored(&recorder.events(&ctx));
            let has_disk = level.to_string().contains("disk");
            assert_eq!((memory, files > 2_000_000), (0, has_disk), "{level}");
        }
    });
}

#[test]
fn a_partition_beyond_the_task_memory_limit_is_stored_if_the_pool_has_room() {
    within(DEADLINE, || {
        for level in [StorageLevel::Memory, StorageLevel::SerializedMemory] {
            let builder = Context::builder()
                .threads(1)
                .task_memory_bytes(64 << 10)
                .memory_limit_bytes(64 << 20);
            let (ctx, recorder) = Recorder::on(builder);
            let persisted = ctx.range_with(1, 0..300_000_u64).map(noise).persist(level);
            assert!(persisted.collect().unwrap() == numbers(300_000));
            let events = recorder.events(&ctx);
            let (memory, files) = stored(&events);
            assert!((2_300_000..3_000_000).contains(&memory) && files == 0, "{level}: {memory}");
        }
    });
}

// Case F066 of tests/PROMISES.md.
#[test]
fn unpersist_deletes_blocks_and_files_before_it_returns() {
    within(DEADLINE, || {
        for level in LEVELS {
            let folder = tempfile::tempdir().unwrap();
            let builder = Context::builder().threads(2).scratch_dir(folder.path());
            let (ctx, recorder) = Recorder::on(builder);
            let calls = Calls::default();
            let persisted = calls.range(&ctx, 3, 3_000).persist(level);
            for _ in 0..2 {
                assert_eq!(persisted.count().unwrap(), 3_000);
            }
            assert_eq!(calls.take(), 3_000);
            assert_eq!(files_in(folder.path()) > 0, level == StorageLevel::Disk);
            persisted.unpersist();
            assert_eq!(files_in(folder.path()), 0, "{level}");
            assert!(persisted.explain().to_string().contains("0 of 3 partitions stored"));
            assert_eq!(count_of(&recorder.events(&ctx), "BlocksDropped"), 1);
            for _ in 0..2 {
                assert_eq!(persisted.count().unwrap(), 3_000);
            }
            assert_eq!((calls.take(), files_in(folder.path())), (6_000, 0), "{level}");
        }
    });
}

// Case F073 of tests/PROMISES.md.
#[test]
fn the_last_handle_frees_blocks_and_files() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = Context::builder().threads(2).scratch_dir(folder.path()).build().unwrap();
        let persisted = ctx.range_with(3, 0..3_000_u64).persist(StorageLevel::Disk);
        let child = persisted.map(|n| n + 1);
        assert_eq!(child.count().unwrap(), 3_000);
        drop(persisted);
        assert_eq!(files_in(folder.path()), 3);
        drop(child);
        assert_eq!(files_in(folder.path()), 0);
    });
}

/// Returns the files of blocks in a scratch directory.
fn files_in(folder: &std::path::Path) -> usize {
    block_files(folder).len()
}

fn block_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut stack = vec![folder.to_path_buf()];
    while let Some(folder) = stack.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_run = path.file_name().unwrap().to_string_lossy().starts_with("run-");
            match path.is_dir() {
                true => stack.push(path),
                false => found.extend(is_run.then_some(path)),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_persisted_rdd_keeps_its_partitioner_and_its_shuffle_does_not_run_again() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        let pairs = ctx.range_with(3, 0..90_u64).map(|n| (n % 9, n));
        let persisted = pairs.with_partitions(4).group_by_key().persist(StorageLevel::Disk);
        let plan = persisted.join(&persisted.map_values(|list| list.len())).explain().to_string();
        assert_eq!(plan.matches("writes a shuffle").count(), 1, "{plan}");
        persisted.count().unwrap();
        recorder.events(&ctx);
        assert_eq!(persisted.collect().unwrap().len(), 9);
        let events = recorder.events(&ctx);
        assert_eq!(events.iter().filter(|event| kind(event) == "StageStarted").count(), 1);
    });
}
