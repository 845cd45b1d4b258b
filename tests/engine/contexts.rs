//! Contexts: settings, several at once, dropping them, and long chains of operations.

use emberline::prelude::*;
use emberline::{
    config::Compression,
    event::{Event, EventRecord},
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use testkit::{DEADLINE, on_stack, within};

fn sums(ctx: &Context) -> Rdd<(u64, u64)> {
    ctx.range_with(4, 0..40_u64).map(|n| (n % 4, n)).reduce_by_key(|a, b| a + b)
}

#[test]
fn several_contexts_with_their_own_settings_work_at_once() {
    within(DEADLINE, || {
        let workers = (1..=6_usize).map(|n| {
            thread::spawn(move || {
                let builder = Context::builder().app_name(format!("run {n}")).threads(n);
                let builder = builder.default_partitions(n).force_spill(n % 2 == 0);
                let ctx = builder
                    .seed(n as u64)
                    .memory_limit_bytes(n as u64 * (8 << 20))
                    .build()
                    .unwrap();
                assert_eq!((ctx.threads(), ctx.default_partitions()), (n, n));
                assert_eq!(ctx.range(0..9_u8).num_partitions(), n);
                for _ in 0..5 {
                    assert_eq!(sums(&ctx).count().unwrap(), 4);
                }
            })
        });
        workers.collect::<Vec<_>>().into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn a_builder_reports_all_invalid_settings_at_once() {
    within(DEADLINE, || {
        let builder =
            Context::builder().app_name(" ").threads(0).memory_limit_bytes(1).task_memory_bytes(0);
        let builder = builder.default_partitions(0).max_attempts(0).scratch_dir("/no/such/folder");
        let builder = builder.scratch_quota_bytes(0);
        let error = builder.build().unwrap_err();
        let ErrorKind::InvalidConfig { problems } = error.kind() else { panic!("{error}") };
        let settings = ["app_name", "threads", "memory_limit_bytes", "task_memory_bytes"];
        let settings =
            settings.into_iter().chain(["default_partitions", "max_attempts", "scratch_dirs"]);
        let settings = settings.chain(["scratch_quota_bytes"]);
        let settings: Vec<&str> = settings.collect();
        assert_eq!(problems.len(), settings.len(), "{problems:?}");
        for setting in settings {
            assert!(error.to_string().contains(setting), "{setting} is missing in {error}");
        }
    });
}

#[test]
fn a_builder_refuses_each_invalid_setting_with_a_valid_range() {
    within(DEADLINE, || {
        let file = tempfile::NamedTempFile::new().unwrap();
        let new = Context::builder;
        let refused = [
            (new().app_name(""), "app_name"),
            (new().threads(0), "at least 1"),
            (new().threads(1 << 20), "at most 4096"),
            (new().memory_limit_bytes((1 << 20) - 1), "1048576"),
            (new().task_memory_bytes(4095), "task_memory_bytes is 4095; set at least 4096"),
            (new().default_partitions(0), "default_partitions"),
            (new().max_attempts(0), "max_attempts"),
            (new().scratch_dir(file.path()), "scratch_dirs"),
            (new().scratch_dirs([file.path(), &std::env::temp_dir()]), "is not a directory"),
            (new().scratch_dirs([""; 0]), "scratch_dirs is empty"),
            (new().scratch_quota_bytes(0), "scratch_quota_bytes"),
        ];
        for (builder, wanted) in refused {
            let error = builder.build().unwrap_err();
            let ErrorKind::InvalidConfig { problems } = error.kind() else { panic!("{error}") };
            assert!(problems.len() == 1 && problems[0].contains(wanted), "{problems:?}");
        }
    });
}

// Small frames, so that there are many. A build without zstd refuses it with an error.
#[test]
fn compression_changes_file_sizes_and_no_row() {
    within(DEADLINE, || {
        let run = |compression| -> Result<(Vec<_>, u64)> {
            let builder = Context::builder().threads(2).force_spill(true);
            let builder = builder.task_memory_bytes(1 << 20);
            let spilled = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&spilled);
            let ctx =
                builder.spill_compression(compression).listener(move |record: &EventRecord| {
                    if let Event::TaskFinished { metrics, .. } = &record.event {
                        counter.fetch_add(metrics.bytes_spilled, Ordering::Relaxed);
                    }
                });
            let ctx = ctx.build()?;
            let words = ctx.range(0..60_000_u64).map(|n| (format!("word {}", n % 700), n));
            let rows = words.with_partitions(3).group_by_key().collect()?;
            ctx.flush_listeners();
            Ok((rows, spilled.load(Ordering::Relaxed)))
        };
        let (plain, plain_bytes) = run(Compression::None).unwrap();
        let (rows, bytes) = run(Compression::Lz4).unwrap();
        assert_eq!(rows, plain);
        assert!(0 < bytes && bytes < plain_bytes * 3 / 4, "{bytes} of {plain_bytes}");
        match run(Compression::Zstd) {
            Ok((rows, _)) => assert_eq!(rows, plain),
            Err(error) => assert!(error.to_string().contains("feature `zstd`"), "{error}"),
        }
    });
}

#[test]
fn rdds_work_after_their_context_handle_is_dropped() {
    within(DEADLINE, || {
        for files in [false, true] {
            let ctx = Context::builder().threads(2).force_spill(files).build().unwrap();
            let rows = ctx.range_with(3, 0..9_u64);
            let sums = sums(&ctx);
            drop(ctx);
            assert_eq!(rows.count().unwrap(), 9);
            assert_eq!(sums.count().unwrap(), 4);
            assert_eq!(sums.context().range(0..3_u8).count().unwrap(), 3);
        }
    });
}

#[test]
fn a_context_whose_last_handle_drops_inside_its_own_task_ends() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let own: Mutex<Option<Context>> = Mutex::new(Some(ctx.clone()));
        let rows = ctx.range_with(2, 0..2_u8).map(move |n| {
            drop(own.lock().unwrap().take());
            n
        });
        drop(ctx);
        assert_eq!(rows.count().unwrap(), 2);
        // The last handle of this context is dropped on a pool thread of another context.
        let other = Context::builder().threads(1).build().unwrap();
        other.range(0..3_u8).count().unwrap();
        let held = Mutex::new(Some(other));
        rows.map(move |n| (drop(held.lock().unwrap().take()), n)).count().unwrap();
    });
}

