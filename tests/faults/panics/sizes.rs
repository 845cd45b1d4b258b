//! Absurd sizes: every operation and setting that takes a count returns an error that names it, or works.

use emberline::config::{MAX_PARTITIONS, Speculation};
use emberline::partition::{HashPartitioner, Partitioner, Partitioning};
use emberline::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use testkit::{DEADLINE, within};

const TOO_MANY: [usize; 7] =
    [MAX_PARTITIONS + 1, 1 << 31, 1 << 32, 1 << 40, usize::MAX / 2 + 1, usize::MAX - 1, usize::MAX];

/// A partitioner of the user with any number of partitions.
struct Custom(usize);

impl Partitioner<u64> for Custom {
    fn partitions(&self) -> usize {
        self.0
    }

    fn partition_of(&self, key: &u64) -> usize {
        *key as usize % self.0
    }
}

fn pairs(ctx: &Context) -> Rdd<(u64, u64)> {
    ctx.range_with(2, 0..20_u64).map(|n| (n % 3, n)).boxed()
}

/// An operation with a number of partitions, and an action that reads its rows.
type Sized = fn(&Context, usize) -> Result<u64>;

/// A name that the error contains, and the operation.
const OPERATIONS: &[(&str, Sized)] = &[
    ("parallelize", |ctx, n| ctx.parallelize_with(n, vec![1, 2]).count()),
    ("range", |ctx, n| ctx.range_with(n, 0..5_u64).sum()),
    ("range", |ctx, n| ctx.range_with(n, i64::MIN..i64::MAX).take(2).map(|rows| rows.len() as u64)),
    ("generate", |ctx, n| ctx.generate(n, |_| [1]).count()),
    ("text_file", |ctx, n| ctx.text_file_with(Text::new().partitions(n), "Cargo.toml").count()),
    ("repartition", |ctx, n| ctx.range(0..9_u64).repartition(n).count()),
    ("reduce_by_key", |ctx, n| pairs(ctx).with_partitions(n).reduce_by_key(|a, b| a + b).count()),
    ("reduce_by_key", |ctx, n| {
        let by = Arc::new(HashPartitioner { partitions: n });
        pairs(ctx).with_partitions(by).reduce_by_key(|a, b| a + b).count()
    }),
    ("fold_by_key", |ctx, n| pairs(ctx).with_partitions(n).fold_by_key(0, |a, b| a + b).count()),
    ("aggregate_by_key", |ctx, n| {
        pairs(ctx).with_partitions(n).aggregate_by_key(0, |a, b| a + b, |a, b| a + b).count()
    }),
    ("combine_by_key", |ctx, n| {
        pairs(ctx).with_partitions(n).combine_by_key(|a| a, |a, b| a + b, |a, b| a + b).count()
    }),
    ("group_by_key", |ctx, n| pairs(ctx).with_partitions(n).group_by_key().count()),
    ("group_by_key_iter", |ctx, n| pairs(ctx).with_partitions(n).group_by_key_iter().count()),
    ("group_sorted_by_key", |ctx, n| {
        pairs(ctx).with_partitions(n).group_sorted_by_key(|n| *n).count()
    }),
    ("group_by", |ctx, n| ctx.range(0..9_u64).with_partitions(n).group_by(|n| n % 2).count()),
    ("join", |ctx, n| pairs(ctx).with_partitions(n).join(&pairs(ctx)).count()),
    ("left_outer_join", |ctx, n| {
        pairs(ctx).with_partitions(n).left_outer_join(&pairs(ctx)).count()
    }),
    ("right_outer_join", |ctx, n| {
        pairs(ctx).with_partitions(n).right_outer_join(&pairs(ctx)).count()
    }),
    ("full_outer_join", |ctx, n| {
        pairs(ctx).with_partitions(n).full_outer_join(&pairs(ctx)).count()
    }),
    ("cogroup", |ctx, n| pairs(ctx).with_partitions(n).cogroup(&pairs(ctx)).count()),
    ("cogroup_iter", |ctx, n| pairs(ctx).with_partitions(n).cogroup_iter(&pairs(ctx)).count()),
    ("cogroup3", |ctx, n| pairs(ctx).with_partitions(n).cogroup3(&pairs(ctx), &pairs(ctx)).count()),
    ("subtract_by_key", |ctx, n| {
        pairs(ctx).with_partitions(n).subtract_by_key(&pairs(ctx)).count()
    }),
    ("distinct", |ctx, n| ctx.range(0..9_u64).with_partitions(n).distinct().count()),
    ("intersection", |ctx, n| {
        ctx.range(0..9_u64).with_partitions(n).intersection(&ctx.range(0..9)).count()
    }),
    ("subtract", |ctx, n| {
        ctx.range(0..9_u64).with_partitions(n).subtract(&ctx.range(0..9)).count()
    }),
    ("sort_by_key", |ctx, n| {
        ctx.range(0..9_u64).with_partitions(n).sort_by_key(|n| *n).take(2).map(|_| 0)
    }),
    ("sort_by", |ctx, n| ctx.range(0..9_u64).with_partitions(n).sort_by(u64::cmp).count()),
    ("sort_pairs", |ctx, n| pairs(ctx).with_partitions(n).sort_pairs().count()),
    ("sort_pairs", |ctx, n| {
        pairs(ctx).with_partitions(n).sort_pairs().lookup(&1).map(|found| found.len() as u64)
    }),
    ("partition_by", |ctx, n| pairs(ctx).partition_by(n).count()),
    ("partition_by", |ctx, n| pairs(ctx).partition_by(Arc::new(Custom(n))).count()),
    ("partition_by", |ctx, n| {
        let by: Arc<dyn Partitioner<u64>> = Arc::new(Custom(n));
        pairs(ctx).partition_by(Partitioning::from(by)).lookup(&2).map(|_| 0)
    }),
    ("repartition_and_sort_within_partitions", |ctx, n| {
        pairs(ctx).repartition_and_sort_within_partitions(n).count()
    }),
];

