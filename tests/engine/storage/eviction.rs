//! Eviction of stored blocks, as a user sees it.

use super::*;
use std::thread;
use testkit::{DEADLINE, within};

/// Makes about 400 KiB in four partitions, with a memory limit of 1 MiB.
fn some(ctx: &Context, calls: &Calls, level: StorageLevel) -> Rdd<u64> {
    calls.range(ctx, 4, 50_000).persist(level)
}

fn small() -> (Context, Recorder) {
    Recorder::on(Context::builder().threads(1).memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES))
}

// Case F064 of tests/PROMISES.md.
#[test]
fn a_new_rdd_evicts_the_least_recently_used_one() {
    within(DEADLINE, || {
        let (ctx, recorder) = small();
        let calls = Calls::default();
        let [old, used, new] = [0, 1, 2].map(|_| some(&ctx, &calls, StorageLevel::Memory));
        for rdd in [&old, &used, &old, &used] {
            assert_eq!(rdd.count().unwrap(), 50_000);
        }
        assert_eq!(calls.take(), 100_000);
        assert_eq!(count_of(&recorder.events(&ctx), "BlockEvicted"), 0);
        assert_eq!(new.count().unwrap(), 50_000);
        assert!(count_of(&recorder.events(&ctx), "BlockEvicted") > 0);
        calls.take();
        assert_eq!(new.count().unwrap() + used.count().unwrap(), 100_000);
        assert_eq!(calls.take(), 0, "these two fit");
        assert!(old.collect().unwrap() == numbers(50_000));
        assert!(calls.take() > 0);
    });
}

#[test]
fn blocks_evicted_to_disk_are_not_recomputed() {
    within(DEADLINE, || {
        for level in [StorageLevel::MemoryAndDisk, StorageLevel::SerializedMemoryAndDisk] {
            let (ctx, recorder) = small();
            let calls = Calls::default();
            let all: Vec<Rdd<u64>> = (0..4).map(|_| some(&ctx, &calls, level)).collect();
            for _ in 0..3 {
                for rdd in &all {
                    assert!(rdd.collect().unwrap() == numbers(50_000));
                }
            }
            assert_eq!(calls.take(), 200_000, "{level}");
            let events = recorder.events(&ctx);
            let moved = events.iter().filter_map(|event| match event {
                Event::BlockEvicted { memory_bytes, file_bytes, .. } => {
                    Some((*memory_bytes, *file_bytes))
                }
                _ => None,
            });
            let moved: Vec<(u64, u64)> = moved.collect();
            assert!(!moved.is_empty() && moved.iter().all(|moved| moved.0 > 0 && moved.1 > 0));
            let plan = all[0].explain().to_string();
            assert!(
                plan.contains("4 of 4 partitions stored") && plan.contains("in files"),
                "{plan}"
            );
        }
    });
}

#[test]
fn running_tasks_evict_the_cache_down_to_half_of_the_memory_limit() {
    within(DEADLINE, || {
        let (ctx, recorder) = small();
        let persisted = ctx.range_with(20, 0..120_000_u64).persist(StorageLevel::MemoryAndDisk);
        assert_eq!(persisted.count().unwrap(), 120_000);
        assert_eq!(count_of(&recorder.events(&ctx), "BlockEvicted"), 0);
        let pairs = ctx.range_with(4, 0..40_000_u64).map(|n| (n, n));
        assert_eq!(pairs.partition_by(4).count().unwrap(), 40_000);
        assert!(count_of(&recorder.events(&ctx), "BlockEvicted") > 0);
        let plan = persisted.explain().to_string();
        assert!(plan.contains("20 of 20 partitions stored"), "{plan}");
        assert_eq!(persisted.reduce(|a, b| a + b).unwrap(), Some(59_999 * 120_000 + 60_000));
    });
}

#[test]
fn a_block_that_cannot_be_written_during_eviction_is_recomputed() {
    within(DEADLINE, || {
        /// A row that refuses to be written.
        #[derive(Clone, serde::Deserialize)]
        struct Stubborn(u64);
        impl serde::Serialize for Stubborn {
            fn serialize<S: serde::Serializer>(
                &self,
                to: S,
            ) -> std::result::Result<S::Ok, S::Error> {
                match to.is_human_readable() || self.0 == 7 {
                    true => Err(serde::ser::Error::custom("no")),
                    false => to.serialize_u64(self.0),
                }
            }
        }
        let (ctx, _) = small();
        let stubborn = ctx.range_with(1, 0..50_000_u64).map(Stubborn);
        let persisted = stubborn.persist(StorageLevel::MemoryAndDisk);
        let sum = || persisted.map(|row| row.0).reduce(|a, b| a + b).unwrap();
        assert_eq!(sum(), Some(24_999 * 50_000 + 25_000));
        for _ in 0..3 {
            let other = ctx.range_with(8, 0..110_000_u64).cache();
            assert_eq!(other.count().unwrap(), 110_000);
            assert_eq!(sum(), Some(24_999 * 50_000 + 25_000));
        }
    });
}

#[test]
fn many_threads_persist_evict_and_read_concurrently() {
    within(DEADLINE, || {
        let ctx = Context::builder()
            .threads(4)
            .memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES)
            .build()
            .unwrap();
        let persisted: Vec<Rdd<u64>> =
            LEVELS.map(|level| ctx.range_with(4, 0..40_000_u64).map(noise).persist(level)).into();
        let want = numbers(40_000);
        let sum = want.iter().fold(0, |a: u64, b| a.wrapping_add(*b));
        let jobs = (0..4_usize).map(|thread| {
            let persisted = persisted.clone();
            let want = want.clone();
            thread::spawn(move || {
                for round in 0..6 {
                    let rdd = &persisted[(round + thread) % persisted.len()];
                    assert!(rdd.collect().unwrap() == want);
                    let lent = rdd.refs().map(|n| *n).reduce(u64::wrapping_add).unwrap();
                    assert_eq!(lent, Some(sum));
                    let sums = rdd.map(|n| (n % 500, 1_u64)).reduce_by_key(|a, b| a + b);
                    assert_eq!(sums.count().unwrap(), 500);
                    if thread == 3 {
                        rdd.map(|n| n / 2).persist(LEVELS[round % 5]).count().unwrap();
                    }
                }
            })
        });
        jobs.collect::<Vec<_>>().into_iter().for_each(|job| job.join().unwrap());
    });
}
