//! The steps of a program, and a model that does them.

use super::pairs::{PairStep, Pairs};
use super::parts::{Known, Parts, hashed_rows};
use super::{MANY_PARTITIONS, MANY_ROWS, copies, counts, halved, print};
use crate::support::sorted;

/// A step of a program.
#[derive(Clone, Debug)]
pub enum Step {
    Map(i64),
    Filter(i64),
    FilterMap(i64),
    FlatMap(i64),
    FlatMapInto(i64),
    TryMap(i64),
    TryFilter(i64),
    TryFlatMap(i64),
    With(i64),
    /// As `Map`, `Filter`, `FilterMap` and `FlatMap`, one after the other, by reference.
    Refs(i64),
    RefsWith(i64),
    MapPartitions,
    /// Adds the number of its partition to each row.
    AddIndex,
    GlomFlat,
    /// One row for each partition, which tells the order of its rows.
    GlomPrints,
    Fused(i64),
    ZipSelf(i64),
    /// The rows of each partition, then some of them again.
    ZipPartitions(i64),
    /// Cuts the rows in two by chance and puts them together again.
    SplitBySample(u64),
    Coalesce(usize),
    UnionSelf,
    UnionAll,
    Distinct(Option<usize>),
    Subtract(i64, Option<usize>),
    Intersection(i64, Option<usize>),
    /// The groups one behind the other.
    GroupBy(i64, Option<usize>),
    Repartition(usize),
    /// Looks at the order of the rows in each partition.
    RepartitionNumbered(usize),
    SortAll(Option<usize>),
    SortDownByCmp,
    SortBy(i64),
    Cache,
    Inspect,
    Pairs(i64, Vec<PairStep>),
}

impl Parts<i64> {
    /// Does one step and gives it back as it was done, without the parts that would grow too much or
    /// whose outcome the documentation leaves open.
    pub fn apply(&mut self, step: &Step) -> Option<Step> {
        if self.is_left_out(step) {
            return None;
        }
        let mut done = step.clone();
        if let Step::Pairs(by, steps) = step {
            let mut pairs = Pairs::new(self.flat(|n| [(n % by, n)]));
            let kept = steps.iter().filter(|step| pairs.apply(step));
            done = Step::Pairs(*by, kept.cloned().collect());
            *self = pairs.parts.flat(|(key, n)| [n.wrapping_add(key)]);
        } else {
            *self = self.narrow(step).unwrap_or_else(|| self.wide(step));
        }
        Some(done)
    }

    fn is_left_out(&self, step: &Step) -> bool {
        let (grows, needs_places) = match step {
            Step::FlatMap(_) | Step::FlatMapInto(_) | Step::TryFlatMap(_) => (true, false),
            Step::UnionSelf | Step::UnionAll | Step::SplitBySample(_) => (true, false),
            Step::ZipPartitions(_) => (true, false),
            Step::AddIndex | Step::GlomPrints => (false, true),
            _ => (false, false),
        };
        let many = self.all().len() > MANY_ROWS || self.partitions() > MANY_PARTITIONS;
        grows && many || needs_places && self.known < Known::Places
    }

    /// A step that moves no row.
    fn narrow(&self, step: &Step) -> Option<Self> {
        Some(match step {
            Step::Map(by) | Step::TryMap(by) | Step::With(by) => {
                self.flat(|n| [n.wrapping_add(*by)])
            }
            Step::Filter(by) | Step::TryFilter(by) => {
                self.flat(|n| Some(n).filter(|n| n % by != 0))
            }
            Step::FilterMap(by) => self.flat(|n| halved(n, *by)),
            Step::FlatMap(most) | Step::FlatMapInto(most) | Step::TryFlatMap(most) => {
                self.flat(|n| copies(n, *most))
            }
            Step::Fused(by) => {
                self.flat(|n| Some(n ^ by).filter(|n| n % 3 != 0)).flat(|n| copies(n, 1))
            }
            Step::Refs(by) | Step::RefsWith(by) => {
                let some = self.flat(|n| [n.wrapping_add(*by)]).flat(|n| (n % 5 != 0).then_some(n));
                some.flat(|n| halved(n, *by)).flat(|n| copies(n, 1))
            }
            Step::MapPartitions | Step::GlomFlat | Step::Cache | Step::Inspect => self.clone(),
            Step::ZipSelf(by) => self.flat(|n| [n ^ n.wrapping_add(*by)]),
            Step::ZipPartitions(by) => {
                let some = self.flat(|n| Some(n).filter(|n| n % by == 0));
                self.beside(&some)
            }
            Step::AddIndex => {
                let add = |(at, part): (usize, &Vec<i64>)| {
                    part.iter().map(|n| n.wrapping_add(at as i64)).collect()
                };
                Parts::new(self.parts.iter().enumerate().map(add).collect(), self.known)
            }
            Step::GlomPrints => self.each(|part| vec![print(part)]),
            Step::Coalesce(partitions) => self.coalesced(*partitions),
            Step::UnionSelf => self.behind(self),
            Step::UnionAll => self.behind(&self.flat(|n| [n.wrapping_add(1)])).behind(self),
            _ => return None,
        })
    }

    /// A step that moves rows.
    fn wide(&self, step: &Step) -> Self {
        let (rows, own) = (self.all(), self.partitions());
        match step {
            Step::SplitBySample(_) => Parts::somewhere(rows, 2 * own, Known::Rows),
            Step::Distinct(given) => {
                hashed_rows(counts(&rows).into_keys().collect(), given.unwrap_or(own))
            }
            Step::Subtract(by, given) => {
                let rest = rows.into_iter().filter(|n| n % by != 0).collect();
                hashed_rows(rest, given.unwrap_or(own))
            }
            Step::Intersection(by, given) => {
                let there = counts(&rows);
                let others = there.keys().map(|n| n.wrapping_add(*by));
                let common = others.filter(|n| there.contains_key(n)).collect();
                hashed_rows(common, given.unwrap_or(own))
            }
            Step::GroupBy(by, given) => {
                let pairs = Pairs::new(self.flat(|n| [(n.rem_euclid(*by), n)]));
                pairs.grouped(*given).parts.flat(|(_, n)| [n])
            }
            Step::Repartition(partitions) | Step::RepartitionNumbered(partitions) => {
                // How rows are dealt out is not said, but their order in a partition is.
                let known = if *partitions == 1 { self.known } else { Known::Rows };
                Parts::somewhere(rows, *partitions, known)
            }
            Step::SortAll(given) => {
                Parts::somewhere(sorted(rows), given.unwrap_or(own), Known::Order)
            }
            Step::SortDownByCmp => {
                Parts::somewhere(sorted(rows).into_iter().rev().collect(), own, Known::Order)
            }
            Step::SortBy(by) => {
                let mut rows = rows;
                rows.sort_by_key(|n| n.rem_euclid(*by));
                Parts::somewhere(rows, own, self.known)
            }
            narrow => unreachable!("{narrow:?} moves no row"),
        }
    }
}
