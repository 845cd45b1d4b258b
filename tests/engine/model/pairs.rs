//! The operations on pairs of a random program, and their model, which knows partitioners as well as rows.

use super::parts::{Known, Parts, by_hash, hash_rank, hashed_rows};
use super::{MANY_PARTITIONS, MANY_ROWS, copies, matched, some, sum};
use std::collections::{BTreeMap, BTreeSet};

/// Operations on pairs, which begin as `(row % n, row)` and end as the sum of key and value.
#[derive(Clone, Debug)]
pub enum PairOperation {
    PartitionBy(usize),
    PlaceBy(usize),
    MapValues(i64),
    FlatMapValues(i64),
    Filter(i64),
    TryFilter(i64),
    /// All rows, and a sample of none.
    SampleAll(u64),
    KeysZipValues,
    Coalesce(usize),
    Reduce(Option<usize>),
    ReduceToFirst,
    Aggregate,
    Fold(Option<usize>),
    GroupSum,
    GroupFlatten,
    GroupSorted(i64, Option<usize>),
    JoinSelf,
    JoinReduced(Option<usize>),
    LeftOuterJoin(i64, Option<usize>),
    RightOuterJoin(i64, Option<usize>),
    FullOuterJoin(i64, Option<usize>),
    BroadcastJoin(i64),
    BroadcastLeftOuterJoin(i64),
    CogroupSizes,
    /// The concatenated groups of two sides.
    Cogrouped(i64, Option<usize>),
    Cogroup3(i64, Option<usize>),
    SubtractByKey(i64, Option<usize>),
    Subtract(i64),
    Intersection(i64),
    UnionSelf,
    UnionAll(usize),
    Distinct,
    SortByKey(usize),
    RepartitionAndSort(usize),
    Cache,
    Rekey(i64),
}

/// The maximum rows of a build side: an operation after others has little memory.
const MANY_BROADCAST: usize = 30;

/// A partitioner: the partitions of keys, and its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Hash(usize),
    Remainder(usize),
    /// The ranges of a sort, and which sort.
    Ranges(usize, usize),
}

impl By {
    fn partitions(self) -> usize {
        let (By::Hash(partitions) | By::Remainder(partitions) | By::Ranges(partitions, _)) = self;
        partitions
    }

    /// Returns the partition of a key, if it is known: the bounds of ranges are sampled, so it is
    /// not for them.
    fn partition_of(self, key: i64) -> usize {
        match self {
            By::Hash(partitions) => by_hash(&key, partitions),
            By::Remainder(partitions) => key.rem_euclid(partitions as i64) as usize,
            By::Ranges(..) => 0,
        }
    }

    fn is_known(self) -> bool {
        !matches!(self, By::Ranges(2.., _))
    }
}

/// True if the outcome depends on the order of the values of a key.
#[derive(Clone, Copy, PartialEq)]
enum Values {
    InOrder,
    InAnyOrder,
}

/// The model of an RDD of pairs.
#[derive(Clone)]
pub struct Pairs {
    pub parts: Parts<(i64, i64)>,
    by: Option<By>,
    /// The number of sorts so far.
    sorts: usize,
}

impl Pairs {
    pub fn new(parts: Parts<(i64, i64)>) -> Self {
        Pairs { parts, by: None, sorts: 0 }
    }

    /// Applies one operation unless it would grow too much or its outcome is unspecified, and
    /// returns true if it did.
    pub fn apply(&mut self, operation: &PairOperation) -> bool {
        if self.is_left_out(operation) {
            return false;
        }
        *self = self
            .narrow(operation)
            .or_else(|| self.keyed(operation))
            .unwrap_or_else(|| self.joined(operation));
        true
    }

