//! Random programs as data, and what plain Rust says they give. A step is done to partitions of plain
//! rows, as its documentation says: `parts` knows partitions, `rows` and `pairs` the steps, `asked`
//! the actions.

mod asked;
mod pairs;
mod parts;
mod rows;

pub use asked::{Action, pair};
pub use pairs::PairStep;
pub use parts::{Known, Parts};
pub use rows::Operation;

use std::collections::BTreeMap;

/// Steps that add rows are left out of a program once it has so many.
const MANY_ROWS: usize = 1500;
/// Steps that add partitions are left out once there are so many.
const MANY_PARTITIONS: usize = 30;

/// How often each row occurs.
pub fn counts(rows: &[i64]) -> BTreeMap<i64, i64> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(*row).or_default() += 1);
    counts
}

pub fn sum(values: &[i64]) -> i64 {
    values.iter().fold(0, |a, b| a.wrapping_add(*b))
}

/// A number that tells rows in one order from the same rows in another.
pub fn print(rows: &[i64]) -> i64 {
    rows.iter().fold(7, |print: i64, row| print.wrapping_mul(31).wrapping_add(*row))
}

pub fn copies(n: i64, most: i64) -> impl Iterator<Item = i64> {
    (0..n.rem_euclid(most + 1)).map(move |copy| n.wrapping_add(copy))
}

pub fn halved(n: i64, by: i64) -> Option<i64> {
    (n % by != 0).then_some(n / 2)
}

/// What a join's two values become, also where one is missing.
pub fn matched(left: Option<i64>, right: Option<i64>) -> i64 {
    left.unwrap_or(-1000) ^ right.unwrap_or(-3).wrapping_mul(3)
}

/// The values a join keeps on one side, so that the sides differ.
pub fn some(n: i64, by: i64) -> bool {
    n % by != 0
}
