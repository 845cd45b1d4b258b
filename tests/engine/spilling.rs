//! Every wide operation beyond its memory limit: it spills runs of a few rows and returns the same rows as
//! in memory.

use crate::support::*;
use emberline::prelude::*;
use std::collections::BTreeMap;
use testkit::{DEADLINE, within};

/// Rows in their order.
type Answer = Vec<(i64, Vec<i64>)>;

type Program = fn(&Context) -> Result<Answer>;

/// Returns pairs of 900 keys, one of which has a third of the rows. A larger scale has a multiple of the rows, of
/// the keys and of the keys with a third of the rows, so that a join grows by the same factor.
fn pairs(ctx: &Context, rows: i64) -> Rdd<(i64, i64)> {
    let scale = i64::from(memory_scale());
    let hot_key = move |n: i64| 7 + n / 3 % scale;
    let rare_key = move |n: i64| noise(n as u64) as i64 % (900 * scale);
    let key = move |n: i64| if n % 3 == 0 { hot_key(n) } else { rare_key(n) };
    ctx.range_with(5, 0..rows * scale).map(move |n| (key(n), n)).boxed()
}

/// Returns each wide operation on rows beyond the task memory limit, as a name and a program.
fn operations() -> Vec<(&'static str, Program)> {
    fn few(ctx: &Context) -> Rdd<(i64, i64)> {
        let scale = i64::from(memory_scale());
        ctx.range_with(3, 0..4000 * scale).map(move |n| (n % (2000 * scale), -n)).boxed()
    }
    fn lists<I: IntoIterator<Item = i64> + 'static>(key: i64, values: I) -> (i64, Vec<i64>) {
        (key, values.into_iter().collect())
    }
    vec![
        ("reduce_by_key", |ctx| {
            let sums = few(ctx).with_partitions(2).reduce_by_key(|a, b| a * 3 + b);
            sums.map(|(key, sum)| lists(key, [sum])).collect()
        }),
        ("aggregate_by_key", |ctx| {
            let sums = few(ctx).with_partitions(2).aggregate_by_key(0, |a, b| a + b, |a, b| a + b);
            sums.map(|(key, sum)| lists(key, [sum])).collect()
        }),
        ("distinct", |ctx| {
            few(ctx).keys().with_partitions(2).distinct().map(|key| lists(key, [])).collect()
        }),
        ("group_by_key_iter", |ctx| {
            pairs(ctx, 30_000)
                .with_partitions(2)
                .group_by_key_iter()
                .map(|(key, group)| lists(key, group))
                .collect()
        }),
        ("cogroup_iter", |ctx| {
            let groups = pairs(ctx, 9000).with_partitions(2).cogroup_iter(&few(ctx));
            groups.map(|(key, (a, b))| lists(key, a.into_iter().chain(b))).collect()
        }),
        ("join", |ctx| {
            let rows = pairs(ctx, 900).with_partitions(2).join(&pairs(ctx, 600));
            rows.map(|(key, (a, b))| lists(key, [a, b])).collect()
        }),
        ("left_outer_join", |ctx| {
            let rows = pairs(ctx, 900).with_partitions(2).left_outer_join(&few(ctx));
            rows.map(|(key, (a, b))| lists(key, [a, b.unwrap_or(1)])).collect()
        }),
        ("full_outer_join", |ctx| {
            let rows = few(ctx).with_partitions(2).full_outer_join(&pairs(ctx, 900));
            rows.map(|(key, (a, b))| lists(key, [a.unwrap_or(1), b.unwrap_or(1)])).collect()
        }),
        ("subtract_by_key", |ctx| {
            let rows = few(ctx).with_partitions(2).subtract_by_key(&pairs(ctx, 900));
            rows.map(|(key, n)| lists(key, [n])).collect()
        }),
        ("subtract", |ctx| {
            let rows = few(ctx).with_partitions(2).subtract(&pairs(ctx, 900));
            rows.map(|(key, n)| lists(key, [n])).collect()
        }),
        ("intersection", |ctx| {
            let rows =
                few(ctx).with_partitions(2).intersection(&few(ctx).filter(|(key, _)| key % 3 == 0));
            rows.map(|(key, n)| lists(key, [n])).collect()
        }),
        ("partition_by", |ctx| few(ctx).partition_by(2).map(|(key, n)| lists(key, [n])).collect()),
        ("repartition", |ctx| few(ctx).repartition(2).map(|(key, n)| lists(key, [n])).collect()),
        ("sort_pairs", |ctx| {
            few(ctx).with_partitions(2).sort_pairs().map(|(key, n)| lists(key, [n])).collect()
        }),
        ("sort_by_key", |ctx| {
            few(ctx)
                .with_partitions(2)
                .sort_by_key(|(key, _)| key % 7)
                .map(|(key, n)| lists(key, [n]))
                .collect()
        }),
        ("sort_by", |ctx| {
            let rows = few(ctx).with_partitions(2).sort_by(|a, b| (b.0 % 7).cmp(&(a.0 % 7)));
            rows.map(|(key, n)| lists(key, [n])).collect()
        }),
        ("repartition_and_sort_within_partitions", |ctx| {
            let rows = few(ctx).repartition_and_sort_within_partitions(2);
            rows.map(|(key, n)| lists(key, [n])).collect()
        }),
    ]
}