    fn is_left_out(&self, operation: &PairOperation) -> bool {
        let rows = self.parts.all();
        let many = rows.len() > MANY_ROWS || self.parts.partitions() > MANY_PARTITIONS;
        match operation {
            PairOperation::JoinSelf
            | PairOperation::LeftOuterJoin(..)
            | PairOperation::RightOuterJoin(..)
            | PairOperation::FullOuterJoin(..) => {
                let mut groups = BTreeMap::<i64, usize>::new();
                rows.iter().for_each(|(key, _)| *groups.entry(*key).or_default() += 1);
                groups.values().map(|n| n * n).sum::<usize>() > 2 * MANY_ROWS
            }
            // The table must fit into a part of a small task memory limit.
            PairOperation::BroadcastJoin(by) | PairOperation::BroadcastLeftOuterJoin(by) => {
                let small = rows.iter().filter(|(_, n)| some(*n, *by)).count();
                many || small > MANY_BROADCAST
            }
            PairOperation::UnionSelf | PairOperation::UnionAll(_) => many,
            PairOperation::FlatMapValues(_) | PairOperation::SampleAll(_) => many,
            PairOperation::ReduceToFirst => self.parts.known == Known::Rows,
            _ => false,
        }
    }

    /// Applies an operation that leaves rows in their partitions and, except where noted, keeps
    /// their partitioner.
    fn narrow(&self, operation: &PairOperation) -> Option<Self> {
        Some(match operation {
            PairOperation::MapValues(by) => self.flat(|(key, n)| [(key, n.wrapping_add(*by))]),
            PairOperation::FlatMapValues(most) => {
                self.flat(|(key, n)| copies(n, *most).map(move |copy| (key, copy)))
            }
            PairOperation::Filter(by) | PairOperation::TryFilter(by) => {
                self.flat(|(key, n)| Some((key, n)).filter(|_| some(key ^ n, *by)))
            }
            PairOperation::BroadcastJoin(by) => self.looked_up(*by, options),
            PairOperation::BroadcastLeftOuterJoin(by) => self.looked_up(*by, or_none),
            PairOperation::Cache => self.clone(),
            PairOperation::SampleAll(_) => self.union(&self.flat(|_| None)),
            PairOperation::KeysZipValues => self.unplaced(self.parts.clone()),
            PairOperation::Coalesce(partitions) => self.unplaced(self.parts.coalesced(*partitions)),
            PairOperation::Rekey(by) => self.unplaced(self.parts.flat(|(key, n)| [(n % by, key)])),
            PairOperation::UnionSelf => self.union(self),
            PairOperation::UnionAll(partitions) => {
                let others = self.reduced(Some(*partitions));
                if self.by == others.by {
                    self.union(&others).union(self)
                } else {
                    let all = self.parts.append(&others.parts).append(&self.parts);
                    self.unplaced(all)
                }
            }
            _ => return None,
        })
    }

    /// Applies an operation that shuffles the keys or rows of this RDD.
    fn keyed(&self, operation: &PairOperation) -> Option<Self> {
        let (rows, own) = (self.parts.all(), self.parts.partitions());
        let some = |by: i64| rows.iter().copied().filter(move |(key, n)| some(key ^ n, by));
        Some(match operation {
            PairOperation::PartitionBy(partitions) => self.placed(By::Hash(*partitions)),
            PairOperation::PlaceBy(partitions) => self.placed(By::Remainder(*partitions)),
            PairOperation::Reduce(given) | PairOperation::Fold(given) => self.reduced(*given),
            PairOperation::GroupSum => self.reduced(None),
            PairOperation::ReduceToFirst => self.folded(None, Values::InOrder, |all| vec![all[0]]),
            PairOperation::Aggregate => self.folded(None, Values::InAnyOrder, |all| {
                all.iter().copied().max().into_iter().collect()
            }),
            PairOperation::GroupFlatten => self.unplaced(self.group_by_key_iter(None).parts),
            PairOperation::GroupSorted(by, given) => self.folded(*given, Values::InOrder, |all| {
                let mut all = all.to_vec();
                all.sort_by_key(|n| n.rem_euclid(*by));
                all
            }),
            // Subtracts some rows of this RDD: the rows that are not equal to any of them stay.
            PairOperation::Subtract(by) => {
                let removed: BTreeSet<_> = some(*by).collect();
                let rest = rows.iter().copied().filter(|row| !removed.contains(row));
                self.unplaced(hashed_rows(rest.collect(), own))
            }
            PairOperation::Intersection(by) => {
                let common: BTreeSet<_> = some(*by).collect();
                self.unplaced(hashed_rows(common.into_iter().collect(), own))
            }
            PairOperation::Distinct => self.distinct(),
            PairOperation::SortByKey(partitions) => self.sorted_by_key(*partitions),
            PairOperation::RepartitionAndSort(partitions) => {
                let placed = self.placed(By::Hash(*partitions));
                let parts = placed.parts.each(|part| {
                    let mut part = part.to_vec();
                    part.sort_by_key(|pair| pair.0);
                    part
                });
                Pairs { parts, ..placed }
            }
            _ => return None,
        })
    }

