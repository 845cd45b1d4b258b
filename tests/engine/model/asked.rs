//! The action at the end of a random program, and the answers that its documentation allows.

use super::parts::{Known, Parts, is_within};
use super::{counts, sum};
use crate::support::sorted;
use Expected::*;
use std::collections::BTreeMap;

/// The action at the end of a program. Those that need pairs use `(row % 7, row)`.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Collect,
    LocalIterator,
    Count,
    Reduce,
    Fold,
    Aggregate,
    /// The rows that an accumulator collects.
    Accumulate,
    Sum,
    Min,
    Max,
    /// The count, the least, the largest and the mean of `row % 1000`, the mean by its bits.
    Stats,
    First,
    IsEmpty,
    Take(usize),
    Top(usize),
    TakeOrdered(usize),
    CountByValue,
    CountByKey,
    CollectAsMap,
    /// The values of a key, with a partitioner or without.
    Lookup(i64, Option<usize>),
    /// The rows of each partition, partitions by their rows.
    ForEachPartition,
    /// A sample without replacement: the percentage and the seed.
    Sample(u8, u64),
    /// A sample with replacement: the percentage and the seed.
    Draw(u8, u64),
}

/// The answers that the documentation allows.
#[derive(Debug)]
pub enum Expected {
    Exactly(Vec<i64>),
    InAnyOrder(Vec<i64>),
    /// A number of the rows, in any order.
    PartOf(Vec<i64>, usize),
    /// Some of the rows, in their order.
    SomeOf(Vec<i64>),
    /// Some of the rows, in any order.
    AnyOf(Vec<i64>),
    /// Some of the rows, in their order, each any number of times.
    DrawnFrom(Vec<i64>),
    /// Rows that are among these, any number of times.
    Among(Vec<i64>),
    /// Each key, and after it one of its values.
    OneForEach(BTreeMap<i64, Vec<i64>>),
}

impl Expected {
    pub fn accepts(&self, answer: &[i64]) -> bool {
        match self {
            Exactly(rows) => answer == rows,
            InAnyOrder(rows) => sorted(answer.to_vec()) == sorted(rows.clone()),
            PartOf(rows, n) => answer.len() == (*n).min(rows.len()) && is_within(answer, rows),
            SomeOf(rows) => {
                let mut left = rows.iter();
                answer.iter().all(|row| left.any(|there| there == row))
            }
            AnyOf(rows) => is_within(answer, rows),
            DrawnFrom(rows) => {
                let mut left = &rows[..];
                let mut found = |row| {
                    let at = left.iter().position(|there| there == row);
                    // The same row may repeat.
                    left = at.map_or(&[], |at| &left[at..]);
                    at.is_some()
                };
                answer.iter().all(&mut found)
            }
            Among(rows) => answer.iter().all(|row| rows.contains(row)),
            OneForEach(groups) => {
                let keys = answer.iter().step_by(2);
                let held = |row: &[i64]| groups[&row[0]].contains(&row[1]);
                keys.eq(groups.keys()) && answer.chunks_exact(2).all(held)
            }
        }
    }
}

/// Returns the pairs that some actions return.
pub fn pair(row: i64) -> (i64, i64) {
    (row % 7, row)
}

impl Parts<i64> {
    pub fn answer(&self, action: Action) -> Expected {
        let rows = self.all();
        let ordered = self.known >= Known::Order;
        match action {
            Action::Collect | Action::LocalIterator | Action::Aggregate | Action::Accumulate => {
                self.in_order(rows)
            }
            Action::Take(n) => self.first(rows, n),
            Action::First => self.first(rows, 1),
            Action::Lookup(key, _) => {
                self.in_order(rows.into_iter().filter(|row| pair(*row).0 == key).collect())
            }
            Action::ForEachPartition if self.known == Known::Partitions => {
                Exactly(sorted(self.parts.clone()).concat())
            }
            Action::ForEachPartition => InAnyOrder(rows),
            Action::Sample(100, _) => self.in_order(rows),
            Action::Sample(0, _) | Action::Draw(0, _) => Exactly(Vec::new()),
            Action::Sample(..) if ordered => SomeOf(rows),
            Action::Sample(..) => AnyOf(rows),
            Action::Draw(..) if ordered => DrawnFrom(rows),
            Action::Draw(..) => Among(rows),
            Action::CollectAsMap => {
                let mut groups = BTreeMap::<i64, Vec<i64>>::new();
                rows.into_iter().map(pair).for_each(|(key, row)| {
                    groups.entry(key).or_default().push(row);
                });
                if ordered {
                    groups.values_mut().for_each(|all| _ = all.drain(..all.len() - 1));
                }
                OneForEach(groups)
            }
            _ => Exactly(of_any_order(action, rows)),
        }
    }

    fn in_order(&self, rows: Vec<i64>) -> Expected {
        if self.known >= Known::Order { Exactly(rows) } else { InAnyOrder(rows) }
    }

    fn first(&self, mut rows: Vec<i64>, n: usize) -> Expected {
        if self.known < Known::Order {
            return PartOf(rows, n);
        }
        rows.truncate(n);
        Exactly(rows)
    }
}

/// Returns the answers that do not depend on the order of the rows.
fn of_any_order(action: Action, rows: Vec<i64>) -> Vec<i64> {
    let flat = |counts: BTreeMap<i64, i64>| counts.into_iter().flat_map(|(n, c)| [n, c]).collect();
    let ends = (rows.iter().min().copied(), rows.iter().max().copied());
    let sorted_first = |mut rows: Vec<i64>, n| {
        rows.truncate(n);
        rows
    };
    match action {
        Action::Count => vec![rows.len() as i64],
        Action::Reduce => rows.into_iter().reduce(i64::wrapping_add).into_iter().collect(),
        Action::Fold => vec![sum(&rows)],
        Action::Sum => vec![rows.iter().map(|n| n % 1000).sum()],
        Action::Min => ends.0.into_iter().collect(),
        Action::Max => ends.1.into_iter().collect(),
        Action::IsEmpty => vec![i64::from(rows.is_empty())],
        Action::Top(n) => sorted_first(sorted(rows).into_iter().rev().collect(), n),
        Action::TakeOrdered(n) => sorted_first(sorted(rows), n),
        Action::CountByValue => flat(counts(&rows)),
        Action::CountByKey => {
            flat(counts(&rows.into_iter().map(|row| pair(row).0).collect::<Vec<_>>()))
        }
        Action::Stats => stats(&rows.into_iter().map(|n| n % 1000).collect::<Vec<_>>()),
        other => unreachable!("{other:?} depends on the order"),
    }
}

fn stats(rows: &[i64]) -> Vec<i64> {
    let (Some(least), Some(most)) = (rows.iter().min(), rows.iter().max()) else {
        return vec![0];
    };
    // Exact: the sum of such rows is a whole number that a float holds, and the division rounds once.
    let mean = rows.iter().sum::<i64>() as f64 / rows.len() as f64;
    vec![rows.len() as i64, *least, *most, mean.to_bits() as i64]
}
