//! The order of files: that of their names, except that the numbers of `part-N` count as numbers.
//!
//! An output of more than 100,000 partitions may have names of different lengths, `part-99999` and
//! `part-100000`, whose order as texts is not that of the partitions.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::path::Path;

const PART: &[u8] = b"part-";

/// A name that is sorted by the rule of this file.
#[derive(PartialEq, Eq)]
pub(super) struct SortedName(pub OsString);

impl Ord for SortedName {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_names(&self.0, &other.0)
    }
}

impl PartialOrd for SortedName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares two paths component by component.
pub(super) fn compare_paths(one: &Path, other: &Path) -> Ordering {
    let mut others = other.components();
    for component in one.components() {
        let Some(its) = others.next() else { return Ordering::Greater };
        match compare_names(component.as_os_str(), its.as_os_str()) {
            Ordering::Equal => {}
            order => return order,
        }
    }
    if others.next().is_some() { Ordering::Less } else { Ordering::Equal }
}

/// Compares two names. Other names come before all parts or after them.
fn compare_names(one: &OsStr, other: &OsStr) -> Ordering {
    let as_text = || one.cmp(other);
    match (part_number(one), part_number(other)) {
        (Some((number, rest)), Some((its_number, its_rest))) => {
            // Without leading zeros, a longer number is a larger one.
            let by_number =
                number.len().cmp(&its_number.len()).then_with(|| number.cmp(its_number));
            by_number.then_with(|| rest.cmp(its_rest)).then_with(as_text)
        }
        _ => as_text(),
    }
}

/// Returns the digits of a name `part-N`, without leading zeros, and the bytes after them.
fn part_number(name: &OsStr) -> Option<(&[u8], &[u8])> {
    let number = name.as_encoded_bytes().strip_prefix(PART)?;
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = number.split_at(digits);
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    (!digits.is_empty()).then_some((&digits[zeros..], rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(names: &[&str]) -> Vec<String> {
        let mut names: Vec<_> = names.iter().map(|name| SortedName(name.into())).collect();
        names.sort();
        names.into_iter().map(|name| name.0.into_string().unwrap()).collect()
    }

    #[test]
    fn the_numbers_of_parts_are_in_order_and_other_names_are_texts() {
        let names = [
            "part-100000",
            "part-99999",
            "a10",
            "a9",
            "part-2.csv",
            "part-10.csv",
            "part-",
            "part-x",
            "q",
        ];
        let want = [
            "a10",
            "a9",
            "part-",
            "part-2.csv",
            "part-10.csv",
            "part-99999",
            "part-100000",
            "part-x",
            "q",
        ];
        assert_eq!(sorted(&names), want);
        let path = |text: &'static str| Path::new(text);
        assert_eq!(compare_paths(path("d/part-99999/x"), path("d/part-100000/a")), Ordering::Less);
        assert_eq!(compare_paths(path("d/part-1"), path("d/part-01")), Ordering::Greater);
        assert_eq!(compare_paths(path("d"), path("d/part-1")), Ordering::Less);
    }

    proptest! {
        #[test]
        fn the_order_is_total(names in prop::collection::vec("(part-?)?[0-9a]{0,7}[.x/-]?[0-9]?", 3)) {
            let order = |one: usize, other: usize| compare_names(names[one].as_ref(), names[other].as_ref());
            prop_assert_eq!(order(0, 1), order(1, 0).reverse());
            prop_assert_eq!(order(0, 1) == Ordering::Equal, names[0] == names[1]);
            if order(0, 1) == Ordering::Less && order(1, 2) == Ordering::Less {
                prop_assert_eq!(order(0, 2), Ordering::Less);
            }
        }
    }
}
