//! Nothing runs before an action, and an action runs no more than it must.

use crate::events::{Recorder, count_of};
use emberline::prelude::*;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{DEADLINE, within};

fn never<T>(_: T) -> u64 {
    panic!("a closure ran")
}

fn never_pair<T>(row: T) -> (u64, u64) {
    (never(row), 0)
}

/// Makes RDDs and drops them again; nothing may run.
fn runs_nothing(make: impl FnOnce(&Context) + Send + 'static) {
    within(DEADLINE, move || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        make(&ctx);
        let events = recorder.events(&ctx);
        assert_eq!(count_of(&events, "JobStarted"), 0, "{events:#?}");
        assert_eq!(count_of(&events, "TaskStarted"), 0, "{events:#?}");
    });
}

#[test]
fn sources_and_narrow_operations_run_nothing_when_called() {
    runs_nothing(|ctx| {
        let _ = ctx.generate(3, |p| vec![never(p)]);
        let _ = ctx.text_file("Cargo.toml").map(never);
        let rows = ctx.parallelize(vec![1_u64, 2]).boxed();
        let _ = rows.map(never).filter(|n| never(n) > 0).filter_map(|n| Some(never(n)));
        let _ = rows.flat_map(|n| [never(n)]).flat_map_into(|n, out| out.push(never(n)));
        let _ = rows.map_partitions(|rows| rows.map(never)).inspect(|n| _ = never(n));
        let _ = rows.try_map(|n| Ok(never(n))).key_by(|n| never(n)).map_values(never);
        let _ = rows.with(3_u64).map(|_, n| never(n)).union(&rows).boxed().set_name("rows");
    });
}

#[test]
fn wide_operations_and_cache_run_nothing_when_called() {
    runs_nothing(|ctx| {
        let pairs = ctx.range(0..9_u64).map(never_pair).boxed();
        let merge = |a, _| never(a);
        let _ = pairs.reduce_by_key(merge).aggregate_by_key(0, merge, merge);
        let _ = pairs.combine_by_key(never, merge, merge).group_by_key();
        let _ = pairs.group_by_key_iter().map(never).distinct().repartition(3);
        let _ = pairs.cogroup(&pairs).partition_by(4);
        let _ = pairs.broadcast_join(&pairs).broadcast_left_outer_join(&pairs);
        pairs.join(&pairs).cache().unpersist();
        let _ = pairs.sort_by_key(|row| never(row)).sort_pairs().sort_by(|a, b| a.cmp(b));
        let _ = pairs.reduce_by_key(merge).explain().to_string();
    });
}

#[test]
fn the_sample_of_a_sort_runs_with_the_first_action_and_once() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        let sorted = ctx.range_with(4, 0..100_u64).sort_by_key(|n| std::cmp::Reverse(*n));
        assert_eq!(count_of(&recorder.events(&ctx), "JobStarted"), 0);
        assert_eq!(sorted.first().unwrap(), Some(99));
        assert_eq!(count_of(&recorder.events(&ctx), "JobStarted"), 2);
        assert_eq!(sorted.count().unwrap(), 100);
        assert_eq!(count_of(&recorder.events(&ctx), "JobStarted"), 1);
    });
}

fn is_a_handle<T: Clone + Debug + Send + Sync + 'static>(_: &T) {}

#[test]
fn fused_and_boxed_handles_clone_debug_and_cross_threads() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let fused = ctx.range_with(3, 0..9_u64).map(|n| n + 1).filter(|n| n % 2 == 0);
        let boxed: Rdd<u64> = fused.boxed();
        let wide = fused.map(|n| (n, n)).reduce_by_key(|a, b| a + b);
        is_a_handle(&ctx);
        is_a_handle(&fused);
        is_a_handle(&boxed);
        is_a_handle(&wide);
        is_a_handle(&wide.cache());
        let text = format!("{fused:?} {boxed:?}");
        assert!(text.contains("filter at tests/engine/laziness.rs"), "{text}");
        assert!(text.contains("3 partitions"), "{text}");
        let there = std::thread::spawn(move || fused.count().unwrap());
        assert_eq!((there.join().unwrap(), boxed.clone().count().unwrap()), (4, 4));
    });
}

/// Sums the rows of any handle.
fn total(rows: &Rdd<u64>) -> Result<Option<u64>> {
    rows.reduce(|a, b| a + b)
}

#[test]
fn a_function_of_boxed_handles_accepts_fused_ones_and_each_use_computes() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let fused = ctx.range_with(3, 0..10_u64).map(move |n| {
            counter.fetch_add(1, Ordering::SeqCst);
            n
        });
        assert_eq!(total(&fused).unwrap(), Some(45));
        assert_eq!(total(&fused).unwrap(), Some(45));
        assert_eq!(total(&fused.filter(|n| *n > 7)).unwrap(), Some(17));
        assert_eq!(total(&fused.boxed()).unwrap(), Some(45));
        assert_eq!(calls.load(Ordering::SeqCst), 40);
    });
}

/// Counts the rows that a chain of ten partitions of 1,000 rows computes for `action`.
fn computed(boxed: bool, action: fn(&Rdd<u64>)) -> usize {
    within(DEADLINE, move || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let rows = ctx.range_with(10, 0..10_000_u64).map(move |n| {
            counter.fetch_add(1, Ordering::SeqCst);
            n
        });
        match boxed {
            true => action(&rows.boxed().map(|n| n + 1).boxed().filter(|_| true).boxed()),
            false => action(&rows),
        }
        calls.load(Ordering::SeqCst)
    })
}

#[test]
fn the_first_row_of_a_boxed_chain_computes_one_row() {
    for boxed in [false, true] {
        assert_eq!(computed(boxed, |rows| assert_eq!(rows.take(1).unwrap().len(), 1)), 1);
        assert_eq!(computed(boxed, |rows| assert!(rows.first().unwrap().is_some())), 1);
        assert_eq!(computed(boxed, |rows| assert!(rows.take(0).unwrap().is_empty())), 0);
    }
}

#[test]
fn a_few_rows_of_a_boxed_chain_compute_few_more() {
    let rows = computed(true, |rows| assert_eq!(rows.take(20).unwrap().len(), 20));
    assert!((20..=100).contains(&rows), "{rows} rows");
}

#[test]
fn the_first_row_of_many_partitions_takes_one_task() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        assert_eq!(ctx.range_with(1000, 0..1000_u64).first().unwrap(), Some(0));
        assert_eq!(recorder.tasks_started(&ctx), 1);
        let late = ctx.range_with(1000, 0..1000_u64).filter(|n| *n >= 10);
        assert_eq!(late.first().unwrap(), Some(10));
        let tasks = recorder.tasks_started(&ctx);
        assert!((11..=25).contains(&tasks), "{tasks} tasks");
    });
}

#[test]
fn explain_runs_nothing_and_names_each_line() {
    runs_nothing(|ctx| {
        let sums = ctx.range(0..9_u64).map(never_pair).reduce_by_key(|a, _| a);
        let text = sums.sort_pairs().explain().to_string();
        for operation in ["range", "map", "reduce_by_key", "sort_pairs"] {
            let site = format!("{operation} at tests/engine/laziness.rs");
            assert!(text.contains(&site), "{text}");
        }
    });
}