    /// Applies an operation that shuffles the keys of several RDDs.
    fn joined(&self, operation: &PairOperation) -> Self {
        let some = |by: i64| self.flat(|(key, n)| Some((key, n)).filter(|_| some(n, by)));
        let pairs = |left: &[Option<i64>], right: &[Option<i64>]| {
            let each = left.iter().flat_map(|n| right.iter().map(|m| matched(*n, *m)));
            each.collect::<Vec<_>>()
        };
        let inner = |all: &[Vec<i64>]| pairs(&options(&all[0]), &options(&all[1]));
        let (given, sides) = match operation {
            PairOperation::JoinSelf => (None, vec![self.clone(), self.clone()]),
            PairOperation::JoinReduced(None) => (None, vec![self.clone(), self.reduced(None)]),
            PairOperation::JoinReduced(given) => (None, vec![self.reduced(*given), self.clone()]),
            PairOperation::LeftOuterJoin(by, given) => (*given, vec![self.clone(), some(*by)]),
            PairOperation::RightOuterJoin(by, given) => (*given, vec![some(*by), self.clone()]),
            PairOperation::FullOuterJoin(by, given) => (*given, vec![some(*by), some(*by + 1)]),
            PairOperation::CogroupSizes => (None, vec![self.clone(), some(2)]),
            PairOperation::Cogrouped(by, given) => (*given, vec![some(*by), self.clone()]),
            PairOperation::Cogroup3(by, given) => {
                (*given, vec![some(*by), self.reduced(Some(4)), some(2)])
            }
            PairOperation::SubtractByKey(by, given) => {
                let by_own = By::Hash(self.parts.partitions());
                let own = given.map_or(self.by.unwrap_or(by_own), By::Hash);
                return co_grouped(&[self.clone(), some(*by)], own, Values::InOrder, |all| {
                    if all[1].is_empty() { all[0].clone() } else { Vec::new() }
                });
            }
            other => unreachable!("{other:?} has one input"),
        };
        let by = given.map_or_else(|| default_by(&sides), By::Hash);
        co_grouped(&sides, by, values_of(operation), |all| match operation {
            PairOperation::LeftOuterJoin(..) => pairs(&options(&all[0]), &or_none(&all[1])),
            PairOperation::RightOuterJoin(..) => pairs(&or_none(&all[0]), &options(&all[1])),
            PairOperation::FullOuterJoin(..) => pairs(&or_none(&all[0]), &or_none(&all[1])),
            PairOperation::CogroupSizes => vec![all[0].len() as i64 * 10_000 + all[1].len() as i64],
            PairOperation::Cogrouped(..) | PairOperation::Cogroup3(..) => all.concat(),
            _ => inner(all),
        })
    }

    fn flat<I: IntoIterator<Item = (i64, i64)>>(&self, f: impl Fn((i64, i64)) -> I) -> Self {
        Pairs { parts: self.parts.flat(f), ..self.clone() }
    }

    /// Returns each row with the values of its key in `others`, transformed by `or`.
    fn looked_up(&self, by: i64, or: impl Fn(&[i64]) -> Vec<Option<i64>>) -> Self {
        let small: Vec<_> = self.parts.all().into_iter().filter(|(_, n)| some(*n, by)).collect();
        self.flat(|(key, n)| {
            let values: Vec<i64> =
                small.iter().filter(|row| row.0 == key).map(|row| row.1).collect();
            or(&values).into_iter().map(move |m| (key, matched(Some(n), m)))
        })
    }

    fn unplaced(&self, parts: Parts<(i64, i64)>) -> Self {
        Pairs { parts, by: None, sorts: self.sorts }
    }

    fn union(&self, next: &Pairs) -> Self {
        if self.by.is_some() && self.by == next.by {
            return Pairs { parts: self.parts.concat_partitions(&next.parts), ..self.clone() };
        }
        self.unplaced(self.parts.append(&next.parts))
    }

