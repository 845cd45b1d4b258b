//! The texts of `explain` and of errors as users see them, compared with the files in `tests/snapshots/`.
//!
//! `EMBERLINE_BLESS=1 cargo test --test engine snapshots` rewrites the files; their diff is the review.

use crate::support::{MIN_MEMORY_LIMIT_BYTES, noise};
use emberline::fault::{Damage, FaultPlan};
use emberline::id::ShuffleId;
use emberline::prelude::*;
use emberline::{ContextBuilder, Partitioner, Partitioning, Text};
use serde::{Deserialize, Serialize};
use std::error::Error as _;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testkit::{DEADLINE, assert_snapshot, within, without_lines};

/// Returns the settings of all snapshots: one thread, so that no text depends on timing.
fn builder() -> ContextBuilder {
    Context::builder().threads(1)
}

fn context() -> Context {
    builder().build().unwrap()
}

/// Compares a text with the snapshot `name`, without lines and without the path of `folder`.
fn compare(name: &str, text: &str, folder: &Path) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let text = text.replace(&folder.display().to_string(), "FOLDER");
    assert_snapshot(&path, name, &without_lines(&text));
}

/// Compares the explanation of an RDD with a snapshot.
fn explains<T: Send + 'static>(name: &str, make: impl FnOnce(&Context) -> Rdd<T> + Send + 'static) {
    let name = format!("explain_{name}.txt");
    within(DEADLINE, move || {
        let text = make(&context()).explain().to_string();
        compare(&name, &text, Path::new("no folder"));
    });
}

/// Compares the error of an action, with its causes, with a snapshot. The action gets an empty directory.
fn fails<R: Debug + Send + 'static>(
    name: &str,
    builder: ContextBuilder,
    action: impl FnOnce(&Context, &Path) -> Result<R> + Send + 'static,
) {
    let name = format!("error_{name}.txt");
    within(DEADLINE, move || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = builder.scratch_dir(folder.path()).build().unwrap();
        let error = action(&ctx, folder.path()).unwrap_err();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!("\ncaused by: {error}"));
            cause = error.source();
        }
        compare(&name, &text, folder.path());
    });
}

/// A row that serde reads with another shape than it writes.
#[derive(Clone, Serialize, Deserialize)]
struct Asymmetric {
    #[serde(skip_serializing, default)]
    skipped: u64,
    text: String,
}

fn words(ctx: &Context) -> Rdd<String> {
    ctx.parallelize_with(2, ["a", "b", "a"].map(String::from)).boxed()
}

fn pairs(ctx: &Context) -> Rdd<(u64, u64)> {
    ctx.range_with(2, 0..40_u64).map(|n| (n % 4, n)).boxed()
}

#[test]
fn explain_of_a_narrow_chain() {
    explains("narrow_chain", |ctx| {
        ctx.range_with(4, 0..100_u64).map(|n| n + 1).filter(|n| n % 2 == 0).boxed()
    });
}

#[test]
fn explain_of_a_word_count_before_and_after_a_run() {
    let counts = |ctx: &Context| {
        let ones = words(ctx).map(|word| (word, 1_u64)).set_name("ones");
        ones.reduce_by_key(|a, b| a + b).boxed()
    };
    explains("word_count", counts);
    explains("word_count_after_a_run", move |ctx| {
        let counts = counts(ctx).cache();
        counts.count().unwrap();
        counts
    });
}

#[test]
fn explain_of_a_join_with_a_co_partitioned_side() {
    explains("join", |ctx| {
        let left = pairs(ctx).with_partitions(3).reduce_by_key(|a, b| a + b);
        left.join(&pairs(ctx)).boxed()
    });
}

#[test]
fn explain_of_a_broadcast_join_and_a_sort() {
    explains("broadcast_join_and_sort", |ctx| {
        let small = ctx.parallelize_with(1, vec![(1_u64, 'a'), (2, 'b')]);
        pairs(ctx).broadcast_join(&small).sort_pairs().boxed()
    });
}

#[test]
fn explain_of_branches_that_share_a_parent() {
    explains("shared_parent", |ctx| {
        let parent = pairs(ctx).cache();
        let sums = parent.reduce_by_key(|a, b| a + b);
        sums.union(&parent.filter(|(key, _)| *key > 2)).boxed()
    });
}

#[test]
fn explain_of_an_invalid_source() {
    explains("invalid_source", |ctx| {
        ctx.range_with(0, 0..9_u64).map(|n| (n, n)).group_by_key().boxed()
    });
}

#[test]
fn errors_of_closures() {
    fails("panic_in_map", builder(), |ctx, _| {
        ctx.range_with(2, 0..40_u64).map(|n| 100 / (20 - n.min(20))).count()
    });
    fails("panic_after_retries", builder().max_attempts(3), |ctx, _| {
        pairs(ctx).reduce_by_key(|_, _| panic!("no sum")).count()
    });
    fails("try_map", builder(), |ctx, _| {
        let parsed = words(ctx).try_map(|word| word.parse::<u64>().map_err(BoxError::from));
        parsed.sum::<u64>()
    });
    fails("nested_action", builder(), |ctx, _| {
        let inner = words(ctx);
        ctx.range_with(1, 0..3_u64).map(move |_| inner.count().unwrap()).collect()
    });
    fails("partitioner_out_of_range", builder(), |ctx, _| {
        struct Wrong;
        impl Partitioner<u64> for Wrong {
            fn partitions(&self) -> usize {
                4
            }
            fn partition_of(&self, _: &u64) -> usize {
                9
            }
        }
        pairs(ctx).partition_by(Partitioning::from(Arc::new(Wrong))).count()
    });
}

