//! Operations that group the rows of a key, against hash maps.

use crate::support::*;
use emberline::partition::HashPartitioner;
use emberline::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;

type Pairs = Vec<(i64, i64)>;

/// Runs `program` over pairs in every shape and compares its rows with those of `oracle`.
fn over_shapes<T, O, S>(oracle: O, program: S)
where
    T: Ord + Debug + Send + 'static,
    O: Fn(&Pairs) -> Vec<T>,
    S: Fn(&Rdd<(i64, i64)>) -> Result<Vec<T>> + Clone + Send + 'static,
{
    for rows in shapes() {
        let program = program.clone();
        check_rows(oracle(&rows), move |ctx, p| program(&spread(ctx, p, &rows)));
    }
}

fn groups<K: Ord + Clone, V: Clone>(rows: &[(K, V)]) -> BTreeMap<K, Vec<V>> {
    let mut groups = BTreeMap::<K, Vec<V>>::new();
    for (key, value) in rows {
        groups.entry(key.clone()).or_default().push(value.clone());
    }
    groups
}

fn sums(rows: &Pairs) -> Pairs {
    groups(rows)
        .into_iter()
        .map(|(key, all)| (key, all.iter().fold(0, |a, b| b.wrapping_add(a))))
        .collect()
}

#[test]
fn reduce_by_key_equals_a_hash_map_for_any_partitioning() {
    over_shapes(sums, |rdd| rdd.reduce_by_key(i64::wrapping_add).collect());
    over_shapes(sums, |rdd| rdd.with_partitions(5).reduce_by_key(i64::wrapping_add).collect());
    over_shapes(sums, |rdd| {
        let by = HashPartitioner { partitions: 3 };
        rdd.with_partitions(by).reduce_by_key(i64::wrapping_add).collect()
    });
}

#[test]
fn reduce_by_key_merges_in_partition_and_row_order() {
    let joined = |rows: &Pairs| {
        let text = |values: Vec<i64>| values.iter().map(|v| format!("{v} ")).collect::<String>();
        groups(rows).into_iter().map(|(key, values)| (key, text(values))).collect::<Vec<_>>()
    };
    over_shapes(joined, |rdd| {
        rdd.map_values(|v| format!("{v} ")).reduce_by_key(|a, b| a + &b).collect()
    });
}

#[test]
fn aggregate_by_key_equals_a_fold_of_each_group() {
    let distinct = |rows: &Pairs| {
        let sets = groups(rows).into_iter().map(|(key, all)| (key, BTreeSet::from_iter(all)));
        sets.collect::<Vec<_>>()
    };
    let insert = |mut set: BTreeSet<i64>, value| {
        set.insert(value);
        set
    };
    let join = |mut set: BTreeSet<i64>, more| {
        set.extend(more);
        set
    };
    over_shapes(distinct, move |rdd| rdd.aggregate_by_key(BTreeSet::new(), insert, join).collect());
    over_shapes(distinct, move |rdd| {
        rdd.with_partitions(4).aggregate_by_key(BTreeSet::new(), insert, join).collect()
    });
}

#[test]
fn combine_by_key_equals_a_list_of_each_group() {
    let push = |mut list: Vec<i64>, value| {
        list.push(value);
        list
    };
    let lists = |rows: &Pairs| groups(rows).into_iter().collect::<Vec<_>>();
    over_shapes(lists, move |rdd| {
        rdd.combine_by_key(|value| vec![value], push, |a, b| [a, b].concat()).collect()
    });
    over_shapes(lists, move |rdd| {
        rdd.with_partitions(9)
            .combine_by_key(|value| vec![value], push, |a, b| [a, b].concat())
            .collect()
    });
}

#[test]
fn groups_hold_their_values_in_partition_and_row_order() {
    let lists = |rows: &Pairs| groups(rows).into_iter().collect::<Vec<_>>();
    over_shapes(lists, |rdd| rdd.group_by_key().collect());
    over_shapes(lists, |rdd| rdd.with_partitions(4).group_by_key().collect());
    over_shapes(lists, |rdd| {
        rdd.group_by_key_iter().map_values(|g| g.into_iter().collect()).collect()
    });
    over_shapes(lists, |rdd| {
        rdd.with_partitions(4).group_by_key_iter().map_values(|g| g.iter().collect()).collect()
    });
}

