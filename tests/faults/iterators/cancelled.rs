//! Endless and huge loops end soon after a cancellation, and rates have a range.

use super::{LEVELS, context, test};
use emberline::prelude::*;
use emberline::{ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::hash::{Hash, Hasher};
use std::iter::{from_fn, repeat};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{scaled, within};

// Case R-B5 of tests/PROMISES.md.
#[test]
fn a_rate_or_fraction_outside_of_its_range_is_an_error_of_the_action() {
    test(|| {
        let ctx = context();
        let rows = ctx.range_with(2, 0..10_u64);
        let refused = |answer: Result<u64>, rate: f64| {
            let error = answer.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }), "{rate}: {error}");
            assert!(error.to_string().contains(&rate.to_string()), "{rate}: {error}");
        };
        for rate in [1e300, 1e9, 1_000_000.1, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -1e-9] {
            refused(rows.sample_with_replacement(rate, 1).count(), rate);
            refused(rows.sample_with_replacement(rate, 1).boxed().cache().take(1).map(|_| 0), rate);
        }
        for fraction in [1e300, 1.1, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -1e-9] {
            refused(rows.sample(fraction, 1).count(), fraction);
        }
        for rate in [0.0, -0.0, f64::MIN_POSITIVE] {
            assert_eq!(rows.sample_with_replacement(rate, 1).count()?, 0);
            assert_eq!(rows.sample(rate, 1).count()?, 0);
        }
        assert_eq!(rows.sample(1.0, 1).count()?, 10);
        let drawn = ctx.range_with(1, 0..1_u64).sample_with_replacement(1e6, 1).count()?;
        assert!((990_000..1_010_000).contains(&drawn), "{drawn}");
        Ok(())
    });
}

type Job = (&'static str, fn(&Context) -> Result<u64>);

/// A key whose hash is that of all others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Alike(u64);

impl Hash for Alike {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(7);
    }
}

/// Returns an endless iterator that claims to have one row.
fn wrong_hint() -> impl Iterator<Item = u64> {
    struct WrongHint;
    impl Iterator for WrongHint {
        type Item = u64;

        fn next(&mut self) -> Option<u64> {
            Some(1)
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            (1, Some(1))
        }
    }
    WrongHint
}

fn endless(ctx: &Context) -> Rdd<u64> {
    ctx.generate(2, |_| 0_u64..).boxed()
}

fn alike(ctx: &Context, rows: u64) -> Rdd<(Alike, u64)> {
    ctx.range_with(2, 0..rows).map(|n| (Alike(n), n)).boxed()
}

fn skewed(ctx: &Context, rows: u64) -> Rdd<(u64, u64)> {
    ctx.range_with(2, 0..rows).map(|n| (1, n)).boxed()
}

fn none(n: &u64) -> bool {
    *n == u64::MAX
}

/// Returns `result` after about 30 microseconds of work.
fn slowly<R>(result: R) -> R {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(30) {
        std::hint::spin_loop();
    }
    result
}

