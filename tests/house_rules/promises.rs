//! Each promise about faults has a test that keeps it, or a reason why it has none.

use super::root;
use std::fs;

/// The lists of `tests/PROMISES.md`: their letter, the digits of a number, and how many there are.
const LISTS: [(&str, usize, usize); 2] = [("F", 3, 106), ("E", 2, 64)];

/// How a row begins that names no test.
const REASONS: [&str; 2] = ["none: ", "not built: "];

#[test]
fn every_promise_about_faults_names_a_test_that_exists_or_says_why_not() {
    let text = fs::read_to_string(root().join("tests/PROMISES.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| F") || line.starts_with("| E"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let lists = LISTS.iter().flat_map(|(letter, digits, count)| {
        (1..=*count).map(move |number| format!("{letter}{number:0digits$}"))
    });
    let numbers: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    assert_eq!(numbers, lists.collect::<Vec<_>>(), "every number once and in order");
    for row in rows {
        let [_, number, promise, kept, _] = row[..] else { panic!("not three cells: {row:?}") };
        assert!(promise.len() > 10, "{number} promises nothing");
        match REASONS.iter().find_map(|word| kept.strip_prefix(word)) {
            Some(reason) => assert!(reason.len() > 20, "{number} gives no reason"),
            None => names_tests(number, kept),
        }
    }
}

fn names_tests(number: &str, kept: &str) {
    let places: Vec<&str> = kept.split(", ").collect();
    let twice = places.iter().enumerate().find(|(at, place)| places[..*at].contains(place));
    assert!(twice.is_none(), "{number} names {} twice", twice.map_or("", |(_, place)| place));
    for place in places {
        let quoted = place.strip_prefix('`').and_then(|place| place.strip_suffix('`'));
        let named = quoted.and_then(|place| place.split_once("::"));
        let (file, test) = named.unwrap_or_else(|| panic!("{number}: `{place}` is no file::test"));
        let source = fs::read_to_string(root().join(file));
        let source = source.unwrap_or_else(|_| panic!("{number} names {file}, which is not there"));
        let is_test = source.split(&format!("fn {test}(")).next().filter(|before| {
            let since = before.rsplit("\n\n").next().unwrap_or("");
            before.len() < source.len() && since.contains("#[test]")
        });
        assert!(is_test.is_some(), "{number} names {test}, which is no test of {file}");
    }
}