#[test]
fn a_group_knows_its_length_and_can_be_iterated_twice() {
    over_shapes(
        |rows| {
            groups(rows)
                .into_iter()
                .map(|(k, all)| (k, all.len(), all.iter().max().copied()))
                .collect()
        },
        |rdd| {
            let groups = rdd.group_by_key_iter().map(|(key, group)| {
                assert!(!group.is_empty() && group.iter().len() == group.len());
                assert_eq!(
                    group.iter().collect::<Vec<_>>(),
                    (&group).into_iter().collect::<Vec<_>>()
                );
                (key, group.len(), group.iter().max())
            });
            groups.collect()
        },
    );
}

#[test]
fn distinct_equals_a_set() {
    let set = |rows: &Pairs| {
        rows.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    over_shapes(set, |rdd| rdd.distinct().collect());
    over_shapes(set, |rdd| rdd.with_partitions(5).distinct().collect());
    over_shapes(set, |rdd| rdd.distinct().distinct().collect());
    over_shapes(set, |rdd| rdd.partition_by(3).distinct().collect());
}

#[test]
fn partition_by_keeps_all_rows_and_puts_equal_keys_together_in_order() {
    over_shapes(
        |rows| rows.clone(),
        |rdd| {
            let parts = glom(&rdd.partition_by(4))?;
            let mut homes = HashMap::new();
            for (home, part) in parts.iter().enumerate() {
                part.iter()
                    .for_each(|(key, _)| assert_eq!(*homes.entry(*key).or_insert(home), home));
            }
            let before = groups(&rdd.collect()?);
            parts.iter().for_each(|part| {
                groups(part).iter().for_each(|(k, vs)| assert_eq!(vs, &before[k]));
            });
            Ok(parts.concat())
        },
    );
}

#[test]
fn repartition_keeps_all_rows_in_a_given_number_of_partitions() {
    over_shapes(
        |rows| rows.clone(),
        |rdd| {
            let spread = rdd.repartition(6);
            assert_eq!(spread.num_partitions(), 6);
            spread.collect()
        },
    );
}

/// Checks every keyed operation over keys of one type.
fn every_operation_on<K>(key_of: fn(u64) -> K)
where
    K: emberline::bounds::Key + Ord + Debug,
{
    let rows: Vec<(K, u64)> = (0..300).map(|n| (key_of(noise(n) % 20), n)).collect();
    let lists: Vec<(K, Vec<u64>)> = groups(&rows).into_iter().collect();
    check_rows(lists, move |ctx, p| {
        let rdd = spread(ctx, p, &rows);
        let group_by_key_iter = rdd.group_by_key();
        let sums = sorted(rdd.reduce_by_key(|a, b| a + b).collect()?);
        let counted = sorted(rdd.map(|(key, _)| key).count_by_value()?.into_iter().collect());
        let met = rdd.join(&rdd.map(|(key, _)| (key, ())).distinct()).count()?;
        let of_groups = sorted(group_by_key_iter.collect()?);
        assert!(sums.iter().eq(
            of_groups.iter().map(|(k, v)| (k.clone(), v.iter().sum())).collect::<Vec<_>>().iter()
        ));
        assert!(
            counted
                .iter()
                .map(|(k, n)| (k, *n as usize))
                .eq(of_groups.iter().map(|(k, v)| (k, v.len())))
        );
        assert_eq!(met, 300);
        group_by_key_iter.collect()
    });
}

#[test]
fn keys_of_every_type_are_grouped_by_equality() {
    every_operation_on(|n| -(n as i64));
    every_operation_on(|n| u128::from(n) << 90);
    every_operation_on(|n| char::from(b'a' + n as u8));
    every_operation_on(|n| (n % 3 != 0).then_some(n));
    every_operation_on(|n| "k".repeat(n as usize));
    every_operation_on(|n| (format!("{n}"), n as u16, [n as i8; 3]));
}

// Case F079 of tests/PROMISES.md.
#[test]
fn keys_with_equal_hashes_are_separated_by_equality() {
    every_operation_on(|n| OneHash(n as i64));
}

// Case F080 of tests/PROMISES.md.
#[test]
fn a_thousand_keys_with_one_hash_are_counted_ten_times_each() {
    let oracle = (0..1000).map(|n| (OneHash(n), 10)).collect();
    check_rows(oracle, |ctx, p| {
        let ones = ctx.range_with(p, 0..10_000).map(|n| (OneHash(n % 1000), 1));
        ones.reduce_by_key(|a, b| a + b).collect()
    });
}

#[test]
fn keys_with_equal_hashes_keep_the_order_of_first_occurrence() {
    check((0..30).map(OneHash).collect(), |ctx, p| {
        ctx.range_with(p, 0..90)
            .map(|n| (OneHash(n % 30), n))
            .reduce_by_key(|a, _| a)
            .map(|(k, _)| k)
            .collect()
    });
    check((0..30).map(OneHash).collect(), |ctx, p| {
        ctx.range_with(p, 0..90).map(|n| OneHash(n % 30)).distinct().collect()
    });
    check((0..30).map(|n| (OneHash(n), vec![n, n + 30, n + 60])).collect(), |ctx, p| {
        ctx.range_with(p, 0..90).map(|n| (OneHash(n % 30), n)).group_by_key().collect()
    });
}

#[test]
fn the_order_after_a_shuffle_depends_on_keys_and_output_partitions_alone() {
    let rows: Vec<(String, i64)> =
        (0..400).map(|n| (format!("key {}", noise(n) % 150), n as i64)).collect();
    let backwards: Vec<_> = rows.iter().rev().cloned().collect();
    let order = |ctx: &Context, p, rows: &[(String, i64)]| {
        let rdd = spread(ctx, p, rows);
        let reduced = rdd.with_partitions(5).reduce_by_key(|a, b| a + b).collect()?;
        let keys =
            |keys: &[(String, Vec<i64>)]| keys.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>();
        let group_by_key_iter = rdd.with_partitions(5).group_by_key().collect()?;
        assert_eq!(
            keys(&group_by_key_iter),
            reduced.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>()
        );
        Ok(reduced)
    };
    let oracle = order(&context(), 4, &rows).unwrap();
    check(oracle.clone(), move |ctx, p| order(ctx, p, &rows));
    check(oracle, move |ctx, p| order(ctx, p, &backwards));
}

#[test]
fn results_larger_than_the_memory_limit_spill_and_stay_equal() {
    let rows = || (0..120_000_u64).map(|n| (noise(n) % 50_000, n));
    let mut sums = HashMap::<u64, u64>::new();
    rows().for_each(|(key, n)| *sums.entry(key).or_default() += n);
    check_short_of_memory(sums.into_iter().collect(), move |ctx, p| {
        ctx.generate(p, move |i| rows().skip(i).step_by(p)).reduce_by_key(|a, b| a + b).collect()
    });
    let lists = groups(&rows().collect::<Vec<_>>()).into_iter().map(|(k, all)| (k, sorted(all)));
    check_short_of_memory(lists.collect(), move |ctx, p| {
        let all = ctx.generate(p, move |i| rows().skip(i).step_by(p)).group_by_key();
        all.map_values(sorted).collect()
    });
}

#[test]
fn a_group_beyond_the_task_memory_limit_names_the_streaming_method() {
    test(|| {
        let ctx = Context::builder().threads(2).task_memory_bytes(4096).build()?;
        let pairs = |rows| ctx.range_with(3, 0..rows).map(|n| (0_u8, n));
        assert_eq!(pairs(512_u64).group_by_key().count()?, 1);
        let too_large = |kind: &ErrorKind| {
            matches!(
                kind,
                ErrorKind::GroupTooLarge {
                    rows: 513,
                    task_memory_limit_bytes: 4096,
                    streaming: "group_by_key_iter"
                }
            )
        };
        let error = assert_kind(pairs(513).group_by_key().collect(), too_large);
        let text = error.to_string();
        assert!(
            text.contains("`group_by_key_iter`")
                && text.contains("group_by_key")
                && text.contains(file!()),
            "{text}"
        );
        assert_eq!(
            pairs(513).group_by_key_iter().map_values(|group| group.len()).collect()?,
            [(0, 513)]
        );
        Ok(())
    });
}

#[test]
fn heap_memory_of_values_counts_for_the_limit_of_a_list() {
    test(|| {
        let ctx = Context::builder().threads(2).task_memory_bytes(64 << 10).build()?;
        let pairs =
            |rows| ctx.range_with(3, 0..rows).map(|n| (0_u8, "x".repeat(1000 + n as usize)));
        let is_too_large = |kind: &ErrorKind| matches!(kind, ErrorKind::GroupTooLarge { .. });
        assert_eq!(pairs(40_u64).group_by_key().count()?, 1);
        assert_kind(pairs(80).group_by_key().collect(), is_too_large);
        assert_kind(pairs(80).cogroup3(&pairs(1), &pairs(1)).collect(), is_too_large);
        assert_kind(pairs(1).cogroup3(&pairs(1), &pairs(80)).collect(), is_too_large);
        assert_eq!(
            pairs(80).group_by_key_iter().map_values(|group| group.len()).collect()?,
            [(0, 80)]
        );
        Ok(())
    });
}

#[test]
fn a_small_memory_limit_bounds_a_list_like_the_task_memory_limit() {
    test(|| {
        let ctx =
            Context::builder().threads(2).memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES).build()?;
        let task_limit = MIN_MEMORY_LIMIT_BYTES / 8;
        let rows = MIN_MEMORY_LIMIT_BYTES / 64;
        let pairs = |rows| ctx.range_with(3, 0..rows).map(|n| (0_u8, n));
        assert_eq!(pairs(rows).group_by_key().count()?, 1);
        for refused in
            [pairs(rows + 1).group_by_key().count(), pairs(rows + 1).cogroup(&pairs(1)).count()]
        {
            assert_kind(
                refused,
                |kind| matches!(kind, ErrorKind::GroupTooLarge { task_memory_limit_bytes, .. } if *task_memory_limit_bytes == task_limit),
            );
        }
        Ok(())
    });
}

