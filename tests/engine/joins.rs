//! `cogroup` and `join` against nested loops.

use crate::support::*;
use emberline::prelude::*;
use std::collections::BTreeMap;

type Pairs = Vec<(i64, i64)>;
type Both = Vec<(i64, (Vec<i64>, Vec<i64>))>;

fn joined(left: &Pairs, right: &Pairs) -> Vec<(i64, (i64, i64))> {
    let pairs = left.iter().flat_map(|(key, v)| {
        right.iter().filter(move |(other, _)| other == key).map(move |(_, w)| (*key, (*v, *w)))
    });
    pairs.collect()
}

fn cogroup_iter(left: &Pairs, right: &Pairs) -> Both {
    let mut groups = BTreeMap::<i64, (Vec<i64>, Vec<i64>)>::new();
    left.iter().for_each(|(key, v)| groups.entry(*key).or_default().0.push(*v));
    right.iter().for_each(|(key, w)| groups.entry(*key).or_default().1.push(*w));
    groups.into_iter().collect()
}

/// Returns pairs of sides: each shape with the next one, whose keys partly match, and one with
/// itself.
fn two_sides() -> Vec<(Pairs, Pairs)> {
    let few: Pairs = (0..120).map(|n| (noise(n) as i64 % 40, n as i64)).collect();
    let others: Pairs = (0..90).map(|n| (noise(n + 7) as i64 % 30 + 20, n as i64)).collect();
    let mut sides: Vec<(Pairs, Pairs)> = vec![
        (few.clone(), others),
        (few.clone(), few.clone()),
        (few.clone(), vec![]),
        (vec![], few.clone()),
        (few, (1000..1100).map(|n| (n, n)).collect()),
    ];
    let shapes = shapes();
    sides.extend(shapes.iter().cloned().zip(shapes.iter().skip(1).cloned()));
    sides
}

#[test]
fn join_equals_a_nested_loop() {
    for (left, right) in two_sides() {
        check_rows(joined(&left, &right), move |ctx, p| {
            spread(ctx, p, &left).join(&spread(ctx, 2, &right)).collect()
        });
    }
}

#[test]
fn join_with_given_partitions_equals_a_nested_loop() {
    for (left, right) in two_sides() {
        check_rows(joined(&left, &right), move |ctx, p| {
            let both = spread(ctx, 3, &left).with_partitions(p).join(&spread(ctx, 7, &right));
            assert_eq!(both.num_partitions(), p);
            both.collect()
        });
    }
}

#[test]
fn cogroup_equals_two_maps_of_lists_in_order() {
    for (left, right) in two_sides() {
        let oracle = cogroup_iter(&left, &right);
        check_rows(oracle.clone(), {
            let left = left.clone();
            let right = right.clone();
            move |ctx, p| spread(ctx, p, &left).cogroup(&spread(ctx, 2, &right)).collect()
        });
        check_rows(oracle, move |ctx, p| {
            spread(ctx, p, &left).with_partitions(5).cogroup(&spread(ctx, 7, &right)).collect()
        });
    }
}

#[test]
fn a_join_yields_each_left_row_with_its_right_rows_in_order() {
    let (left, right) = two_sides().swap_remove(0);
    let oracle = joined(&left, &right);
    let of_key = |rows: &[(i64, (i64, i64))], key| {
        rows.iter().filter(|row| row.0 == key).copied().collect::<Vec<_>>()
    };
    same_bytes(move |ctx, p| {
        let rows = spread(ctx, p, &left).join(&spread(ctx, 2, &right)).collect()?;
        (0..50).for_each(|key| assert_eq!(of_key(&rows, key), of_key(&oracle, key)));
        let mut keys: Vec<i64> = rows.iter().map(|row| row.0).collect();
        keys.dedup();
        assert_eq!(
            keys.len(),
            sorted(keys.clone()).chunk_by(|a, b| a == b).count(),
            "keys come once"
        );
        Ok(rows)
    });
}

