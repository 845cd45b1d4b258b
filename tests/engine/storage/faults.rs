//! Blocks that are lost, and partitions that are never completed.

use super::*;
use emberline::fault::FaultPlan;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use testkit::{DEADLINE, within};

/// A fault of the file of a block.
type Damage = fn(&Path);

const DAMAGES: [(&str, Damage); 4] = [
    ("removed", |path| std::fs::remove_file(path).unwrap()),
    ("cut", |path| cut(path, 3)),
    ("emptied", |path| cut(path, u64::MAX)),
    ("flipped", |path| {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() * 3 / 4;
        bytes[middle] ^= 4;
        std::fs::write(path, bytes).unwrap();
    }),
];

fn cut(path: &Path, bytes: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(len.saturating_sub(bytes)).unwrap();
}

// Case F063 of tests/PROMISES.md.
#[test]
fn a_block_whose_file_is_lost_or_damaged_is_dropped_and_recomputed() {
    within(DEADLINE, || {
        for (name, damage) in DAMAGES {
            let folder = tempfile::tempdir().unwrap();
            let builder = Context::builder().threads(2).scratch_dir(folder.path());
            let (ctx, recorder) = Recorder::on(builder);
            let calls = Calls::default();
            let persisted = calls.range(&ctx, 3, 60_000).persist(StorageLevel::Disk);
            assert_eq!(persisted.count().unwrap(), 60_000);
            assert_eq!(calls.take(), 60_000);
            block_files(folder.path()).iter().take(2).for_each(|path| damage(path));
            assert!(persisted.collect().unwrap() == numbers(60_000), "{name}");
            assert_eq!(calls.take(), 40_000, "{name}: two partitions were computed again");
            let events = recorder.events(&ctx);
            assert_eq!(count_of(&events, "BlockLost"), 2, "{name}");
            assert_eq!(count_of(&events, "BlockStored"), 5, "{name}");
            assert!(persisted.collect().unwrap() == numbers(60_000), "{name}");
            assert_eq!(calls.take(), 0, "{name}: they are persisted again");
        }
    });
}

// Case F063 of tests/PROMISES.md.
#[test]
fn a_lost_block_downstream_of_a_shuffle_reruns_the_shuffle() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = Context::builder().threads(2).scratch_dir(folder.path()).build().unwrap();
        let pairs = ctx.range_with(3, 0..900_u64).map(|n| (n % 90, n));
        let sums = pairs.with_partitions(3).reduce_by_key(|a, b| a + b).persist(StorageLevel::Disk);
        let want = sums.collect().unwrap();
        block_files(folder.path()).iter().for_each(|path| cut(path, 1));
        assert_eq!(sums.collect().unwrap(), want);
    });
}

#[test]
fn a_disk_error_while_storing_blocks_never_fails_a_job() {
    within(DEADLINE, || {
        for level in [StorageLevel::Disk, StorageLevel::MemoryAndDisk] {
            let run = |plan: FaultPlan| {
                let faults = plan.arm();
                let builder = Context::builder()
                    .threads(1)
                    .memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES)
                    .max_result_bytes(u64::MAX);
                let ctx = builder.faults(&faults).build().unwrap();
                let before = faults.disk_operations();
                let persisted = ctx.range_with(3, 0..200_000_u64).map(noise).persist(level);
                for _ in 0..2 {
                    let rows =
                        persisted.collect().unwrap_or_else(|error| panic!("{level}: {error}"));
                    assert!(rows == numbers(200_000), "{level}");
                }
                (before, faults.disk_operations(), faults.fired())
            };
            let (first, end, _) = run(FaultPlan::new());
            assert!(end > first, "{level}: nothing went to disk");
            let step = ((end - first) / 25).max(1);
            for operation in (first..end).step_by(step as usize) {
                let plan = FaultPlan::new().fail_disk_operation(operation);
                // The last operations remove files, which a run may not have reached when the counter is read.
                let fired = run(plan).2;
                assert!(fired == 1 || operation * 10 > end * 9, "{level}: operation {operation}");
            }
            let plan = FaultPlan::new().fail_from(first);
            assert!(run(plan).2 > 0, "{level}: a disk that always fails");
            let plan = FaultPlan::new().full_after(100_000);
            assert!(run(plan).2 > 0, "{level}: a disk that is full");
        }
    });
}

