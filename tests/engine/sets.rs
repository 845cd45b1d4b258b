//! Outer joins, set operations, folds and sorted groups against plain Rust.

use crate::support::*;
use emberline::prelude::*;
use emberline::{Partitioner, Partitioning};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use testkit::{DEADLINE, within};

type Pairs = Vec<(i64, i64)>;
type Outer = Vec<(i64, (Option<i64>, Option<i64>))>;

/// A partitioner by the remainder of the key.
struct ByModulo(i64);

impl Partitioner<i64> for ByModulo {
    fn partitions(&self) -> usize {
        self.0 as usize
    }

    fn partition_of(&self, key: &i64) -> usize {
        key.rem_euclid(self.0) as usize
    }
}

/// Pairs spread over partitions.
fn pairs(ctx: &Context, partitions: usize, rows: &[(i64, i64)]) -> Rdd<(i64, i64)> {
    spread(ctx, partitions, rows)
}

/// Returns pairs of sides: each shape with the next one, whose keys partly match, one with itself
/// and one with no rows.
fn two_sides() -> Vec<(Pairs, Pairs)> {
    let few: Pairs = (0..120).map(|n| (noise(n) as i64 % 40, n as i64 % 3)).collect();
    let others: Pairs = (0..90).map(|n| (noise(n + 7) as i64 % 30 + 20, n as i64 % 3)).collect();
    let mut sides = vec![
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

/// Returns the values of each key, in order.
fn groups(rows: &Pairs) -> BTreeMap<i64, Vec<i64>> {
    let mut groups = BTreeMap::<i64, Vec<i64>>::new();
    rows.iter().for_each(|(key, value)| groups.entry(*key).or_default().push(*value));
    groups
}

/// Computes the full outer join with nested loops.
fn full_join(left: &Pairs, right: &Pairs) -> Outer {
    let left = groups(left);
    let right = groups(right);
    let keys: BTreeSet<i64> = left.keys().chain(right.keys()).copied().collect();
    let mut rows = Vec::new();
    for key in keys {
        let values = |side: &BTreeMap<i64, Vec<i64>>| match side.get(&key) {
            Some(values) => values.iter().copied().map(Some).collect(),
            None => vec![None],
        };
        for v in values(&left) {
            rows.extend(values(&right).into_iter().map(|w| (key, (v, w))));
        }
    }
    rows
}

#[test]
fn outer_joins_equal_nested_loops() {
    for (left, right) in two_sides() {
        let full = full_join(&left, &right);
        let of_left = full.iter().filter_map(|(k, (v, w))| Some((*k, ((*v)?, *w)))).collect();
        let of_right = full.iter().filter_map(|(k, (v, w))| Some((*k, (*v, (*w)?)))).collect();
        let sides = (left, right);
        let a = sides.clone();
        let b = sides.clone();
        let c = sides;
        check_rows(of_left, move |ctx, p| {
            pairs(ctx, p, &a.0).left_outer_join(&pairs(ctx, 2, &a.1)).collect()
        });
        check_rows(of_right, move |ctx, p| {
            pairs(ctx, p, &b.0).right_outer_join(&pairs(ctx, 2, &b.1)).collect()
        });
        check_rows(full, move |ctx, p| {
            pairs(ctx, p, &c.0).full_outer_join(&pairs(ctx, 2, &c.1)).collect()
        });
    }
}

#[test]
fn outer_joins_with_given_partitions_equal_nested_loops() {
    let (left, right) = two_sides().swap_remove(0);
    let counts = full_join(&left, &right);
    let of_left = counts.iter().filter(|row| row.1.0.is_some()).count();
    let of_right = counts.iter().filter(|row| row.1.1.is_some()).count();
    check((of_left, of_right, sorted(counts)), move |ctx, p| {
        let left = pairs(ctx, 3, &left);
        let right = pairs(ctx, 7, &right);
        let full = left.with_partitions(p).full_outer_join(&right);
        let by_left = left.with_partitions(p).left_outer_join(&right);
        let by_right = left.with_partitions(p).right_outer_join(&right);
        assert_eq!([full.num_partitions(), by_left.num_partitions()], [p, p]);
        assert_eq!(by_right.num_partitions(), p);
        Ok((by_left.count()? as usize, by_right.count()? as usize, sorted(full.collect()?)))
    });
}

#[test]
fn an_outer_join_yields_each_left_row_with_its_right_rows_in_order() {
    let (left, right) = two_sides().swap_remove(0);
    let oracle = full_join(&left, &right);
    check(oracle, move |ctx, p| {
        let mut rows = pairs(ctx, p, &left).full_outer_join(&pairs(ctx, 3, &right)).collect()?;
        rows.sort_by_key(|row| row.0);
        Ok(rows)
    });
}

#[test]
fn subtract_and_intersection_equal_sets() {
    for (left, right) in two_sides() {
        let without: Pairs = left.iter().filter(|row| !right.contains(row)).copied().collect();
        let common: BTreeSet<_> = left.iter().filter(|row| right.contains(row)).copied().collect();
        let other = (left.clone(), right.clone());
        check_rows(without, move |ctx, p| {
            let left = pairs(ctx, p, &left);
            let right = pairs(ctx, 2, &right);
            assert_eq!(left.subtract(&right).num_partitions(), left.num_partitions());
            left.subtract(&right).collect()
        });
        check_rows(common.into_iter().collect(), move |ctx, p| {
            pairs(ctx, p, &other.0).intersection(&pairs(ctx, 2, &other.1)).collect()
        });
    }
}

#[test]
fn subtract_by_key_keeps_the_pairs_whose_key_the_other_lacks() {
    for (left, right) in two_sides() {
        let keys = groups(&right);
        let without = left.iter().filter(|row| !keys.contains_key(&row.0)).copied().collect();
        check_rows(without, move |ctx, p| {
            let right = pairs(ctx, 2, &right).map_values(|n| Some(n.to_string()));
            pairs(ctx, p, &left).subtract_by_key(&right).collect()
        });
    }
}

// The other side's values need neither be cloned nor written.
#[test]
fn subtract_by_key_accepts_values_without_serde() {
    struct Plain;
    check(vec![(1, 'a')], |ctx, p| {
        let left = ctx.parallelize_with(p, vec![(1, 'a'), (2, 'b')]);
        left.subtract_by_key(&ctx.parallelize_with(2, vec![2]).map(|n| (n, Plain))).collect()
    });
}

#[test]
fn set_operations_use_the_given_partitions() {
    check((vec![1, 1, 2], vec![3], vec![(1, 1), (1, 1), (2, 2)]), |ctx, p| {
        let left = ctx.parallelize_with(3, vec![1, 3, 2, 3, 1_i64]);
        let right = ctx.parallelize_with(7, vec![4, 3, 3_i64]);
        let rest = left.with_partitions(p).subtract(&right);
        let common = left.with_partitions(p).intersection(&right);
        let twice = |n| (n, n);
        let by_key = left.map(twice).with_partitions(p).subtract_by_key(&right.map(twice));
        assert_eq!([rest.num_partitions(), common.num_partitions()], [p, p]);
        assert_eq!(by_key.num_partitions(), p);
        Ok((sorted(rest.collect()?), common.collect()?, sorted(by_key.collect()?)))
    });
}

#[test]
fn unequal_keys_with_equal_hashes_stay_separate() {
    check(((0..10).collect(), (10..20).collect(), 30), |ctx, p| {
        let left = ctx.range_with(p, 0..20_i64).map(OneHash);
        let right = ctx.range_with(2, 10..30_i64).map(OneHash);
        let numbers = |rows: Vec<OneHash>| sorted(rows.iter().map(|row| row.0).collect::<Vec<_>>());
        let rest = numbers(left.subtract(&right).collect()?);
        let common = numbers(left.intersection(&right).collect()?);
        let unit = |key| (key, ());
        Ok((rest, common, left.map(unit).full_outer_join(&right.map(unit)).count()?))
    });
}

#[test]
fn fold_by_key_equals_a_fold_of_each_key() {
    for rows in shapes() {
        let sums: Pairs = groups(&rows)
            .into_iter()
            .map(|(key, values)| (key, values.iter().fold(0, |a: i64, b| a.wrapping_add(*b))))
            .collect();
        let again = rows.clone();
        check_rows(sums.clone(), move |ctx, p| {
            pairs(ctx, p, &rows).fold_by_key(0, i64::wrapping_add).collect()
        });
        check_rows(sums, move |ctx, p| {
            pairs(ctx, 3, &again).with_partitions(p).fold_by_key(0, i64::wrapping_add).collect()
        });
    }
}

#[test]
fn group_by_equals_a_map_of_lists_in_order() {
    for rows in shapes() {
        let by_parity = rows.iter().map(|row| (row.1 % 2, row.0)).collect();
        let oracle: Vec<_> = groups(&by_parity).into_iter().collect();
        let again = rows.clone();
        let keys = |rows: Vec<(i64, i64)>| rows.iter().map(|row| row.0).collect::<Vec<_>>();
        check_rows(oracle.clone(), move |ctx, p| {
            pairs(ctx, p, &rows).group_by(|row| row.1 % 2).map_values(keys).collect()
        });
        check_rows(oracle, move |ctx, p| {
            pairs(ctx, 3, &again)
                .with_partitions(p)
                .group_by(|row| row.1 % 2)
                .map_values(keys)
                .collect()
        });
    }
}

#[test]
fn group_sorted_by_key_equals_a_stable_sort_of_each_group() {
    for rows in shapes() {
        let mut by_tens = rows.clone();
        by_tens.sort_by_key(|row| row.1 / 10);
        let oracle: Vec<_> = groups(&by_tens).into_iter().collect();
        let again = rows.clone();
        check_rows(oracle.clone(), move |ctx, p| {
            pairs(ctx, p, &rows).group_sorted_by_key(|value| value / 10).collect()
        });
        check_rows(oracle, move |ctx, p| {
            pairs(ctx, 3, &again)
                .with_partitions(p)
                .group_sorted_by_key(|value| value / 10)
                .collect()
        });
    }
}

#[test]
fn cogroup3_equals_three_maps_of_lists() {
    let shapes = shapes();
    for n in 0..shapes.len() {
        let rows = [0, 1, 2].map(|m| shapes[(n + m) % shapes.len()].clone());
        let sides = [0, 1, 2].map(|m| groups(&rows[m]));
        let keys: BTreeSet<i64> = sides.iter().flat_map(|side| side.keys()).copied().collect();
        let list = |m: usize, key| sides[m].get(&key).cloned().unwrap_or_default();
        let of_key = |key| (key, (list(0, key), list(1, key), list(2, key)));
        let oracle: Vec<_> = keys.into_iter().map(of_key).collect();
        let again = rows.clone();
        check_rows(oracle.clone(), move |ctx, p| {
            let second = pairs(ctx, 2, &rows[1]);
            let third = pairs(ctx, 3, &rows[2]);
            let all = pairs(ctx, p, &rows[0]).cogroup3(&second, &third);
            assert_eq!(all.num_partitions(), p.max(3));
            all.collect()
        });
        check_rows(oracle, move |ctx, p| {
            let second = pairs(ctx, 7, &again[1]);
            let third = pairs(ctx, 1, &again[2]);
            pairs(ctx, 2, &again[0]).with_partitions(p).cogroup3(&second, &third).collect()
        });
    }
}

#[test]
fn repartition_and_sort_sorts_each_partition_stably() {
    for rows in shapes() {
        let part = |p: usize| {
            let here = |row: &&(i64, i64)| row.0.rem_euclid(p as i64) as usize;
            let of = |n| rows.iter().filter(|row| here(row) == n).copied().collect::<Vec<_>>();
            let mut parts: Vec<Pairs> = (0..p).map(of).collect();
            parts.iter_mut().for_each(|part| part.sort_by_key(|row| row.0));
            parts
        };
        let oracle: BTreeMap<usize, Vec<Pairs>> = PARTITIONS.map(|p| (p, part(p))).into();
        check((), move |ctx, p| {
            let by = Arc::new(ByModulo(p as i64));
            let placed = pairs(ctx, 3, &rows).repartition_and_sort_within_partitions(by);
            assert_eq!(glom(&placed)?, oracle[&p]);
            Ok(())
        });
    }
}

#[test]
fn co_partitioned_rows_are_not_shuffled_again() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let rows = ctx.range_with(4, 0..100_i64).map(|n| (n % 50, n));
        let placed = rows.partition_by(3);
        let written = |run: &dyn Fn() -> Result<u64>| -> Result<u64> {
            let (answer, counts) = counter.during(run);
            answer.map(|_| counts.rows_written)
        };
        assert_eq!(written(&|| placed.count())?, 100);
        assert_eq!(written(&|| placed.fold_by_key(0, |a, b| a + b).count())?, 0);
        assert_eq!(written(&|| placed.group_sorted_by_key(|n| *n).count())?, 0);
        assert_eq!(written(&|| placed.subtract_by_key(&placed).count())?, 0);
        assert_eq!(written(&|| placed.left_outer_join(&placed).count())?, 0);
        assert_eq!(written(&|| placed.right_outer_join(&placed).count())?, 0);
        assert_eq!(written(&|| placed.full_outer_join(&placed).count())?, 0);
        assert_eq!(written(&|| placed.cogroup3(&placed, &placed).count())?, 0);
        assert_eq!(written(&|| placed.repartition_and_sort_within_partitions(3).count())?, 0);
        assert_eq!(written(&|| placed.subtract_by_key(&rows).count())?, 100);
        assert_eq!(written(&|| placed.cogroup3(&rows, &placed).count())?, 100);
        assert_eq!(written(&|| placed.with_partitions(5).full_outer_join(&placed).count())?, 200);
        // The results are partitioned the same way.
        let sorted = placed.repartition_and_sort_within_partitions(3);
        assert_eq!(
            written(&|| sorted.left_outer_join(&placed).reduce_by_key(|a, _| a).count())?,
            0
        );
        let groups = placed.group_sorted_by_key(|n| *n);
        assert_eq!(written(&|| groups.cogroup3(&placed, &sorted).group_by_key().count())?, 0);
        assert_eq!(written(&|| rows.group_by(|row| row.0).count())?, 100);
        assert_eq!(written(&|| rows.subtract(&placed).count())?, 200);
        Ok(())
    });
}