/// Programs that continue after an operation of too many partitions. The error is the same.
const FOLLOWERS: &[fn(&Rdd<u64>) -> Result<u64>] = &[
    |rdd| rdd.count(),
    |rdd| rdd.collect().map(|rows| rows.len() as u64),
    |rdd| rdd.take(usize::MAX).map(|rows| rows.len() as u64),
    |rdd| rdd.first().map(|_| 0),
    |rdd| rdd.top(usize::MAX).map(|rows| rows.len() as u64),
    |rdd| rdd.to_local_iterator().map(|row| row.map(|_| 1)).sum(),
    |rdd| rdd.map(|n| (n, n)).reduce_by_key(|a, _| a).count(),
    |rdd| rdd.map(|n| (n, n)).join(&rdd.map(|n| (n, n))).count(),
    |rdd| rdd.sort_by_key(|n| *n).count(),
    |rdd| rdd.cache().count(),
    |rdd| rdd.local_checkpoint()?.count(),
    |rdd| rdd.coalesce(1).count(),
    |rdd| rdd.repartition(3).count(),
    |rdd| rdd.glom().count(),
    |rdd| rdd.zip(rdd).count(),
    |rdd| rdd.union(rdd).count(),
    |rdd| rdd.context().union([rdd.clone(), rdd.clone()]).count(),
    |rdd| rdd.distinct().count_by_value().map(|_| 0),
    |rdd| rdd.map(|n| (n, n)).broadcast_join(&rdd.map(|n| (n, n))).count(),
    |rdd| rdd.sample(0.5, 1).count(),
];

/// Checks that the error names the operation at its line, the number, and the most.
fn check(name: &str, number: usize, error: &Error) {
    let text = error.to_string();
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }), "{name}, {number}: {text}");
    let most = format!("is {number}; set at most {MAX_PARTITIONS}");
    for part in [name, file!(), &most] {
        assert!(text.contains(part), "{name} of {number} without `{part}`: {text}");
    }
}

// Case R-C3 of tests/PROMISES.md.
#[test]
fn an_operation_with_too_many_partitions_fails_at_its_action_with_its_name_and_the_most() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        for number in TOO_MANY {
            for (name, count) in OPERATIONS {
                check(name, number, &count(&ctx, number).unwrap_err());
            }
        }
        assert_eq!(ctx.memory_used_bytes(), 0);
    });
}

