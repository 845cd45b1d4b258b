//! Rows in the hash order of their keys are joined and grouped without sorting. Operations that keep or
//! lose that order return the rows of plain Rust.

use crate::support::*;
use emberline::prelude::*;
use std::collections::BTreeMap;
use testkit::{DEADLINE, within};

type Numbers = Rdd<(u32, u32)>;
type Operation = fn(&Numbers) -> Numbers;

/// Returns named operations on ordered rows that keep the partitioner.
fn steps() -> Vec<(&'static str, Operation)> {
    vec![
        ("as it is", |rows| rows.clone()),
        ("map_values", |rows| rows.map_values(|n| n + 1).boxed()),
        ("flat_map_values", |rows| rows.flat_map_values(|n| vec![n; n as usize % 3]).boxed()),
        ("filter", |rows| rows.filter(|(key, _)| key % 3 != 0).boxed()),
        ("sample", |rows| rows.sample(0.5, 7).boxed()),
        ("cache", |rows| rows.cache()),
        ("union with itself", |rows| rows.union(rows).boxed()),
        ("union", |rows| rows.context().union(vec![rows.clone(); 3]).boxed()),
        ("distinct", |rows| rows.distinct()),
        ("sorted partitions", |rows| {
            rows.repartition_and_sort_within_partitions(rows.num_partitions())
        }),
        ("partition_by", |rows| rows.partition_by(rows.num_partitions())),
        ("join", |rows| rows.join(rows).map_values(|(a, b)| a * 31 + b).boxed()),
        ("subtract_by_key", |rows| {
            rows.subtract_by_key(&rows.filter(|(key, _)| key % 5 == 0)).boxed()
        }),
    ]
}

fn lists(rows: Vec<(u32, u32)>) -> BTreeMap<u32, Vec<u32>> {
    let mut lists: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    rows.into_iter().for_each(|(key, n)| lists.entry(key).or_default().push(n));
    lists
}

#[test]
fn operations_on_ordered_rows_equal_plain_rust() {
    within(DEADLINE, || {
        for (cell, ctx) in grid_cells() {
            for partitions in [1, 3] {
                let pairs = ctx.range_with(3, 0..600_u32).map(|n| (n * 7 % 101, n));
                let group_by_key_iter = pairs.with_partitions(partitions).group_by_key();
                let ordered: Numbers = group_by_key_iter.flat_map_values(|list| list).boxed();
                for (name, step) in steps() {
                    let rows = step(&ordered);
                    check(&format!("{name} on {cell}, {partitions} partitions"), &rows, &pairs);
                }
            }
        }
    });
}

/// Groups and joins `rows`, once with themselves and once with what must be shuffled first.
fn check<P>(name: &str, rows: &Numbers, pairs: &Rdd<(u32, u32), P>)
where
    P: emberline::pipeline::Pipeline<Item = (u32, u32)>,
{
    let expected = lists(rows.collect().unwrap());
    let groups = rows.group_by_key().collect().unwrap();
    assert_eq!(groups.into_iter().collect::<BTreeMap<_, _>>(), expected, "{name}: groups");
    let sums = rows.reduce_by_key(|a, b| a.wrapping_mul(3).wrapping_add(b)).collect().unwrap();
    let folded = |list: &Vec<u32>| {
        list.iter().copied().reduce(|a, b| a.wrapping_mul(3).wrapping_add(b)).unwrap()
    };
    let rolled = expected.iter().map(|(key, list)| (*key, folded(list))).collect();
    assert_eq!(sums.into_iter().collect::<BTreeMap<_, _>>(), rolled, "{name}: sums");
    for other in [rows.clone(), pairs.boxed()] {
        let others = lists(other.collect().unwrap());
        let joined = rows.join(&other).collect().unwrap();
        let mut pairs_of: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        joined.into_iter().for_each(|(key, pair)| pairs_of.entry(key).or_default().push(pair));
        let mut wanted: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        for (key, list) in expected.iter().filter(|(key, _)| others.contains_key(key)) {
            let all = list.iter().flat_map(|a| others[key].iter().map(|b| (*a, *b)));
            wanted.insert(*key, all.collect());
        }
        assert_eq!(pairs_of, wanted, "{name}: join");
        let outer = rows.full_outer_join(&other).count().unwrap();
        let alone = |a: &BTreeMap<u32, Vec<u32>>, b: &BTreeMap<u32, Vec<u32>>| -> usize {
            a.iter().filter(|(key, _)| !b.contains_key(key)).map(|(_, list)| list.len()).sum()
        };
        let both: usize = wanted.values().map(Vec::len).sum();
        let count = both + alone(&expected, &others) + alone(&others, &expected);
        assert_eq!(outer as usize, count, "{name}: full outer join");
    }
}
