//! Further inputs of each kind, written after the engine withstood the generators.

use super::{LEVELS, context, test};
use emberline::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

// Case R-A1 of tests/PROMISES.md.
#[test]
fn iterators_of_std_that_continue_after_none_end_once() {
    test(|| {
        let ctx = context();
        let rows = ctx.range_with(1, 0..9_u64);
        let scanned = rows.map_partitions(|rows| {
            rows.scan(0, |calls, n| {
                *calls += 1;
                (*calls != 4).then_some(n)
            })
        });
        let tried = ctx.generate(1, |_| {
            let (sender, receiver) = mpsc::channel();
            (0..3_u64).for_each(|n| sender.send(n).unwrap());
            std::iter::from_fn(move || {
                let row = receiver.try_recv().ok();
                if row.is_none() {
                    sender.send(77).unwrap();
                }
                row
            })
        });
        for rdd in [scanned.boxed(), tried.boxed()] {
            for level in LEVELS {
                assert_eq!(rdd.persist(level).boxed().take(9)?, [0, 1, 2], "{level}");
            }
            assert_eq!(rdd.zip(&rdd).map(|(a, _)| a).take(9)?, [0, 1, 2]);
            assert_eq!(rdd.union(&rdd).coalesce(1).take(9)?, [0, 1, 2, 0, 1, 2]);
            assert_eq!(
                rdd.checkpoint(tempfile::tempdir().unwrap().path().join("c"))?.take(9)?,
                [0, 1, 2]
            );
        }
        let inner = rows.flat_map(|n| (0..4).scan(n, |n, at| (at % 2 == 0).then_some(*n)));
        assert_eq!(inner.boxed().take(99)?, (0..9).collect::<Vec<_>>());
        Ok(())
    });
}

// Case R-A7 of tests/PROMISES.md.
#[test]
fn a_panic_that_is_caught_twice_rethrown_or_caught_in_a_destructor_fails_the_action() {
    test(|| {
        let ctx = context();
        let bad = || {
            ctx.range_with(1, 0..6_u64)
                .map(|n| if n == 3 { resume_unwind(Box::new("boom")) } else { n })
        };
        let catch = |rows: &mut dyn Iterator<Item = u64>| {
            catch_unwind(AssertUnwindSafe(|| rows.collect::<Vec<_>>())).unwrap_or_default()
        };
        let twice = bad().map_partitions(move |mut rows| catch(&mut rows));
        let twice = twice.map_partitions(move |mut rows| catch(&mut rows));
        assert!(twice.cache().count().is_err());
        let rethrown = bad().map_partitions(|rows| {
            let all = catch_unwind(AssertUnwindSafe(|| rows.collect::<Vec<_>>()));
            all.unwrap_or_else(|_| resume_unwind(Box::new("another")))
        });
        assert!(rethrown.boxed().sort_by_key(|n| *n).count().is_err());
        struct Drain<I: Iterator>(I);
        impl<I: Iterator> Drop for Drain<I> {
            fn drop(&mut self) {
                let _ = catch_unwind(AssertUnwindSafe(|| self.0.by_ref().for_each(drop)));
            }
        }
        let dropped = bad().map_partitions(|rows| {
            drop(Drain(rows));
            [1_u64]
        });
        for answer in [dropped.count(), dropped.boxed().cache().count()] {
            assert!(answer.is_err());
        }
        Ok(())
    });
}

// Case R-D4 of tests/PROMISES.md.
#[test]
fn first_rows_of_unions_flat_maps_and_groups_need_no_later_row() {
    test(|| {
        let ctx = context();
        let bad = |from: u64| {
            ctx.range_with(1, 0..9_u64)
                .map(move |n| if n >= from { resume_unwind(Box::new("boom")) } else { n })
        };
        let union = bad(1).filter(|_| false).boxed().union(&bad(0).boxed());
        assert!(union.first().is_err());
        assert_eq!(bad(2).boxed().union(&bad(0).boxed()).take(2)?, [0, 1]);
        assert_eq!(bad(1).boxed().flat_map(|n| [n; 3]).boxed().take(3)?, [0, 0, 0]);
        assert_eq!(bad(2).boxed().map_partitions(|rows| rows).boxed().take(2)?, [0, 1]);
        let keyed = ctx.range_with(1, 0..9_u64).map(|n| (n, n)).group_by_key();
        let first = keyed.map_partitions(|mut rows| {
            let mut calls = 0;
            std::iter::from_fn(move || {
                calls += 1;
                if calls == 3 { resume_unwind(Box::new("boom")) } else { rows.next() }
            })
        });
        assert_eq!(first.boxed().map(|_| 1).boxed().take(2)?, [1, 1]);
        assert!(!first.boxed().is_empty()?);
        Ok(())
    });
}

// Case R-B5 of tests/PROMISES.md.
#[test]
fn endless_outputs_three_way_groups_and_slow_orders_of_values_are_cancelled() {
    test(|| {
        type Job = fn(&Context, &std::path::Path) -> emberline::Result<u64>;
        let jobs: [Job; 3] = [
            |ctx, folder| {
                let rows = ctx.generate(2, |_| 0_u64..).filter(|n| *n == u64::MAX);
                rows.save_as_text_file(folder.join("text")).map(|()| 0)
            },
            |ctx, _| {
                let one = ctx.range_with(2, 0..60_000_u64).map(|n| (1, n));
                one.cogroup3(&one, &one)
                    .flat_map(|(_, (a, b, _))| {
                        a.into_iter().flat_map(move |n| b.clone().into_iter().map(move |m| n ^ m))
                    })
                    .filter(|n| *n == u64::MAX)
                    .count()
            },
            |ctx, _| {
                let one = ctx.range_with(2, 0..60_000_u64).map(|n| (1, n));
                one.group_sorted_by_key(|n| {
                    thread::sleep(Duration::from_micros(20));
                    u64::MAX - n
                })
                .count()
            },
        ];
        for (number, job) in jobs.into_iter().enumerate() {
            let ctx = context();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().to_path_buf();
            let own = ctx.clone();
            let handle = ctx.spawn(move || job(&own, &path));
            thread::sleep(Duration::from_millis(400));
            handle.cancel("enough");
            assert!(handle.wait().is_err(), "{number}");
            thread::sleep(Duration::from_millis(900));
            assert!(ctx.abandoned_tasks().is_empty(), "{number}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{number}");
        }
        Ok(())
    });
}
