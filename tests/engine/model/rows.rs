//! The operations of a random program, and their model.

use super::pairs::{PairOperation, Pairs};
use super::parts::{Known, Parts, hashed_rows};
use super::{MANY_PARTITIONS, MANY_ROWS, copies, counts, halved, print};
use crate::support::sorted;

/// An operation of a program.
#[derive(Clone, Debug)]
pub enum Operation {
    Map(i64),
    Filter(i64),
    FilterMap(i64),
    FlatMap(i64),
    FlatMapInto(i64),
    TryMap(i64),
    TryFilter(i64),
    TryFlatMap(i64),
    With(i64),
    /// `Map`, `Filter`, `FilterMap` and `FlatMap` in sequence, by reference.
    Refs(i64),
    RefsWith(i64),
    MapPartitions,
    /// Adds the number of its partition to each row.
    AddIndex,
    GlomFlat,
    /// One row for each partition, which depends on the order of its rows.
    GlomPrints,
    Fused(i64),
    ZipSelf(i64),
    /// The rows of each partition, then some of them again.
    ZipPartitions(i64),
    /// Splits the rows into two at random and concatenates the halves.
    SplitBySample(u64),
    Coalesce(usize),
    UnionSelf,
    UnionAll,
    Distinct(Option<usize>),
    Subtract(i64, Option<usize>),
    Intersection(i64, Option<usize>),
    /// The concatenated groups.
    GroupBy(i64, Option<usize>),
    Repartition(usize),
    /// An operation whose result depends on the order of the rows in each partition.
    RepartitionNumbered(usize),
    SortAll(Option<usize>),
    SortDownByCmp,
    SortBy(i64),
    Cache,
    Inspect,
    Pairs(i64, Vec<PairOperation>),
}

impl Parts<i64> {
    /// Applies one operation and returns it as applied, without the parts that would grow too much
    /// or whose outcome is unspecified.
    pub fn apply(&mut self, operation: &Operation) -> Option<Operation> {
        if self.is_left_out(operation) {
            return None;
        }
        let mut done = operation.clone();
        if let Operation::Pairs(by, operations) = operation {
            let mut pairs = Pairs::new(self.flat(|n| [(n % by, n)]));
            let applied = operations.iter().filter(|operation| pairs.apply(operation));
            done = Operation::Pairs(*by, applied.cloned().collect());
            *self = pairs.parts.flat(|(key, n)| [n.wrapping_add(key)]);
        } else {
            *self = self.narrow(operation).unwrap_or_else(|| self.wide(operation));
        }
        Some(done)
    }

    fn is_left_out(&self, operation: &Operation) -> bool {
        let (grows, needs_partitions) = match operation {
            Operation::FlatMap(_) | Operation::FlatMapInto(_) | Operation::TryFlatMap(_) => {
                (true, false)
            }
            Operation::UnionSelf | Operation::UnionAll | Operation::SplitBySample(_) => {
                (true, false)
            }
            Operation::ZipPartitions(_) => (true, false),
            Operation::AddIndex | Operation::GlomPrints => (false, true),
            _ => (false, false),
        };
        let many = self.all().len() > MANY_ROWS || self.partitions() > MANY_PARTITIONS;
        grows && many || needs_partitions && self.known < Known::Partitions
    }

    /// Applies an operation that moves no row.
    fn narrow(&self, operation: &Operation) -> Option<Self> {
        Some(match operation {
            Operation::Map(by) | Operation::TryMap(by) | Operation::With(by) => {
                self.flat(|n| [n.wrapping_add(*by)])
            }
            Operation::Filter(by) | Operation::TryFilter(by) => {
                self.flat(|n| Some(n).filter(|n| n % by != 0))
            }
            Operation::FilterMap(by) => self.flat(|n| halved(n, *by)),
            Operation::FlatMap(most)
            | Operation::FlatMapInto(most)
            | Operation::TryFlatMap(most) => self.flat(|n| copies(n, *most)),
            Operation::Fused(by) => {
                self.flat(|n| Some(n ^ by).filter(|n| n % 3 != 0)).flat(|n| copies(n, 1))
            }
            Operation::Refs(by) | Operation::RefsWith(by) => {
                let some = self.flat(|n| [n.wrapping_add(*by)]).flat(|n| (n % 5 != 0).then_some(n));
                some.flat(|n| halved(n, *by)).flat(|n| copies(n, 1))
            }
            Operation::MapPartitions
            | Operation::GlomFlat
            | Operation::Cache
            | Operation::Inspect => self.clone(),
            Operation::ZipSelf(by) => self.flat(|n| [n ^ n.wrapping_add(*by)]),
            Operation::ZipPartitions(by) => {
                let some = self.flat(|n| Some(n).filter(|n| n % by == 0));
                self.concat_partitions(&some)
            }
            Operation::AddIndex => {
                let add = |(at, part): (usize, &Vec<i64>)| {
                    part.iter().map(|n| n.wrapping_add(at as i64)).collect()
                };
                Parts::new(self.parts.iter().enumerate().map(add).collect(), self.known)
            }
            Operation::GlomPrints => self.each(|part| vec![print(part)]),
            Operation::Coalesce(partitions) => self.coalesced(*partitions),
            Operation::UnionSelf => self.append(self),
            Operation::UnionAll => self.append(&self.flat(|n| [n.wrapping_add(1)])).append(self),
            _ => return None,
        })
    }

    /// Applies an operation that moves rows.
    fn wide(&self, operation: &Operation) -> Self {
        let (rows, own) = (self.all(), self.partitions());
        match operation {
            Operation::SplitBySample(_) => Parts::somewhere(rows, 2 * own, Known::Rows),
            Operation::Distinct(given) => {
                hashed_rows(counts(&rows).into_keys().collect(), given.unwrap_or(own))
            }
            Operation::Subtract(by, given) => {
                let rest = rows.into_iter().filter(|n| n % by != 0).collect();
                hashed_rows(rest, given.unwrap_or(own))
            }
            Operation::Intersection(by, given) => {
                let there = counts(&rows);
                let others = there.keys().map(|n| n.wrapping_add(*by));
                let common = others.filter(|n| there.contains_key(n)).collect();
                hashed_rows(common, given.unwrap_or(own))
            }
            Operation::GroupBy(by, given) => {
                let pairs = Pairs::new(self.flat(|n| [(n.rem_euclid(*by), n)]));
                pairs.group_by_key_iter(*given).parts.flat(|(_, n)| [n])
            }
            Operation::Repartition(partitions) | Operation::RepartitionNumbered(partitions) => {
                // The documentation does not specify the partition of a row, but it specifies the order in a partition.
                let known = if *partitions == 1 { self.known } else { Known::Rows };
                Parts::somewhere(rows, *partitions, known)
            }
            Operation::SortAll(given) => {
                Parts::somewhere(sorted(rows), given.unwrap_or(own), Known::Order)
            }
            Operation::SortDownByCmp => {
                Parts::somewhere(sorted(rows).into_iter().rev().collect(), own, Known::Order)
            }
            Operation::SortBy(by) => {
                let mut rows = rows;
                rows.sort_by_key(|n| n.rem_euclid(*by));
                Parts::somewhere(rows, own, self.known)
            }
            narrow => unreachable!("{narrow:?} moves no row"),
        }
    }
}
