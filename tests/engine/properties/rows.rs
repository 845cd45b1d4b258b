//! The operations of a random program, run by emberline.

use super::pairs::run_pair_step;
use crate::model::{Operation, copies, halved, print};
use emberline::prelude::*;
use std::cmp::Reverse;

pub fn run_step(operation: &Operation, rdd: &Rdd<i64>) -> Rdd<i64> {
    narrow(operation, rdd).unwrap_or_else(|| wide(operation, rdd))
}

fn narrow(operation: &Operation, rdd: &Rdd<i64>) -> Option<Rdd<i64>> {
    Some(match *operation {
        Operation::Map(by) => rdd.map(move |n| n.wrapping_add(by)).boxed(),
        Operation::TryMap(by) => rdd.try_map(move |n| Ok(n.wrapping_add(by))).boxed(),
        Operation::With(by) => rdd.with(by).map(|by, n| n.wrapping_add(*by)).boxed(),
        Operation::Filter(by) => rdd.filter(move |n| n % by != 0).boxed(),
        Operation::TryFilter(by) => rdd.try_filter(move |n| Ok(n % by != 0)).boxed(),
        Operation::FilterMap(by) => rdd.filter_map(move |n| halved(n, by)).boxed(),
        Operation::FlatMap(most) => rdd.flat_map(move |n| copies(n, most)).boxed(),
        Operation::FlatMapInto(most) => {
            rdd.flat_map_into(move |n, out| out.extend(copies(n, most))).boxed()
        }
        Operation::TryFlatMap(most) => rdd.try_flat_map(move |n| Ok(copies(n, most))).boxed(),
        Operation::Fused(by) => {
            rdd.map(move |n| n ^ by).filter(|n| n % 3 != 0).flat_map(|n| copies(n, 1)).boxed()
        }
        Operation::Refs(by) => {
            let some = rdd.refs().map(move |n| n.wrapping_add(by)).refs().filter(|n| n % 5 != 0);
            let halves = some.refs().filter_map(move |n| halved(*n, by));
            halves.refs().flat_map(|n| copies(*n, 1)).boxed()
        }
        Operation::RefsWith(by) => {
            let more = rdd.refs().with(by).map(|by, n| n.wrapping_add(*by));
            let some = more.refs().with(5).filter(|by, n| *n % by != 0);
            let halves = some.refs().with(by).filter_map(|by, n| halved(*n, *by));
            halves.refs().with(1).flat_map(|most, n| copies(*n, *most)).boxed()
        }
        Operation::MapPartitions => rdd.map_partitions(|rows| rows).boxed(),
        Operation::AddIndex => {
            let added = rdd
                .map_partitions_with_index(|at, rows| rows.map(move |n| n.wrapping_add(at as i64)));
            added.boxed()
        }
        Operation::GlomFlat => rdd.glom().flat_map(|rows| rows).boxed(),
        Operation::GlomPrints => rdd.glom().map(|rows| print(&rows)).boxed(),
        Operation::ZipSelf(by) => {
            rdd.zip(&rdd.map(move |n| n.wrapping_add(by))).map(|(a, b)| a ^ b).boxed()
        }
        Operation::ZipPartitions(by) => {
            let some = rdd.filter(move |n| n % by == 0);
            rdd.zip_partitions(&some, |all, some| all.chain(some)).boxed()
        }
        Operation::Coalesce(partitions) => rdd.coalesce(partitions).boxed(),
        Operation::UnionSelf => rdd.union(rdd).boxed(),
        Operation::UnionAll => {
            let next = rdd.map(|n| n.wrapping_add(1)).boxed();
            rdd.context().union([rdd.clone(), next, rdd.clone()]).boxed()
        }
        Operation::Cache => rdd.cache(),
        Operation::Inspect => rdd.inspect(|_| ()).boxed(),
        _ => return None,
    })
}

fn wide(operation: &Operation, rdd: &Rdd<i64>) -> Rdd<i64> {
    match operation.clone() {
        Operation::SplitBySample(seed) => split_by_sample(rdd, seed),
        Operation::Distinct(None) => rdd.distinct(),
        Operation::Distinct(Some(partitions)) => rdd.with_partitions(partitions).distinct(),
        Operation::Subtract(by, given) => {
            let others = rdd.filter(move |n| n % by == 0);
            match given {
                None => rdd.subtract(&others),
                Some(partitions) => rdd.with_partitions(partitions).subtract(&others),
            }
        }
        Operation::Intersection(by, given) => {
            let others = rdd.map(move |n| n.wrapping_add(by));
            match given {
                None => rdd.intersection(&others),
                Some(partitions) => rdd.with_partitions(partitions).intersection(&others),
            }
        }
        Operation::GroupBy(by, given) => {
            let groups = match given {
                None => rdd.group_by(move |n| n.rem_euclid(by)),
                Some(partitions) => {
                    rdd.with_partitions(partitions).group_by(move |n| n.rem_euclid(by))
                }
            };
            groups.flat_map(|(_, rows)| rows).boxed()
        }
        Operation::Repartition(partitions) => rdd.repartition(partitions),
        Operation::RepartitionNumbered(partitions) => repartition_in_order(rdd, partitions),
        Operation::SortAll(None) => rdd.sort_by_key(|n| *n),
        Operation::SortAll(Some(partitions)) => rdd.with_partitions(partitions).sort_by_key(|n| *n),
        Operation::SortDownByCmp => rdd.sort_by(|a, b| Reverse(a).cmp(&Reverse(b))),
        Operation::SortBy(by) => rdd.sort_by_key(move |n| n.rem_euclid(by)),
        Operation::Pairs(by, operations) => {
            let pairs = rdd.key_by(move |n| n % by).boxed();
            let pairs =
                operations.iter().fold(pairs, |pairs, operation| run_pair_step(operation, &pairs));
            pairs.map(|(key, n)| n.wrapping_add(key)).boxed()
        }
        narrow => unreachable!("{narrow:?} moves no row"),
    }
}

/// Returns the rows with their partitions and positions, which make equal rows distinct.
fn numbered(rdd: &Rdd<i64>) -> Rdd<((u64, u64), i64)> {
    let numbered = rdd.map_partitions_with_index(|at, rows| {
        rows.enumerate().map(move |(number, n)| ((at as u64, number as u64), n))
    });
    numbered.boxed()
}

/// Repartitions rows, and fails if the order of the rows in a partition changes.
fn repartition_in_order(rdd: &Rdd<i64>, partitions: usize) -> Rdd<i64> {
    let moved = numbered(rdd).repartition(partitions).map_partitions(|rows| {
        let rows = rows.collect::<Vec<_>>();
        assert!(rows.is_sorted(), "{rows:?} are out of order");
        rows
    });
    moved.values().boxed()
}

/// Returns a sample followed by all rows outside it. These are all rows if the sample is
/// reproducible and no row occurs twice.
fn split_by_sample(rdd: &Rdd<i64>, seed: u64) -> Rdd<i64> {
    let rows = numbered(rdd);
    let sample = rows.sample(0.5, seed);
    rows.subtract_by_key(&sample).union(&sample).values().boxed()
}
