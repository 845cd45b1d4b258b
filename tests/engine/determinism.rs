//! Map outputs that are lost and recomputed with other contents.

use crate::support::{assert_kind, sorted};
use emberline::fault::{Damage, FaultPlan};
use emberline::prelude::*;
use emberline::{ErrorKind, id::ShuffleId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::{DEADLINE, within};

/// Makes a context that loses the output of map partition 1 of its first shuffle.
fn losing(folder: &std::path::Path) -> Context {
    losing_from(folder, true)
}

/// Makes a context that loses that output from files or from memory.
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
fn is_not_deterministic(answer: Result<u64>, rows: (u64, u64), operation: &str) -> Error {
    let error = assert_kind(answer, |kind| match kind {
        ErrorKind::NotDeterministic { map_partition: 1, rows_before, rows_after, .. } => {
            (*rows_before, *rows_after) == rows
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

// Case E20 of tests/PROMISES.md.
#[test]
fn a_source_that_yields_more_rows_on_recomputation_is_detected() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = losing(folder.path());
        let rows = changing(&ctx, |call| (0..40 + call).map(|n| (n, n)).collect());
        let groups = rows.with_partitions(3).group_by_key();
        is_not_deterministic(groups.count(), (40, 41), "group_by_key");
        // A second action fails too: it does not return rows of two versions.
        assert!(groups.count().is_err());
        assert_eq!(ctx.range(0..10_u64).count().unwrap(), 10);
    });
}

// Case E20 of tests/PROMISES.md.
#[test]
fn an_output_lost_from_memory_is_compared_with_its_recomputation() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = losing_from(folder.path(), false);
        let rows = changing(&ctx, |call| (0..40 + call).map(|n| (n, n)).collect());
        is_not_deterministic(
            rows.with_partitions(3).group_by_key().count(),
            (40, 41),
            "group_by_key",
        );
        let ctx = losing_from(folder.path(), false);
        let rows = changing(&ctx, |_| (0..40).map(|n| (n, n)).collect());
        assert_eq!(rows.with_partitions(3).group_by_key().count().unwrap(), 50);
    });
}

// Case E20 of tests/PROMISES.md.
#[test]
fn changed_keys_are_detected_in_every_hashing_operation() {
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
            let error = is_not_deterministic(run(&rows), (40, 40), name);
            assert!(error.to_string().contains("with other keys"), "{error}");
        }
    });
}

// Case E20 of tests/PROMISES.md.
#[test]
fn rows_that_change_partition_are_detected_in_a_sort() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = losing(folder.path());
        // A sort reads its input once for a sample, from which the bounds of its partitions are computed.
        let rows = changing(&ctx, |call| (0..40).map(|n| (n + 10 * call, n)).collect());
        let sorted = rows.with_partitions(4).sort_pairs();
        is_not_deterministic(sorted.count(), (40, 40), "sort_pairs");
    });
}

#[test]
fn equal_keys_with_changed_values_are_no_error() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = losing(folder.path());
        let rows = changing(&ctx, |call| (0..40).map(|n| (n, n + call)).collect());
        let sums = rows.with_partitions(2).reduce_by_key(|a, b| a + b);
        assert_eq!(sorted(sums.keys().collect().unwrap()), (0..50).collect::<Vec<u64>>());
    });
}

#[test]
fn an_unread_output_may_change_on_recomputation() {
    within(DEADLINE, || {
        // The first job is over before any reader has begun, since its map side fails.
        let ctx = Context::builder().threads(1).build().unwrap();
        let calls = Arc::new(AtomicU64::new(0));
        let rows = ctx.generate(2, move |partition| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            assert!(partition == 0 || call > 1, "not yet");
            (0..=call).map(|n| (n, n)).collect::<Vec<_>>()
        });
        let groups = rows.group_by_key();
        assert!(groups.count().unwrap_err().to_string().contains("not yet"));
        assert!(groups.count().unwrap() > 0);
    });
}