#[test]
fn actions_may_come_from_a_foreign_pool_of_one_thread() {
    within(DEADLINE, || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let ctx = Context::builder().threads(1).build().unwrap();
        pool.install(|| {
            assert_eq!(sums(&ctx).count().unwrap(), 4);
            let (one, two) = rayon::join(|| sums(&ctx).count(), || ctx.range(0..3_u8).count());
            assert_eq!((one.unwrap(), two.unwrap()), (4, 3));
        });
    });
}

/// Returns the number of threads of this process.
fn threads_of_this_process() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

#[test]
fn dropped_contexts_leave_no_thread() {
    within(DEADLINE, || {
        let Some(before) = threads_of_this_process() else {
            println!("skipped: this system has no /proc/self/task");
            return;
        };
        for _ in 0..200 {
            let ctx = Context::builder().threads(2).listener(|_: &_| ()).build().unwrap();
            assert_eq!(ctx.range_with(2, 0..4_u8).count().unwrap(), 4);
        }
        // Other tests run concurrently, and the threads of a pool end shortly after their context.
        let most = before + 200;
        for _ in 0..100 {
            if threads_of_this_process().unwrap() < most {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{before} threads became {}", threads_of_this_process().unwrap());
    });
}

/// Makes a chain of boxed operations.
fn chain(ctx: &Context, operations: usize) -> Rdd<u64> {
    let mut rows = ctx.range_with(2, 0..100_u64).boxed();
    for _ in 0..operations {
        rows = rows.map(|n| n + 1).boxed();
    }
    rows
}

#[test]
fn ten_thousand_boxed_operations_drop_on_a_small_stack() {
    on_stack(2 << 20, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let rows = chain(&ctx, 10_000);
        let copy = rows.clone();
        drop(rows);
        assert_eq!(copy.num_partitions(), 2);
        drop(copy);
        assert_eq!(ctx.range(0..3_u8).count().unwrap(), 3);
    });
}

#[test]
fn a_loop_of_two_hundred_shuffles_holds_few_files() {
    within(DEADLINE, || {
        let scratch = tempfile::tempdir().unwrap();
        let builder = Context::builder().threads(2).force_spill(true);
        let ctx = builder.scratch_dir(scratch.path()).build().unwrap();
        let most = Arc::new(Mutex::new(0));
        let mut rows = ctx.range_with(2, 0..10_u64).map(|n| (n, n)).cache();
        for _ in 0..200 {
            let next = rows.map(|(key, n)| (key % 10, n + 1)).reduce_by_key(|a, b| a + b).cache();
            assert_eq!(next.count().unwrap(), 10);
            // A new source of the cached rows has no lineage.
            rows = ctx.parallelize_with(2, next.collect().unwrap()).boxed();
            let folder = std::fs::read_dir(scratch.path()).unwrap().next();
            let files = folder
                .map_or(0, |folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count());
            let mut most = most.lock().unwrap();
            *most = files.max(*most);
        }
        assert!((1..=20).contains(&*most.lock().unwrap()), "{most:?} files");
    });
}

#[test]
fn a_lineage_of_two_hundred_shuffles_runs_once_and_leaves_no_file() {
    within(DEADLINE, || {
        let scratch = tempfile::tempdir().unwrap();
        let builder = Context::builder().threads(2).force_spill(true);
        let ctx = builder.scratch_dir(scratch.path()).build().unwrap();
        let mut rows = ctx.range_with(2, 0..10_u64).map(|n| (n, n)).boxed();
        for _ in 0..200 {
            rows = rows.map(|(key, n)| (key, n + 1)).reduce_by_key(|a, b| a + b);
        }
        assert_eq!(rows.map(|(key, n)| n - key).collect().unwrap(), [200; 10]);
        drop((rows, ctx));
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    });
}

#[test]
fn mixing_rdds_of_two_contexts_is_an_error() {
    within(DEADLINE, || {
        let one = Context::local().unwrap();
        let two = Context::local().unwrap();
        let pairs = |ctx: &Context| ctx.range(0..9_u64).map(|n| (n % 3, n)).boxed();
        let left = pairs(&one);
        let right = pairs(&two);
        let errors = [
            left.join(&right).count().unwrap_err(),
            left.cogroup(&right).count().unwrap_err(),
            left.union(&right).count().unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("two contexts"), "{error}");
        }
    });
}