const JOBS: &[Job] = &[
    ("filter of a range", |ctx| ctx.range(0..u64::MAX).filter(none).count()),
    ("boxed filter", |ctx| ctx.range(0..u64::MAX).boxed().filter(none).boxed().count()),
    ("first of nothing", |ctx| Ok(u64::from(endless(ctx).filter(none).first()?.is_some()))),
    ("is_empty of nothing", |ctx| Ok(u64::from(endless(ctx).filter(none).boxed().is_empty()?))),
    ("take of nothing", |ctx| Ok(endless(ctx).filter_map(|_| None::<u64>).take(9)?.len() as u64)),
    ("count", |ctx| endless(ctx).count()),
    ("sum", |ctx| endless(ctx).map(|n| n % 2).sum()),
    ("for_each", |ctx| endless(ctx).for_each(drop).map(|()| 0)),
    ("for_each_partition", |ctx| {
        endless(ctx).for_each_partition(|rows| rows.for_each(drop)).map(|()| 0)
    }),
    ("top", |ctx| Ok(endless(ctx).map(|n| n % 2).top(3)?.len() as u64)),
    ("wrong hint generated", |ctx| ctx.generate(2, |_| wrong_hint()).count()),
    ("wrong hint of map_partitions", |ctx| {
        ctx.range(0..9_u64).map_partitions(|_| wrong_hint()).count()
    }),
    ("wrong hint of flat_map", |ctx| ctx.range(0..9_u64).flat_map(|_| wrong_hint()).count()),
    ("wrong hint pulled", |ctx| {
        ctx.range(0..9_u64).flat_map(|_| wrong_hint()).filter(none).take(1).map(|_| 0)
    }),
    ("wrong hint cached", |ctx| {
        ctx.range(0..9_u64).map_partitions(|_| wrong_hint()).filter(none).cache().count()
    }),
    ("empty lists", |ctx| endless(ctx).flat_map(|_| [0_u64; 0]).count()),
    ("empty lists pulled", |ctx| Ok(endless(ctx).flat_map(|_| None::<u64>).take(1)?.len() as u64)),
    ("empty lists in turn", |ctx| {
        ctx.range(0..9_u64).flat_map(|_| repeat(0_u64)).flat_map(|_| Vec::<u64>::new()).count()
    }),
    ("pushed", |ctx| {
        let pushed = ctx.range(0..9_u64).flat_map_into(|n, out| {
            loop {
                out.push(n);
            }
        });
        pushed.filter(none).count()
    }),
    ("nothing pushed", |ctx| {
        endless(ctx).flat_map_into(|_, _: &mut emberline::pipeline::Out<'_, u64>| {}).count()
    }),
    ("copies", |ctx| ctx.range(0..u64::MAX).sample_with_replacement(1e6, 1).filter(none).count()),
    ("copies pulled", |ctx| {
        let copies = ctx.range(0..u64::MAX).sample_with_replacement(1e6, 1).filter(none);
        Ok(u64::from(copies.boxed().is_empty()?))
    }),
    ("slow copies", |ctx| {
        ctx.range_with(1, 0..9_u64).sample_with_replacement(1e6, 1).map(slowly).count()
    }),
    ("rare copies", |ctx| endless(ctx).sample_with_replacement(1e-300, 1).count()),
    ("empty sample", |ctx| endless(ctx).sample(0.0, 1).count()),
    ("zip", |ctx| endless(ctx).zip(&endless(ctx)).filter(|(a, b)| a != b).count()),
    ("zip_partitions", |ctx| {
        endless(ctx).zip_partitions(&endless(ctx), |a, b| a.zip(b)).filter(|(a, b)| a != b).count()
    }),
    ("union", |ctx| ctx.union([endless(ctx), endless(ctx)]).filter(none).count()),
    ("coalesce", |ctx| endless(ctx).coalesce(1).filter(none).count()),
    ("map_partitions", |ctx| endless(ctx).map_partitions(|rows| [rows.count() as u64]).count()),
    ("pulled by a closure", |ctx| {
        let pulled = endless(ctx).map_partitions(|mut rows| from_fn(move || rows.nth(10)));
        pulled.filter(none).count()
    }),
    ("glom", |ctx| endless(ctx).filter(none).glom().count()),
    ("local checkpoint", |ctx| endless(ctx).filter(none).local_checkpoint()?.count()),
    ("sort", |ctx| endless(ctx).filter(none).sort_by_key(|n| *n).count()),
    ("shuffle", |ctx| endless(ctx).map(|n| (n % 9, 1_u64)).reduce_by_key(|a, _| a).count()),
    ("repartition", |ctx| endless(ctx).filter(none).repartition(2).count()),
    ("pairs of a key", |ctx| skewed(ctx, 100_000).join(&skewed(ctx, 100_000)).count()),
    ("no pair of a key", |ctx| {
        skewed(ctx, 100_000).join(&skewed(ctx, 100_000)).filter(|_| false).count()
    }),
    ("outer pairs of a key", |ctx| {
        skewed(ctx, 100_000).full_outer_join(&skewed(ctx, 100_000)).filter(|_| false).count()
    }),
    ("pairs pulled", |ctx| {
        let joined = skewed(ctx, 100_000).join(&skewed(ctx, 100_000)).filter(|_| false);
        Ok(joined.take(1)?.len() as u64)
    }),
    ("group read again and again", |ctx| {
        let groups = skewed(ctx, 300_000).group_by_key_iter();
        groups
            .map(|(_, group)| {
                (0..u64::MAX).map(|_| group.iter().count()).filter(|n| *n == 1).count()
            })
            .count()
    }),
    ("group pulled again and again", |ctx| {
        let groups = skewed(ctx, 300_000).group_by_key_iter();
        let read = |group: &emberline::Group<u64>| {
            let mut values = group.iter();
            let mut count = 0;
            while values.next().is_some() {
                count += 1;
            }
            count
        };
        groups
            .map(move |(_, group)| (0..u64::MAX).map(|_| read(&group)).filter(|n| *n == 1).count())
            .count()
    }),
    ("distinct keys of one hash", |ctx| alike(ctx, 200_000).keys().distinct().count()),
    ("sums by keys of one hash", |ctx| alike(ctx, 200_000).reduce_by_key(|a, b| a + b).count()),
    ("groups of one hash", |ctx| alike(ctx, 200_000).group_by_key().count()),
    ("groups of one hash, streamed", |ctx| alike(ctx, 400_000).group_by_key_iter().count()),
    ("join of one hash", |ctx| alike(ctx, 30_000).join(&alike(ctx, 200_000)).count()),
    ("cogroup of one hash", |ctx| alike(ctx, 200_000).cogroup(&alike(ctx, 30_000)).count()),
    ("subtract of one hash", |ctx| alike(ctx, 200_000).subtract_by_key(&alike(ctx, 9)).count()),
    ("slow comparator", |ctx| {
        ctx.range_with(1, 0..100_000_u64).sort_by(|a, b| slowly(b.cmp(a))).count()
    }),
    ("slow sort key", |ctx| {
        ctx.range_with(1, 0..100_000_u64).sort_by_key(|n| slowly(n % 1_000)).count()
    }),
    ("slow merge", |ctx| {
        let pairs = ctx.range_with(2, 0..400_000_u64).map(|n| (n % 100_000, 1_u64));
        pairs.fold_by_key(0, |a, b| if a > 0 && b > 0 { slowly(a + b) } else { a + b }).count()
    }),
];

/// Runs a job, cancels it, and checks that it and its tasks end soon.
fn cancel(name: &str, job: fn(&Context) -> Result<u64>, pause: Duration) {
    let ctx = Context::builder().threads(2).default_partitions(2).task_memory_bytes(2 << 20);
    let ctx = ctx.build().unwrap();
    let own = ctx.clone();
    let handle = ctx.spawn(move || job(&own));
    thread::sleep(pause);
    assert!(!handle.is_finished(), "{name} ended before it was cancelled: {:?}", handle.wait());
    let start = Instant::now();
    handle.cancel("enough");
    let error = handle.wait().expect_err(name);
    assert!(matches!(error.kind(), ErrorKind::Cancelled { .. }), "{name}: {error}");
    let within_s = start.elapsed().as_secs_f64();
    assert!(within_s < 2.0, "{name} ended {within_s} s after it was cancelled");
    // A task that does not look would be abandoned half a second after the cancellation.
    thread::sleep(Duration::from_millis(700));
    let left = ctx.abandoned_tasks();
    assert!(left.is_empty(), "{name} still runs: {left:?}");
}

// Case R-B5 of tests/PROMISES.md.
#[test]
fn every_loop_ends_soon_after_its_job_is_cancelled() {
    within(Duration::from_mins(2), || {
        let mut jobs = JOBS.to_vec();
        for round in 1..scaled(1) {
            jobs.extend(JOBS.iter().skip(round % 3).step_by(3));
        }
        let pauses = [150, 400, 900];
        for (round, some) in jobs.chunks(8).enumerate() {
            let pause = Duration::from_millis(pauses[(round / 8) % 3]);
            thread::scope(|scope| {
                for (name, job) in some {
                    scope.spawn(move || cancel(name, *job, pause));
                }
            });
        }
    });
}

// Case R-B5 of tests/PROMISES.md.
#[test]
fn an_endless_iterator_is_not_cached_at_any_level_after_a_cancellation() {
    test(|| {
        for level in LEVELS {
            let ctx = context();
            let rows = ctx.generate(2, |_| repeat(1_u64)).filter(none).persist(level);
            let own = rows.clone();
            let handle = ctx.spawn(move || own.count());
            thread::sleep(Duration::from_millis(30));
            handle.cancel("enough");
            assert!(handle.wait().is_err(), "{level}");
            let plan = rows.explain().to_string();
            assert!(!plan.contains(" rows, "), "{level}: {plan}");
        }
        Ok(())
    });
}
