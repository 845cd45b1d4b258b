//! Random programs as data, and what plain Rust says they give: the steps, a model that does them to a
//! `Vec`, and what the documentation lets an answer be.

use crate::support::sorted;
use Expected::{Exactly, InAnyOrder, PartOf};
use std::collections::BTreeMap;

/// Steps that add rows are left out of a program once it has so many.
const MANY_ROWS: usize = 1500;

/// A step of a program.
#[derive(Clone, Debug)]
pub enum Step {
    Map(i64),
    Filter(i64),
    FilterMap(i64),
    FlatMap(i64),
    FlatMapInto(i64),
    TryMap(i64),
    With(i64),
    MapPartitions,
    Fused(i64),
    UnionSelf,
    Distinct(Option<usize>),
    Repartition(usize),
    SortAll(Option<usize>),
    SortDownByCmp,
    SortBy(i64),
    Cache,
    Inspect,
    Pairs(i64, Vec<PairStep>),
}

/// Steps on pairs, which begin as `(row % n, row)` and end as the sum of key and value.
#[derive(Clone, Debug)]
pub enum PairStep {
    PartitionBy(usize),
    PlaceBy(usize),
    MapValues(i64),
    Filter(i64),
    Reduce(Option<usize>),
    Aggregate,
    GroupSum,
    GroupFlatten,
    JoinSelf,
    JoinReduced(Option<usize>),
    CogroupSizes,
    UnionSelf,
    Distinct,
    SortByKey(usize),
    Cache,
    Rekey(i64),
}

/// What is asked at the end.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Collect,
    Count,
    Reduce,
    Fold,
    Take(usize),
    Top(usize),
    TakeOrdered(usize),
    CountByValue,
}

/// What the documentation lets an answer be.
#[derive(Debug)]
pub enum Expected {
    Exactly(Vec<i64>),
    InAnyOrder(Vec<i64>),
    /// So many of the rows.
    PartOf(Vec<i64>, usize),
}

impl Expected {
    pub fn accepts(&self, answer: &[i64]) -> bool {
        match self {
            Exactly(rows) => answer == rows,
            InAnyOrder(rows) => sorted(answer.to_vec()) == sorted(rows.clone()),
            PartOf(rows, n) => {
                let mut left = counts(rows);
                let mut take = |row| left.get_mut(row).filter(|n| **n > 0).map(|n| *n -= 1);
                answer.len() == (*n).min(rows.len()) && answer.iter().all(|row| take(row).is_some())
            }
        }
    }
}

/// The rows of the model, and whether the documentation says in which order they come.
pub struct Model {
    pub rows: Vec<i64>,
    pub ordered: bool,
}

pub fn counts(rows: &[i64]) -> BTreeMap<i64, i64> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(*row).or_default() += 1);
    counts
}

fn grouped(pairs: &[(i64, i64)]) -> BTreeMap<i64, Vec<i64>> {
    let mut groups = BTreeMap::<i64, Vec<i64>>::new();
    pairs.iter().for_each(|(key, value)| groups.entry(*key).or_default().push(*value));
    groups
}

pub fn sum(values: &[i64]) -> i64 {
    values.iter().fold(0, |a, b| a.wrapping_add(*b))
}

pub fn copies(n: i64, most: i64) -> impl Iterator<Item = i64> {
    (0..n.rem_euclid(most + 1)).map(move |copy| n.wrapping_add(copy))
}

pub fn halved(n: i64, by: i64) -> Option<i64> {
    (n % by != 0).then_some(n / 2)
}