// Case B025 of tests/spark_cases.md.
#[test]
fn distinct_keeps_one_of_equal_rows() {
    let rows = || vec![1, 1, 2, 2, 3, 3, 4, 4];
    check_rows(vec![1, 2, 3, 4], move |ctx, p| {
        ctx.parallelize_with(p, rows()).distinct().collect()
    });
    check_rows(vec![1, 2, 3, 4], move |ctx, p| {
        ctx.parallelize_with(p, rows()).with_partitions(2).distinct().collect()
    });
    check(4, move |ctx, p| ctx.parallelize_with(p, rows()).with_partitions(10).distinct().count());
}

// Case B133 of tests/spark_cases.md.
#[test]
fn aggregate_by_key_collects_sets() {
    let rows = || vec![(1, 1), (1, 1), (3, 2), (5, 1), (5, 3)];
    let oracle = vec![(1, vec![1]), (3, vec![2]), (5, vec![1, 3])];
    check_rows(oracle, move |ctx, p| {
        let sets = ctx.parallelize_with(p, rows()).aggregate_by_key(
            BTreeSet::new(),
            |set, n| &set | &BTreeSet::from([n]),
            |a, b| &a | &b,
        );
        sets.map_values(|set| set.into_iter().collect()).collect()
    });
}

// Case B135 of tests/spark_cases.md.
#[test]
fn reduce_by_key_sums_with_any_number_of_output_partitions() {
    let rows = || vec![(1, 1), (1, 2), (1, 3), (1, 1), (2, 1)];
    check_rows(vec![(1, 7), (2, 1)], move |ctx, p| {
        ctx.parallelize_with(p, rows()).reduce_by_key(|a, b| a + b).collect()
    });
    check_rows(vec![(1, 7), (2, 1)], move |ctx, p| {
        ctx.parallelize_with(p, rows()).with_partitions(10).reduce_by_key(|a, b| a + b).collect()
    });
}