// Case R-C3 of tests/PROMISES.md.
#[test]
fn whatever_follows_an_operation_with_too_many_partitions_reports_it() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        for number in [MAX_PARTITIONS + 1, usize::MAX] {
            let rdd = ctx.range_with(number, 0..9_u64).boxed();
            let shuffled = pairs(&ctx).partition_by(number).keys().boxed();
            assert!(rdd.explain().to_string().contains("set at most"), "{}", rdd.explain());
            assert!(shuffled.explain().svg().len() > 10);
            for (index, follow) in FOLLOWERS.iter().enumerate() {
                for (name, refused) in [("range", &rdd), ("partition_by", &shuffled)] {
                    match follow(refused) {
                        Ok(rows) => panic!("follower {index} of {name}: {rows} rows"),
                        Err(error) => check(name, number, &error),
                    }
                }
            }
        }
    });
}

// Case R-C3 of tests/PROMISES.md.
#[test]
fn a_union_of_too_many_partitions_is_refused_however_often_it_doubles() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let most = ctx.range_with(MAX_PARTITIONS, 0..9_u64).boxed();
        check("union", 2 * MAX_PARTITIONS, &most.union(&most).count().unwrap_err());
        let many = std::iter::repeat_n(most.clone(), 5_000);
        check("union", 5_000 * MAX_PARTITIONS, &ctx.union(many).count().unwrap_err());
        let mut doubled = ctx.range_with(1 << 20, 0..9_u64).boxed();
        for _ in 0..70 {
            doubled = doubled.union(&doubled).boxed();
        }
        check("union", 1 << 23, &doubled.count().unwrap_err());
        let one_more = most.union(&ctx.range_with(1, 0..2)).take(1);
        check("union", MAX_PARTITIONS + 1, &one_more.unwrap_err());
    });
}

// Case R-C3 of tests/PROMISES.md.
#[test]
fn the_most_partitions_work_and_coalesce_takes_any_number() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let rows = 2 * MAX_PARTITIONS as u64;
        let most = ctx.range_with(MAX_PARTITIONS, 0..rows);
        assert_eq!(most.num_partitions(), MAX_PARTITIONS);
        assert_eq!(most.take(3).unwrap(), [0, 1, 2]);
        assert_eq!(most.coalesce(2).filter(|n| n % 1_000_000 == 0).count().unwrap(), 9);
        for number in [2, 3, MAX_PARTITIONS + 1, usize::MAX] {
            assert_eq!(ctx.range_with(2, 0..9_u64).coalesce(number).count().unwrap(), 9);
        }
    });
}

// Case R-C3 of tests/PROMISES.md.
#[test]
fn actions_take_any_number_of_rows() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let rows = ctx.range_with(3, 0..9_u64);
        let empty = rows.filter(|n| *n > 9);
        let pair = |n: &u64| (n % 2, *n);
        for number in [1 << 32, usize::MAX / 2, usize::MAX - 1, usize::MAX] {
            assert_eq!(rows.take(number).unwrap().len(), 9);
            assert_eq!(rows.top(number).unwrap().len(), 9);
            assert_eq!(rows.take_ordered(number).unwrap().len(), 9);
            assert_eq!(rows.top_by_key(number, pair).unwrap().len(), 9);
            assert_eq!(rows.bottom_by_key(number, pair).unwrap().len(), 9);
            assert_eq!(empty.take(number).unwrap().len() + empty.top(number).unwrap().len(), 0);
            assert_eq!(rows.map(|_| ()).take(number).unwrap().len(), 9);
            assert_eq!(rows.map(|n| [n; 100]).top(number).unwrap().len(), 9);
        }
        let ends = [i64::MIN, 0, i64::MAX - 1];
        assert_eq!(ctx.range(i64::MIN..i64::MAX).take(1).unwrap(), [ends[0]]);
        assert_eq!(ctx.range_with(1 << 10, u64::MAX - 5..u64::MAX).take(9).unwrap().len(), 5);
    });
}