#[test]
fn set_operations_on_two_contexts_are_refused() {
    within(DEADLINE, two_contexts);
}

fn two_contexts() {
    let one = context();
    let two = context();
    let left = pairs(&one, 2, &[(1, 1)]);
    let right = pairs(&two, 2, &[(1, 2)]);
    let refused = |answer: Result<u64>, operation| {
        let error = assert_kind(answer, |kind| matches!(kind, ErrorKind::InvalidArgument { .. }));
        assert!(error.to_string().contains("two contexts"), "{error}");
        assert!(error.to_string().contains(operation), "{error}");
    };
    refused(left.left_outer_join(&right).count(), "left_outer_join");
    refused(left.right_outer_join(&right).count(), "right_outer_join");
    refused(left.full_outer_join(&right).count(), "full_outer_join");
    refused(left.subtract(&right).count(), "subtract");
    refused(left.subtract_by_key(&right).count(), "subtract_by_key");
    refused(left.intersection(&right).count(), "intersection");
    refused(left.cogroup3(&right, &left).count(), "cogroup3");
    refused(left.cogroup3(&left, &right).count(), "cogroup3");
}

#[test]
fn a_skewed_outer_join_larger_than_the_memory_limit_completes() {
    let left = || (0..40_000_u64).map(|n| (if n % 2 == 0 { 0 } else { n }, n));
    let other = |key: u64| (key < 1000).then_some(key + 1);
    let oracle = left().map(|(key, n)| (key, (n, other(key)))).collect();
    check_short_of_memory(oracle, move |ctx, p| {
        let left = ctx.generate(p, move |i| left().skip(i).step_by(p));
        left.left_outer_join(&ctx.range_with(2, 0..1000_u64).map(|n| (n, n + 1))).collect()
    });
}