#[test]
fn errors_of_arguments() {
    fails("zero_partitions", builder(), |ctx, _| pairs(ctx).repartition(0).count());
    fails("zip_partitions_differ", builder(), |ctx, _| {
        ctx.range_with(2, 0..4_u64).zip(&ctx.range_with(3, 0..4_u64)).count()
    });
    fails("zip_rows_differ", builder(), |ctx, _| {
        ctx.range_with(2, 0..4_u64).zip(&ctx.range_with(2, 0..5_u64)).count()
    });
    fails("two_contexts", builder(), |ctx, _| pairs(ctx).join(&pairs(&context())).count());
    fails("sample_fraction", builder(), |ctx, _| words(ctx).sample(1.5, 7).count());
    within(DEADLINE, || {
        let error = Context::builder().threads(0).memory_limit_bytes(1).build().unwrap_err();
        compare("error_invalid_config.txt", &error.to_string(), Path::new("no folder"));
    });
}

#[test]
fn errors_of_inputs_and_outputs() {
    fails("missing_input", builder(), |ctx, folder| ctx.text_file(folder.join("no.txt")).count());
    fails("compressed_input", builder(), |ctx, folder| {
        let path = folder.join("input.gz");
        fs::write(&path, [0x1f, 0x8b, 8, 0]).unwrap();
        ctx.text_file(path).count()
    });
    fails("invalid_utf8", builder(), |ctx, folder| {
        let path = folder.join("input.txt");
        fs::write(&path, b"good\nb\xffd\n").unwrap();
        ctx.text_file_with(Text::new().partitions(1).strict_utf8(), path).count()
    });
    fails("existing_output", builder(), |ctx, folder| {
        let path = folder.join("output");
        fs::create_dir(&path).unwrap();
        words(ctx).save_as_text_file(path)
    });
    fails("missing_checkpoint", builder(), |ctx, folder| {
        ctx.read_checkpoint::<u64>(folder.join("nothing")).count()
    });
}

#[test]
fn errors_of_limits() {
    let small = || builder().memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES);
    fails("group_too_large", small().max_result_bytes(u64::MAX), |ctx, _| {
        ctx.range_with(1, 0..200_000_u64).map(|n| (0_u8, n)).group_by_key().count()
    });
    fails("broadcast_too_large", small(), |ctx, _| {
        let large = ctx.range_with(1, 0..200_000_u64).map(|n| (n, n));
        pairs(ctx).broadcast_join(&large).count()
    });
    fails("result_too_large", builder().max_result_bytes(1000), |ctx, _| {
        ctx.range_with(1, 0..200_u64).collect()
    });
    fails("scratch_quota", builder().force_spill(true).scratch_quota_bytes(1000), |ctx, _| {
        ctx.range_with(1, 0..10_000_u64).map(|n| (noise(n), n)).group_by_key().count()
    });
    fails("timeout", builder(), |ctx, _| {
        let slow = ctx.range_with(1, 0..u64::MAX).filter(|n| *n == u64::MAX);
        ctx.spawn(move || slow.count()).timeout(Duration::from_millis(10)).wait()
    });
    fails("cancelled", builder(), |ctx, _| {
        let inner = ctx.clone();
        let rows = ctx.range_with(1, 0..u64::MAX).inspect(move |n| {
            if *n == 0 {
                inner.cancel_all("the operator closed the program");
            }
        });
        rows.filter(|n| *n == u64::MAX).count()
    });
}

#[test]
fn errors_of_lost_data() {
    fails("lost_local_checkpoint", builder(), |ctx, _| {
        let stored = ctx.range_with(1, 0..9_u64).local_checkpoint()?;
        stored.unpersist();
        stored.count()
    });
    let faults = FaultPlan::new().damage_map_output(ShuffleId(0), 0, Damage::Lost);
    fails("not_deterministic", builder().force_spill(true).faults(faults), |ctx, _| {
        let calls = Arc::new(AtomicU64::new(40));
        let rows = ctx.generate(2, move |_| {
            let rows = calls.fetch_add(1, Ordering::SeqCst);
            (0..rows).map(|n| (n, n))
        });
        rows.with_partitions(2).group_by_key().count()
    });
    fails("asymmetric_serde", builder().force_spill(true), |ctx, _| {
        let rows = ctx
            .range_with(2, 0..9_u64)
            .map(|n| (n, Asymmetric { skipped: n, text: n.to_string() }));
        let groups = rows.group_by_key_iter().map(|(_, rows)| {
            rows.iter().map(|row| row.skipped + row.text.len() as u64).sum::<u64>()
        });
        groups.collect()
    });
}
