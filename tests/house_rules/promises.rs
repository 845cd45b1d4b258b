//! Checks that the cases of `tests/PROMISES.md` and `tests/spark_cases.md` name tests that exist, and that
//! tests name cases that exist.

use super::{root, sources};
use std::collections::HashSet;
use std::fs;

/// The lists of `tests/PROMISES.md`: their letter, the digits of a number, and the last number.
const LISTS: [(&str, usize, usize); 2] = [("F", 3, 106), ("E", 2, 64)];

/// The kinds of faults that public reports show: a letter for the section, and the last number in it.
const KINDS: [(&str, usize); 4] = [("A", 11), ("B", 6), ("C", 4), ("D", 6)];

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
    let mut wrong = Vec::new();
    for row in rows {
        let [_, number, promise, cell, _] = row[..] else { panic!("not three cells: {row:?}") };
        assert!(promise.len() > 10, "{number} promises nothing");
        match cell.strip_prefix(NOT_BUILT) {
            Some(reason) => assert!(reason.len() > 20, "{number} gives no reason"),
            None => wrong.extend(wrong_names(number, cell, &tests)),
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_kind_of_fault_that_reports_show_names_its_tests() {
    let text = fs::read_to_string(root().join("tests/PROMISES.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| R-")).collect();
    let numbers: Vec<&str> = rows.iter().map(|row| row.split(' ').nth(1).unwrap()).collect();
    let all = KINDS
        .iter()
        .flat_map(|(section, last)| (1..=*last).map(move |number| format!("R-{section}{number}")));
    assert_eq!(numbers, all.collect::<Vec<_>>(), "each kind once and in order");
    let tests = all_tests();
    let mut wrong = Vec::new();
    for (number, row) in numbers.iter().zip(&rows) {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 3, "{number} has not three cells");
        wrong.extend(wrong_names(number, cells[2].trim_end_matches(" |"), &tests));
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_case_of_spark_and_its_tests_name_each_other() {
    let text = fs::read_to_string(root().join("tests/spark_cases.md")).unwrap();
    let tests = all_tests();
    let mut listed = Vec::new();
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| B")) {
        let mut cells = line.rsplit(" | ");
        let names = cells.next().unwrap().trim_end_matches(" |");
        let number = line[2..].split(' ').next().unwrap();
        wrong.extend(wrong_names(number, names, &tests));
        let quoted = names.split('`').skip(1).step_by(2);
        listed.extend(quoted.map(|test| (number.to_string(), test.to_string())));
    }
    assert_eq!(wrong, [""; 0]);
    let mut named = named_cases(&["B"]);
    listed.sort();
    named.sort();
    assert_eq!(named, listed, "comments above tests, left, and tests/spark_cases.md, right");
    assert!(listed.len() > 80, "only {} cases", listed.len());
}

#[test]
fn every_case_that_a_test_names_is_a_promise() {
    let text = fs::read_to_string(root().join("tests/PROMISES.md")).unwrap();
    for (number, test) in named_cases(&["E", "F", "R"]) {
        let row = text.lines().find(|line| line.starts_with(&format!("| {number} ")));
        let names_it = row.is_some_and(|row| row.contains(&format!("`{test}`")));
        assert!(names_it, "{test} names {number}, and that row of tests/PROMISES.md not the test");
    }
}

/// Returns the comments about a case that do not name its list, as `// Case F038 of tests/PROMISES.md.`
/// and `// Cases F038 and E01 of tests/PROMISES.md.` do.
fn cases_without_their_list(text: &str) -> Vec<&str> {
    let comments = text.lines().map(str::trim).filter(|line| {
        let case = line.strip_prefix("// Case");
        case.is_some_and(|case| case.split([' ', ',', '.']).any(is_number))
    });
    let is_complete = |comment: &str| {
        let cases = comment.strip_prefix("// Case ").or(comment.strip_prefix("// Cases "));
        cases.and_then(|cases| cases.split_once(" of ")).is_some_and(|(numbers, list)| {
            numbers.split(" and ").all(|number| {
                let its_list = if number.starts_with('B') { "spark_cases" } else { "PROMISES" };
                is_number(number) && list == format!("tests/{its_list}.md.")
            })
        })
    };
    comments.filter(|comment| !is_complete(comment)).collect()
}

#[test]
fn every_comment_about_a_case_names_its_list() {
    for (name, text) in sources(&["core", "shuffle", "rdd", "tests"]) {
        let wrong = cases_without_their_list(&text);
        let form = "`// Case F038 of tests/PROMISES.md.`";
        assert_eq!(wrong, [""; 0], "{name}: the form is {form}, of tests/spark_cases.md for B");
    }
}

#[test]
fn comments_about_a_case_without_its_list_are_found() {
    // Each sample is within quotes, so that the other rules do not read it as a comment above a test.
    let complete = [
        "// Case F038 of tests/PROMISES.md.",
        "    // Case B003 of tests/spark_cases.md.",
        "// Cases F001 and E01 of tests/PROMISES.md.",
        "// Case by case.",
    ];
    assert_eq!(cases_without_their_list(&complete.join("\n")), [""; 0]);
    let incomplete = [
        "// Case F101.",
        "// Cases E01, E02 of tests/PROMISES.md.",
        "// Case B003 of tests/PROMISES.md.",
    ];
    assert_eq!(cases_without_their_list(&incomplete.join("\n")), incomplete);
}

/// Returns the cases with some letters that comments above tests name, each with the test.
fn named_cases(letters: &[&str]) -> Vec<(String, String)> {
    let mut cases = Vec::new();
    for (_, text) in sources(&["core", "shuffle", "rdd", "tests"]) {
        let mut numbers = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(comment) = line.strip_prefix("// Case") {
                let words = comment.split([' ', ',', '.']).filter(|word| is_number(word));
                let words = words.filter(|word| letters.contains(&&word[..1]));
                numbers = words.map(str::to_string).collect();
            } else if let Some(rest) = line.strip_prefix("fn ") {
                let test = rest.split('(').next().unwrap();
                cases.extend(numbers.drain(..).map(|number| (number, test.to_string())));
            }
        }
    }
    cases
}

/// Returns true if a word is a letter and digits, or `R-` and such a word.
fn is_number(word: &str) -> bool {
    let (letter, digits) = match word.strip_prefix("R-") {
        Some(kind) if kind.is_ascii() && kind.len() > 1 => kind.split_at(1),
        None if word.is_ascii() && word.len() > 2 => word.split_at(1),
        _ => return false,
    };
    letter.chars().all(char::is_uppercase) && digits.parse::<u16>().is_ok()
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

/// Returns what is wrong with the list of quoted names in `cell`: no test, or listed twice.
fn wrong_names(number: &str, cell: &str, tests: &HashSet<String>) -> Vec<String> {
    let mut named = HashSet::new();
    let mut wrong = Vec::new();
    for name in cell.split(", ") {
        let quoted = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
        let is_test = quoted.is_some_and(|test| tests.contains(test));
        if !is_test || !named.insert(name) {
            wrong.push(format!("{number} names {name}, which is no test or listed twice"));
        }
    }
    wrong
}

#[test]
fn names_without_a_test_and_repeated_names_are_found() {
    let tests = HashSet::from(["sorts".to_string()]);
    assert_eq!(wrong_names("F001", "`sorts`", &tests), [""; 0]);
    for cell in ["`sort`", "sorts", "`sorts`, `sorts`", ""] {
        assert_eq!(wrong_names("F001", cell, &tests).len(), 1, "{cell}");
    }
    assert!(
        is_number("F001")
            && is_number("R-A1")
            && !is_number("R-")
            && !is_number("F")
            && !is_number("Fast")
    );
}