// Case B091 of tests/spark_cases.md.
#[test]
fn intersection_of_numbers() {
    check_rows(vec![1, 2, 3], |ctx, p| {
        let left = ctx.parallelize_with(p, vec![1, 10, 2, 3, 4, 5]);
        left.intersection(&ctx.parallelize_with(p, vec![1, 6, 2, 3, 7, 8])).collect()
    });
}

// Case B093 of tests/spark_cases.md.
#[test]
fn subtract_compares_whole_pairs_and_drops_the_partitioner() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let by: Partitioning<i64> = Arc::new(ByModulo(5)).into();
        let left = ctx.parallelize(vec![(1, 'a'), (2, 'b'), (3, 'c')]).partition_by(by.clone());
        let rest = left.subtract(&ctx.parallelize(vec![(2, 'b'), (3, 'd'), (4, 'd')]));
        assert_eq!(rest.num_partitions(), 5);
        assert_eq!(sorted(rest.collect()?), [(1, 'a'), (3, 'c')]);
        let (rows, counts) = counter.during(|| rest.partition_by(by).count());
        assert_eq!((rows?, counts.rows_written), (2, 2));
        Ok(())
    });
}

// Case B137 of tests/spark_cases.md.
#[test]
fn fold_by_key_sums_and_does_not_change_cached_buffers() {
    let rows = || vec![(1, 1), (1, 2), (1, 3), (1, 1), (2, 1)];
    check_rows(vec![(1, 7), (2, 1)], move |ctx, p| {
        ctx.parallelize_with(p, rows()).fold_by_key(0, |a, b| a + b).collect()
    });
    check((vec![(1, vec![1, 2, 3, 1]), (2, vec![1])], true), move |ctx, p| {
        let buffers = ctx.parallelize_with(p, rows()).map_values(|n| vec![n]).cache();
        buffers.count()?;
        let folded = buffers.fold_by_key(Vec::new(), |mut list, more| {
            list.extend(more);
            list
        });
        let lists = sorted(folded.collect()?);
        Ok((lists, buffers.collect()?.iter().all(|(_, buffer)| buffer.len() == 1)))
    });
}