#[test]
fn a_join_has_the_key_order_of_a_reduction() {
    same_bytes(|ctx, p| {
        let pairs = ctx.range_with(p, 0..200_u64).map(|n| (n % 90, n));
        let joined = pairs.with_partitions(4).join(&pairs.map_values(|n| n.to_string()));
        let mut keys: Vec<u64> = joined.map(|(key, _)| key).collect()?;
        keys.dedup();
        assert_eq!(
            keys,
            pairs.with_partitions(4).reduce_by_key(|a, _| a).map(|(key, _)| key).collect()?
        );
        joined.collect()
    });
}

#[test]
fn strings_tuples_and_colliding_keys_join() {
    check_rows(
        vec![(("a".to_string(), 1_u8), ("x".to_string(), Some(2.5_f32.to_bits())))],
        |ctx, p| {
            let left = ctx.parallelize_with(p, vec![("a", 1), ("b", 2)]);
            let left = left.map(|(a, b)| ((a.to_string(), b), "x".to_string()));
            let right =
                ctx.parallelize_with(2, vec![(("a".to_string(), 1), Some(2.5_f32.to_bits()))]);
            left.join(&right).collect()
        },
    );
    check_rows((0..20).map(|n| (OneHash(n), (n, n + 100))).collect(), |ctx, p| {
        let left = ctx.range_with(p, 0..30).map(|n| (OneHash(n), n));
        let right = ctx.range_with(3, 100..120).map(|n| (OneHash(n - 100), n));
        left.join(&right).collect()
    });
}

#[test]
fn an_rdd_can_be_joined_with_itself_and_with_a_join() {
    check_rows((0..50).map(|n| (n, ((n, n), n * 2))).collect(), |ctx, p| {
        let rows = ctx.range_with(p, 0..50).map(|n| (n, n));
        rows.join(&rows).join(&rows.map_values(|n| n * 2)).collect()
    });
}

#[test]
fn a_skewed_join_larger_than_the_memory_limit_completes() {
    let left = || (0..40_000_u64).map(|n| (if n % 2 == 0 { 0 } else { n }, n));
    let oracle = left().filter(|row| row.0 < 1000).map(|(key, n)| (key, (n, key + 1))).collect();
    check_short_of_memory(oracle, move |ctx, p| {
        let left = ctx.generate(p, move |i| left().skip(i).step_by(p));
        left.join(&ctx.range_with(2, 0..1000_u64).map(|n| (n, n + 1))).collect()
    });
}

fn r1(ctx: &Context, partitions: usize) -> Rdd<(i32, i32)> {
    ctx.parallelize_with(partitions, vec![(1, 1), (1, 2), (2, 1), (3, 1)]).boxed()
}

fn r2(ctx: &Context, partitions: usize) -> Rdd<(i32, char)> {
    ctx.parallelize_with(partitions, vec![(1, 'x'), (2, 'y'), (2, 'z'), (4, 'w')]).boxed()
}

// Case B149 of tests/spark_cases.md.
#[test]
fn join_pairs_every_left_with_every_right_value() {
    let oracle = vec![(1, (1, 'x')), (1, (2, 'x')), (2, (1, 'y')), (2, (1, 'z'))];
    check_rows(oracle.clone(), |ctx, p| r1(ctx, p).join(&r2(ctx, p)).collect());
    check_rows(oracle, |ctx, p| r1(ctx, p).with_partitions(10).join(&r2(ctx, 2)).collect());
}

// Case B153 of tests/spark_cases.md.
#[test]
fn joins_of_one_shared_key_and_of_disjoint_keys() {
    check(6, |ctx, p| {
        let left = ctx.parallelize_with(p, vec![(1, 1), (1, 2), (1, 3)]);
        left.join(&ctx.parallelize_with(2, vec![(1, 'x'), (1, 'y')])).count()
    });
    check(0, |ctx, p| r1(ctx, p).join(&ctx.parallelize_with(p, vec![(7, 'x'), (8, 'y')])).count());
}

