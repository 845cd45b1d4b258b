//! Destructors that panic: nothing that the thread drops afterwards is lost, and no handle passes the panic on.

use crate::hooked::{Hook, Method, Row};
use emberline::event::{EventRecord, Listener};
use emberline::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use testkit::{DEADLINE, eventually, within};

/// Rows whose destructors panic once they are armed.
struct Bombs {
    hook: Arc<Hook>,
    is_armed: Arc<AtomicBool>,
    exploded: Arc<AtomicUsize>,
}

impl Bombs {
    fn new() -> Bombs {
        let is_armed = Arc::new(AtomicBool::new(false));
        let exploded = Arc::new(AtomicUsize::new(0));
        let armed = Arc::clone(&is_armed);
        let count = Arc::clone(&exploded);
        let hook = Arc::new(Hook::new(move |method| {
            if method == Method::Drop && armed.load(SeqCst) {
                count.fetch_add(1, SeqCst);
                resume_unwind(Box::new("a destructor panics"));
            }
        }));
        Bombs { hook, is_armed, exploded }
    }

    fn arm(&self) {
        self.is_armed.store(true, SeqCst);
    }

    fn row(&self, value: u64) -> Row {
        self.hook.row(value)
    }

    fn rows(&self, ctx: &Context) -> Rdd<Row> {
        let hook = Arc::clone(&self.hook);
        ctx.range_with(3, 0..300_u64).map(move |n| hook.row(n)).boxed()
    }

    fn pairs(&self, ctx: &Context) -> Rdd<(Row, Row)> {
        let hook = Arc::clone(&self.hook);
        self.rows(ctx).map(move |row| (hook.row(row.value % 50), row)).boxed()
    }
}

/// Returns the value of a row that a closure captures as a whole.
fn value(row: &Row) -> u64 {
    row.value
}

/// Makes something, arms the bombs, and drops it.
type Program = fn(&Context, &Bombs);

/// Runs `action` on an RDD, and drops the RDD armed.
fn drops<T: Send + 'static>(bombs: &Bombs, rdd: Rdd<T>) {
    rdd.for_each(|_| ()).unwrap();
    bombs.arm();
    drop(rdd);
}

