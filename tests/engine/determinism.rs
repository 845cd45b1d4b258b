//! Map outputs that are lost and come out different the second time.

use crate::support::{DEADLINE, assert_kind, sorted, within};
use emberline::fault::{Damage, FaultPlan};
use emberline::prelude::*;
use emberline::{ErrorKind, id::ShuffleId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A context that loses the output of map partition 1 of its first shuffle.
fn losing(folder: &std::path::Path) -> Context {
    losing_from(folder, true)
}

/// The same, from files or from memory.
fn losing_from(folder: &std::path::Path, files: bool) -> Context {
    let faults = FaultPlan::new().damage_map_output(ShuffleId(0), 1, Damage::Lost);
    let builder = Context::builder().threads(2).force_spill(files);
    builder.scratch_dir(folder).faults(faults).build().unwrap()
}

/// Pairs whose second partition is `make(call)` for its first, second, ... computation.
fn changing(ctx: &Context, make: fn(u64) -> Vec<(u64, u64)>) -> Rdd<(u64, u64)> {
    let calls = Arc::new(AtomicU64::new(0));
    let rows = ctx.generate(2, move |partition| match partition {
        0 => (0..50).map(|n| (n, n)).collect(),
        _ => make(calls.fetch_add(1, Ordering::SeqCst)),
    });
    rows.boxed()
}

#[track_caller]
fn is_found_out(answer: Result<u64>, rows: (u64, u64), operation: &str) -> Error {
    let error = assert_kind(answer, |kind| match kind {
        ErrorKind::NotDeterministic { map_partition: 1, before, now, .. } => {
            (*before, *now) == rows
        }
        _ => false,
    });
    let text = error.to_string();
    assert_eq!(error.operation().unwrap().name, operation, "{text}");
    assert!(text.contains("determinism.rs") && text.contains("generate at"), "{text}");
    assert!(text.contains("checkpoint"), "it says what to do: {text}");
    assert_eq!(error.attempts(), 1, "another attempt would not help: {text}");
    error
}

#[test]
fn e20_a_source_that_gives_more_rows_the_second_time_is_found_out() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = losing(folder.path());
        let rows = changing(&ctx, |call| (0..40 + call).map(|n| (n, n)).collect());
        let groups = rows.with_partitions(3).group_by_key();
        is_found_out(groups.count(), (40, 41), "group_by_key");
        // And again: there is no answer to be had, and no wrong one.
        assert!(groups.count().is_err());
        assert_eq!(ctx.range(0..10_u64).count().unwrap(), 10);
    });
}

#[test]
fn e20_an_output_that_was_lost_from_memory_is_compared_as_well() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = losing_from(folder.path(), false);
        let rows = changing(&ctx, |call| (0..40 + call).map(|n| (n, n)).collect());
        is_found_out(rows.with_partitions(3).group_by_key().count(), (40, 41), "group_by_key");
        let ctx = losing_from(folder.path(), false);
        let rows = changing(&ctx, |_| (0..40).map(|n| (n, n)).collect());
        assert_eq!(rows.with_partitions(3).group_by_key().count().unwrap(), 50);
    });
}

#[test]
fn e20_other_keys_of_the_same_number_are_found_out_in_every_operation_that_hashes() {
    within(DEADLINE, || {
        type Shuffled = fn(&Rdd<(u64, u64)>) -> Result<u64>;
        let operations: [(&str, Shuffled); 4] = [
            ("group_by_key", |rows| rows.with_partitions(1).group_by_key().count()),
            ("reduce_by_key", |rows| rows.with_partitions(1).reduce_by_key(|a, b| a + b).count()),
            ("partition_by", |rows| rows.partition_by(1).count()),
            ("join", |rows| rows.with_partitions(1).join(&rows.map_values(|n| n)).count()),
        ];
        for (name, run) in operations {
            let folder = tempfile::tempdir().unwrap();
            let ctx = losing(folder.path());
            let rows = changing(&ctx, |call| (0..40).map(|n| (n + 1_000 * call, n)).collect());
            let error = is_found_out(run(&rows), (40, 40), name);
            assert!(error.to_string().contains("with other keys"), "{error}");
        }
    });
}

#[test]
fn e20_rows_that_move_to_another_partition_are_found_out_where_nothing_hashes() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = losing(folder.path());
        // A sort reads its input once for a sample, which says where its partitions end.
        let rows = changing(&ctx, |call| (0..40).map(|n| (n + 10 * call, n)).collect());
        let sorted = rows.with_partitions(4).sort_pairs();
        is_found_out(sorted.count(), (40, 40), "sort_pairs");
    });
}

#[test]
fn what_comes_out_the_same_is_no_error_and_neither_are_other_values() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = losing(folder.path());
        let rows = changing(&ctx, |call| (0..40).map(|n| (n, n + call)).collect());
        let sums = rows.with_partitions(2).reduce_by_key(|a, b| a + b);
        assert_eq!(sorted(sums.keys().collect().unwrap()), (0..50).collect::<Vec<u64>>());
    });
}

#[test]
fn an_output_that_nobody_read_may_come_out_different() {
    within(DEADLINE, || {
        // The first job is over before any reader has begun, since its map side fails.
        let ctx = Context::builder().threads(1).build().unwrap();
        let calls = Arc::new(AtomicU64::new(0));
        let rows = ctx.generate(2, move |partition| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            assert!(partition == 0 || call > 1, "not yet");
            (0..call + 1).map(|n| (n, n)).collect::<Vec<_>>()
        });
        let groups = rows.group_by_key();
        assert!(groups.count().unwrap_err().to_string().contains("not yet"));
        assert!(groups.count().unwrap() > 0);
    });
}