// Cases B149 and B151 of tests/spark_cases.md.
#[test]
fn outer_joins_add_the_unmatched_rows_of_one_side() {
    let both = [(1, (1, 'x')), (1, (2, 'x')), (2, (1, 'y')), (2, (1, 'z'))];
    let left = |ctx: &Context, p| ctx.parallelize_with(p, vec![(1, 1), (1, 2), (2, 1), (3, 1)]);
    let right =
        |ctx: &Context, p| ctx.parallelize_with(p, vec![(1, 'x'), (2, 'y'), (2, 'z'), (4, 'w')]);
    let mut of_right: Vec<_> = both.iter().map(|(k, (v, w))| (*k, (Some(*v), *w))).collect();
    of_right.push((4, (None, 'w')));
    check_rows(of_right, move |ctx, p| left(ctx, p).right_outer_join(&right(ctx, 2)).collect());
    let mut of_left: Vec<_> = both.iter().map(|(k, (v, w))| (*k, (*v, Some(*w)))).collect();
    of_left.push((3, (1, None)));
    check_rows(of_left, move |ctx, p| {
        left(ctx, p).with_partitions(10).left_outer_join(&right(ctx, 2)).collect()
    });
    check(6, move |ctx, p| left(ctx, p).full_outer_join(&right(ctx, p)).count());
}