    fn placed(&self, by: By) -> Self {
        if self.by == Some(by) {
            return self.clone();
        }
        let parts = self.parts.placed(by.partitions(), |(key, _)| by.partition_of(*key));
        Pairs { parts, by: Some(by), sorts: self.sorts }
    }

    /// Returns the concatenated values of each key.
    pub fn group_by_key_iter(&self, given: Option<usize>) -> Self {
        self.folded(given, Values::InOrder, <[i64]>::to_vec)
    }

    fn reduced(&self, given: Option<usize>) -> Self {
        self.folded(given, Values::InAnyOrder, |all| vec![sum(all)])
    }

    /// Applies a function to the values of each key.
    fn folded(&self, given: Option<usize>, values: Values, f: impl Fn(&[i64]) -> Vec<i64>) -> Self {
        let own = [self.clone()];
        let by = given.map_or_else(|| default_by(&own), By::Hash);
        co_grouped(&own, by, values, |all| f(&all[0]))
    }

    fn distinct(&self) -> Self {
        let set = BTreeSet::from_iter(self.parts.all());
        let Some(by) = self.by else {
            let rows = set.into_iter().collect();
            return self.unplaced(hashed_rows(rows, self.parts.partitions()));
        };
        let parts = self.parts.each(|part| {
            let mut rows = Vec::from_iter(part.iter().copied().collect::<BTreeSet<_>>());
            rows.sort_by_key(hash_rank);
            rows
        });
        let known = if by.is_known() { Known::Partitions } else { Known::Rows };
        Pairs { parts: Parts::new(parts.parts, known), ..self.clone() }
    }

    fn sorted_by_key(&self, partitions: usize) -> Self {
        let mut rows = self.parts.all();
        let sorts = self.sorts + 1;
        rows.sort_by_key(|pair| pair.0);
        let parts = Parts::somewhere(rows, partitions, self.parts.known);
        Pairs { parts, by: Some(By::Ranges(partitions, sorts)), sorts }
    }
}

/// Returns the default partitioning of rows.
fn default_by(sides: &[Pairs]) -> By {
    let most = sides.iter().map(|side| side.parts.partitions()).max().unwrap();
    let known = sides.iter().filter_map(|side| side.by);
    match known.reduce(|a, b| if b.partitions() > a.partitions() { b } else { a }) {
        Some(by) if by.partitions() * 10 > most => by,
        _ => By::Hash(most),
    }
}

/// Applies a function to the values of each key of several RDDs, in the order of the hashes of the
/// keys.
fn co_grouped(
    sides: &[Pairs],
    by: By,
    values: Values,
    f: impl Fn(&[Vec<i64>]) -> Vec<i64>,
) -> Pairs {
    let placed: Vec<Pairs> = sides.iter().map(|side| side.placed(by)).collect();
    let ordered = placed.iter().all(|side| side.parts.known >= Known::Order);
    let open = !by.is_known() || !ordered && values == Values::InOrder;
    let of_partition = |partition: usize| {
        let mut groups = BTreeMap::<(usize, i64), Vec<Vec<i64>>>::new();
        for (number, side) in placed.iter().enumerate() {
            for (key, n) in &side.parts.parts[partition] {
                let group = groups.entry((hash_rank(key), *key));
                group.or_insert_with(|| vec![Vec::new(); sides.len()])[number].push(*n);
            }
        }
        let rows = groups.into_iter().flat_map(|((_, key), all)| {
            f(&all).into_iter().map(move |n| (key, n)).collect::<Vec<_>>()
        });
        rows.collect::<Vec<_>>()
    };
    let known = if open { Known::Rows } else { Known::Partitions };
    let parts = Parts::new((0..by.partitions()).map(of_partition).collect(), known);
    Pairs { parts, by: Some(by), sorts: sides[0].sorts }
}

fn values_of(operation: &PairOperation) -> Values {
    if matches!(operation, PairOperation::CogroupSizes) {
        Values::InAnyOrder
    } else {
        Values::InOrder
    }
}

fn options(values: &[i64]) -> Vec<Option<i64>> {
    values.iter().copied().map(Some).collect()
}

fn or_none(values: &[i64]) -> Vec<Option<i64>> {
    if values.is_empty() { vec![None] } else { options(values) }
}
