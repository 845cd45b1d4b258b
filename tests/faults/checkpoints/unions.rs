//! Long chains of unions, and checkpoints of many partitions, cost as much as their length.

use emberline::prelude::*;
use std::time::Instant;
use testkit::{DEADLINE, scaled, within};

/// Appends an RDD to those so far, in one of several ways.
type Append = fn(&Context, &Rdd<u64>, &Rdd<u64>) -> Rdd<u64>;

/// Returns all ways to make a union, each with true if the new rows come first.
fn ways() -> [(&'static str, bool, Append); 6] {
    [
        ("left", false, |_, all, next| all.union(next).boxed()),
        ("right", true, |_, all, next| next.union(all).boxed()),
        ("list", false, |ctx, all, next| ctx.union([all.clone(), next.clone()]).boxed()),
        ("list, first", true, |ctx, all, next| ctx.union([next.clone(), all.clone()]).boxed()),
        ("with an empty one", false, |ctx, all, next| {
            let none = ctx.parallelize_with(1, Vec::new()).boxed();
            ctx.union([all.clone(), none, next.clone()]).boxed()
        }),
        ("as a reference", false, |_, all, next| {
            let both = all.union(next);
            (*both).clone()
        }),
    ]
}

fn one(ctx: &Context, n: u64) -> Rdd<u64> {
    ctx.range_with(1, n..n + 1).boxed()
}

// Case R-D3 of tests/PROMISES.md.
#[test]
fn ten_thousand_boxed_unions_one_on_another_return_their_rows_in_order() {
    const UNIONS: u64 = 10_000;
    within(2 * DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let begun = Instant::now();
        let mut rows = one(&ctx, 0);
        for n in 1..UNIONS {
            rows = rows.union(&one(&ctx, n)).boxed();
        }
        println!("defined {:?}", begun.elapsed());
        assert!(rows.collect().unwrap().into_iter().eq(0..UNIONS));
        println!("collected {:?}", begun.elapsed());
        assert_eq!(rows.take(3).unwrap(), [0, 1, 2]);
        println!("taken {:?}", begun.elapsed());
        let plan = rows.explain().to_string();
        assert!(plan.matches("union").count() as u64 >= UNIONS - 1);
        println!("explained {:?}", begun.elapsed());
        drop(rows);
        println!("dropped {:?}", begun.elapsed());
    });
}

// Case R-D3 of tests/PROMISES.md.
#[test]
fn unions_of_unions_in_any_order_return_the_rows_of_a_list() {
    within(2 * DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        for (name, comes_first, append) in ways() {
            let mut rows = one(&ctx, 0);
            let mut want = vec![0];
            for n in 1..scaled(300) as u64 {
                // Every 50th union joins two long chains.
                let next = if n % 50 == 0 { rows.clone() } else { one(&ctx, n) };
                let more = if n % 50 == 0 { want.clone() } else { vec![n] };
                if want.len() + more.len() > 2_000 {
                    break;
                }
                rows = append(&ctx, &rows, &next);
                want = if comes_first { [more, want].concat() } else { [want, more].concat() };
            }
            assert_eq!(rows.collect().unwrap(), want, "{name}");
            assert_eq!(rows.refs().map(|n| *n).collect().unwrap(), want, "{name}");
            assert_eq!(rows.take(70).unwrap(), want[..70], "{name}");
            assert_eq!(rows.cache().collect().unwrap(), want, "{name}");
        }
    });
}

// Case R-D3 of tests/PROMISES.md.
#[test]
fn unions_of_the_same_partitioner_stay_partitioned_in_chains_of_any_length() {
    within(2 * DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let pairs = |n: u64| ctx.range_with(1, 0..4_u64).map(move |key| (key, n)).partition_by(3);
        let mut rows = pairs(0);
        let unions = scaled(100) as u64;
        for n in 1..unions {
            rows = if n % 3 == 0 {
                pairs(n).union(&rows).boxed()
            } else {
                rows.union(&pairs(n)).boxed()
            };
        }
        assert_eq!(rows.num_partitions(), 3);
        let mut sums = rows.reduce_by_key(|a, b| a + b).collect().unwrap();
        sums.sort_unstable();
        let sum = (0..unions).sum::<u64>();
        assert_eq!(sums, [(0, sum), (1, sum), (2, sum), (3, sum)]);
        // Alternating layouts: a union without a partitioner on one with it.
        let other = ctx.range_with(2, 0..4_u64).map(|key| (key, 1)).boxed();
        let both = rows.union(&other).boxed().union(&rows).boxed();
        assert_eq!(both.count().unwrap(), 2 * 4 * unions + 4);
        assert_eq!(both.num_partitions(), 3 + 2 + 3);
    });
}