// Case R-C3 of tests/PROMISES.md.
#[test]
fn a_sample_with_an_absurd_fraction_is_refused_or_works() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let rows = ctx.range_with(2, 0..9_u64);
        for fraction in [f64::NAN, f64::INFINITY, -f64::INFINITY, -1.0, f64::MAX, 1e30, 2.0] {
            rows.sample(fraction, u64::MAX).count().unwrap_err();
        }
        for fraction in [f64::NAN, f64::INFINITY, -f64::INFINITY, -1.0, -f64::MIN_POSITIVE] {
            rows.sample_with_replacement(fraction, u64::MAX).count().unwrap_err();
        }
        for fraction in [f64::MAX, 1e30, 1e19, 1e9] {
            let sample = rows.sample_with_replacement(fraction, 1);
            let taken = sample.take(3).map(|rows| rows.len());
            assert!(taken.is_err() || taken.as_ref().is_ok_and(|rows| *rows == 3), "{taken:?}");
        }
        let tiny = rows.sample_with_replacement(f64::MIN_POSITIVE, 1).count().unwrap();
        assert_eq!(tiny + rows.sample(f64::MIN_POSITIVE, 1).count().unwrap(), 0);
    });
}

/// Returns the result of a shuffle, a sort, a cache and a spill in a context of these settings, or the error of the
/// settings.
fn run(builder: emberline::ContextBuilder) -> Result<u64> {
    let ctx = builder.build()?;
    let pairs = ctx.range_with(4, 0..3_000_u64).map(|n| (n % 100, n)).cache();
    let sums = pairs.reduce_by_key(|a, b| a + b).sort_by_key(|(_, sum)| *sum).count()?;
    let groups = pairs.group_by_key().join(&pairs).count()?;
    let sorted = pairs.sort_pairs().collect()?.len() as u64;
    Ok(sums
        + groups
        + sorted
        + pairs.broadcast_join(&pairs.filter(|(key, _)| *key == 7)).count()?)
}

// Case R-C3 of tests/PROMISES.md.
#[test]
fn absurd_settings_are_refused_with_their_names_or_work() {
    within(DEADLINE, || {
        let builder = || Context::builder().threads(2);
        let right = run(builder()).unwrap();
        for number in TOO_MANY {
            let refused = run(builder().default_partitions(number)).unwrap_err().to_string();
            assert!(refused.contains(&format!("default_partitions is {number}")), "{refused}");
            let refused = run(Context::builder().threads(number)).unwrap_err().to_string();
            assert!(refused.contains(&format!("threads is {number}")), "{refused}");
            assert_eq!(run(builder().max_attempts(number)).unwrap(), right);
        }
        for spills in [false, true] {
            for bytes in [1 << 40, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
                let builder = || builder().force_spill(spills);
                assert_eq!(run(builder().memory_limit_bytes(bytes)).unwrap(), right);
                assert_eq!(run(builder().task_memory_bytes(bytes)).unwrap(), right);
                let both = builder().memory_limit_bytes(bytes).task_memory_bytes(bytes);
                assert_eq!(run(both).unwrap(), right);
                assert_eq!(run(builder().max_result_bytes(bytes)).unwrap(), right);
                assert_eq!(run(builder().scratch_quota_bytes(bytes)).unwrap(), right);
                assert_eq!(run(builder().seed(bytes)).unwrap(), right);
            }
        }
        for multiplier in [1.0, f64::MAX, f64::INFINITY] {
            for min_runtime in [Duration::ZERO, Duration::MAX] {
                let speculation = Speculation { quantile: 0.0, multiplier, min_runtime };
                assert_eq!(run(builder().speculation(speculation)).unwrap(), right);
            }
        }
    });
}

// Case R-C3 of tests/PROMISES.md.
#[test]
fn time_limits_of_any_length_are_kept() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let longest = [u64::MAX, u64::MAX / 1000, 1 << 62].map(Duration::from_secs);
        for limit in longest.into_iter().chain([Duration::MAX, Duration::from_nanos(u64::MAX)]) {
            let rows = ctx.range(0..100_u64);
            let handle = ctx.spawn(move || rows.count()).timeout(limit);
            assert_eq!(handle.wait_timeout(limit).unwrap().unwrap(), 100);
            let rows = ctx.range(0..100_u64);
            assert_eq!(ctx.spawn(move || rows.count()).timeout(limit).wait().unwrap(), 100);
        }
        let endless = ctx.range(0..4_u64).flat_map(|_| 0..u64::MAX);
        let handle = ctx.spawn(move || endless.count()).timeout(Duration::ZERO);
        assert!(matches!(handle.wait().unwrap_err().kind(), ErrorKind::TimedOut { .. }));
    });
}
