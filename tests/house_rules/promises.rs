//! Checks that each case in `tests/PROMISES.md` names a test that exists, or a reason why it has none.

use super::{root, sources};
use std::collections::HashSet;
use std::fs;

/// The lists of `tests/PROMISES.md`: their letter, the digits of a number, and the last number.
const LISTS: [(&str, usize, usize); 2] = [("F", 3, 106), ("E", 2, 64)];

/// The beginning of a row that waits for a feature and names no test.
const NOT_BUILT: &str = "not built: ";

#[test]
fn every_promise_about_faults_names_an_existing_test_or_a_missing_feature() {
    let text = fs::read_to_string(root().join("tests/PROMISES.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| F") || line.starts_with("| E"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let numbers: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    let all = LISTS.iter().flat_map(|(letter, digits, last)| {
        (1..=*last).map(move |number| format!("{letter}{number:0digits$}"))
    });
    let all: Vec<String> = all.collect();
    let mut in_order = all.iter().filter(|number| numbers.contains(&number.as_str()));
    for number in &numbers {
        assert_eq!(in_order.next().map(String::as_str), Some(*number), "once and in order");
    }
    assert!(numbers.len() > 130, "only {} promises are listed", numbers.len());
    let tests = all_tests();
    for row in rows {
        let [_, number, promise, cell, _] = row[..] else { panic!("not three cells: {row:?}") };
        assert!(promise.len() > 10, "{number} promises nothing");
        match cell.strip_prefix(NOT_BUILT) {
            Some(reason) => assert!(reason.len() > 20, "{number} gives no reason"),
            None => assert_names_tests(number, cell, &tests),
        }
    }
}

/// Returns the names of all tests of the workspace.
fn all_tests() -> HashSet<String> {
    let mut tests = HashSet::new();
    for (_, text) in sources(&["core", "shuffle", "rdd", "tests"]) {
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                tests.insert(rest.split('(').next().unwrap().to_string());
                is_test = false;
            }
            is_test |= line == "#[test]";
        }
    }
    assert!(tests.len() > 900, "found only {} tests", tests.len());
    tests
}

/// Asserts that `cell` is a list of quoted names of tests, each once.
pub fn assert_names_tests(number: &str, cell: &str, tests: &HashSet<String>) {
    let mut named = HashSet::new();
    for name in cell.split(", ") {
        let quoted = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
        let test = quoted.unwrap_or_else(|| panic!("{number}: {name} is not one quoted name"));
        assert!(tests.contains(test), "{number} names {test}, which is not a test");
        assert!(named.insert(test), "{number} names {test} twice");
    }
}