#[test]
fn every_wide_operation_spills_and_returns_the_same_rows_in_the_same_order() {
    within(2 * DEADLINE * memory_scale(), || {
        let roomy = Context::builder().threads(2).build().unwrap();
        for (name, program) in operations() {
            let expected = program(&roomy).unwrap();
            for threads in [1, 4] {
                let counter = Counter::default();
                let builder = Context::builder()
                    .threads(threads)
                    .memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES)
                    .max_result_bytes(u64::MAX);
                let ctx = counter.listen(builder.task_memory_bytes(4096).force_spill(true));
                let (answer, counts) = counter.during(|| program(&ctx));
                assert!(counts.bytes_spilled > 0, "{name} did not spill");
                assert!(answer.unwrap() == expected, "{name} on {threads} threads");
            }
        }
    });
}

#[test]
fn one_configuration_writes_the_same_bytes_under_any_threads_and_memory_pressure() {
    within(2 * DEADLINE * memory_scale(), || {
        for (name, program) in operations() {
            let mut answers = BTreeMap::new();
            for (threads, files, cached_blocks) in
                [(1, false, 0), (4, false, 0), (2, true, 0), (3, false, 100)]
            {
                let builder = Context::builder().threads(threads).force_spill(files);
                let ctx = builder
                    .memory_limit_bytes(2 * MIN_MEMORY_LIMIT_BYTES)
                    .task_memory_bytes(4096)
                    .max_result_bytes(u64::MAX)
                    .build();
                let ctx = ctx.unwrap();
                // Cached rows take the memory in which the runs would stay.
                let cached = ctx.range_with(4, 0..cached_blocks * 3000_i64).cache();
                cached.count().unwrap();
                answers.insert((threads, files, cached_blocks), program(&ctx).unwrap());
            }
            let first = &answers[&(1, false, 0)];
            assert!(answers.values().all(|answer| answer == first), "{name}");
        }
    });
}

/// Sums whose last bits show where a table was cut. One short key is hot, and the others are long.
fn float_sums(ctx: &Context) -> Vec<(String, u64)> {
    let key =
        |n: u64| if n.is_multiple_of(4) { String::new() } else { format!("{:0>60}", noise(n)) };
    let pairs = ctx.range_with(4, 0..12_000_u64).map(move |n| (key(n), 1.0 / (n + 1) as f64));
    let sums = pairs.with_partitions(2).reduce_by_key(|a, b| a + b);
    sums.map(|(key, sum)| (key, sum.to_bits())).collect().unwrap()
}

#[test]
fn float_sums_do_not_depend_on_where_shuffled_rows_are_stored() {
    within(DEADLINE, || {
        for share in [16 << 10, 64 << 10, 256 << 10] {
            let sums = |threads, files| {
                let builder = Context::builder().threads(threads).force_spill(files);
                let builder =
                    builder.memory_limit_bytes(8 * MIN_MEMORY_LIMIT_BYTES).task_memory_bytes(share);
                float_sums(&builder.build().unwrap())
            };
            let in_memory = sums(1, false);
            assert!(in_memory.len() > 8000);
            assert!(sums(4, true) == in_memory && sums(2, false) == in_memory, "{share}");
        }
    });
}

#[test]
fn a_skewed_join_of_groups_beyond_the_task_memory_limit_is_complete() {
    within(DEADLINE, || {
        let rows =
            |ctx: &Context, n: i64| ctx.range_with(3, 0..n).map(|n| (n % 50 / 49, n)).boxed();
        let sums = |ctx: &Context| {
            let joined = rows(ctx, 2000).with_partitions(2).join(&rows(ctx, 3000));
            joined.aggregate(
                (0_u64, 0_i64),
                |(n, sum), (_, (a, b))| (n + 1, sum + a * 7 + b),
                |a, b| (a.0 + b.0, a.1 + b.1),
            )
        };
        let roomy = Context::builder().threads(2).build().unwrap();
        let builder = Context::builder().threads(2).task_memory_bytes(16 << 10);
        let tight = builder.force_spill(true).build().unwrap();
        let expected = sums(&roomy).unwrap();
        assert_eq!(expected.0, 1960 * 2940 + 40 * 60);
        assert_eq!(sums(&tight).unwrap(), expected);
    });
}
