//! The operations on pairs of a random program, run by emberline.

use crate::model::{PairOperation, copies, matched, some, sum};
use emberline::Partitioner;
use emberline::prelude::*;
use std::any::Any;
use std::sync::Arc;

type Pairs = Rdd<(i64, i64)>;

/// A partitioner of the user: equal numbers of partitions are the same.
struct ByRemainder(usize);

impl Partitioner<i64> for ByRemainder {
    fn partitions(&self) -> usize {
        self.0
    }

    fn partition_of(&self, key: &i64) -> usize {
        key.rem_euclid(self.0 as i64) as usize
    }

    fn same_as(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| other.0 == self.0)
    }
}

pub fn run_pair_step(operation: &PairOperation, rdd: &Pairs) -> Pairs {
    narrow(operation, rdd)
        .or_else(|| keyed(operation, rdd))
        .unwrap_or_else(|| joined(operation, rdd))
}

fn narrow(operation: &PairOperation, rdd: &Pairs) -> Option<Pairs> {
    Some(match *operation {
        PairOperation::MapValues(by) => rdd.map_values(move |n| n.wrapping_add(by)).boxed(),
        PairOperation::FlatMapValues(most) => rdd.flat_map_values(move |n| copies(n, most)).boxed(),
        PairOperation::Filter(by) => rdd.filter(move |(key, n)| some(key ^ n, by)).boxed(),
        PairOperation::TryFilter(by) => {
            rdd.try_filter(move |(key, n)| Ok(some(key ^ n, by))).boxed()
        }
        PairOperation::SampleAll(seed) => {
            rdd.sample(1.0, seed).union(&rdd.sample_with_replacement(0.0, seed)).boxed()
        }
        PairOperation::KeysZipValues => rdd.keys().zip(&rdd.values()).boxed(),
        PairOperation::Coalesce(partitions) => rdd.coalesce(partitions).boxed(),
        PairOperation::Rekey(by) => rdd.map(move |(key, n)| (n % by, key)).boxed(),
        PairOperation::UnionSelf => rdd.union(rdd).boxed(),
        PairOperation::UnionAll(partitions) => {
            let sums = rdd.with_partitions(partitions).reduce_by_key(i64::wrapping_add);
            rdd.context().union([rdd.clone(), sums, rdd.clone()]).boxed()
        }
        PairOperation::Cache => rdd.cache(),
        _ => return None,
    })
}

fn keyed(operation: &PairOperation, rdd: &Pairs) -> Option<Pairs> {
    Some(match *operation {
        PairOperation::PartitionBy(partitions) => rdd.partition_by(partitions),
        PairOperation::PlaceBy(partitions) => rdd.partition_by(Arc::new(ByRemainder(partitions))),
        PairOperation::Reduce(None) => rdd.reduce_by_key(i64::wrapping_add),
        PairOperation::Reduce(Some(partitions)) => {
            rdd.with_partitions(partitions).reduce_by_key(i64::wrapping_add)
        }
        PairOperation::ReduceToFirst => rdd.reduce_by_key(|first, _| first),
        PairOperation::Aggregate => rdd.aggregate_by_key(i64::MIN, i64::max, i64::max),
        PairOperation::Fold(None) => rdd.fold_by_key(0, i64::wrapping_add),
        PairOperation::Fold(Some(partitions)) => {
            rdd.with_partitions(partitions).fold_by_key(0, i64::wrapping_add)
        }
        PairOperation::GroupSum => rdd.group_by_key().map_values(|all| sum(&all)).boxed(),
        PairOperation::GroupFlatten => rdd
            .group_by_key_iter()
            .flat_map(|(key, group)| group.into_iter().map(move |n| (key, n)))
            .boxed(),
        PairOperation::GroupSorted(by, given) => {
            let groups = match given {
                None => rdd.group_sorted_by_key(move |n| n.rem_euclid(by)),
                Some(partitions) => {
                    rdd.with_partitions(partitions).group_sorted_by_key(move |n| n.rem_euclid(by))
                }
            };
            groups.flat_map_values(|all| all).boxed()
        }
        PairOperation::Subtract(by) => rdd.subtract(&rdd.filter(move |(key, n)| some(key ^ n, by))),
        PairOperation::Intersection(by) => {
            rdd.intersection(&rdd.filter(move |(key, n)| some(key ^ n, by)))
        }
        PairOperation::Distinct => rdd.distinct(),
        PairOperation::SortByKey(partitions) => rdd.with_partitions(partitions).sort_pairs(),
        PairOperation::RepartitionAndSort(partitions) => {
            rdd.repartition_and_sort_within_partitions(partitions)
        }
        _ => return None,
    })
}