#[test]
fn a_scratch_quota_too_small_for_blocks_does_not_fail_the_job() {
    within(DEADLINE, || {
        for level in [StorageLevel::Disk, StorageLevel::SerializedMemoryAndDisk] {
            let builder = Context::builder()
                .threads(2)
                .memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES)
                .max_result_bytes(u64::MAX);
            let ctx = builder.scratch_quota_bytes(300_000).build().unwrap();
            let persisted = ctx.range_with(4, 0..400_000_u64).map(noise).persist(level);
            for _ in 0..2 {
                assert!(persisted.collect().unwrap() == numbers(400_000), "{level}");
            }
        }
    });
}

#[test]
fn a_row_that_fails_to_serialize_is_an_error_at_serialized_levels() {
    #[derive(Clone, Debug, serde::Deserialize)]
    struct Never;
    impl serde::Serialize for Never {
        fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }
    within(DEADLINE, || {
        let ctx = context();
        for level in LEVELS {
            let rows = ctx.range_with(2, 0..9_u32).map(|_| Never).persist(level);
            if matches!(level, StorageLevel::Memory | StorageLevel::MemoryAndDisk) {
                assert_eq!(rows.count().unwrap(), 9);
                continue;
            }
            let error =
                assert_kind(rows.count(), |kind| matches!(kind, ErrorKind::NotEncodable { .. }));
            assert!(error.to_string().contains("Never"), "{error}");
        }
    });
}

// Case F065 of tests/PROMISES.md.
#[test]
fn a_partition_that_fails_midway_is_not_stored() {
    within(DEADLINE, || {
        for level in LEVELS {
            let builder = Context::builder().threads(1).task_memory_bytes(4096);
            let (ctx, recorder) = Recorder::on(builder);
            let fails = Arc::new(std::sync::atomic::AtomicBool::new(true));
            let switch = Arc::clone(&fails);
            let persisted = ctx.range_with(1, 0..80_000_u64).map(move |n| {
                assert!(n != 79_000 || !switch.load(Ordering::SeqCst), "boom");
                noise(n)
            });
            let persisted = persisted.persist(level);
            let error = persisted.count().unwrap_err();
            assert!(error.to_string().contains("boom"), "{error}");
            assert_eq!(count_of(&recorder.events(&ctx), "BlockStored"), 0, "{level}");
            fails.store(false, Ordering::SeqCst);
            assert!(persisted.collect().unwrap() == numbers(80_000), "{level}");
            assert_eq!(count_of(&recorder.events(&ctx), "BlockStored"), 1, "{level}");
        }
    });
}

// Case F065 of tests/PROMISES.md.
#[test]
fn a_partition_whose_job_is_cancelled_midway_is_not_stored() {
    within(DEADLINE, || {
        for level in LEVELS {
            let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
            let began = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
            let first = Arc::new(std::sync::atomic::AtomicBool::new(true));
            let signal = Arc::clone(&began);
            let is_first = Arc::clone(&first);
            // Partition 0 is half computed when partition 1 fails and so cancels the job.
            let persisted = ctx.range_with(2, 0..400_000_u64).map(move |n| {
                if is_first.load(Ordering::SeqCst) {
                    let (lock, changed) = &*signal;
                    let mut began = lock.lock().unwrap();
                    if n == 5_000 {
                        *began = true;
                        changed.notify_all();
                    } else if n == 200_000 {
                        let limit = Duration::from_secs(10);
                        drop(changed.wait_timeout_while(began, limit, |began| !*began).unwrap());
                        panic!("boom");
                    }
                }
                noise(n)
            });
            let persisted = persisted.persist(level);
            assert!(persisted.count().is_err());
            first.store(false, Ordering::SeqCst);
            assert!(persisted.collect().unwrap() == numbers(400_000), "{level}");
            assert!(persisted.collect().unwrap() == numbers(400_000), "{level}");
            assert_eq!(count_of(&recorder.events(&ctx), "BlockStored"), 2, "{level}");
        }
    });
}

// Case F074 of tests/PROMISES.md.
#[test]
fn a_task_that_stops_reading_a_block_does_not_lock_it() {
    within(DEADLINE, || {
        for level in LEVELS {
            let ctx = Context::builder()
                .threads(2)
                .memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES)
                .build()
                .unwrap();
            let persisted = ctx.range_with(2, 0..50_000_u64).map(noise).persist(level);
            persisted.count().unwrap();
            for _ in 0..5 {
                assert_eq!(persisted.take(3).unwrap(), numbers(3), "{level}");
                let firsts = persisted.map_partitions(|mut rows| rows.next()).collect().unwrap();
                assert_eq!(firsts, [noise(0), noise(25_000)], "{level}");
            }
            let other = ctx.range_with(8, 0..100_000_u64).cache();
            assert_eq!(other.count().unwrap(), 100_000);
            assert!(persisted.collect().unwrap() == numbers(50_000), "{level}");
        }
    });
}
