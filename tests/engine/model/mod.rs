//! Random programs as data, and a model of them in plain Rust. An operation is applied to partitions of
//! plain rows as documented: `parts` models partitions, `rows` and `pairs` the operations,
//! `asked` the actions.

mod asked;
mod pairs;
mod parts;
mod rows;

pub use asked::{Action, pair};
pub use pairs::PairOperation;
pub use parts::{Known, Parts};
pub use rows::Operation;

use std::collections::BTreeMap;

/// The number of rows from which a program has no more operations that add rows.
const MANY_ROWS: usize = 1500;
/// The number of partitions from which a program has no more operations that add partitions.
const MANY_PARTITIONS: usize = 30;

/// Counts the occurrences of each row.
pub fn counts(rows: &[i64]) -> BTreeMap<i64, i64> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(*row).or_default() += 1);
    counts
}

pub fn sum(values: &[i64]) -> i64 {
    values.iter().fold(0, |a, b| a.wrapping_add(*b))
}

/// Returns a number that depends on the rows and their order.
pub fn print(rows: &[i64]) -> i64 {
    rows.iter().fold(7, |print: i64, row| print.wrapping_mul(31).wrapping_add(*row))
}

pub fn copies(n: i64, most: i64) -> impl Iterator<Item = i64> {
    (0..n.rem_euclid(most + 1)).map(move |copy| n.wrapping_add(copy))
}

pub fn halved(n: i64, by: i64) -> Option<i64> {
    (n % by != 0).then_some(n / 2)
}

/// Combines the two values of a join, of which one may be missing.
pub fn matched(left: Option<i64>, right: Option<i64>) -> i64 {
    left.unwrap_or(-1000) ^ right.unwrap_or(-3).wrapping_mul(3)
}

/// Filters the values of one side of a join, so that the sides differ.
pub fn some(n: i64, by: i64) -> bool {
    n % by != 0
}