// Case B161 of tests/spark_cases.md.
#[test]
fn left_outer_join_adds_the_unmatched_key() {
    let text = |(key, n): (&'static str, i32)| (key.to_string(), n);
    let row = |key: &str, n, other| (key.to_string(), (n, other));
    let oracle = vec![row("a", 1, Some(2)), row("a", 1, Some(3)), row("b", 4, None)];
    check_rows(oracle, move |ctx, p| {
        let left = ctx.parallelize_with(p, vec![("a", 1), ("b", 4)]).map(text);
        left.left_outer_join(&ctx.parallelize_with(p, vec![("a", 2), ("a", 3)]).map(text)).collect()
    });
}

// Case B163 of tests/spark_cases.md.
#[test]
fn subtract_by_key_keeps_both_pairs_of_a_key() {
    check(vec![('b', 4), ('b', 5)], |ctx, p| {
        let left = ctx.parallelize_with(p, vec![('a', 1), ('b', 4), ('b', 5), ('a', 2)]);
        let right = ctx.parallelize_with(p, vec![('a', Some(3)), ('c', None)]);
        left.subtract_by_key(&right).collect()
    });
}

// Cases B187 and B189 of tests/spark_cases.md.
#[test]
fn repartition_and_sort_by_parity_needs_no_second_shuffle() {
    let rows = || vec![(0, 5), (3, 8), (2, 6), (0, 8), (3, 8), (1, 3_i64)];
    check(vec![vec![(0, 5), (0, 8), (2, 6)], vec![(1, 3), (3, 8), (3, 8)]], move |ctx, p| {
        let placed = ctx.parallelize_with(p, rows());
        glom(&placed.repartition_and_sort_within_partitions(Arc::new(ByModulo(2))))
    });
    test(move || {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let placed = ctx.parallelize_with(3, rows()).partition_by(2);
        placed.count()?;
        let sorted = placed.repartition_and_sort_within_partitions(2);
        let (rows, counts) = counter.during(|| sorted.count());
        assert_eq!((rows?, counts.stages, counts.rows_written), (6, 1, 0));
        Ok(())
    });
}