// Case B137 of tests/spark_cases.md.
#[test]
fn reducing_cached_buffers_in_place_does_not_change_the_cache() {
    let rows = || vec![(1, 1), (1, 2), (1, 3), (1, 1), (2, 1)];
    check_rows(vec![(1, vec![1, 2, 3, 1]), (2, vec![1])], move |ctx, p| {
        let buffers = ctx.parallelize_with(p, rows()).map_values(|n| vec![n]).cache();
        buffers.count()?;
        let reduced = buffers.reduce_by_key(|mut all, more| {
            all.extend(more);
            all
        });
        let lists = reduced.collect()?;
        assert_eq!(reduced.collect()?, lists, "segments in memory are not changed by readers");
        assert!(buffers.collect()?.iter().all(|(_, buffer)| buffer.len() == 1));
        Ok(lists)
    });
}

// Case B139 of tests/spark_cases.md.
#[test]
fn combine_by_key_makes_lists() {
    check_rows(vec![("a".to_string(), vec![1, 2]), ("b".to_string(), vec![1])], |ctx, p| {
        let rows = ctx.parallelize_with(p, vec![("a", 1), ("b", 1), ("a", 2)]);
        let rows = rows.map(|(key, n)| (key.to_string(), n));
        let push = |all: Vec<i32>, n| [all, vec![n]].concat();
        rows.combine_by_key(|n| vec![n], push, |a, b| [a, b].concat()).collect()
    });
}