fn joined(operation: &PairOperation, rdd: &Pairs) -> Pairs {
    let some = |by| rdd.filter(move |(_, n)| some(*n, by)).boxed();
    let reduced = |partitions| rdd.with_partitions(partitions).reduce_by_key(i64::wrapping_add);
    let both =
        |rows: Rdd<(i64, (i64, i64))>| rows.map_values(|(n, m)| matched(Some(n), Some(m))).boxed();
    match *operation {
        PairOperation::JoinSelf => both(rdd.join(rdd)),
        PairOperation::JoinReduced(None) => both(rdd.join(&rdd.reduce_by_key(i64::wrapping_add))),
        PairOperation::JoinReduced(Some(partitions)) => both(reduced(partitions).join(rdd)),
        PairOperation::LeftOuterJoin(by, given) => {
            let rows = match given {
                None => rdd.left_outer_join(&some(by)),
                Some(partitions) => rdd.with_partitions(partitions).left_outer_join(&some(by)),
            };
            rows.map_values(|(n, m)| matched(Some(n), m)).boxed()
        }
        PairOperation::RightOuterJoin(by, given) => {
            let rows = match given {
                None => some(by).right_outer_join(rdd),
                Some(partitions) => some(by).with_partitions(partitions).right_outer_join(rdd),
            };
            rows.map_values(|(n, m)| matched(n, Some(m))).boxed()
        }
        PairOperation::FullOuterJoin(by, given) => {
            let rows = match given {
                None => some(by).full_outer_join(&some(by + 1)),
                Some(partitions) => {
                    some(by).with_partitions(partitions).full_outer_join(&some(by + 1))
                }
            };
            rows.map_values(|(n, m)| matched(n, m)).boxed()
        }
        PairOperation::BroadcastJoin(by) => {
            let rows = rdd.broadcast_join(&some(by));
            rows.map_values(|(n, m)| matched(Some(n), Some(m))).boxed()
        }
        PairOperation::BroadcastLeftOuterJoin(by) => {
            let rows = rdd.broadcast_left_outer_join(&some(by));
            rows.map_values(|(n, m)| matched(Some(n), m)).boxed()
        }
        PairOperation::CogroupSizes => rdd
            .cogroup(&some(2))
            .map_values(|(all, odd)| all.len() as i64 * 10_000 + odd.len() as i64)
            .boxed(),
        PairOperation::Cogrouped(by, given) => {
            let groups = match given {
                None => some(by).cogroup_iter(rdd),
                Some(partitions) => some(by).with_partitions(partitions).cogroup_iter(rdd),
            };
            groups.flat_map_values(|(a, b)| a.into_iter().chain(b).collect::<Vec<_>>()).boxed()
        }
        PairOperation::Cogroup3(by, given) => {
            let groups = match given {
                None => some(by).cogroup3(&reduced(4), &some(2)),
                Some(partitions) => {
                    some(by).with_partitions(partitions).cogroup3(&reduced(4), &some(2))
                }
            };
            groups.flat_map_values(|(a, b, c)| [a, b, c].concat()).boxed()
        }
        PairOperation::SubtractByKey(by, given) => match given {
            None => rdd.subtract_by_key(&some(by)),
            Some(partitions) => rdd.with_partitions(partitions).subtract_by_key(&some(by)),
        },
        ref other => unreachable!("{other:?} has one input"),
    }
}