const PROGRAMS: &[(&str, Program)] = &[
    ("a collection", |ctx, bombs| {
        let rows: Vec<Row> = (0..10).map(|n| bombs.row(n)).collect();
        drops(bombs, ctx.parallelize(rows).boxed());
    }),
    ("an unboxed collection", |ctx, bombs| {
        let rdd = ctx.parallelize((0..10).map(|n| bombs.row(n))).map(|row| row.value);
        assert_eq!(rdd.count().unwrap(), 10);
        bombs.arm();
        drop(rdd);
    }),
    ("a captured value", |ctx, bombs| {
        let captured = bombs.row(1);
        let rdd = ctx.range(0..9_u64).filter(move |n| *n > value(&captured));
        assert_eq!(rdd.count().unwrap(), 7);
        bombs.arm();
        drop(rdd);
    }),
    ("a chain of captured values", |ctx, bombs| {
        let mut rdd = ctx.range(0..9_u64).boxed();
        for n in 0..100 {
            let captured = bombs.row(n);
            rdd = rdd.map(move |n| n + value(&captured)).boxed();
        }
        drops(bombs, rdd);
    }),
    ("a captured value of an action", |ctx, bombs| {
        let captured = bombs.row(1);
        let rdd = ctx.range(0..9_u64);
        bombs.arm();
        rdd.for_each(move |n| assert!(n < 9 * value(&captured))).unwrap();
    }),
    ("a shared value", |ctx, bombs| {
        let rdd = ctx.range(0..9_u64).with(bombs.row(4)).filter(|bound, n| *n < bound.value);
        drops(bombs, rdd.boxed());
    }),
    ("map outputs", |ctx, bombs| drops(bombs, bombs.pairs(ctx).group_by_key())),
    ("map outputs of two shuffles", |ctx, bombs| {
        drops(bombs, bombs.pairs(ctx).group_by_key().keys().distinct());
    }),
    ("combined map outputs", |ctx, bombs| {
        drops(bombs, bombs.pairs(ctx).reduce_by_key(|a, b| if a < b { b } else { a }));
    }),
    ("a join", |ctx, bombs| drops(bombs, bombs.pairs(ctx).join(&bombs.pairs(ctx)))),
    ("a broadcast table", |ctx, bombs| {
        let few = bombs.pairs(ctx).filter(|(key, _)| key.value == 3);
        drops(bombs, bombs.pairs(ctx).broadcast_join(&few).boxed());
    }),
    ("a sample of keys", |ctx, bombs| drops(bombs, bombs.rows(ctx).sort_by_key(Row::clone))),
    ("ranges of keys", |ctx, bombs| drops(bombs, bombs.pairs(ctx).sort_pairs())),
    ("a cache", |ctx, bombs| drops(bombs, bombs.rows(ctx).cache())),
    ("a cache on disk", |ctx, bombs| drops(bombs, bombs.rows(ctx).persist(StorageLevel::Disk))),
    ("a serialized cache", |ctx, bombs| {
        drops(bombs, bombs.rows(ctx).persist(StorageLevel::SerializedMemory));
    }),
    ("a local checkpoint", |ctx, bombs| {
        drops(bombs, bombs.rows(ctx).local_checkpoint().unwrap());
    }),
    ("unpersist", |ctx, bombs| {
        let rdd = bombs.rows(ctx).cache();
        rdd.for_each(|_| ()).unwrap();
        bombs.arm();
        rdd.unpersist();
    }),
    ("a cache of a shuffle of a cache", |ctx, bombs| {
        let rdd = bombs.pairs(ctx).cache().group_by_key().cache();
        rdd.for_each(|_| ()).unwrap();
        bombs.arm();
        drop(rdd);
    }),
    ("a failed action", |ctx, bombs| {
        let rdd = bombs.pairs(ctx).group_by_key().try_map(|_| Err::<u64, _>("no".into()));
        rdd.count().unwrap_err();
        bombs.arm();
        drop(rdd);
    }),
    ("results of a failed action", |ctx, bombs| {
        let hook = Arc::clone(&bombs.hook);
        let is_armed = Arc::clone(&bombs.is_armed);
        let parts = ctx.range_with(9, 0..9_u64).map_partitions(move |rows| {
            let rows: Vec<u64> = rows.collect();
            if rows == [8] {
                is_armed.store(true, SeqCst);
                resume_unwind(Box::new("the last partition"));
            }
            [hook.row(rows[0])]
        });
        parts.collect().unwrap_err();
    }),
    ("a spawned closure", |ctx, bombs| {
        let captured = bombs.row(1);
        let is_armed = Arc::clone(&bombs.is_armed);
        let handle = ctx.spawn(move || {
            is_armed.store(true, SeqCst);
            Ok(value(&captured))
        });
        let _ = handle.wait();
    }),
    ("a result that was not taken", |ctx, bombs| {
        let row = bombs.row(1);
        let handle = ctx.spawn(move || Ok(row));
        eventually("the result", || handle.is_finished());
        bombs.arm();
        drop(handle);
    }),
    ("a spawned closure that never runs", |ctx, bombs| {
        let row = bombs.row(1);
        let group = ctx.job_group("never", || ctx.spawn(|| Ok(())));
        group.wait().unwrap();
        bombs.arm();
        let handle = ctx.spawn(move || Ok(value(&row)));
        handle.cancel("not needed");
        let _ = handle.wait();
    }),
    ("an accumulator before a shuffle", |ctx, bombs| {
        let seen = ctx.accumulator(Vec::new());
        let adds = seen.clone();
        let hook = Arc::clone(&bombs.hook);
        let rdd = ctx.range(0..9_u64).map(move |n| {
            adds.add(hook.row(n));
            (n % 2, n)
        });
        let sums = rdd.reduce_by_key(|a, b| a + b);
        sums.try_map(|_| Err::<u64, _>("no".into())).count().unwrap_err();
        bombs.arm();
        drop(sums);
        drop(rdd);
        bombs.is_armed.store(false, SeqCst);
        drop(seen);
    }),
    ("a context", |_, bombs| {
        let scratch = tempfile::tempdir().unwrap();
        let inner = Context::builder().threads(2).scratch_dir(scratch.path()).build().unwrap();
        let rdd = bombs.pairs(&inner).group_by_key().cache();
        rdd.for_each(|_| ()).unwrap();
        bombs.arm();
        drop(inner);
        drop(rdd);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }),
    ("a listener", |_, bombs| {
        struct Owner(#[expect(dead_code, reason = "dropped with the listener")] Row);
        impl Listener for Owner {
            fn on_event(&mut self, _: &EventRecord) {}
        }
        let inner = Context::builder().threads(2).listener(Owner(bombs.row(1))).build().unwrap();
        assert_eq!(inner.range(0..9_u64).count().unwrap(), 9);
        bombs.arm();
        drop(inner);
    }),
];

/// Returns the number of files in a folder and its folders.
pub fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

/// Stores rows in memory and in files, and drops them.
fn stores(ctx: &Context) {
    let shared = Arc::new(());
    let captured = Arc::clone(&shared);
    let pairs = ctx
        .range_with(2, 0..2_000_u64)
        .map(move |n| (n % 7 + Arc::strong_count(&captured) as u64 / 100, n));
    let sums = pairs.cache().group_by_key().persist(StorageLevel::Disk);
    assert_eq!(sums.count().unwrap(), 7);
    assert!(ctx.memory_used_bytes() > 0);
    drop((pairs, sums));
    assert_eq!(Arc::strong_count(&shared), 1, "a later value is dropped");
}

// Case R-C2 of tests/PROMISES.md.
#[test]
fn after_twenty_panics_of_destructors_in_each_place_memory_and_files_are_back_at_zero() {
    within(DEADLINE, || {
        for spills in [false, true] {
            let scratch = tempfile::tempdir().unwrap();
            let builder = Context::builder().threads(2).scratch_dir(scratch.path());
            let ctx = builder.force_spill(spills).build().unwrap();
            stores(&ctx);
            let before = files(scratch.path());
            for (name, program) in PROGRAMS {
                let mut exploded = 0;
                for _ in 0..20 {
                    let bombs = Bombs::new();
                    let drops = catch_unwind(AssertUnwindSafe(|| program(&ctx, &bombs)));
                    assert!(drops.is_ok(), "{name}: a panic escaped, or see above");
                    eventually(name, || ctx.memory_used_bytes() == 0);
                    eventually(name, || files(scratch.path()) == before);
                    stores(&ctx);
                    exploded += bombs.exploded.load(SeqCst);
                }
                // Serialized and spilled rows are dropped before the bombs are armed.
                println!("{name}: {exploded}, spills: {spills}");
            }
            drop(ctx);
            assert_eq!(files(scratch.path()), 0);
        }
    });
}

/// A value whose destructor always panics.
#[derive(Clone)]
struct Always;

impl Drop for Always {
    fn drop(&mut self) {
        panic!("always");
    }
}

// Case R-C2 of tests/PROMISES.md.
#[test]
fn values_whose_destructors_always_panic_are_dropped_one_by_one_with_their_handles() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let shared = Arc::new(());
        for _ in 0..20 {
            let mut rdd = ctx.range(0..9_u64).boxed();
            for _ in 0..5 {
                let captured = (Always, Arc::clone(&shared));
                rdd = rdd
                    .filter(move |_| {
                        Arc::strong_count(&captured.1) > 0 && captured_is_there(&captured)
                    })
                    .boxed();
            }
            assert_eq!(rdd.count().unwrap(), 9);
            drop(rdd);
            assert_eq!(Arc::strong_count(&shared), 1);
        }
        stores(&ctx);
    });
}

fn captured_is_there<T>(_: &T) -> bool {
    true
}

/// The environment variable with which the child process of a test ends itself.
const CHILD: &str = "EMBERLINE_TEST_TWO_PANICS";

#[test]
#[ignore = "ends its process; run by the next test"]
fn child_process_in_which_two_destructors_of_one_vec_panic() {
    if std::env::var_os(CHILD).is_some() {
        let ctx = Context::builder().threads(1).build().unwrap();
        let rows = ctx.parallelize_with(1, vec![Always, Always]);
        drop(rows);
    }
}

// Case R-C2 of tests/PROMISES.md.
#[test]
fn a_destructor_that_panics_while_another_one_unwinds_ends_the_process_as_in_any_program() {
    within(DEADLINE, || {
        let name = "panics::destructors::child_process_in_which_two_destructors_of_one_vec_panic";
        let child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--ignored", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&child.stderr).into_owned();
        assert!(!child.status.success(), "{errors}");
        assert!(errors.contains("panic in a destructor during cleanup"), "{errors}");
    });
}