// Case B143 of tests/spark_cases.md.
#[test]
fn partition_by_makes_disjoint_key_sets() {
    check_rows(vec![1, 2, 3, 4, 2, 4, 1], |ctx, p| {
        let rows = ctx.parallelize_with(p, vec![1, 2, 3, 4, 2, 4, 1]).map(|n| (n, n));
        let parts = glom(&rows.partition_by(2))?;
        let keys = |part: &[(i32, i32)]| part.iter().map(|pair| pair.0).collect::<BTreeSet<_>>();
        assert!(parts.len() == 2 && keys(&parts[0]).is_disjoint(&keys(&parts[1])));
        Ok(parts.concat().into_iter().map(|(_, n)| n).collect())
    });
}

// Case B147 of tests/spark_cases.md.
#[test]
fn three_groups_of_two_million_rows_fit_a_memory_limit_of_one_mebibyte() {
    test(|| {
        let ctx =
            Context::builder().threads(2).memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES).build()?;
        let groups = ctx.range_with(4, 0..2_000_001_u32).map(|n| (n % 3, n)).group_by_key_iter();
        let twice = groups.map_values(|group| (group.iter().count(), group.into_iter().count()));
        assert_eq!(
            sorted(twice.collect()?),
            (0..3).map(|key| (key, (666_667, 666_667))).collect::<Vec<_>>()
        );
        Ok(())
    });
}

// Case B173 of tests/spark_cases.md.
// Spark refuses arrays as keys, since theirs are equal only to themselves. Those of Rust are equal
// by value, so they are keys like others.
#[test]
fn arrays_and_lists_are_keys_by_value() {
    check_rows(vec![([1, 2], 2), ([2, 1], 1)], |ctx, p| {
        let rows = ctx.parallelize_with(p, vec![([1, 2], 1), ([2, 1], 1), ([1, 2], 1)]);
        rows.reduce_by_key(|a, b| a + b).collect()
    });
}

// Case B177 of tests/spark_cases.md.
#[test]
fn distinct_of_thirty_rows_in_ten_partitions() {
    test(|| {
        let rows = context().parallelize_with(10, [1, 2, 3].repeat(10));
        assert_eq!(rows.distinct().count()?, 3);
        let five = rows.with_partitions(5).distinct();
        assert_eq!((five.num_partitions(), five.count()?), (5, 3));
        Ok(())
    });
}