// Case B155 of tests/spark_cases.md.
#[test]
fn cogroup_returns_both_lists_of_each_key() {
    let oracle = vec![
        (1, (vec![1, 2], vec!['x'])),
        (2, (vec![1], vec!['y', 'z'])),
        (3, (vec![1], vec![])),
        (4, (vec![], vec!['w'])),
    ];
    check_rows(oracle, |ctx, p| r1(ctx, p).cogroup(&r2(ctx, p)).collect());
}

// Case B157 of tests/spark_cases.md.
// An RDD always has a partition here, so the nearest to Spark's empty one has no rows.
#[test]
fn cogroup_with_an_empty_rdd_still_returns_rows() {
    check(vec![4, 4, 4], |ctx, p| {
        let four = ctx.range_with(p, 0..4_i32).map(|n| (n, n));
        let nothing = ctx.parallelize_with(p, Vec::<(i32, i32)>::new());
        let plain = four.cogroup(&nothing).count()?;
        let group_by_key_iter = four.cogroup(&nothing.group_by_key()).count()?;
        Ok(vec![plain, group_by_key_iter, nothing.cogroup(&four).count()?])
    });
}

// Case B159 of tests/spark_cases.md.
// There is no setting for the parallelism of a shuffle here, so two inputs without a partitioner
// have the larger number of partitions; a partitioner wins unless it has a tenth of that or less.
#[test]
fn default_partitioning_prefers_the_largest_existing_partitioner() {
    test(|| {
        let ctx = context();
        let plain = |partitions| ctx.range_with(partitions, 0..2000_u32).map(|n| (n, n)).boxed();
        let placed = |partitions| plain(2).partition_by(partitions);
        let joined = |a: &Rdd<(u32, u32)>, b: &Rdd<(u32, u32)>| {
            let partitions = a.join(b).num_partitions();
            assert_eq!(a.cogroup(b).num_partitions(), partitions);
            assert_eq!(b.join(a).num_partitions(), partitions);
            partitions
        };
        assert_eq!(joined(&plain(20), &plain(10)), 20);
        assert_eq!(joined(&plain(20), &placed(10)), 10);
        assert_eq!(joined(&plain(99), &placed(10)), 10);
        assert_eq!(joined(&plain(100), &placed(10)), 100);
        assert_eq!(joined(&placed(9), &placed(10)), 10);
        assert_eq!(plain(20).group_by_key().num_partitions(), 20);
        assert_eq!(placed(10).reduce_by_key(|a, _| a).num_partitions(), 10);
        Ok(())
    });
}

// Case B161 of tests/spark_cases.md.
#[test]
fn join_of_strings_keeps_the_order_of_the_right_side() {
    check(vec![("a".to_string(), (1, 2)), ("a".to_string(), (1, 3))], |ctx, p| {
        let text = |(key, n): (&'static str, i32)| (key.to_string(), n);
        let left = ctx.parallelize_with(p, vec![("a", 1), ("b", 4)]).map(text);
        left.join(&ctx.parallelize_with(p, vec![("a", 2), ("a", 3)]).map(text)).collect()
    });
}

// Case B165 of tests/spark_cases.md.
#[test]
fn co_partitioned_rdds_join_in_fewer_stages() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let plain = ctx.range_with(4, 0..100_u32).map(|n| (n, n));
        let parted = plain.partition_by(2);
        assert_eq!(parted.union(&parted).num_partitions(), 2);
        let (rows, counts) = counter.during(|| parted.join(&parted).count());
        assert_eq!((rows?, counts.stages, counts.rows_written), (100, 2, 100));
        let parted = plain.partition_by(2);
        let (rows, counts) = counter.during(|| parted.join(&plain).count());
        assert_eq!((rows?, counts.stages, counts.rows_written), (100, 3, 200));
        let parted = plain.partition_by(2);
        let (rows, counts) = counter.during(|| parted.cogroup(&parted).count());
        assert_eq!((rows?, counts.stages), (100, 2));
        let parted = plain.partition_by(2);
        let (rows, counts) = counter.during(|| plain.cogroup(&parted).count());
        assert_eq!((rows?, counts.stages), (100, 3));
        Ok(())
    });
}