impl Model {
    /// Does one step and gives it back as it was done, without the parts that would grow too much.
    pub fn apply(&mut self, step: &Step) -> Option<Step> {
        let grows = matches!(step, Step::FlatMap(_) | Step::FlatMapInto(_) | Step::UnionSelf);
        if grows && self.rows.len() > MANY_ROWS {
            return None;
        }
        let mut done = step.clone();
        let rows = std::mem::take(&mut self.rows);
        let each = rows.iter().copied();
        self.rows = match step {
            Step::Map(by) | Step::TryMap(by) | Step::With(by) => {
                each.map(|n| n.wrapping_add(*by)).collect()
            }
            Step::Filter(by) => each.filter(|n| n % by != 0).collect(),
            Step::FilterMap(by) => each.filter_map(|n| halved(n, *by)).collect(),
            Step::FlatMap(most) | Step::FlatMapInto(most) => {
                each.flat_map(|n| copies(n, *most)).collect()
            }
            Step::Fused(by) => {
                each.map(|n| n ^ by).filter(|n| n % 3 != 0).flat_map(|n| copies(n, 1)).collect()
            }
            Step::UnionSelf => [&rows[..], &rows[..]].concat(),
            Step::Distinct(_) => counts(&rows).into_keys().collect(),
            Step::SortAll(_) => sorted(rows),
            Step::SortDownByCmp => sorted(rows).into_iter().rev().collect(),
            Step::SortBy(by) => {
                let mut rows = rows;
                rows.sort_by_key(|n| n.rem_euclid(*by));
                rows
            }
            Step::MapPartitions | Step::Repartition(_) | Step::Cache | Step::Inspect => rows,
            Step::Pairs(by, steps) => {
                let mut pairs = each.map(|n| (n % by, n)).collect();
                let kept = steps.iter().filter(|step| apply_to_pairs(step, &mut pairs));
                done = Step::Pairs(*by, kept.cloned().collect());
                pairs.into_iter().map(|(key, n)| n.wrapping_add(key)).collect()
            }
        };
        match step {
            Step::SortAll(_) | Step::SortDownByCmp => self.ordered = true,
            Step::Distinct(_) | Step::Repartition(_) | Step::Pairs(..) => self.ordered = false,
            _ => {}
        }
        Some(done)
    }

    pub fn answer(&self, action: Action) -> Expected {
        let rows = self.rows.clone();
        let first = |mut rows: Vec<i64>, n| {
            rows.truncate(n);
            Exactly(rows)
        };
        match action {
            Action::Collect if self.ordered => Exactly(rows),
            Action::Collect => InAnyOrder(rows),
            Action::Count => Exactly(vec![rows.len() as i64]),
            Action::Reduce => {
                Exactly(rows.into_iter().reduce(i64::wrapping_add).into_iter().collect())
            }
            Action::Fold => Exactly(vec![sum(&rows)]),
            Action::Take(n) if self.ordered => first(rows, n),
            Action::Take(n) => PartOf(rows, n),
            Action::Top(n) => first(sorted(rows).into_iter().rev().collect(), n),
            Action::TakeOrdered(n) => first(sorted(rows), n),
            Action::CountByValue => {
                Exactly(counts(&rows).into_iter().flat_map(|(n, c)| [n, c]).collect())
            }
        }
    }
}

/// Does one step unless it would grow too much; says whether it did.
fn apply_to_pairs(step: &PairStep, pairs: &mut Vec<(i64, i64)>) -> bool {
    let groups = grouped(pairs);
    let of_groups = |f: fn(&[i64]) -> i64| groups.iter().map(|(key, all)| (*key, f(all))).collect();
    let joined: usize = groups.values().map(|all| all.len().pow(2)).sum();
    *pairs = match step {
        PairStep::JoinSelf if joined > 2 * MANY_ROWS => return false,
        PairStep::UnionSelf if pairs.len() > MANY_ROWS => return false,
        PairStep::MapValues(by) => {
            pairs.iter().map(|(key, n)| (*key, n.wrapping_add(*by))).collect()
        }
        PairStep::Filter(by) => {
            pairs.iter().copied().filter(|(key, n)| (key ^ n) % by != 0).collect()
        }
        PairStep::Reduce(_) | PairStep::GroupSum => of_groups(sum),
        PairStep::Aggregate => of_groups(|all| all.iter().fold(i64::MIN, |a, b| a.max(*b))),
        PairStep::JoinSelf => {
            let of_key = |key| groups[key].iter();
            let rows = pairs.iter().flat_map(|(key, n)| of_key(key).map(move |m| (*key, n ^ m)));
            rows.collect()
        }
        PairStep::JoinReduced(_) => {
            pairs.iter().map(|(key, n)| (*key, n ^ sum(&groups[key]))).collect()
        }
        PairStep::CogroupSizes => of_groups(|all| {
            let odd = all.iter().filter(|n| **n % 2 != 0).count();
            all.len() as i64 * 10_000 + odd as i64
        }),
        PairStep::UnionSelf => [&pairs[..], &pairs[..]].concat(),
        PairStep::Distinct => {
            let mut rows = sorted(pairs.clone());
            rows.dedup();
            rows
        }
        PairStep::Rekey(by) => pairs.iter().map(|(key, n)| (n % by, *key)).collect(),
        _ => return true,
    };
    true
}
